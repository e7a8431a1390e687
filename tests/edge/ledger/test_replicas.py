"""Three replicas that mislead for a moment: a leader that answers as of before, a view that stands still."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.ledger import confirm, recall
from bridge.edge.ledger.layout import LedgerNames, establish
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.permissions import permissions
from bridge.edge.ledger.shape import origin
from bridge.edge.nats.answers import Entry, NoAnswer, Reader
from bridge.edge.nats.connection import NatsConnection, connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Book
from tests.support.asking import plain_client
from tests.support.emptying import remove_streams
from tests.support.nats_cluster import cluster_ready, nats_cluster_blocking
from tests.support.nats_server import NatsServer
from tests.support.sealing import SOURCE, VENDOR, key, sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

VIEW = "KV_bridge-state"
STEP_DOWN = f"STREAM.LEADER.STEPDOWN.{VIEW}"
NAMES = LedgerNames(replicas=3)


def accounts() -> str:
    """A user with exactly what the bridge needs, and one who may not ask for another leader."""
    allowed = permissions(NAMES)
    lacking = {**allowed, "publish": {"allow": [s for s in allowed["publish"]["allow"] if STEP_DOWN not in s]}}
    users: list[Json] = [{"user": "admin", "password": "p"}]
    users += [{"user": "bridge", "password": "p", "permissions": allowed}]
    users += [{"user": "lacking", "password": "p", "permissions": lacking}]
    return f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}\nno_auth_user: admin\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NatsServer]]:
    with nats_cluster_blocking(tmp_path_factory.mktemp("replicas"), extra=accounts()) as servers:
        yield servers


@pytest.fixture
async def servers(cluster: list[NatsServer]) -> list[NatsServer]:
    """An empty cluster."""
    await cluster_ready(cluster)
    async with plain_client(cluster[0].url) as nc:
        await remove_streams(JetStream(nc, deadline_s=30), (VIEW, "BRIDGE"), cluster[0].folder.parent)
    return cluster


class Misled(JetStream):
    """JetStream as one sees it while the cluster is settling.

    `stale`: so many more answers about `BRIDGE` are those of a former leader. While `stands_still`, nothing of the view
    arrives, until its leader has been asked to step down. `asked` counts that. `before_view` runs before it is read.
    """

    stale = 0
    stands_still = False
    asked = 0

    async def call(self, subject: str, body: Json = None, *, walks: bool = False) -> Json:
        if subject == STEP_DOWN:
            self.asked += 1
        answer = await super().call(subject, body, walks=walks)
        if subject == STEP_DOWN:
            self.stands_still = False
            for take, entry in self._held:
                take(entry)
        if subject == "STREAM.INFO.BRIDGE" and body is None and self.stale:
            self.stale -= 1
            answer["state"]["last_seq"] = 1
        return answer

    async def before_view(self) -> None:
        """Nothing, unless a test says otherwise."""

    async def consumer(self, stream: str, config: Mapping[str, Json]) -> str:
        if stream == VIEW:
            self.stale = 0
            await self.before_view()
        return await super().consumer(stream, config)

    def reader(self, stream: str, consumer: str, take: Callable[[Entry], None]) -> Reader:
        def maybe(entry: Entry) -> None:
            if self.stands_still:
                self._held.append((take, entry))
            else:
                take(entry)

        self._held: list[tuple[Callable[[Entry], None], Entry]] = getattr(self, "_held", [])
        return super().reader(stream, consumer, maybe if stream == VIEW else take)


@asynccontextmanager
async def ledger(
    servers: list[NatsServer],
    user: str = "bridge",
    manage: Literal["create", "verify"] = "create",
    *,
    deadline_s: float = 30,
    patience_s: float = 60,
) -> AsyncIterator[tuple[JetStreamLedger, Misled, NatsConnection]]:
    """`deadline_s`: for an answer, also to what is denied. `patience_s`: for a view that stands still."""
    urls = tuple(server.url.replace("://", f"://{user}:p@") for server in servers)
    async with connect(NatsOptions(urls=urls)) as connection:
        names = LedgerNames(replicas=3, manage=manage)
        made = JetStreamLedger(connection.client, names, deadline_s=deadline_s, patience_s=patience_s)
        js = Misled(connection.client, deadline_s=deadline_s)
        made._line.js = js
        await made.wait_ready()
        yield made, js, connection


async def write(of: JetStreamLedger, source: str, *ids: str) -> None:
    """So many events of a source, and the view has the last."""
    book = await opened(of, source)
    await book.append([sealed(key(id_, source=source)) for id_ in ids])
    last = await of._line.get({"last_by_subj": f"events.{VENDOR}.{source}.>"})
    assert last is not None
    await wait_until(lambda: viewed(of, last.seq), what="the view")


async def opened(of: JetStreamLedger, source: str = SOURCE) -> Book:
    """A book. A consumer that was made just now may have nobody yet to answer for it: then once more."""
    with anyio.fail_after(120):
        while True:
            try:
                return await of.open(VENDOR, source, {"instance": "test"})
            except NoAnswer:
                await anyio.lowlevel.checkpoint()


async def viewed(of: JetStreamLedger, seq: int) -> bool:
    found = await of._line.get({"last_by_subj": "$KV.bridge-state.>"}, VIEW)
    return found is not None and origin(found.headers)[0] >= seq


async def test_a_former_leader_is_not_taken_for_loss(servers: list[NatsServer]) -> None:
    """One that has just woken says that the stream ends before what the view knows: the view stays as it is."""
    async with ledger(servers) as (of, js, _):
        await write(of, SOURCE, "1", "2", "3")
        made = (await js.stream(VIEW))["created"]
        # What is there first, and the first look.
        js.stale = 2
        with capture_logs() as logs:
            await establish(js, NAMES)
        assert js.stale == 0
        assert [entry for entry in logs if entry["event"] == "view.remade"] == []
        assert (await js.stream(VIEW))["created"] == made


async def test_loss_that_stays_is_believed(servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas can be rolled back, too: what every look finds is so, and the view is made anew."""
    monkeypatch.setattr(confirm, "AGAIN_S", 0.1)
    async with ledger(servers) as (of, js, _):
        await write(of, SOURCE, "1", "2", "3")
        js.stale = 1 + confirm.LOOKS
        with capture_logs() as logs:
            await establish(js, NAMES)
        (line,) = [entry for entry in logs if entry["event"] == "view.remade"]
        assert "has lost its end" in line["reason"]


@pytest.mark.parametrize("answers", [2, 100])
async def test_an_opening_does_not_call_the_view_a_liar_at_once(
    servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """Somebody writes while a source is opened, and a former leader denies it: it is asked again. If it denies even the
    owner record that was just acknowledged, the opening is given up, and the view is not in doubt."""
    monkeypatch.setattr(confirm, "AGAIN_S", 0.1)
    async with ledger(servers) as (of, js, _), ledger(servers) as (other, _, _):
        await write(of, SOURCE, "1")
        epoch, ids = of.epoch, itertools.count(2)

        async def before_view() -> None:
            await write(other, SOURCE, str(next(ids)))
            js.stale = answers

        monkeypatch.setattr(js, "before_view", before_view)
        if answers == 2:
            assert len((await opened(of)).memory.heads) >= 2
            assert js.stale == 0
        else:
            with pytest.raises(Away, match="a former leader answers"):
                await opened(of)
        assert of.epoch == epoch


async def test_a_view_that_stands_still_gets_another_leader(
    servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sources wait for it: its leader is asked once, with the bridge's permissions, and both are opened."""
    monkeypatch.setattr(recall, "STALL_S", 0.5)
    async with ledger(servers) as (of, js, connection):
        await write(of, SOURCE, "1", "2")
        await write(of, "second", "3")
        js.stands_still = True
        found: list[int] = []

        async def open_(source: str) -> None:
            found.append(len((await opened(of, source)).memory.heads))

        with capture_logs() as logs:
            async with anyio.create_task_group() as group:
                group.start_soon(open_, SOURCE)
                group.start_soon(open_, "second")
        assert sorted(found) == [1, 2]
        assert js.asked == 1
        assert [entry["asked"] for entry in logs if entry["event"] == "view.stalled"] == [True]
        await connection.client.flush()
        assert connection.denied == []


async def test_where_nothing_may_be_altered_the_view_is_waited_for(
    servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `manage = "verify"` nobody is asked to step down: the opening waits, and is given up."""
    monkeypatch.setattr(recall, "STALL_S", 0.5)
    async with ledger(servers) as (of, _, _), ledger(servers, manage="verify", patience_s=3) as (verifying, js, _):
        await write(of, SOURCE, "1")
        js.stands_still = True
        with pytest.raises(Away, match="has stood still"):
            await opened(verifying)
        assert js.asked == 0


async def test_who_may_not_ask_waits(servers: list[NatsServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the permission the opening waits as long as it may, and the log says what was refused."""
    monkeypatch.setattr(recall, "STALL_S", 0.5)
    async with ledger(servers, "lacking", deadline_s=5, patience_s=6) as (of, js, connection):
        await write(of, SOURCE, "1")
        js.stands_still = True
        with capture_logs() as logs, pytest.raises(Away, match="has stood still"):
            await opened(of)
        assert [entry["asked"] for entry in logs if entry["event"] == "view.stalled"] == [False]
        assert {denied.subject for denied in connection.denied} == {f"$JS.API.{STEP_DOWN}"}
