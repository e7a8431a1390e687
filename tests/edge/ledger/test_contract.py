"""What every ledger promises: the same sentences for the real one, on a real nats-server, and for its twin."""

from __future__ import annotations

import abc
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from bridge.core.content import data_of
from bridge.core.errors import Away
from bridge.core.head import ce_id_of
from bridge.core.record import Head, Json, Key
from bridge.core.subject import TELEMETRY
from bridge.edge.ledger.layout import LedgerNames, state_config, stream_config, telemetry_config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.permissions import permissions
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream, Nobody
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import BatchStale, Book, Cursor, Ledger, Stale, Stored
from tests.support import sealing
from tests.support.emptying import remove_streams
from tests.support.memory_ledger import MemoryLedger
from tests.support.nats_cluster import cluster_ready, nats_cluster_blocking, step_down
from tests.support.nats_server import NatsServer, free_port, nats_server_blocking
from tests.support.sealing import SOURCE, VENDOR, head_at, key, sealed
from tests.support.waiting import wait_until, wait_until_blocking

pytestmark = pytest.mark.anyio

OWNER: dict[str, Json] = {"instance": "test"}


class Found(NamedTuple):
    """An event as a consumer sees it."""

    seq: int
    subject: str
    ce_id: str
    after: Json


class Side(abc.ABC):
    """A ledger, and what a test may see and do behind its back."""

    ledger: Ledger

    async def book(self, vendor: str = VENDOR, source: str = SOURCE) -> Book:
        """A new opening."""
        return await self.ledger.open(vendor, source, OWNER)

    @abc.abstractmethod
    async def events(self) -> list[Found]: ...

    @abc.abstractmethod
    async def view(self) -> dict[str, tuple[str, Json]]: ...

    @abc.abstractmethod
    async def break_connection(self) -> None:
        """Lose the connection and get it back."""

    @abc.abstractmethod
    async def age_out(self, first_seq: int) -> None:
        """Events before `first_seq` reach their age."""


class Twin(Side):
    def __init__(self) -> None:
        self.ledger = self.memory = MemoryLedger()

    async def events(self) -> list[Found]:
        return [Found(e.seq, e.subject, e.ce_id, e.data["after"]) for e in self.memory.events]

    async def view(self) -> dict[str, tuple[str, Json]]:
        return self.memory.state()

    async def break_connection(self) -> None:
        self.memory.go_away()
        self.memory.come_back()

    async def age_out(self, first_seq: int) -> None:
        self.memory.age_out(first_seq)


class Real(Side):
    """`js` is an administrator's: what it does is done behind the ledger's back."""

    def __init__(self, ledger: JetStreamLedger, js: JetStream, break_connection: object) -> None:
        self.ledger = self.real = ledger
        self.js = js
        self._break = break_connection

    async def events(self) -> list[Found]:
        found = []
        seq = 1
        while (message := await self.js.get("BRIDGE", {"next_by_subj": "events.>", "seq": seq})) is not None:
            after = data_of(message.headers, json.loads(message.payload))["after"]
            found.append(Found(message.seq, message.subject, ce_id_of(message.headers), after))
            seq = message.seq + 1
        return found

    async def view(self) -> dict[str, tuple[str, Json]]:
        # Opening waits until the view has caught up.
        await self.book()
        entries = {}
        seq = 1
        while (message := await self.js.get("KV_bridge-state", {"next_by_subj": ">", "seq": seq})) is not None:
            data = data_of(message.headers, json.loads(message.payload))
            entries[message.subject.removeprefix("$KV.bridge-state.")] = (data["change"], data["after"])
            seq = message.seq + 1
        return entries

    async def break_connection(self) -> None:
        epoch = self.real.epoch
        assert callable(self._break)
        await self._break()
        await wait_until(lambda: self.real.epoch > epoch, what="the connection to break")
        await self.real.wait_ready()

    async def age_out(self, first_seq: int) -> None:
        # Nothing ages before the view has seen it.
        await self.book()
        await self.js.call("STREAM.PURGE.BRIDGE", {"filter": "events.>", "seq": first_seq})
        # What is gone before its age is a loss: a ledger that remembers having stored it would say so.
        self.real._line.evidence.drop()


class Restless:
    """A ledger, or a book of one, whose stream gets another leader before every call."""

    def __init__(self, inner: Ledger | Book, js: JetStream) -> None:
        self._inner = inner
        self._js = js

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: object) -> object:
            await step_down(self._js, "BRIDGE")
            result = await found(*args)
            return Restless(result, self._js) if name == "open" else result

        return call


class Place(NamedTuple):
    """Where a real ledger lives: the server, what things are called there, and who comes to it as whom."""

    server: NatsServer
    names: LedgerNames = LedgerNames()
    user: str = ""
    inbox: str = "_INBOX"
    admin: str = ""
    cluster: Sequence[NatsServer] = ()

    def url(self, user: str) -> str:
        """The address with credentials; all passwords are `p`."""
        return self.server.url.replace("://", f"://{user}:p@") if user else self.server.url


@asynccontextmanager
async def real_side(place: Place) -> AsyncIterator[Real]:
    """The real ledger on an empty server."""
    made: list[JetStreamLedger] = []
    if place.cluster:
        await cluster_ready(list(place.cluster))
    async with (
        connect(NatsOptions(urls=(place.url(place.admin),))) as admin,
        connect(
            NatsOptions(urls=(place.url(place.user),), inbox_prefix=place.inbox),
            on_disconnect=lambda: made[0].disconnected(),
            on_reconnect=lambda: made[0].reconnected(),
        ) as connection,
    ):
        js = JetStream(admin.client, prefix=LedgerNames(domain=place.names.domain).api)
        # A leaf node learns only after its connection is made what its hub listens to.
        await wait_until(lambda: listens(js), what="JetStream to be in reach")
        streams = ("KV_bridge-state", "BRIDGE", "BRIDGE_TELEMETRY")
        await remove_streams(js, streams, place.server.folder.parent)
        if place.names.manage == "verify":
            for config in (stream_config(place.names), state_config(place.names), telemetry_config(place.names)):
                await js.call(f"STREAM.CREATE.{config['name']}", config)
        made.append(JetStreamLedger(connection.client, place.names, deadline_s=30))
        await made[0].prepare()
        real = Real(made[0], js, connection.client.force_reconnect)
        if place.cluster:
            real.ledger = cast(Ledger, Restless(made[0], js))
        yield real
        assert connection.denied == []


async def listens(js: JetStream) -> bool:
    """Whether anybody answers where JetStream's API should be."""
    try:
        await js.call("INFO")
    except Nobody:
        return False
    return True


OPERATED = LedgerNames(manage="verify")
DOMAIN = LedgerNames(domain="hub")
IMPORTED = LedgerNames(api_prefix="JS.theirs", manage="verify")


def operated() -> str:
    """The bridge's user may do what the smallest list says, and nothing else."""
    users = [
        {"user": "admin", "password": "p"},
        {"user": "bridge", "password": "p", "permissions": permissions(OPERATED, "_B", telemetry=True)},
    ]
    return f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}"


def imported() -> str:
    """JetStream belongs to one account, the bridge to another, which imports the API under a prefix of its own."""
    writes = [
        {"service": subject, "response_type": "singleton"}
        for subject in ("bridge.in.>", "bridge.cursor.>", "bridge.owner.*", "bridge.tin.>", "bridge.tcursor.>")
    ]
    theirs = {
        "jetstream": "enabled",
        "users": [{"user": "admin", "password": "p"}],
        "exports": [{"service": "$JS.API.>", "response_type": "stream"}, *writes],
    }
    imports: list[Json] = [{"service": {"account": "THEIRS", "subject": "$JS.API.>"}, "to": "JS.theirs.>"}]
    imports += [{"service": {"account": "THEIRS", "subject": write["service"]}} for write in writes]
    users = [{"user": "bridge", "password": "p", "permissions": permissions(IMPORTED, "_B", telemetry=True)}]
    return f"accounts: {json.dumps({'THEIRS': theirs, 'OURS': {'users': users, 'imports': imports}})}"


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """A running server of this kind."""
    if kind == "domain":
        hub = f'jetstream {{ domain: hub, store_dir: "{folder}/store" }}\nleafnodes {{ listen: 127.0.0.1:{{port}} }}'
        port = free_port()
        remote = f"leafnodes {{ remotes: [ {{ url: nats://127.0.0.1:{port} }} ] }}"
        with (
            nats_server_blocking(folder, name="hub", jetstream=False, extra=hub.replace("{port}", str(port))) as server,
            nats_server_blocking(folder, name="leaf", jetstream=False, extra=remote) as leaf,
        ):
            wait_until_blocking(lambda: "Leafnode connection created" in server.log, what="the leaf to join its hub")
            yield Place(leaf, DOMAIN)
        return
    if kind == "cluster":
        with nats_cluster_blocking(folder) as servers:
            yield Place(servers[0], LedgerNames(replicas=3), cluster=servers)
        return
    extra = {"real": "", "operated": operated(), "imported": imported()}[kind]
    with nats_server_blocking(folder, extra=extra) as server:
        if kind == "real":
            yield Place(server)
        else:
            yield Place(server, OPERATED if kind == "operated" else IMPORTED, "bridge", "_B", "admin")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """One server per kind for all tests, started when it is first asked for."""
    started: dict[str, Place] = {}
    with ExitStack() as stack:

        def place(kind: str) -> Place:
            if kind not in started:
                started[kind] = stack.enter_context(place_of(kind, tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield place


@pytest.fixture(
    params=[
        "real-asyncio",
        # What one account may do with the smallest list is seen in `test_permissions`, and here across two accounts.
        pytest.param("operated-asyncio", marks=pytest.mark.chaos),
        "domain-asyncio",
        "imported-asyncio",
        # After each change of leader the server takes some seconds to resume the view: two minutes for all of them.
        pytest.param("cluster-asyncio", marks=pytest.mark.chaos),
        # The engine's tests, with their virtual clock, run it on trio.
        pytest.param("twin-asyncio", marks=pytest.mark.chaos),
        "twin-trio",
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(kind: str) -> str:
    return kind.partition("-")[2]


EVERY = ("created", "updated", "deleted", "snapshot", "occurred")
STRUCTURED = {"operated-asyncio": EVERY[1:3], "imported-asyncio": EVERY, "twin-trio": EVERY, "twin-asyncio": EVERY[:1]}
"""The changes that are written in structured mode. The promises are the same, so that needs no kind of its own."""


@pytest.fixture(autouse=True)
def content_mode(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "structured", STRUCTURED.get(kind, ()).__contains__)


@pytest.fixture
async def side(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if kind.startswith("twin"):
        yield Twin()
        return
    async with real_side(request.getfixturevalue("places")(kind.partition("-")[0])) as real:
        yield real


async def store(book: Book, of: Key, change: str = "created", after: Json = None, **more: object) -> Head:
    """Append one event that must be stored; the entity's head after it."""
    event = sealed(of, change, after, **more)  # type: ignore[arg-type]
    (outcome,) = await book.append([event])
    assert isinstance(outcome, Stored)
    return head_at(event, outcome.seq)


async def test_an_append_stores_the_event_and_returns_its_sequence(side: Side) -> None:
    """What is appended lies in the stream under its event subject, at the sequence returned."""
    book = await side.book()
    event = sealed(key("7"), after={"state": "open"})
    (outcome,) = await book.append([event])
    assert isinstance(outcome, Stored)
    expected = Found(outcome.seq, "events.acme.main.session.created.7", event.ce_id, {"state": "open"})
    assert await side.events() == [expected]


async def test_many_appends_are_stored_in_their_order(side: Side) -> None:
    """Pipelined events are stored in the order given, one outcome each."""
    book = await side.book()
    events = [sealed(key(str(n)), after=n) for n in range(300)]
    outcomes = await book.append(events)
    found = await side.events()
    assert [Stored(event.seq) for event in found] == outcomes
    assert [event.ce_id for event in found] == [event.ce_id for event in events]
    assert await book.append([]) == []


async def test_a_repeated_event_is_stale_and_the_look_shows_it(side: Side) -> None:
    """The same event again is refused, and the entity's head is that event."""
    book = await side.book()
    event = sealed(key("7"), after=1, version="5")
    (first,) = await book.append([event])
    assert await book.append([event]) == [Stale()]
    assert isinstance(first, Stored)
    assert await book.head(key("7")) == head_at(event, first.seq)
    assert len(await side.events()) == 1


async def test_an_overtaken_update_is_stale(side: Side) -> None:
    """An update that follows what is no longer the last event is refused; the next one is judged by itself."""
    book = await side.book()
    first = await store(book, key("7"), after=1)
    second = await store(book, key("7"), "updated", 2, follows=first)
    overtaken = sealed(key("7"), "updated", 3, follows=first)
    other = sealed(key("8"), after=1)
    stale, stored = await book.append([overtaken, other])
    assert stale == Stale()
    assert isinstance(stored, Stored)
    assert await book.head(key("7")) == second


async def test_an_entity_without_events_has_no_head(side: Side) -> None:
    """None is the head of what the stream does not hold."""
    book = await side.book()
    assert await book.head(key("none")) is None


async def test_a_change_that_occurs_once_is_stored_once(side: Side) -> None:
    """An `occurred` event expects that there is none: a second one is refused."""
    book = await side.book()
    event = sealed(key("1", "message"), "occurred", "hello")
    await book.append([event])
    assert await book.append([event]) == [Stale()]


async def test_a_commit_stores_events_and_cursor_together(side: Side) -> None:
    """Events and cursor are in the stream, in order, where the receipt says."""
    book = await side.book()
    events = [sealed(key(str(n)), after=n) for n in range(5)]
    receipt = await book.commit(events, "fast", Cursor({"page": 1}))
    assert [event.seq for event in await side.events()] == list(receipt.seqs)
    again = await side.book()
    assert again.memory.cursors == {"fast": Cursor({"page": 1}, receipt.cursor_seq)}


async def test_commits_follow_one_another(side: Side) -> None:
    """The receipt's cursor sequence is what the next commit expects; walks do not disturb each other."""
    book = await side.book()
    fast = slow = 0
    for n in range(5):
        fast = (await book.commit([sealed(key(str(n)))], "fast", Cursor({"n": n}, fast))).cursor_seq
        slow = (await book.commit([], "slow", Cursor({"n": n}, slow))).cursor_seq
    cursors = (await side.book()).memory.cursors
    assert {walk: cursor.value for walk, cursor in cursors.items()} == {"fast": {"n": 4}, "slow": {"n": 4}}
    assert len(await side.events()) == 5


async def test_a_cursor_is_found_where_it_lies(side: Side) -> None:
    """Whoever wrote it, as it is now; of a walk without one there is nothing."""
    book, other = await side.book(), await side.book()
    assert await book.cursor("fast") is None
    receipt = await other.commit([sealed(key("1"))], "fast", Cursor({"page": 2}))
    assert await book.cursor("fast") == Cursor({"page": 2}, receipt.cursor_seq)


async def test_a_commit_may_have_no_cursor(side: Side) -> None:
    """Events alone are stored as a batch; nothing at all is no write."""
    book = await side.book()
    receipt = await book.commit([sealed(key("1")), sealed(key("2"))], "fast", None)
    assert receipt.cursor_seq == 0
    assert [event.seq for event in await side.events()] == list(receipt.seqs)
    single = await book.commit([sealed(key("3"))], "fast", None)
    assert [event.seq for event in await side.events()][2:] == list(single.seqs)
    empty = await book.commit([], "fast", None)
    assert (list(empty.seqs), empty.cursor_seq) == ([], 0)
    assert (await side.book()).memory.cursors == {}


async def test_one_stale_entry_refuses_the_whole_batch(side: Side) -> None:
    """Nothing of a refused batch is stored: no event and no cursor."""
    book = await side.book()
    await store(book, key("2"), after=1)
    batch = [sealed(key("1")), sealed(key("2"), after=2), sealed(key("3"))]
    with pytest.raises(BatchStale):
        await book.commit(batch, "fast", Cursor({"page": 1}))
    assert [event.subject for event in await side.events()] == ["events.acme.main.session.created.2"]
    assert (await side.book()).memory.cursors == {}
    receipt = await book.commit([batch[0], batch[2]], "fast", Cursor({"page": 1}))
    assert len(receipt.seqs) == 2


async def test_a_stale_cursor_refuses_the_whole_batch(side: Side) -> None:
    """Who has not seen the cursor that lies there cannot replace it, nor store the events with it."""
    book, other = await side.book(), await side.book()
    receipt = await other.commit([], "fast", Cursor({"page": 2}))
    with pytest.raises(BatchStale):
        await book.commit([sealed(key("1"))], "fast", Cursor({"page": 1}))
    with pytest.raises(BatchStale):
        await book.commit([], "fast", Cursor({"page": 1}, receipt.cursor_seq + 7))
    assert await side.events() == []
    assert (await side.book()).memory.cursors == {"fast": Cursor({"page": 2}, receipt.cursor_seq)}


async def test_a_former_owner_doubles_nothing(side: Side) -> None:
    """Two books of one source: what one stored, the other cannot store again, and it finds it by looking."""
    former, owner = await side.book(), await side.book()
    assert owner.memory.owner_seq > former.memory.owner_seq > 0
    event = sealed(key("1"), after=1)
    await owner.commit([event], "fast", Cursor({"page": 1}))
    assert await former.append([event]) == [Stale()]
    head = await former.head(key("1"))
    assert head is not None
    assert head.ce_id == event.ce_id


ODD_IDS = ["", "a.b", "*", ">", "=", "Grüße 100 %", "x" * 181, "日本" * 40, "a\nb", "A", "a"]


async def test_an_opening_gives_back_what_was_written(side: Side) -> None:
    """Every entity's head, whatever its id, deleted ones included; every cursor; nothing of the bridge's own events."""
    book = await side.book()
    heads = {("session", id_): await store(book, key(id_), after=n) for n, id_ in enumerate(ODD_IDS)}
    heads["session", "a"] = await store(
        book, key("a"), "updated", {"n": 1}, follows=heads["session", "a"], version="é 2"
    )
    heads["session", "A"] = await store(book, key("A"), "deleted", follows=heads["session", "A"])
    heads["user", "u.1"] = await store(book, key("u.1", "user"), "snapshot", {"n": 1})
    await store(book, key("m", "message"), "occurred", "not state")
    await store(book, key("open", "gap", vendor="bridge"), "opened", {"reason": "not state either"})
    one = await book.commit([], "fast", Cursor({"position": [1, None, "é"]}))
    two = await book.commit([], "slow walk", Cursor({}))
    memory = (await side.book()).memory
    assert memory.heads == heads
    assert memory.cursors == {
        "fast": Cursor({"position": [1, None, "é"]}, one.cursor_seq),
        "slow walk": Cursor({}, two.cursor_seq),
    }


async def test_sources_do_not_see_each_other(side: Side) -> None:
    """An opening gives back its own source's entities and cursors, and no other's."""
    for vendor, source in (("acme", "main"), ("acme", "main2"), ("acm", "e"), ("other", "x.y")):
        book = await side.book(vendor, source)
        await store(book, key("1", vendor=vendor, source=source), after=f"{vendor} {source}")
        await book.commit([], "walk", Cursor({"of": source}))
    for vendor, source in (("acme", "main"), ("acme", "main2"), ("acm", "e"), ("other", "x.y")):
        memory = (await side.book(vendor, source)).memory
        assert list(memory.heads) == [("session", "1")]
        assert {walk: cursor.value for walk, cursor in memory.cursors.items()} == {"walk": {"of": source}}


async def test_the_view_holds_the_last_event_of_every_entity(side: Side) -> None:
    """Created, updated, deleted and snapshot make the view; `occurred` and the bridge's own do not."""
    book = await side.book()
    first = await store(book, key("1"), after=1)
    await store(book, key("1"), "updated", 2, follows=first)
    second = await store(book, key("2"), after=1)
    await store(book, key("2"), "deleted", follows=second)
    await store(book, key("3"), "snapshot", 3)
    await store(book, key("4", "message"), "occurred", 4)
    await store(book, key("5", "gap", vendor="bridge"), "opened", 5)
    assert await side.view() == {
        "acme.main.session.1": ("updated", 2),
        "acme.main.session.2": ("deleted", None),
        "acme.main.session.3": ("snapshot", 3),
    }


async def test_a_book_opened_before_a_disconnect_is_void(side: Side) -> None:
    """Every method of it raises Away for ever; a new book works."""
    book = await side.book()
    known = await store(book, key("1"), after=1)
    await side.break_connection()
    event = sealed(key("2"))
    for _ in range(2):
        with pytest.raises(Away):
            await book.append([event])
        with pytest.raises(Away):
            await book.commit([event], "fast", Cursor({}))
        with pytest.raises(Away):
            await book.head(key("1"))
        with pytest.raises(Away):
            await book.after(key("1"), known)
        with pytest.raises(Away):
            await book.stored([key("1")])
    assert len(await side.events()) == 1
    again = await side.book()
    assert again.memory.heads == {("session", "1"): known}
    await store(again, key("1"), "updated", 2, follows=known)


async def test_after_is_what_the_last_event_said(side: Side) -> None:
    """The content of the entity's last event, a deleted one's included; None for a head the stream never held."""
    book = await side.book()
    head = await store(book, key("1"), after={"a": [1, "é"]})
    assert await book.after(key("1"), head) == {"a": [1, "é"]}
    gone = await store(book, key("1"), "deleted", {"was": 1}, follows=head)
    assert await book.after(key("1"), gone) == {"was": 1}
    assert await book.after(key("2"), Head(0, "nobody", "created", None, "")) is None
    assert await book.after(key("1"), Head(99_999, "nobody", "created", None, "")) is None


async def test_afters_are_what_many_last_events_said(side: Side) -> None:
    """The contents of those that lie near one another, in one answer; whoever is not as its head says is left out."""
    book = await side.book()
    heads = {key(f"{number}"): await store(book, key(f"{number}"), after={"n": number}) for number in range(12)}
    heads[key("0")] = await store(book, key("0"), "updated", {"n": "new"}, follows=heads[key("0")])
    heads[key("1")] = await store(book, key("1"), "deleted", {"n": "was"}, follows=heads[key("1")])
    nobody = Head(heads[key("2")].seq, "nobody", "created", None, "")
    wrong = {key("2"): nobody, key("x"): nobody}
    found = await book.afters([*(heads | wrong).items()])
    contents = {f"{number}": {"n": number} for number in range(3, 12)} | {"0": {"n": "new"}, "1": {"n": "was"}}
    assert dict(found) == {key(id_): content for id_, content in contents.items()}


async def test_what_has_aged_out_is_still_known_and_expects_nothing(side: Side) -> None:
    """The view remembers what the stream has dropped: the head's sequence is 0, its content can be read."""
    book = await side.book()
    old = await store(book, key("old"), after="old")
    new = await store(book, key("new"), after="new")
    await side.age_out(new.seq)
    book = await side.book()
    forgotten = Head(0, old.ce_id, old.change, old.version, old.digest)
    assert book.memory.heads == {("session", "old"): forgotten, ("session", "new"): new}
    assert await book.after(key("old"), forgotten) == "old"
    assert await book.head(key("old")) is None
    await store(book, key("old"), "updated", "newer", follows=forgotten)


async def test_when_all_has_aged_out_everything_is_still_known(side: Side) -> None:
    """A stream without events opens like any other."""
    book = await side.book()
    old = await store(book, key("old"), after="old")
    await side.age_out(old.seq + 1)
    assert (await side.book()).memory.heads["session", "old"].seq == 0


async def test_stored_tells_which_occurred_before(side: Side) -> None:
    """Of many `occurred` events, those the stream holds; of other changes and other ids, none."""
    book = await side.book()
    keys = [key(f"{n}.", "message") for n in range(1200)]
    await book.commit([sealed(one, "occurred", n) for n, one in enumerate(keys[::2])], "walk", None)
    await store(book, keys[1], "created")
    assert await book.stored(keys) == set(keys[::2])
    assert await book.stored(keys[1:2]) == set()
    assert await book.stored([]) == set()


async def test_a_batch_has_a_limit(side: Side) -> None:
    """999 events and a cursor fit; more, or an entity twice, is the caller's mistake and stores nothing."""
    book = await side.book()
    events = [sealed(key(str(n))) for n in range(1000)]
    with pytest.raises(ValueError, match="999"):
        await book.commit(events, "walk", None)
    with pytest.raises(ValueError, match="once"):
        await book.commit([events[0], events[0]], "walk", None)
    assert await side.events() == []
    receipt = await book.commit(events[:999], "walk", Cursor({"page": 1}))
    assert list(receipt.seqs) == list(range(receipt.cursor_seq - 999, receipt.cursor_seq))
    assert len((await side.book()).memory.heads) == 999


async def test_an_event_above_the_limit_is_the_callers_mistake(side: Side) -> None:
    """The largest event that fits is stored; one byte more is refused before anything is sent."""
    book = await side.book()
    limit = side.ledger.max_payload
    overhead = sealed(key("1"), after="").size
    fits = sealed(key("1"), after="x" * (limit - overhead))
    assert fits.size == limit
    larger = sealed(key("2"), after="x" * (limit - overhead + 1), limit=limit + 1)
    writes = (
        book.append([larger]),
        book.commit([larger], "walk", None),
        book.commit([], "walk", Cursor({"x": "x" * limit})),
    )
    for write in writes:
        with pytest.raises(ValueError, match="max_payload"):
            await write
    await book.commit([fits], "walk", Cursor({}))
    assert len(await side.events()) == 1


async def test_wait_ready_returns_when_the_ledger_can_be_opened(side: Side) -> None:
    """It returns at once while all is well."""
    await side.ledger.wait_ready()
    assert (await side.book()).memory.heads == {}


async def test_telemetry_has_a_stream_of_its_own(side: Side) -> None:
    """Its events and cursors lie beside the ledger's: neither sees the other's, each is stored once, none is state."""
    book = await side.book()
    aside = await book.telemetry()
    assert (aside.memory.cursors, dict(aside.memory.heads)) == ({}, {})
    packets = [sealed(key(str(n), "packet"), "occurred", n, lane=TELEMETRY) for n in range(3)]
    receipt = await aside.commit(packets[:2], "walk", Cursor({"n": 1}))
    stale, stored = await aside.append([packets[0], packets[2]])
    assert stale == Stale()
    assert isinstance(stored, Stored)
    with pytest.raises(BatchStale):
        await aside.commit([], "walk", Cursor({"n": 9}, receipt.cursor_seq + 5))
    keys = [packet.key for packet in packets]
    assert await aside.stored([*keys, key("other", "packet")]) == set(keys)
    assert await book.stored(keys) == set()
    assert await side.events() == []
    again = await side.book()
    assert (again.memory.cursors, dict(again.memory.heads)) == ({}, {})
    found = (await again.telemetry()).memory
    assert (found.cursors, dict(found.heads)) == ({"walk": Cursor({"n": 1}, receipt.cursor_seq)}, {})


async def test_a_book_takes_only_what_is_its_own(side: Side) -> None:
    """An event of the other stream is the caller's mistake, and nothing is sent."""
    book = await side.book()
    aside = await book.telemetry()
    packet, event = sealed(key("1"), "occurred", lane=TELEMETRY), sealed(key("1"))
    for other, wrong in ((book, packet), (aside, event)):
        with pytest.raises(ValueError, match="does not belong"):
            await other.append([wrong])
        with pytest.raises(ValueError, match="does not belong"):
            await other.commit([wrong], "walk", None)
    assert await side.events() == []


async def test_a_telemetry_book_is_void_after_a_disconnect_too(side: Side) -> None:
    """As any book is; a new one goes on."""
    aside = await (await side.book()).telemetry()
    packet = sealed(key("1", "packet"), "occurred", 1, lane=TELEMETRY)
    await side.break_connection()
    with pytest.raises(Away):
        await aside.append([packet])
    again = await (await side.book()).telemetry()
    assert isinstance((await again.append([packet]))[0], Stored)
