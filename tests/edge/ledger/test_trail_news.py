"""What is republished only says that it is time to look: whatever it holds, the connection goes on reading."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.ledger.trail import JetStreamTrail


@pytest.mark.parametrize("number", [b"9" * 5000, b"", b"-1", b"x", b"\xc2\xb2"])
def test_a_forged_sequence_breaks_nothing(number: bytes) -> None:
    """This runs in the task that reads the connection: an error would leave it deaf."""
    trail = JetStreamTrail(cast("Any", None), LedgerNames(), "events.>")
    trail._on_raw(b"live.a.b.c.d.e", b"", b"NATS/1.0\r\nNats-Sequence: " + number + b"\r\n\r\n")
    assert trail._told == 0
    trail._on_raw(b"live.a.b.c.d.e", b"", b"NATS/1.0\r\nNats-Sequence: 42\r\n\r\n")
    assert trail._told == 42
