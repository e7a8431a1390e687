"""Reading much in one go: which headers are read, and how long the server is given."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from bridge.core.head import ce_id_of, id_of
from bridge.edge.ledger.recall import headers_of_head
from bridge.edge.nats.answers import NoAnswer, parse_headers
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

OURS = (
    b"NATS/1.0\r\nce-id: 0123\r\nce-subject: a%20b\r\nce-time: 2026-01-01T00:00:00Z\r\nBridge-Digest: 1:ab\r\n"
    b"Bridge-Version: 7\r\nNats-Stream-Source: BRIDGE 41 x > events.v.s.e.created.a\r\n\r\n"
)


WHOLE = (
    b"NATS/1.0\r\nContent-Type: application/cloudevents+json; charset=UTF-8\r\nBridge-Id: 0123\r\n"
    b"Bridge-Subject: a%20b\r\nBridge-Digest: 1:ab\r\nNats-Stream-Source: BRIDGE 41 x > events.v.s.e.created.a\r\n\r\n"
)


@pytest.mark.parametrize("block", [WHOLE, OURS.replace(b"ce-subject", b"Bridge-Subject"), OURS])
def test_a_head_is_found_in_either_content_mode(block: bytes) -> None:
    """Name and id come from the headers that stand for the attributes, without looking at every other."""
    headers = headers_of_head(block)
    assert len(headers) == 4 + (b"Version" in block)
    assert (ce_id_of(headers), id_of(headers)) == ("0123", "a b")


@pytest.mark.parametrize("block", [OURS, OURS.replace(b"Bridge-Version: 7\r\n", b""), OURS.replace(b": 0123", b": ")])
def test_what_makes_a_head_is_read_as_it_stands(block: bytes) -> None:
    """The five headers that matter, or four, have the values that reading all of them gives."""
    names = ("Nats-Stream-Source", "ce-id", "ce-subject", "Bridge-Digest", "Bridge-Version")
    found = {name: value for name, value in parse_headers(block).items() if name in names}
    assert headers_of_head(block) == found
    assert len(found) == 4 + (b"Version" in block)


@pytest.mark.parametrize(
    "block",
    [b"NATS/1.0\r\n\r\n", b"", OURS.replace(b"ce-id: ", b"ce-id:"), OURS.replace(b"Bridge-Digest: 1:ab\r\n", b"")],
)
def test_what_others_wrote_is_read_whole(block: bytes) -> None:
    """A spelling that is not ours, or something missing: then every header is looked at."""
    assert headers_of_head(block) == parse_headers(block)


@pytest.mark.anyio
async def test_a_long_question_ends_with_its_connection(tmp_path: Path) -> None:
    """What may take the server a minute is not waited for when it has gone."""
    async with nats_server(tmp_path) as server, connect(NatsOptions(urls=(server.url,))) as connection:
        js = JetStream(connection.client, deadline_s=4)
        server.pause()

        async def kill() -> None:
            await wait_until(lambda: connection.client._resp_map, what="the question")
            await server.kill()

        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                group.start_soon(kill)
                with pytest.raises(NoAnswer, match="connection to NATS was lost before"):
                    await js.get("BRIDGE", {"last_by_subj": "events.>"})
