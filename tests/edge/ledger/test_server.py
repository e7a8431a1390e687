"""The real ledger under what only a real server and a real connection can do to it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import nats.js.errors
import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.record import Json, Key
from bridge.edge.ledger import batch
from bridge.edge.ledger.layout import stream_config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.line import refusal
from bridge.edge.ledger.publisher import Answer, Message, Outgoing
from bridge.edge.nats import jetstream
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import Entry, JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import BatchStale, Book, Cursor, Stale, Stored, Unknown
from tests.support.asking import ask, plain_client, plain_jetstream
from tests.support.nats_server import NatsServer, nats_server
from tests.support.proxy import proxy
from tests.support.sealing import SOURCE, VENDOR, head_at, key, sealed
from tests.support.thorough import tries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


LOST_S = 3.0
"""How long an answer is waited for in tests where one is lost. Those that are not lost may be slow."""


class Rig:
    """A ledger and the connection it lives on."""

    def __init__(self, client: Client, deadline_s: float) -> None:
        self.client = client
        self.ledger = JetStreamLedger(client, deadline_s=deadline_s, patience_s=30)
        self.js = JetStream(client, deadline_s=30)
        self.publisher = self.ledger._line.publisher
        self.sent = 0

    async def book(self, source: str = SOURCE) -> Book:
        return await self.ledger.open(VENDOR, source, {"instance": "test"})

    async def events(self) -> list[tuple[int, str, str]]:
        """Sequence, subject and ce-id of every event in the stream."""
        found: list[tuple[int, str, str]] = []
        config = {"filter_subject": "events.>", "ack_policy": "none", "headers_only": True, "mem_storage": True}
        name = await self.js.consumer("BRIDGE", config)
        take: Callable[[Entry], None] = lambda e: found.append((e.seq, e.subject, e.headers["ce-id"]))  # noqa: E731
        async with self.js.reader("BRIDGE", name, take) as reader:
            while not await reader.read():
                pass
        await self.js.drop_consumer("BRIDGE", name)
        return found

    def lose_answers(self, count: int) -> None:
        """The next `count` acknowledgements never arrive, and are not waited for for long."""
        self.publisher._deadline_s = min(self.publisher._deadline_s, LOST_S)
        settle, left = self.publisher._settle, count

        def deaf(name: bytes, place: int, answer: Answer) -> None:
            nonlocal left
            if not answer.accepted and left:
                left -= 1
                return
            settle(name, place, answer)

        self.publisher._settle = deaf  # type: ignore[method-assign]

    def lose_messages(self, header: str, count: int) -> None:
        """The next `count` messages with `header` never reach the server. `sent` counts the others."""
        spelled, left = self.publisher._spelled, count

        def lossy(message: Outgoing, reply: str) -> bytes:
            nonlocal left
            if (header in message.headers or f"{header}: " in message.more) and left:
                left -= 1
                return b""
            self.sent += 1
            return spelled(message, reply)

        self.publisher._spelled = lossy  # type: ignore[method-assign]


@asynccontextmanager
async def rig(url: str, deadline_s: float = 30) -> AsyncIterator[Rig]:
    made: list[Rig] = []
    async with connect(
        NatsOptions(urls=(url,), reconnect_wait_s=0.2),
        on_disconnect=lambda: made[0].ledger.disconnected(),
        on_reconnect=lambda: made[0].ledger.reconnected(),
    ) as connection:
        made.append(Rig(connection.client, deadline_s))
        await made[0].ledger.prepare()
        yield made[0]


def batch_of(*ids: str) -> list[Event]:
    return [sealed(key(id_), after=id_) for id_ in ids]


async def test_only_what_is_stored_is_republished(server: NatsServer) -> None:
    """Plain subscribers of live.> see committed events, and nothing of a refused batch."""
    async with rig(server.url) as rigged:
        seen: list[str] = []

        async def see(message: Msg) -> None:
            seen.append(message.subject)

        await rigged.client.subscribe("live.>", cb=see)
        book = await rigged.book()
        await book.append(batch_of("2"))
        with pytest.raises(BatchStale):
            await book.commit(batch_of("1", "2", "3"), "walk", Cursor({}))
        await book.commit(batch_of("4"), "walk", Cursor({}))
        subjects = [f"live.acme.main.session.created.{n}" for n in (2, 4)]
        await wait_until(lambda: len(seen) >= 2, what="live events")
        await rigged.client.flush()
        assert seen == subjects


async def test_the_view_is_a_kv_bucket_for_everyone(server: NatsServer) -> None:
    """nats-py's KV reads and watches it by its documented keys; a deleted entity is a deleted key."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        odd = Key(VENDOR, SOURCE, "session", "a.b")
        receipt = await book.commit([sealed(key("1"), after={"n": 1}), sealed(odd, after={"n": 2})], "w", Cursor({}))
        gone = sealed(key("1"), "deleted", follows=sealed(key("1"), after={"n": 1}), at=receipt.seqs[0])
        assert isinstance((await book.append([gone]))[0], Stored)
        await rigged.book()
        async with plain_client(server.url) as nc:
            kv = await plain_jetstream(nc).key_value("bridge-state")
            entry = await kv.get("acme.main.session.a=2Eb")
            assert json.loads(entry.value or b"")["after"] == {"n": 2}
            with pytest.raises(nats.js.errors.KeyNotFoundError):
                await kv.get("acme.main.session.1")
            watcher = await kv.watch("acme.main.>")
            updates = [await watcher.updates(timeout=30) for _ in range(2)]  # type: ignore[no-untyped-call]
            found = {update.key: update.operation for update in updates if update is not None}
            assert found == {"acme.main.session.a=2Eb": None, "acme.main.session.1": "DEL"}


async def test_a_lost_acknowledgement_of_an_append_is_unknown_and_found_by_a_look(server: NatsServer) -> None:
    """Without an answer in time the outcome is Unknown; nothing is sent again; the look shows it is stored."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.lose_answers(1)
        first, second = batch_of("1", "2")
        outcomes = await book.append([first, second])
        assert outcomes[0] == Unknown()
        assert isinstance(outcomes[1], Stored)
        head = await book.head(key("1"))
        assert head is not None
        assert head.ce_id == first.ce_id
        assert len(await rigged.events()) == 2
        assert rigged.publisher.in_flight == 0


@pytest.mark.parametrize("cursor", [Cursor({"page": 1}), None])
async def test_a_lost_acknowledgement_of_a_commit_is_settled_by_looking(
    server: NatsServer, cursor: Cursor | None
) -> None:
    """The commit finds its own cursor (or its own events) in the stream, and does not send the batch again."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.lose_messages("none", 0)
        rigged.lose_answers(1)
        receipt = await book.commit(batch_of("1", "2"), "walk", cursor)
        assert [seq for seq, _, _ in await rigged.events()] == list(receipt.seqs)
        assert bool(receipt.cursor_seq) == (cursor is not None)
        assert rigged.sent == (3 if cursor else 2)
        await book.commit(batch_of("3"), "walk", cursor and Cursor({"page": 2}, receipt.cursor_seq))
        assert len(await rigged.events()) == 3


async def test_a_lost_acknowledgement_of_a_cursor_is_settled_by_looking(server: NatsServer) -> None:
    """The same for a cursor alone."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.lose_answers(1)
        receipt = await book.commit([], "walk", Cursor({"page": 1}))
        assert (await rigged.book()).memory.cursors == {"walk": Cursor({"page": 1}, receipt.cursor_seq)}


@pytest.mark.parametrize("header", [batch.BATCH_COMMIT, batch.BATCH_SEQUENCE])
async def test_a_batch_that_lost_a_message_is_sent_again_after_a_look(server: NatsServer, header: str) -> None:
    """Without its end, or its beginning, nothing is stored: the look shows it, and the second try stores all once."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.publisher._deadline_s = LOST_S
        rigged.lose_messages(header, 1)
        receipt = await book.commit(batch_of("1", "2", "3"), "walk", Cursor({"page": 1}))
        assert [seq for seq, _, _ in await rigged.events()] == list(receipt.seqs)


async def test_a_commit_that_cannot_be_settled_is_away(server: NatsServer) -> None:
    """When even the second try is not acknowledged or stored, the caller hears Away and nothing is stored."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.publisher._deadline_s = LOST_S
        rigged.lose_messages(batch.BATCH_COMMIT, 9)
        with pytest.raises(Away, match="2 times"):
            await book.commit(batch_of("1", "2"), "walk", Cursor({"page": 1}))
        assert await rigged.events() == []


async def test_too_many_open_batches_are_waited_out(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When others hold all places for batches, the commit waits a little and goes through once one is free."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        for n in range(50):
            headers = {batch.BATCH_ID: f"other{n}", batch.BATCH_SEQUENCE: "1"}
            answer = await ask(rigged.client, "bridge.in.x.y.z.created.1", b"{}", headers)
            assert answer.data == b""
        waits: list[float] = []
        sleep = anyio.sleep

        async def free_one(seconds: float) -> None:
            waits.append(seconds)
            headers = {batch.BATCH_ID: "other0", batch.BATCH_SEQUENCE: "9", batch.BATCH_COMMIT: "1"}
            await ask(rigged.client, "bridge.in.x.y.z.created.1", b"{}", headers)
            await sleep(0)

        monkeypatch.setattr("bridge.edge.ledger.batch.anyio.sleep", free_one)
        await book.commit(batch_of("1", "2"), "walk", Cursor({}))
        assert waits == [batch.BACK_OFF_S[0]]
        assert len(await rigged.events()) == 2


async def test_cancelling_a_commit_does_not_poison_the_next(server: NatsServer) -> None:
    """A commit cancelled at any moment is stored whole or not at all, and a new book goes on from there."""
    async with rig(server.url) as rigged:
        whole, step = 0, tries(3, 1)
        for n in range(0, 25, step):
            book = await rigged.book()
            cursor = book.memory.cursors.get("walk", Cursor({}))
            events = batch_of(*(f"{n}-{i}" for i in range(100)))
            async with anyio.create_task_group() as group:
                group.start_soon(book.commit, events, "walk", Cursor({"n": n}, cursor.seq))
                for _ in range(n):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            book = await rigged.book()
            cursor = book.memory.cursors.get("walk", Cursor({}))
            receipt = await book.commit(batch_of(f"{n}-after"), "walk", Cursor({"n": n}, cursor.seq))
            assert receipt.cursor_seq > cursor.seq
            heads = Counter(id_.partition("-")[0] for _, id_ in (await rigged.book()).memory.heads)
            assert heads[str(n)] in (1, 101)
            whole += heads[str(n)] == 101
        assert rigged.publisher.in_flight == 0
        assert len(await rigged.events()) == len(range(0, 25, step)) + 100 * whole


async def test_a_silent_server_is_away_and_what_it_does_later_is_found(server: NatsServer) -> None:
    """A paused server answers nothing: Away within the deadlines; once it goes on, all is stored once."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        events = batch_of("1", "2", "3")
        rigged.publisher._deadline_s = rigged.ledger._line.js._deadline_s = 0.5
        server.pause()
        try:
            with anyio.fail_after(90), pytest.raises(Away):
                await book.commit(events, "walk", Cursor({"page": 1}))
            with anyio.fail_after(90):
                assert await book.append(batch_of("4")) == [Unknown()]
        finally:
            server.resume()
            rigged.publisher._deadline_s = rigged.ledger._line.js._deadline_s = 30
        await wait_until(lambda: _head(book, "4"), what="the late append")
        again = await rigged.book()
        cursor = again.memory.cursors.get("walk", Cursor({}))
        if not cursor.seq:
            await again.commit(events, "walk", Cursor({"page": 1}))
        assert sorted(subject[-1] for _, subject, _ in await rigged.events()) == ["1", "2", "3", "4"]


async def _head(book: Book, id_: str) -> object:
    return await book.head(key(id_))


async def test_a_cut_connection_is_away_at_once_and_nothing_is_doubled(server: NatsServer) -> None:
    """Commits under way when the connection is cut end with Away long before their deadline."""
    async with proxy(server.port) as way, rig(way.url, deadline_s=100) as rigged:
        for n in range(6):
            await rigged.ledger.wait_ready()
            book = await rigged.book()
            cursor = book.memory.cursors.get("walk", Cursor({}))
            way.cut_after(3_000 + 11_000 * n)
            events = batch_of(*(f"{n}-{i}" for i in range(100)))
            with anyio.fail_after(90), pytest.raises(Away):
                await book.commit(events, "walk", Cursor({"n": n}, cursor.seq))
            await rigged.ledger.wait_ready()
            cursor = (await rigged.book()).memory.cursors.get("walk", Cursor({}))
            assert cursor.value.get("n") != n
        assert await rigged.events() == []
        assert way.cuts >= 6


class Walker:
    """Commits pages of its own source until all are in, opening again after every doubt; the stream is its memory."""

    def __init__(self, rigged: Rig, source: str, pages: int) -> None:
        self.rigged = rigged
        self.source = source
        self.pages = pages
        self.page = 0
        self.doubts = 0

    async def run(self) -> None:
        while self.page < self.pages:
            try:
                await self.rigged.ledger.wait_ready()
                await self._walk(await self.rigged.book(self.source))
            except Away:
                self.doubts += 1

    async def _walk(self, book: Book) -> None:
        cursor = book.memory.cursors.get("walk", Cursor({"page": 0}))
        self.page = cursor.value["page"]
        while self.page < self.pages:
            events = [sealed(key(f"{self.page}-{i}", source=self.source)) for i in range(20)]
            live = sealed(key(f"{self.page}", "live", source=self.source), "occurred")
            (outcome,) = await book.append([live])
            if not isinstance(outcome, Stored) and await book.head(live.key) is None:
                continue
            receipt = await book.commit(events, "walk", Cursor({"page": self.page + 1}, cursor.seq))
            cursor = Cursor({}, receipt.cursor_seq)
            self.page += 1


PAGES = tries(12, 30)


# Where every write is synchronised the same happens, only more slowly.
@pytest.mark.parametrize("sync_always", [pytest.param(True, marks=pytest.mark.chaos), False])
async def test_a_server_killed_under_many_commits_has_every_event_once(tmp_path: Path, sync_always: bool) -> None:
    """SIGKILL and restart while eight sources commit and append: afterwards every event is there once, in order."""
    async with nats_server(tmp_path, sync_always=sync_always) as server, rig(server.url, deadline_s=2) as rigged:
        walkers = [Walker(rigged, f"s{n}", PAGES) for n in range(8)]
        with anyio.fail_after(300):
            async with anyio.create_task_group() as group:
                for walker in walkers:
                    group.start_soon(walker.run)
                for target in (PAGES // 10, PAGES // 3, PAGES // 2, PAGES * 4 // 5):
                    await wait_until(
                        lambda target=target: max(walker.page for walker in walkers) >= target, what=f"page {target}"
                    )
                    await server.restart()
        found = await rigged.events()
        counted = Counter(subject for _, subject, _ in found)
        assert set(counted.values()) == {1}
        assert len(counted) == 8 * PAGES * 21
        assert sum(walker.doubts for walker in walkers) >= 4
        for walker in walkers:
            memory = (await rigged.book(walker.source)).memory
            assert len(memory.heads) == PAGES * 20
            assert memory.cursors["walk"].value == {"page": PAGES}


async def test_a_stream_made_anew_voids_old_books(server: NatsServer) -> None:
    """A book of a stream that was removed is void at the next opening; the new stream starts from nothing."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        await book.commit(batch_of("1", "2"), "walk", Cursor({}))
        await rigged.js.call("STREAM.DELETE.BRIDGE")
        with pytest.raises(Away):
            await book.append(batch_of("3"))
        with pytest.raises(Away):
            await rigged.book()
        again = await rigged.book()
        assert (dict(again.memory.heads), again.memory.cursors) == ({}, {})
        with pytest.raises(Away):
            await book.head(key("1"))
        assert isinstance((await again.append(batch_of("1")))[0], Stored)


async def test_a_stream_that_went_backwards_voids_old_books(server: NatsServer) -> None:
    """A stream whose sequences are lower than what was acknowledged has lost its end: a doubt, even unannounced."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        await book.commit(batch_of(*map(str, range(50))), "walk", Cursor({}))
        await rigged.js.call("STREAM.DELETE.BRIDGE")
        await rigged.js.call("STREAM.CREATE.BRIDGE", stream_config(rigged.ledger._names))
        with pytest.raises(Away, match="went back"):
            await book.append(batch_of("new"))
        with pytest.raises(Away, match="void"):
            await book.head(key("1"))
        # The view still holds the old stream's entities: it is made anew.
        memory = (await rigged.book()).memory
        assert list(memory.heads) == [("session", "new")]


async def test_a_view_ahead_of_the_stream_is_made_anew(server: NatsServer) -> None:
    """Entries made from what the stream has lost are noticed, and the view is built from what it still holds."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        await book.commit(batch_of(*map(str, range(50))), "walk", Cursor({}))
        await rigged.book()
        created = (await rigged.js.stream("BRIDGE"))["created"]
        await rigged.js.call("STREAM.DELETE.BRIDGE")
        await rigged.js.call("STREAM.CREATE.BRIDGE", stream_config(rigged.ledger._names))
        # Only the sequences betray it: an operator's view is bound to no life of the stream.
        view = (await rigged.js.stream("KV_bridge-state"))["config"]
        assert view["metadata"].pop("bridged.stream.created") == created
        await rigged.js.call("STREAM.UPDATE.KV_bridge-state", view)
        with pytest.raises(Away):
            await rigged.book()
        assert (await rigged.book()).memory.heads == {}


async def test_a_full_stream_is_away_and_says_nothing_of_the_message(server: NatsServer) -> None:
    """A byte cap that refuses is an Away with our own words: no id, no payload."""
    async with rig(server.url) as rigged:
        config = {**stream_config(rigged.ledger._names), "max_bytes": 20_000, "discard": "new"}
        await rigged.js.call("STREAM.UPDATE.BRIDGE", config)
        book = await rigged.book()
        large = sealed(key("jane-doe"), after="jane@example.org" * 2000)
        for write in (book.append([large]), book.commit([large], "walk", Cursor({}))):
            with pytest.raises(Away, match="the stream is full") as caught:
                await write
            assert "jane" not in str(caught.value)
        assert isinstance((await book.append(batch_of("1")))[0], Stored)


async def test_every_refusal_has_words() -> None:
    """An error we have no words for is named by its number only."""
    assert "no quorum" in str(refusal(Answer(err_code=10074)))
    assert "error 12345" in str(refusal(Answer(err_code=12345)))


async def test_a_missing_stream_is_away(server: NatsServer) -> None:
    """Nobody listening where events are published is not waited for until the deadline."""
    async with rig(server.url, deadline_s=100) as rigged:
        book = await rigged.book()
        await rigged.js.call("STREAM.DELETE.BRIDGE")
        with anyio.fail_after(90), pytest.raises(Away, match="the stream is gone"):
            await book.commit(batch_of("1", "2"), "walk", Cursor({}))
        with anyio.fail_after(90), pytest.raises(Away):
            await book.stored([key("1")])


async def test_more_answers_than_fit_are_asked_for_in_parts(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large stored messages make the server end its answer early: the rest is asked for, until all are known."""
    monkeypatch.setattr(jetstream, "MOST_ANSWER_BYTES", 5_000)
    async with rig(server.url) as rigged:
        book = await rigged.book()
        keys = [key(str(n), "message") for n in range(40)]
        await book.append([sealed(one, "occurred", "x" * 1_000) for one in keys])
        assert await book.stored([*keys, key("other", "message")]) == set(keys)


async def test_many_appends_at_once_share_a_bounded_window(server: NatsServer) -> None:
    """More messages than the window wait for room; every call gets its own answers, and nothing is left behind."""
    async with rig(server.url) as rigged:
        rigged.publisher._window = 16
        book = await rigged.book()
        results: dict[int, list[object]] = {}

        async def write(n: int) -> None:
            results[n] = list(await book.append([sealed(key(f"{n}-{i}")) for i in range(50)]))

        async with anyio.create_task_group() as group:
            for n in range(8):
                group.start_soon(write, n)
        assert all(isinstance(outcome, Stored) for outcomes in results.values() for outcome in outcomes)
        assert len({one.seq for outcomes in results.values() for one in outcomes if isinstance(one, Stored)}) == 400
        assert rigged.publisher.in_flight == 0


async def test_concurrent_writers_of_one_entity_are_told_apart(server: NatsServer) -> None:
    """Of many writers that follow the same event one is stored; all others are refused, singly or as a batch."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        first = sealed(key("1"), after=0)
        (stored,) = await book.append([first])
        assert isinstance(stored, Stored)
        rivals = [sealed(key("1"), "updated", n, follows=head_at(first, stored.seq)) for n in range(1, 9)]
        outcomes: list[Json] = []

        async def single(event: Event) -> None:
            outcomes.extend(await book.append([event]))

        async def whole(event: Event) -> None:
            try:
                await book.commit([event, *batch_of(f"with-{event.ce_id}")], "walk", None)
            except BatchStale:
                outcomes.append(Stale())
            else:
                outcomes.append(Stored(0))

        async with anyio.create_task_group() as group:
            for n, rival in enumerate(rivals):
                group.start_soon(whole if n % 2 else single, rival)
        assert sum(isinstance(outcome, Stored) for outcome in outcomes) == 1
        assert sum(outcome == Stale() for outcome in outcomes) == 7


async def test_a_view_that_stands_still_behind_the_stream_is_away(server: NatsServer) -> None:
    """An opening never takes an incomplete view for the truth: it says which stream lacks what, and gives up."""
    async with rig(server.url) as rigged:
        rigged.ledger._patience_s = 0
        book = await rigged.book()
        await book.append(batch_of("1"))
        await rigged.book()
        await rigged.js.call("STREAM.PURGE.KV_bridge-state")
        with pytest.raises(Away, match="stream KV_bridge-state has stood still"):
            await rigged.book()
        await book.append(batch_of("2"))
        assert list((await rigged.book()).memory.heads) == [("session", "2")]


async def test_wait_ready_returns_when_nats_is_back(server: NatsServer) -> None:
    """While NATS is away it waits; then it verifies what is there, and makes what a wiped server has lost."""
    async with rig(server.url) as rigged:
        await server.kill()
        await wait_until(lambda: not rigged.client.is_connected, what="the loss to be noticed")
        ready = anyio.Event()

        async def wait() -> None:
            await rigged.ledger.wait_ready()
            ready.set()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not ready.is_set()
            with pytest.raises(Away):
                await rigged.book()
            shutil.rmtree(server.store)
            await server.start()
            with anyio.fail_after(90):
                await ready.wait()
        assert (await rigged.book()).memory.heads == {}


async def test_a_commit_can_be_cancelled_while_it_waits(server: NatsServer) -> None:
    """Only the sending of a batch is shielded: waiting for the answer ends at once, long before the deadline."""
    async with rig(server.url, deadline_s=100) as rigged:
        book = await rigged.book()
        rigged.lose_messages("none", 0)
        rigged.lose_answers(1)
        with anyio.fail_after(90):
            async with anyio.create_task_group() as group:
                group.start_soon(book.commit, batch_of("1", "2"), "walk", Cursor({"page": 1}))
                await wait_until(lambda: rigged.sent == 3, what="the whole batch to be sent")
                group.cancel_scope.cancel()
        assert rigged.publisher.in_flight == 0
        assert (await rigged.book()).memory.cursors["walk"].value == {"page": 1}


async def test_cancelled_commits_leave_no_batch_open(server: NatsServer) -> None:
    """A commit cancelled after its first message abandons the batch: all of the server's places are free at once."""
    async with rig(server.url) as rigged:
        book = await rigged.book()
        rigged.lose_messages("none", 0)
        for n in range(120):
            before = rigged.sent
            events = batch_of(*(f"{n}-{number}" for number in range(batch.SMALL + 1)))
            async with anyio.create_task_group() as group:
                group.start_soon(book.commit, events, "walk", None)
                while rigged.sent == before:
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        await rigged.client.flush()
        assert await rigged.events() == []
        answers = []
        for n in range(51):
            headers = {batch.BATCH_ID: f"other{n}", batch.BATCH_SEQUENCE: "1"}
            answers.append((await ask(rigged.client, "bridge.in.x.y.z.created.1", b"{}", headers)).data)
        assert answers[:50] == [b""] * 50
        assert json.loads(answers[50])["error"]["err_code"] == batch.TOO_MANY_OPEN


async def test_an_instance_opens_a_few_batches_at_a_time(server: NatsServer) -> None:
    """Of many commits at once eight are open at the server, four of one source; all are stored, each whole."""
    async with rig(server.url) as rigged:
        book, other = await rigged.book(), await rigged.book("other")
        once, now, most = rigged.ledger._line.batches._once, 0, 0

        async def counted(messages: Sequence[Message]) -> Answer | None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            try:
                return await once(messages)
            finally:
                now -= 1

        rigged.ledger._line.batches._once = counted  # type: ignore[method-assign]
        batches = [(batch_of(f"{n}-1", f"{n}-2", f"{n}-3"), f"walk {n}", Cursor({"n": n})) for n in range(60)]
        async with anyio.create_task_group() as group:
            for one in batches[:30]:
                group.start_soon(book.commit, *one)
        assert most == batch.MOST_OF_ONE
        async with anyio.create_task_group() as group:
            for number, one in enumerate(batches[30:]):
                group.start_soon((book, other)[number % 2].commit, *one)
        assert most == batch.MOST_OPEN
        assert len(await rigged.events()) == 180
        assert len((await rigged.book()).memory.cursors) == 45
        assert len((await rigged.book("other")).memory.cursors) == 15


async def test_a_jetstream_that_stays_away_is_said_once(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected, and nothing answers: one line per reason, one when it is ready, none for each attempt."""
    monkeypatch.setattr("bridge.edge.ledger.ledger.RETRY_S", 0.01)
    async with rig(server.url) as rigged:
        problems = ["no leader"] * 5 + ["no answer"] * 5
        prepare = rigged.ledger.prepare

        async def away() -> None:
            if problems:
                raise Away(problems.pop(0))
            await prepare()

        monkeypatch.setattr(rigged.ledger, "prepare", away)
        with structlog.testing.capture_logs() as logs:
            await rigged.ledger.wait_ready()
            await rigged.ledger.wait_ready()
        said = [(entry["event"], entry["log_level"], entry.get("reason")) for entry in logs]
        assert said == [
            ("jetstream.away", "warning", "no leader"),
            ("jetstream.away", "warning", "no answer"),
            ("jetstream.ready", "info", None),
        ]
