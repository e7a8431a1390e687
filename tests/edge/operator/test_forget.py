"""Erasing one entity from a real server: what goes, what stays, and how its life goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.subject import token
from bridge.edge.ledger.layout import telemetry_config
from bridge.edge.operator.forget import Entity, Erased, Eraser, NotAnEntity, Unerasable, readings
from bridge.engine.ports import Cursor, Stored
from tests.support.nats_server import NatsServer, nats_server
from tests.support.sealing import key, sealed
from tests.support.source_rig import SourceRig, source_rig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

VIEW = "KV_bridge-state"
ALICE = "alice@example.org"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


def eraser(rig: SourceRig, **how: float) -> Eraser:
    return Eraser(rig.client, rig.names, **{"patience_s": 5, "settle_s": 0.05, **how})


def thing(id_: str) -> Entity:
    return readings(f"sim.acme.thing.{id_}")[0]


async def texts(rig: SourceRig) -> str:
    """Everything that stream and view hold, as one text."""
    found = []
    for stream in ("BRIDGE", VIEW):
        state = (await rig.js.stream(stream))["state"]
        for seq in range(state["first_seq"], state["last_seq"] + 1):
            message = await rig.js.get(stream, {"seq": seq})
            if message is not None:
                found.append(f"{message.subject} {dict(message.headers)} {message.payload.decode()}")
    return "\n".join(found)


def last(rig: SourceRig) -> tuple[str, str, Any]:
    """(id, change, before) of the last news of a thing."""
    news = [news for news in rig.news if news.entity == "sim.thing"][-1]
    return news.id, news.change, news.data["before"]


async def test_everything_of_it_goes_and_nothing_of_others(server: NatsServer) -> None:
    """All its events, whatever their change, and its entry; other entities, cursors and owner stay untouched."""
    async with source_rig(server.url) as rig:
        rig.vendor.put(ALICE, "first-secret")
        rig.vendor.put("bob", "1")
        async with rig.running():
            rig.vendor.put(ALICE, "second-secret")
            await rig.pass_completed()
        entity = thing(ALICE)

        async def in_view() -> bool:
            return (await eraser(rig).look(entity)).view

        await wait_until(in_view, what="the view to follow the stream")
        held = await eraser(rig).look(entity)
        assert (held.changes, held.view, held.quarantined) == ({"snapshot": 1, "updated": 1}, True, 0)
        assert held.first < held.last
        before = await rig.js.stream("BRIDGE")
        assert await eraser(rig).erase(entity) == Erased(events=2, view=1)
        after = await rig.js.stream("BRIDGE")
        assert after["state"]["messages"] == before["state"]["messages"] - 2
        left = await texts(rig)
        assert "alice" not in left
        assert "-secret" not in left
        assert "sim.acme.thing.snapshot.bob" in left
        assert (await eraser(rig).look(entity)).nothing
        assert await eraser(rig).erase(entity) == Erased(events=0, view=0)


async def test_a_running_daemon_goes_on(server: NatsServer) -> None:
    """What is unchanged is not told again; the next change is an update that expects nothing and tells no `before`."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("alice", "secret")
        rig.vendor.put("bob", "1")
        async with rig.running():
            await eraser(rig).erase(thing("alice"))
            await rig.pass_completed()
            await rig.pass_completed()
            assert rig.told() == [("alice", "snapshot"), ("bob", "snapshot")]
            rig.vendor.put("alice", "new")
            rig.vendor.put("bob", "2")
            await rig.pass_completed()
            assert last(rig)[0] in ("alice", "bob")
            (update,) = (news for news in rig.news if (news.id, news.change) == ("alice", "updated"))
            assert (update.expected, update.data["before"], update.data["changed"]) == (0, None, [])
            # From here on it is an entity like any other.
            rig.vendor.put("alice", "newer")
            await rig.pass_completed()
            assert last(rig) == ("alice", "updated", {"value": "new"})
        assert "secret" not in await texts(rig)
        assert rig.runner is not None
        assert rig.runner.status.counts.refused >= 1


async def test_after_a_restart_it_is_created_again_if_the_vendor_still_has_it(server: NatsServer) -> None:
    """A daemon that has read the stream anew does not know it: the vendor's record is news, as any unknown one."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("alice", "secret")
        rig.vendor.put("bob", "1")
        async with rig.running():
            pass
        await eraser(rig).erase(thing("alice"))
        async with rig.running():
            await rig.pass_completed()
        assert rig.told() == [("alice", "snapshot"), ("bob", "snapshot"), ("alice", "created")]
        assert rig.told("bridge.gap") == []


async def test_forgotten_at_the_vendor_too_it_is_gone_for_good(server: NatsServer) -> None:
    """Deleted there, then forgotten here: no daemon, running or new, says another word of it."""
    async with source_rig(server.url, deletes=True) as rig:
        rig.vendor.put("alice", "secret")
        rig.vendor.put("bob", "1")
        async with rig.running():
            rig.vendor.drop("alice")
            await wait_until(lambda: ("alice", "deleted") in rig.told(), what="the deletion")
            await eraser(rig).erase(thing("alice"))
            await rig.pass_completed()
        async with rig.running():
            await rig.pass_completed()
        assert rig.told() == [("alice", "snapshot"), ("bob", "snapshot"), ("alice", "deleted")]
        assert "alice" not in await texts(rig)


async def test_forgotten_first_and_deleted_afterwards_nothing_is_told(server: NatsServer) -> None:
    """Absence is no news of an entity of which nobody knows what it was."""
    async with source_rig(server.url, deletes=True) as rig:
        rig.vendor.put("alice", "secret")
        rig.vendor.put("bob", "1")
        async with rig.running():
            await eraser(rig).erase(thing("alice"))
            rig.vendor.drop("alice")
            for _ in range(4):
                await rig.pass_completed()
        assert rig.told() == [("alice", "snapshot"), ("bob", "snapshot")]


async def test_the_last_entity_of_all_can_be_forgotten(server: NatsServer) -> None:
    """The view then ends before the stream does, and a restart of the server brings nothing back."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("bob", "1")
        rig.vendor.put("alice", "secret")
        async with rig.running():
            pass
        made = (await rig.js.stream(VIEW))["created"]
        await eraser(rig).erase(thing("alice"))
        await server.restart()
        await wait_until(lambda: rig.client.is_connected, what="the connection")
        async with rig.running():
            rig.vendor.put("bob", "2")
            await rig.pass_completed()
        assert rig.told() == [("bob", "snapshot"), ("alice", "snapshot"), ("alice", "created"), ("bob", "updated")]
        assert (await rig.js.stream(VIEW))["created"] == made


class Meddler:
    """Stores an event right after one of the purges of an erasure."""

    def __init__(self, working: Eraser, rig: SourceRig, after: str, event: Event) -> None:
        self._working, self._purge = working, working._purge
        self._rig, self._after, self._event = rig, after, event
        self.purges = 0
        working._purge = self.purge  # type: ignore[method-assign]

    async def purge(self, stream: str, subject: str, up_to: int = 0) -> int:
        count = await self._purge(stream, subject, up_to)
        self.purges += 1
        if stream == self._after:
            self._after = ""
            book = await self._rig.ledger.open("sim", "other", {})
            assert [type(outcome) for outcome in await book.append([self._event])] == [Stored]
            await wait_until(lambda: _in_view(self._rig, "new"), what="the view")
        return count


ALICE_KEY = key("alice", "thing", vendor="sim", source="acme")


@pytest.mark.parametrize("after", ["BRIDGE", VIEW])
async def test_what_comes_back_in_before_is_erased_as_well(server: NatsServer, after: str) -> None:
    """A writer that had read the content before the purge stores it after it: the second look finds that."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.append([sealed(ALICE_KEY, after="secret")])
        late = sealed(ALICE_KEY, "updated", after="new")
        late = replace(late, payload=json.dumps({**json.loads(late.payload), "before": "secret"}).encode())
        working = eraser(rig)
        meddler = Meddler(working, rig, after, late)
        assert (await working.erase(thing("alice"))).events == 2
        assert meddler.purges == 5
        assert "secret" not in await texts(rig)
        await rig.ledger.open("sim", "acme", {})


@pytest.mark.parametrize("after", ["BRIDGE", VIEW])
async def test_a_change_that_comes_meanwhile_is_left_alone(server: NatsServer, after: str) -> None:
    """What is published after the purge and tells nothing of before is the entity's later life: the stream holds it,
    the view too, and the source can be opened, which waits for the view to hold all that the stream does."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.append([sealed(ALICE_KEY, after="secret")])
        working = eraser(rig)
        Meddler(working, rig, after, sealed(ALICE_KEY, "updated", after="new"))
        # The view's new entry takes the place of the old one by itself.
        assert await working.erase(thing("alice")) == Erased(events=1, view=int(after == VIEW))
        assert (await working.look(thing("alice"))).changes == {"updated": 1}
        assert await _in_view(rig, "new")
        book = await rig.ledger.open("sim", "acme", {})
        assert book.memory.heads["thing", "alice"].change == "updated"


async def _in_view(rig: SourceRig, after: str) -> bool:
    entry = await rig.js.get(VIEW, {"last_by_subj": "$KV.bridge-state.sim.acme.thing.alice"})
    return entry is not None and json.loads(entry.payload)["after"] == after


class Killed(Exception):
    """The process ended here."""


@pytest.mark.parametrize("opened", [False, True])
async def test_one_that_died_between_its_two_purges_is_finished_by_the_next(server: NatsServer, opened: bool) -> None:
    """The stream has lost it, the view has not: asked again, it goes from there too, also if a daemon came between."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        bob = key("bob", "thing", vendor="sim", source="acme")
        await book.append([sealed(bob, after="1"), sealed(ALICE_KEY, after="secret")])
        await wait_until(lambda: _in_view(rig, "secret"), what="the view")
        dying = eraser(rig)
        purge = dying._purge

        async def first_only(stream: str, subject: str, up_to: int = 0) -> int:
            if stream == VIEW:
                raise Killed
            return await purge(stream, subject, up_to)

        dying._purge = first_only  # type: ignore[method-assign]
        with pytest.raises(Killed):
            await dying.erase(thing("alice"))
        held = await eraser(rig).look(thing("alice"))
        assert (held.changes, held.view) == ({}, True)
        if opened:
            # Another process, which has nothing but the stream and the view to go by.
            rig.ledger._line.evidence.drop()
            rig.ledger.reconnected()
            await rig.ledger.wait_ready()
            await rig.ledger.open("sim", "acme", {})
        await eraser(rig).erase(thing("alice"))
        assert (await eraser(rig).look(thing("alice"))).nothing
        assert "secret" not in await texts(rig)
        book = await rig.ledger.open("sim", "acme", {})
        assert list(book.memory.heads) == [("thing", "bob")]


async def test_what_aged_out_is_erased_from_the_view(server: NatsServer) -> None:
    """The stream holds none of it any more, the view still does: that is what there is to erase."""
    async with source_rig(server.url, max_age_s=1) as rig:
        rig.vendor.put("alice", "secret")
        async with rig.running():
            await rig.all_aged()
            assert await eraser(rig).erase(thing("alice")) == Erased(events=0, view=1)
            rig.vendor.put("alice", "new")
            await rig.pass_completed()
        assert last(rig) == ("alice", "updated", None)
        assert "secret" not in await texts(rig)


async def test_what_occurred_can_be_forgotten(server: NatsServer) -> None:
    """Events that are no state are erased too; the view never had them."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        once = key("1", "beep", vendor="sim", source="acme")
        await book.commit([sealed(once, "occurred", after="secret")], "walk", Cursor({}))
        (entity,) = readings("sim.acme.beep.1")
        assert await eraser(rig).erase(entity) == Erased(events=1, view=0)


async def test_telemetry_is_erased_by_its_subject(server: NatsServer) -> None:
    """It lies in a stream of its own, in which the same four parts name it."""
    async with source_rig(server.url) as rig:
        await rig.ledger.open("sim", "acme", {})
        await rig.js.call("STREAM.CREATE.BRIDGE_TELEMETRY", telemetry_config(rig.names))
        for id_ in ("1", "2"):
            await rig.client.request(f"bridge.tin.sim.acme.packet.occurred.{id_}", b"{}")
        (entity,) = readings("sim.acme.packet.1")
        held = await eraser(rig).look(entity)
        assert (held.changes, held.telemetry, held.nothing) == ({}, 1, False)
        assert await eraser(rig).erase(entity) == Erased(events=1, view=0)
        assert (await eraser(rig).look(readings("sim.acme.packet.2")[0])).telemetry == 1


async def test_long_ids_are_found_by_their_text(server: NatsServer) -> None:
    """The subject of a long id is a hash: the id is given as it is, or as that token."""
    long = "x" * 300
    async with source_rig(server.url) as rig:
        rig.vendor.put(long, "secret")
        async with rig.running():
            pass
        assert (await eraser(rig).look(thing(token(long)))).changes == {"snapshot": 1}
        assert await eraser(rig).erase(thing(long)) == Erased(events=1, view=1)


@pytest.mark.parametrize(
    ("stream", "config"), [("BRIDGE", {"sealed": True}), (VIEW, {"deny_purge": True, "allow_rollup_hdrs": False})]
)
async def test_a_stream_that_refuses_to_be_purged(server: NatsServer, stream: str, config: dict[str, bool]) -> None:
    """The sentence names the stream and what may be the reason; nothing is erased anywhere."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("alice", "secret")
        async with rig.running():
            pass
        await wait_until(lambda: _arrived(rig), what="the view")
        info = await rig.js.stream(stream)
        await rig.js.call(f"STREAM.UPDATE.{stream}", {**info["config"], **config})
        with pytest.raises(Unerasable, match=rf"stream {stream} refuses to be purged .*{next(iter(config))}"):
            await eraser(rig).erase(thing("alice"))
        held = await eraser(rig).look(thing("alice"))
        assert (held.changes, held.view) == ({"snapshot": 1}, True)


async def test_a_view_that_lags_is_waited_for(server: NatsServer) -> None:
    """While the view lacks what the stream holds nothing is erased: it would arrive there afterwards."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.append([sealed(key("alice", "thing", vendor="sim", source="acme"), after="secret")])
        info = await rig.js.stream(VIEW)
        await wait_until(lambda: _arrived(rig), what="the view")
        # A view that no longer follows, and lacks the entry.
        await rig.js.call(f"STREAM.UPDATE.{VIEW}", {**info["config"], "sources": []})
        await rig.js.call(f"STREAM.PURGE.{VIEW}")
        with pytest.raises(Away, match="nothing more was erased"):
            await eraser(rig, patience_s=0.2).erase(thing("alice"))
        assert (await eraser(rig).look(thing("alice"))).changes == {"created": 1}


async def _arrived(rig: SourceRig) -> bool:
    return bool((await rig.js.stream(VIEW))["state"]["messages"])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("v.s.e.4711", ["4711"]),
        ("v.s.e.a.b", ["a=2Eb"]),
        ("v.s.e.alice@example.org", ["alice=40example=2Eorg"]),
        ("v.s.e.a=2Eb", ["a=2Eb", "a=3D2Eb"]),
        ("v.s.e.=", ["=", "=3D"]),
        ("v.s.e.=2A", ["=2A", "=3D2A"]),
        ("v.s.e.a*", ["a=2A"]),
        ("v.s.e.=zz", ["=3Dzz"]),
    ],
)
def test_ids_are_plain_text_or_tokens(text: str, ids: list[str]) -> None:
    """Dots belong to the id; a token is taken as one first, and as text second."""
    found = readings(text)
    assert [entity.id for entity in found] == ids
    assert {entity.kind for entity in found} == {"v.s.e"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v.s.e", "all four parts"),
        ("", "all four parts"),
        ("v.s.e.", "the id is empty"),
        ("v..e.1", "the source is empty"),
        (".s.e.1", "the vendor is empty"),
        ("v.s.e.*", "the token of an id that really is * is =2A"),
        ("v.s.e.>", "wildcard"),
        ("*.s.e.1", "the vendor is a wildcard"),
        ("v.s.>.1", "the entity is a wildcard"),
        ("events.v.s.e.created.1", "without events"),
    ],
)
def test_wildcards_and_empty_parts_are_refused(text: str, words: str) -> None:
    """One entity at a time, and never by accident more."""
    with pytest.raises(NotAnEntity) as error:
        readings(text)
    assert words in str(error.value)


def test_nothing_shows_the_id() -> None:
    """An id may be a person's address: no `repr` holds it."""
    (entity,) = readings(f"v.s.e.{ALICE}")
    assert "alice" not in repr(entity)
