"""What the server was found to do, and the ledger is built on: seen bare, on one server and on three replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import nats.js.errors
import pytest
from nats.aio.client import Client

from bridge.edge.ledger.layout import LedgerNames, stream_config
from bridge.edge.ledger.publisher import Answer, Outgoing, Publisher
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from tests.support.nats_cluster import nats_cluster
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
CURSOR = {"Nats-Rollup": "sub", "Nats-TTL": "never"}


class Bare(NamedTuple):
    """A connection, and the ledger's stream with nothing of ours between."""

    client: Client
    js: JetStream
    publisher: Publisher
    replicas: int

    async def batch(self, name: str, *messages: tuple[str, dict[str, str]]) -> list[Answer | None]:
        """The answer to each message of one batch."""
        last = len(messages)
        numbered = [
            Outgoing(
                subject,
                {**headers, "Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
                | ({"Nats-Batch-Commit": "1"} if number == last else {}),
                b"{}",
            )
            for number, (subject, headers) in enumerate(messages, 1)
        ]
        return await self.publisher.publish(numbered)

    async def counts(self, subjects: str) -> dict[str, int]:
        """How many messages each matching subject holds."""
        found: dict[str, int] = (await self.js.stream("BRIDGE", subjects=subjects))["state"].get("subjects") or {}
        return found


@pytest.fixture(params=[1, 3], ids=["one server", "three replicas"])
async def bare(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bare]:
    replicas: int = request.param
    async with AsyncExitStack() as stack:
        if replicas == 1:
            servers = [await stack.enter_async_context(nats_server(tmp_path))]
        else:
            servers = await stack.enter_async_context(nats_cluster(tmp_path))
        urls = tuple(server.url for server in servers)
        connection = await stack.enter_async_context(connect(NatsOptions(urls=urls)))
        js = JetStream(connection.client, deadline_s=30)
        await js.call("STREAM.CREATE.BRIDGE", stream_config(LedgerNames(replicas=replicas, max_age_s=2)))
        yield Bare(connection.client, js, Publisher(connection.client, deadline_s=30), replicas)


async def test_the_server_is_as_it_was_found(bare: Bare) -> None:
    """Entries of a batch do not see what the others do to a filter; 1,000 messages are the most; what is incomplete is
    10176; a cursor in a batch replaces the one before and outlives `max_age`; nats-py finds no stream by the subjects
    that consumers read.
    """
    once = ("bridge.in.v.s.e.occurred.1", {EXPECTED: "0", f"{EXPECTED}-Subject": "events.v.s.e.*.1"})
    answers = await bare.batch("twice", once, once)
    assert answers[-1] is not None
    assert (answers[-1].err_code, answers[-1].count) == (0, 2)
    assert await bare.counts("events.>") == {"events.v.s.e.occurred.1": 2}
    assert [answer.err_code for answer in await bare.batch("stale", once) if answer] == [10071]

    many = [(f"bridge.in.v.s.e.created.{number}", {EXPECTED: "0"}) for number in range(1001)]
    assert {answer.err_code for answer in await bare.batch("1001", *many) if answer} >= {10199}
    assert await bare.counts("events.*.*.*.created.*") == {}
    incomplete = {"Nats-Batch-Id": "unknown", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
    (answer,) = await bare.publisher.publish([Outgoing("bridge.in.v.s.e.created.1", incomplete, b"{}")])
    assert answer is not None
    assert answer.err_code == 10176

    for page in range(3):
        answers = await bare.batch(f"page{page}", many[page], ("bridge.cursor.s.w", CURSOR))
        assert answers[-1] is not None
        assert answers[-1].err_code == 0
    assert await bare.counts("bridge.cursor.>") == {"bridge.cursor.s.w": 1}
    await wait_until(lambda: _empty(bare), what="the events to age out")
    assert await bare.counts("bridge.cursor.>") == {"bridge.cursor.s.w": 1}

    with pytest.raises(nats.js.errors.NotFoundError):
        await bare.client.jetstream(timeout=30).subscribe("events.>")


async def _empty(bare: Bare) -> bool:
    return await bare.counts("events.>") == {}


async def test_a_fence_around_a_source_cannot_be_pipelined_on_replicas(bare: Bare) -> None:
    """Twenty events sent at once, each expecting the one before it anywhere in its source: one server takes them all,
    three replicas refuse what comes while another is under way. Expectations of each entity's own hold on both."""
    fenced = {number: {EXPECTED: str(number), f"{EXPECTED}-Subject": "events.v.s.>"} for number in range(20)}
    answers = await bare.publisher.publish(
        [Outgoing(f"bridge.in.v.s.e.created.{number}", headers, b"{}") for number, headers in fenced.items()]
    )
    codes = [answer.err_code for answer in answers if answer is not None]
    assert codes[0] == 0
    assert set(codes[1:]) == {0} if bare.replicas == 1 else 10164 in codes
    own = [{EXPECTED: "0", f"{EXPECTED}-Subject": f"events.v.s.f.*.{number}"} for number in range(20)]
    answers = await bare.publisher.publish(
        [Outgoing(f"bridge.in.v.s.f.created.{number}", headers, b"{}") for number, headers in enumerate(own)]
    )
    assert [answer.err_code for answer in answers if answer is not None] == [0] * 20
