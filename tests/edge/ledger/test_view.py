"""The view is a cache: whatever happens to it, or to the stream under it, no phantom stays and no hole."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.ledger.layout import LayoutDiffers, establish, stream_config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.shape import origin
from bridge.edge.nats.jetstream import JetStream
from tests.support.asking import ask
from tests.support.nats_server import NatsServer, nats_server
from tests.support.source_rig import SourceRig, source_rig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

IDS = [str(n) for n in range(10)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


async def check_view(rig: SourceRig) -> None:
    """Every entry is the last event of its entity, none is missing, and together they are the vendor's state."""
    await rig.ledger.open("sim", "acme", {})
    found, seq = {}, 1
    while (
        entry := await rig.js.get("KV_bridge-state", {"next_by_subj": "$KV.bridge-state.sim.>", "seq": seq})
    ) is not None:
        seq = entry.seq + 1
        id_ = entry.subject.rsplit(".", 1)[1]
        last = await rig.js.get("BRIDGE", {"last_by_subj": f"events.sim.acme.thing.*.{id_}"})
        if last is not None:
            assert origin(entry.headers)[0] == last.seq
        found[id_] = json.loads(entry.payload)["after"]["value"]
    assert found == rig.vendor.state()


def put_all(rig: SourceRig, value: str) -> None:
    for id_ in IDS:
        rig.vendor.put(id_, value)


def gaps(rig: SourceRig) -> list[tuple[str, str]]:
    """(change, reason) of every gap that was published."""
    return [(news.change, news.data["after"]["reason"]) for news in rig.news if news.entity == "bridge.gap"]


async def roll_back(rig: SourceRig, server: NatsServer, tmp_path: Path) -> None:
    """The stream's store is put back to where it was 50 events ago; the view's is not."""
    put_all(rig, "0")
    store, copy = server.store / "jetstream" / "$G" / "streams" / "BRIDGE", tmp_path / "copy"
    async with rig.running():
        pass
    await rig.ledger.open("sim", "acme", {})
    await server.stop()
    shutil.copytree(store, copy)
    await server.start()
    await rig.ledger.wait_ready()
    async with rig.running():
        for n in range(1, 6):
            put_all(rig, str(n))
            await rig.pass_completed()
    await check_view(rig)
    await server.stop()
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    await server.start()
    await wait_until(lambda: rig.client.is_connected, what="the connection to come back")
    rig.news.clear()


async def test_a_stream_rolled_back_leaves_no_phantom_and_no_hole(server: NatsServer, tmp_path: Path) -> None:
    """50 events and the cursor are gone, the view has them: it is made anew, the gap told, everything read again."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        rig.vendor.put("new", "1")
        with capture_logs() as logs:
            await rig.ledger.wait_ready()
            async with rig.running():
                pass
        assert sorted(rig.told()) == sorted([(id_, "updated") for id_ in IDS] + [("new", "created")])
        assert [change for change, _ in gaps(rig)] == ["opened", "closed"]
        assert "stream BRIDGE has lost its end" in gaps(rig)[0][1]
        assert len([entry for entry in logs if entry["event"] == "view.remade"]) == 1
        await check_view(rig)
        async with rig.running():
            await rig.pass_completed()
        assert len(gaps(rig)) == 2


async def test_a_stream_rolled_back_that_went_on_is_noticed(server: NatsServer, tmp_path: Path) -> None:
    """The stream has grown past its former end before anybody looked: the view's last entry is another event there."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        for n in range(80):
            headers = {"ce-id": f"other-{n}"}
            await ask(rig.client, f"bridge.in.other.x.beep.occurred.{n}", b"{}", headers)
        async with rig.running():
            pass
        assert "has lost its end and gone on" in gaps(rig)[0][1]
        assert sorted(rig.told()) == [(id_, "updated") for id_ in IDS]
        await check_view(rig)


@pytest.mark.parametrize("others", [0, 80], ids=["at its end", "gone on"])
async def test_what_is_lost_begins_where_what_is_left_ends(server: NatsServer, tmp_path: Path, others: int) -> None:
    """Not where the view knew of the last, which is lost itself: who has no cursor has nothing else to tell from."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        left = (await rig.js.stream("BRIDGE"))["state"]["last_ts"]
        lost = (await rig.js.stream("KV_bridge-state"))["state"]["last_ts"]
        for n in range(others):
            await ask(rig.client, f"bridge.in.other.x.beep.occurred.{n}", b"{}", {"ce-id": f"other-{n}"})
        async with rig.running():
            pass
        notes = (await rig.js.stream("KV_bridge-state"))["config"]["metadata"]
        assert notes["bridged.remade.since"] == left != lost


async def test_what_is_lost_after_the_clock_was_put_back_may_be_everything(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came since may look older than what was lost: the gap begins with the stream, and not too late."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        first = (await rig.js.stream("BRIDGE"))["state"]["first_ts"]
        really = JetStream.call

        async def call(js: JetStream, subject: str, body: Json = None, *, walks: bool = False) -> Json:
            answer = await really(js, subject, body, walks=walks)
            return {**answer, "ts": "2000-01-01T00:00:00.5Z"} if subject == "STREAM.INFO.BRIDGE" else answer

        monkeypatch.setattr(JetStream, "call", call)
        async with rig.running():
            pass
        notes = (await rig.js.stream("KV_bridge-state"))["config"]["metadata"]
        assert notes["bridged.remade.since"] == first


async def test_a_stream_rolled_back_and_overtaken_is_noticed(server: NatsServer, tmp_path: Path) -> None:
    """Others have written more than was lost, and the view has followed: who stored the lost events misses them."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        for n in range(80):
            headers = {"ce-id": f"other-{n}", "Nats-Expected-Last-Subject-Sequence": "0"}
            await ask(rig.client, f"bridge.in.other.x.thing.created.{n}", b"{}", headers)
        await wait_until(lambda: _followed(rig, "other.x.thing.79"), what="the view to follow the others")
        async with rig.running():
            pass
        assert "was put back to an earlier state and has gone on" in gaps(rig)[0][1]
        assert [change for change, _ in gaps(rig)] == ["opened", "closed"]
        assert sorted(rig.told()) == [(id_, "updated") for id_ in IDS]
        await check_view(rig)
        made = (await rig.js.stream("KV_bridge-state"))["created"]
        async with rig.running():
            await rig.pass_completed()
        assert len(gaps(rig)) == 2
        assert (await rig.js.stream("KV_bridge-state"))["created"] == made


async def _followed(rig: SourceRig, key: str) -> bool:
    return await rig.js.get("KV_bridge-state", {"last_by_subj": f"$KV.bridge-state.{key}"}) is not None


@pytest.mark.parametrize("running", [True, False])
async def test_a_stream_purged_by_hand_is_told(server: NatsServer, running: bool) -> None:
    """Under a running daemon or beside one that rests: one gap, and what the vendor has is a first read."""
    async with source_rig(server.url) as rig:
        put_all(rig, "0")
        async with rig.running():
            if running:
                await rig.js.call("STREAM.PURGE.BRIDGE")
                rig.news.clear()
                await wait_until(lambda: len(gaps(rig)) == 2, what="the gap")
                await rig.pass_completed()
        if not running:
            # The view has seen all of it.
            await rig.ledger.open("sim", "acme", {})
            await rig.js.call("STREAM.PURGE.BRIDGE")
            rig.news.clear()
            # Another process: it remembers nothing of the stream.
            rig.ledger._line.evidence.drop()
            rig.ledger.reconnected()
            async with rig.running():
                pass
        assert [change for change, _ in gaps(rig)] == ["opened", "closed"]
        assert "stream BRIDGE was purged" in gaps(rig)[0][1]
        assert sorted(rig.told()) == [(id_, "snapshot") for id_ in IDS]
        await check_view(rig)
        async with rig.running():
            await rig.pass_completed()
        assert len(gaps(rig)) == 2


async def test_a_stream_made_anew_is_read_from_the_start_and_told(server: NatsServer) -> None:
    """Events and cursors are gone: what the vendor has is a first read, and the gap reaches from the last event on."""
    async with source_rig(server.url) as rig:
        put_all(rig, "0")
        async with rig.running():
            pass
        await rig.ledger.open("sim", "acme", {})
        await rig.js.call("STREAM.DELETE.BRIDGE")
        await rig.js.call("STREAM.CREATE.BRIDGE", stream_config(rig.names))
        rig.news.clear()
        async with rig.running():
            pass
        assert sorted(rig.told()) == [(id_, "snapshot") for id_ in IDS]
        assert [(change, "was made anew" in reason) for change, reason in gaps(rig)] == [
            ("opened", True),
            ("closed", True),
        ]
        await check_view(rig)


async def test_a_removed_view_that_comes_back_is_not_taken_for_a_new_one(server: NatsServer) -> None:
    """A server still busy with the files of an earlier view leaves the next one's: until it is done there is none."""
    async with source_rig(server.url) as rig:
        put_all(rig, "0")
        async with rig.running():
            pass
        await rig.ledger.open("sim", "acme", {})
        await rig.js.call("STREAM.DELETE.BRIDGE")
        await rig.js.call("STREAM.CREATE.BRIDGE", stream_config(rig.names))
        busy = server.store / "jetstream" / "$G" / "streams" / ".KV_bridge-state"
        busy.mkdir()
        (busy / "file").touch()
        with pytest.raises(Away, match="the view was removed, and is back as it was"):
            await establish(rig.js, rig.names)
        shutil.rmtree(busy)
        rig.news.clear()
        async with rig.running():
            pass
        assert sorted(rig.told()) == [(id_, "snapshot") for id_ in IDS]
        await check_view(rig)


async def test_a_view_somebody_deleted_is_made_anew_and_what_nobody_can_tell_is_a_gap(server: NatsServer) -> None:
    """Who removed it may have seen that the stream had lost its end, and died before saying so. No change is told."""
    async with source_rig(server.url) as rig:
        put_all(rig, "0")
        async with rig.running():
            await rig.js.call("STREAM.DELETE.KV_bridge-state")
            rig.vendor.put("3", "1")
            await rig.pass_completed()
        rig.news.clear()
        with capture_logs() as logs:
            async with rig.running():
                pass
        assert rig.told() == []
        reason = "the view KV_bridge-state was missing, so nobody can tell whether the stream has lost its end"
        assert gaps(rig) == [("opened", reason), ("closed", reason)]
        (line,) = [entry for entry in logs if entry["event"] == "view.remade"]
        assert line["reason"] == reason
        async with rig.running():
            pass
        assert len(gaps(rig)) == 2
        await check_view(rig)


async def test_a_view_deleted_after_events_aged_out_comes_back_as_snapshots(server: NatsServer) -> None:
    """The stream no longer reaches back: what is unknown is no news, what may have been missed is a gap, both once."""
    async with source_rig(server.url, max_age_s=1) as rig:
        put_all(rig, "0")
        async with rig.running():
            await rig.all_aged()
        await rig.js.call("STREAM.DELETE.KV_bridge-state")
        rig.news.clear()
        async with rig.running():
            pass
        assert sorted(rig.told()) == [(id_, "snapshot") for id_ in IDS]
        assert [change for change, _ in gaps(rig)] == ["opened", "closed"]
        assert "no longer reaches back" in gaps(rig)[0][1]
        rig.vendor.put("new", "1")
        async with rig.running():
            await rig.all_aged()
        assert rig.told()[-1] == ("new", "created")
        assert len(gaps(rig)) == 2
        await check_view(rig)


async def test_where_nothing_may_be_made_a_wrong_view_is_named(server: NatsServer, tmp_path: Path) -> None:
    """With `manage = "verify"` the operator hears which stream to remove, and why; nothing is removed."""
    async with source_rig(server.url) as rig:
        await roll_back(rig, server, tmp_path)
        object.__setattr__(rig.names, "manage", "verify")
        why = r"KV_bridge-state: content is 'stream BRIDGE has lost its end"
        newcomer = JetStreamLedger(rig.client, rig.names)
        with pytest.raises(LayoutDiffers, match=why):
            await newcomer.wait_ready()
        # Whoever has worked with it already waits until that is done.
        with pytest.raises(Away, match=why):
            await rig.ledger.prepare()
        assert (await rig.js.stream("KV_bridge-state"))["state"]["messages"] == len(IDS)
