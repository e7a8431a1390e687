"""What the stream forgets, by age, by hand or because it is full: nothing is doubled by it, and nothing is hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.ledger.layout import LayoutDiffers, stream_config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.engine.ports import Cursor
from tests.support.nats_server import NatsServer, nats_server
from tests.support.sealing import key, sealed
from tests.support.sim_vendor import wall
from tests.support.source_rig import Beeps, Packets, SourceRig, source_rig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

AGE_S = 8
"""Of events that are to age while a test waits: longer than a busy machine stands still before they are first read."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


async def test_entities_that_aged_out_change_as_if_they_had_not(server: NatsServer) -> None:
    """The view's digest decides: what is unchanged is not told again, what changed is an update expecting nothing."""
    async with source_rig(server.url, max_age_s=1) as rig:
        for id_ in "abc":
            rig.vendor.put(id_, "1")
        async with rig.running():
            await rig.all_aged()
            rig.vendor.put("b", "2")
            await rig.pass_completed()
            await rig.pass_completed()
            await rig.all_aged()
        rig.vendor.put("c", "2")
        async with rig.running():
            await rig.pass_completed()
        assert rig.told() == [
            ("a", "snapshot"),
            ("b", "snapshot"),
            ("c", "snapshot"),
            ("b", "updated"),
            ("c", "updated"),
        ]
        last = [news for news in rig.news if news.entity == "sim.thing"][-1]
        assert (last.expected, last.data["before"], last.data["after"]) == (0, {"value": "1"}, {"value": "2"})


async def test_what_occurs_once_is_not_told_again_when_it_has_aged_out(server: NatsServer) -> None:
    """The vendor tells of it for ever; the stream has forgotten it: it was published once, and stays so."""
    async with source_rig(server.url, max_age_s=AGE_S, adapter=Beeps) as rig:
        rig.vendor.put("1", str(wall()))
        async with rig.running():
            await rig.all_aged()
            await rig.pass_completed()
            rig.vendor.put("2", str(wall()))
            await rig.pass_completed()
            await rig.pass_completed()
        assert rig.told("sim.beep") == [("1", "occurred"), ("2", "occurred")]
        assert rig.told("bridge.gap") == []


async def test_what_occurred_too_long_ago_to_be_told_apart_is_a_gap(server: NatsServer) -> None:
    """After a pause longer than retention the part that cannot be read safely is announced, and the rest is read."""
    async with source_rig(server.url, max_age_s=AGE_S, adapter=Beeps) as rig:
        rig.vendor.put("1", str(wall()))
        async with rig.running():
            stopped = wall()
        rig.vendor.put("missed", str(wall()))
        await wait_until(lambda: wall() > stopped + 1_000 * AGE_S + 500, what="retention to pass")
        rig.vendor.put("2", str(wall()))
        async with rig.running():
            pass
        assert rig.told("sim.beep") == [("1", "occurred"), ("2", "occurred")]
        assert [change for _, change in rig.told("bridge.gap")] == ["opened", "closed"]
        gaps = [news.data["after"] for news in rig.news if news.entity == "bridge.gap"]
        assert "no longer remembers" in gaps[-1]["reason"]
        assert gaps[-1]["from"] < gaps[-1]["to"]


async def test_lost_cursors_are_no_first_read(server: NatsServer) -> None:
    """Cursors gone and events still there: everything is read again against what is known, and what differs is news."""
    async with source_rig(server.url) as rig:
        for id_ in "ab":
            rig.vendor.put(id_, "1")
        async with rig.running():
            pass
        await rig.js.call("STREAM.PURGE.BRIDGE", {"filter": "bridge.cursor.>"})
        rig.vendor.put("b", "2")
        rig.vendor.put("c", "1")
        async with rig.running():
            pass
        assert rig.told() == [("a", "snapshot"), ("b", "snapshot"), ("b", "updated"), ("c", "created")]


async def test_a_full_stream_pauses_the_source_until_there_is_room(server: NatsServer) -> None:
    """`discard: new` counts as NATS away: the reason names the limit, and afterwards nothing is lost or doubled."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("a", "1")
        async with rig.running():
            size = (await rig.js.stream("BRIDGE"))["state"]["bytes"]
            capped = {**stream_config(rig.names), "max_bytes": size + 500, "discard": "new"}
            await rig.js.call("STREAM.UPDATE.BRIDGE", capped)
            rig.vendor.put("b", "x" * 2_000)
            runner = rig.runner
            assert runner is not None
            reason = f"it has max_bytes {size + 500}"
            await wait_until(lambda: reason in runner.status.reason, what="the reason to name the limit")
            await rig.js.call("STREAM.UPDATE.BRIDGE", {**capped, "max_bytes": -1})
            await rig.pass_completed()
        assert rig.told() == [("a", "snapshot"), ("b", "created")]


ACCOUNT = "accounts { A: { jetstream: { max_file: 200KB }, users: [{user: a, password: a}] } }\nno_auth_user: a"


@pytest.mark.parametrize(
    ("most", "extra", "config", "words"),
    [
        ("300KB", "", {}, "the server's own JetStream limits"),
        ("1GB", ACCOUNT, {}, "account"),
        ("1GB", "", {"max_bytes": 200_000, "discard": "new"}, "the stream is full"),
    ],
)
async def test_storage_that_runs_out_is_away(
    tmp_path: Path, most: str, extra: str, config: dict[str, Json], words: str
) -> None:
    """Server, account or stream is full in the middle of a batch: Away, in words that tell whose limit it is.

    The server may then have stored the beginning of the batch after all; never its cursor, which comes last. So the
    page is read again, and what is there already is found there.
    """
    store = f'jetstream {{ store_dir: "{tmp_path}/store", max_file_store: {most} }}'
    async with (
        nats_server(tmp_path, jetstream=False, extra=f"{store}\n{extra}") as small,
        source_rig(small.url) as rig,
    ):
        await rig.js.call("STREAM.UPDATE.BRIDGE", {**stream_config(rig.names), **config})
        book = await rig.ledger.open("acme", "main", {})
        # A server that is full leaves a batch without an answer first, and refuses it when it comes again.
        rig.ledger._line.publisher._deadline_s = 5
        cursor, n = Cursor({"n": 0}), 0
        with pytest.raises(Away) as refusal:  # noqa: PT012 - which of them is refused is the server's affair
            while n < 100:
                events = [sealed(key(f"{n}-{i}"), after="x" * 5_000) for i in range(6)]
                receipt = await book.commit(events, "walk", cursor)
                n += 1
                cursor = Cursor({"n": n}, receipt.cursor_seq)
        assert n >= 1
        for _ in range(5):
            if words not in str(refusal.value):
                with pytest.raises(Away) as refusal:  # noqa: PT012 - so is whether the opening is refused already
                    book = await rig.ledger.open("acme", "main", {})
                    await book.commit(events, "walk", cursor)
        assert words in str(refusal.value)
        seen = await rig.js.stream("BRIDGE", subjects="events.acme.>")
        stored = {subject.rsplit(".", 1)[1] for subject in seen["state"]["subjects"]}
        whole = {f"{m}-{i}" for m in range(n) for i in range(6)}
        assert whole <= stored <= whole | {f"{n}-{i}" for i in range(6)}
        found = await rig.js.get("BRIDGE", {"last_by_subj": "bridge.cursor.main.walk"})
        assert found is not None
        assert found.seq == cursor.seq


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bytes": 10_000_000},
        {"max_msgs": 100_000},
        {"max_msgs_per_subject": 10},
        {"max_age": 10**12},
        {"subjects": ["bridge.in.>", "bridge.cursor.>"]},
        {"republish": None},
        {"subject_transform": None},
        {"allow_direct": False},
    ],
)
async def test_whoever_alters_the_stream_is_named_the_field_until_it_is_put_back(
    server: NatsServer, wrong: dict[str, Json]
) -> None:
    """At the next inspection or opening: no book is good any more, each attempt says it again, and nothing is altered
    back. It ends a start; what runs goes on once it is as it was."""
    (field,) = wrong
    async with source_rig(server.url) as rig:
        right = stream_config(rig.names)
        book = await rig.ledger.open("acme", "main", {})
        await rig.ledger.inspect()
        await book.append([sealed(key("1"), after=1)])
        await rig.js.call("STREAM.UPDATE.BRIDGE", {**right, **wrong})
        await rig.ledger.inspect()
        with pytest.raises(Away, match=f"stream BRIDGE was altered: BRIDGE: {field} is .* must be "):
            await book.append([sealed(key("2"), after=2)])
        for _ in range(2):
            with pytest.raises(Away, match=f"BRIDGE: {field} is .* must be "):
                await rig.ledger.open("acme", "main", {})
        with pytest.raises(LayoutDiffers, match=f"BRIDGE: {field} is "):
            await JetStreamLedger(rig.client, rig.names).wait_ready()
        await rig.js.call("STREAM.UPDATE.BRIDGE", right)
        await rig.ledger.wait_ready()
        book = await rig.ledger.open("acme", "main", {})
        assert list(book.memory.heads) == [("session", "1")]


async def test_an_altered_view_is_named_too(server: NatsServer) -> None:
    """And one that was removed; an inspection that gets no answer concludes nothing."""
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("acme", "main", {})
        view = (await rig.js.stream("KV_bridge-state"))["config"]
        await rig.js.call("STREAM.UPDATE.KV_bridge-state", {**view, "max_bytes": 10**9})
        await rig.ledger.inspect()
        with pytest.raises(Away, match="stream KV_bridge-state was altered: KV_bridge-state: max_bytes is 1000000000"):
            await book.append([sealed(key("1"), after=1)])
        await rig.js.call("STREAM.UPDATE.KV_bridge-state", view)
        await rig.ledger.wait_ready()
        book = await rig.ledger.open("acme", "main", {})
        await rig.js.call("STREAM.DELETE.KV_bridge-state")
        await rig.ledger.inspect()
        with pytest.raises(Away, match="stream KV_bridge-state was removed"):
            await book.append([sealed(key("1"), after=1)])
        await rig.ledger.wait_ready()
        await rig.ledger.open("acme", "main", {})


async def test_telemetry_goes_to_its_own_stream_and_is_told_once(server: NatsServer) -> None:
    """Made when a source needs it, with a cursor and an age of its own; each packet is told once, over restarts too."""
    async with source_rig(server.url, adapter=Packets, telemetry_max_age_s=3_600) as rig:
        assert await streams(rig) == ["BRIDGE", "KV_bridge-state"]
        for n in range(5):
            rig.vendor.put(str(n), str(wall()))
        async with rig.running():
            assert await streams(rig) == ["BRIDGE", "BRIDGE_TELEMETRY", "KV_bridge-state"]
            rig.vendor.put("5", str(wall()))
            await rig.pass_completed()
        rig.vendor.put("6", str(wall()))
        async with rig.running():
            await rig.pass_completed()
        assert rig.told("sim.packet") == [(str(n), "occurred") for n in range(7)]
        stream = await rig.js.stream("BRIDGE_TELEMETRY", subjects="bridge.tcursor.>")
        assert list(stream["state"]["subjects"]) == ["bridge.tcursor.acme.packets"]
        assert stream["config"]["max_age"] == 3_600 * 10**9
        left = await rig.js.stream("BRIDGE", subjects="events.sim.>")
        assert not left["state"].get("subjects")


async def streams(rig: SourceRig) -> list[str]:
    return sorted((await rig.js.call("STREAM.NAMES"))["streams"])
