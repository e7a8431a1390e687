"""Our reading of header blocks, which is faster than nats-py's, gives what nats-py's gives."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from bridge.edge.nats.client import SteadyClient

BLOCKS = [
    b"",
    b"\r\n",
    b"ce-id: 1\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n",
    b"A:1\r\nB:\t2 \r\n C : 3\r\nD:: 4:5\r\n\r\n",
    b"two words: 1\r\nno colon\r\n: no name\r\nE:\r\nE: again\r\n\r\n",
    "F\N{SNOWMAN}: 1\r\nG: \N{SNOWMAN}\r\n".encode() + b"H: \xff\r\n\r\n",
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_read_as_nats_py_reads_it(block: bytes) -> None:
    """Names that are none are left out, values are trimmed, the last of a name counts."""
    expected = Client._parse_header_lines(block)
    expected.pop("", None)
    assert SteadyClient._parse_header_lines(block) == expected
