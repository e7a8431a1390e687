"""Three replicas whose leader changes while many sources write: every event is there once, in order, and in the view.

The contract suite runs here as well, with another leader before every single call: `make ordeals`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from bridge.core.errors import Away
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.publisher import Answer, Outgoing
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import BatchStale, Book, Cursor, Outcome, Stale, Stored
from tests.edge.ledger.test_server import Rig, Walker
from tests.support.nats_cluster import leader, nats_cluster, step_down
from tests.support.nats_server import NatsServer
from tests.support.sealing import key, sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PER_PAGE = 21


@asynccontextmanager
async def rig(servers: list[NatsServer]) -> AsyncIterator[Rig]:
    """A ledger with three replicas."""
    made: list[Rig] = []
    async with connect(
        NatsOptions(urls=tuple(server.url for server in servers), reconnect_wait_s=0.2),
        on_disconnect=lambda: made[0].ledger.disconnected(),
        on_reconnect=lambda: made[0].ledger.reconnected(),
    ) as connection:
        made.append(Rig(connection.client, 3))
        made[0].ledger = JetStreamLedger(connection.client, LedgerNames(replicas=3), deadline_s=3, patience_s=30)
        made[0].publisher = made[0].ledger._line.publisher
        # A question about a stream without a leader is never answered: it is asked again.
        made[0].js = JetStream(connection.client, deadline_s=5)
        await made[0].ledger.wait_ready()
        yield made[0]


async def write_under(
    rigged: Rig, servers: list[NatsServer], sources: int, pages: int, changes: int, kills: int
) -> None:
    """So many sources write so many pages while leaders change and servers die; then all of it is judged."""
    js: JetStream = rigged.js
    walkers = [Walker(rigged, f"s{n}", pages) for n in range(sources)]
    async with anyio.create_task_group() as group:
        for walker in walkers:
            group.start_soon(walker.run)
        for n in range(changes + kills):
            target = pages * (n + 1) // (changes + kills + 1)
            await wait_until(lambda target=target: max(w.page for w in walkers) >= target, 150, f"page {target}")
            if n < changes:
                await step_down(js, "BRIDGE")
            else:
                await servers[n % len(servers)].restart()
    counted = Counter(subject for _, subject, _ in await rigged.events())
    assert set(counted.values()) == {1}
    assert len(counted) == sources * pages * PER_PAGE
    for walker in walkers:
        memory = (await rigged.book(walker.source)).memory
        assert len(memory.heads) == pages * (PER_PAGE - 1)
        assert memory.cursors["walk"].value == {"page": pages}


async def test_leaders_change_under_many_commits(tmp_path: Path) -> None:
    """Five changes of leader while four sources commit and append."""
    async with nats_cluster(tmp_path) as servers, rig(servers) as rigged:
        with anyio.fail_after(90):
            await write_under(rigged, servers, sources=4, pages=24, changes=5, kills=0)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_leaders_change_and_servers_die_under_many_commits(tmp_path: Path) -> None:
    """The same for longer, and with servers that are killed and come back."""
    async with nats_cluster(tmp_path) as servers, rig(servers) as rigged:
        with anyio.fail_after(800):
            await write_under(rigged, servers, sources=8, pages=200, changes=20, kills=10)


async def test_a_write_in_flight_means_look_again(tmp_path: Path) -> None:
    """While a change of an entity is on its way to the replicas another of the same is refused (10164): stale, singly
    and as a batch; nothing of it is stored."""
    async with nats_cluster(tmp_path) as servers, rig(servers[:1]) as rigged, rig(servers[:1]) as other:
        # Both connections are the leader's: the others will stand still.
        while (name := await leader(rigged.js, "BRIDGE")) != servers[0].name:
            await step_down(rigged.js, "BRIDGE")
        book, second = await opened(rigged), await opened(other)
        followers = [server for server in servers if server.name != name]
        codes = watch_codes(other)
        outcomes: list[Outcome] = []

        async def first() -> None:
            outcomes.extend(await book.append([sealed(key("1"), after=1)]))

        async with anyio.create_task_group() as group:
            for server in followers:
                server.pause()
            try:
                group.start_soon(first)
                await wait_until(lambda: rigged.publisher.in_flight, what="the first write to be in flight")
                await rigged.client.flush()
                assert await second.append([sealed(key("1"), after=2)]) == [Stale()]
                batch = [sealed(key("1"), after=3), sealed(key("2"))]
            finally:
                for server in followers:
                    server.resume()
        assert codes == [10164]
        assert isinstance(outcomes[0], Stored)
        with pytest.raises(BatchStale):
            await second.commit(batch, "walk", Cursor({}))
        assert [subject for _, subject, _ in await rigged.events()] == ["events.acme.main.session.created.1"]


async def opened(rigged: Rig) -> Book:
    """A book; while a cluster settles, an opening may take several tries."""
    with anyio.fail_after(120):
        while True:
            try:
                await rigged.ledger.wait_ready()
                return await rigged.book()
            except Away:
                await anyio.lowlevel.checkpoint()


def watch_codes(rigged: Rig) -> list[int]:
    """The error codes of all refusals from now on."""
    codes: list[int] = []
    publish = rigged.publisher.publish

    async def watched(
        messages: Sequence[Outgoing], *, unasked: Sequence[Outgoing] | None = None, times: int = 1
    ) -> list[Answer | None]:
        answers = await publish(messages, unasked=unasked, times=times)
        codes.extend(answer.err_code for answer in answers if answer is not None and answer.err_code)
        return answers

    rigged.publisher.publish = watched  # type: ignore[method-assign]
    return codes
