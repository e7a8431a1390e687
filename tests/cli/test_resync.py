"""`bridged resync`: cursors are rewound, and daemons, running or not, read again; nothing is doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.adapter import Page, Walk
from bridge.cli.follow import follow
from bridge.cli.main import main
from bridge.core.event import timestamp
from bridge.core.facts import Ask, Response
from bridge.core.record import Json
from bridge.edge.operator.resync import Cursors
from bridge.engine.ports import Cursor
from tests.support.command import Done
from tests.support.configuration import ENVIRON, write
from tests.support.inside import within
from tests.support.nats_server import NatsServer, nats_server
from tests.support.sim_vendor import SimAdapter, wall
from tests.support.source_rig import SourceRig, source_rig
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

SOURCE = (
    '[[source]]\nname = "acme"\nadapter = "acme"\nhttp_url = "https://acme.example"\ntoken = { env = "ACME_TOKEN" }\n'
)


class Windowed(SimAdapter):
    """Things carry their age in their id (`10d-name`); a pass holds only those of its window."""

    asked: list[Ask]

    def walks(self, token: Any) -> Any:
        """A walk of the last minute, and a slow one of the last hour."""
        self.asked = getattr(self, "asked", [])
        return [
            Walk("fast", "thing", self.settings.every_s, reach_s=60, page_size=50),
            Walk("slow", "thing", 3600, reach_s=3600, page_size=50),
        ]

    def page(self, ask: Ask, response: Response) -> Page:
        """The rows of the window."""
        self._raise_for(response)
        self.asked.append(ask)
        rows = [row for row in response.json["rows"] if ask.window and _made_ms(row) >= ask.window.start_ms]
        return Page(rows)


def _made_ms(row: Json) -> int:
    return wall() - int(row["id"].partition("d-")[0]) * 86_400_000


def windows(rig: SourceRig, walk: str) -> list[int]:
    """How many days back each pass of a walk reached."""
    adapter = rig._adapter
    assert isinstance(adapter, Windowed)
    found = [ask.window.start_ms for ask in adapter.asked if ask.walk.name == walk and ask.window is not None]
    return [round((wall() - start) / 86_400_000) for start in found]


async def program(folder: Path, server: NatsServer, *more: str, command: str = "resync") -> Done:
    config = write(folder, f'[nats]\nurl = "{server.url}"\n{SOURCE}')
    return await within(command, "--config", str(config), *more, environ=ENVIRON)


def days_ago(days: int) -> str:
    """By the vendor's clock, which is not this machine's."""
    return timestamp(wall() - days * 86_400_000)


async def cursor(rig: SourceRig, walk: str) -> Json:
    found = await rig.js.get("BRIDGE", {"last_by_subj": f"bridge.cursor.acme.{walk}"})
    assert found is not None
    return json.loads(found.payload)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_what_changed_outside_of_all_windows_is_found(tmp_path: Path, running: bool) -> None:
    """A daemon that runs begins at the end of its next pass, one that does not at its start; what differs is told
    as news, once, and what does not is not told again."""
    async with nats_server(tmp_path) as server, source_rig(server.url, adapter=Windowed) as rig:
        rig.vendor.put("0d-new", "1")
        rig.vendor.put("0d-same", "1")
        async with rig.running():
            # Both lie outside of every window: nobody sees them.
            rig.vendor.put("10d-old", "1")
            rig.vendor.put("90d-older", "1")
            rig.vendor.put("0d-new", "2")
            await wait_until(lambda: ("0d-new", "updated") in rig.told(), what="the update")
            if running:
                await resynced(tmp_path, server, rig)
        if not running:
            result = await program(tmp_path, server, "acme", "--since", days_ago(20))
            assert result.code == 0, result.err
            async with rig.running():
                await resynced(tmp_path, server, rig)
        told = rig.told()
        assert sorted(told) == [
            ("0d-new", "snapshot"),
            ("0d-new", "updated"),
            ("0d-same", "snapshot"),
            ("10d-old", "created"),
            ("90d-older", "created"),
        ]
        assert told[-1] == ("90d-older", "created")
        assert rig.told("bridge.gap") == []
        for walk in ("fast", "slow"):
            assert set(await cursor(rig, walk)) == {"completed_ms", "completed"}


async def resynced(folder: Path, server: NatsServer, rig: SourceRig) -> None:
    """First the last 20 days, then everything."""
    result = await program(folder, server, "acme", "--since", days_ago(20))
    assert result.code == 0, result.err
    await wait_until(lambda: ("10d-old", "created") in rig.told(), what="the record of ten days ago")
    assert ("90d-older", "created") not in rig.told()
    result = await program(folder, server, "acme", "--json")
    assert json.loads(result.out) == {"source": "acme", "walks": ["fast", "slow"], "since": None}
    await wait_until(lambda: ("90d-older", "created") in rig.told(), what="the record of ninety days ago")
    await settled(rig)
    # Once each: afterwards the windows are the usual ones.
    for walk in ("fast", "slow"):
        reached = windows(rig, walk)
        assert 20 in reached
        assert max(reached) > 10_000
    count = len(windows(rig, "fast"))
    await wait_until(lambda: len(windows(rig, "fast")) > count + 1, what="two more passes")
    assert windows(rig, "fast")[-1] == 0


async def settled(rig: SourceRig) -> None:
    """Neither cursor asks for anything again."""

    async def nothing_left() -> bool:
        return not any(["again_from_ms" in await cursor(rig, walk) for walk in ("fast", "slow")])

    await wait_until(nothing_left, what="both walks to have read everything again")


async def test_one_slow_walk_is_noticed_with_the_next_fast_pass(tmp_path: Path) -> None:
    """A running daemon would end its next slow pass in an hour; the other cursors tell it at once."""
    async with nats_server(tmp_path) as server, source_rig(server.url, adapter=Windowed) as rig:
        rig.vendor.put("0d-new", "1")
        async with rig.running():
            await wait_until(
                lambda: rig.runner is not None and len(rig.runner.status.completed_ms) == 2,
                what="both walks to have been read",
            )
            rig.vendor.put("10d-old", "1")
            result = await program(tmp_path, server, "acme", "--walk", "slow", "--since", days_ago(20))
            assert result.code == 0, result.err
            await wait_until(lambda: ("10d-old", "created") in rig.told(), what="the record of ten days ago")
            await settled(rig)
        assert set(windows(rig, "fast")) == {0}


async def test_a_first_read_stays_one(tmp_path: Path) -> None:
    """While the first reading is under way, what is found by a resync is no news either."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.commit([], "things", Cursor({"pass_ms": 1, "position": None, "first_read": True}))
        await Cursors(rig.client, rig.names, "acme").rewind(0, ["things"])
        rig.vendor.put("a", "1")
        async with rig.running():
            pass
        assert rig.told() == [("a", "snapshot")]


async def test_of_two_requests_the_one_that_reaches_further_counts(tmp_path: Path) -> None:
    """Asked twice before anybody has read: nothing of the first request is lost."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        rig.vendor.put("a", "1")
        async with rig.running():
            pass
        cursors = Cursors(rig.client, rig.names, "acme")
        for again_from_ms in (2000, 1000, 3000):
            await cursors.rewind(again_from_ms, ["things"])
        assert (await cursor(rig, "things"))["again_from_ms"] == 1000


async def test_what_a_foreign_hand_wrote_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """Neither text nor null where a time was expected."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        cursors = Cursors(rig.client, rig.names, "acme")
        others: list[Json] = ["soon", None, [], 1.5, -1]
        for other in others:
            book = await rig.ledger.open("sim", "acme", {})
            place = book.memory.cursors.get("things", Cursor({}))
            await book.commit([], "things", Cursor({"again_from_ms": other}, place.seq))
            await cursors.rewind(2000, ["things"])
            assert (await cursor(rig, "things"))["again_from_ms"] == 2000


async def test_no_more_is_accepted_than_was_seen(tmp_path: Path) -> None:
    """What has been held back since then waits for another word."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.commit([], "things", Cursor({"completed_ms": 1, "held": 5000}))
        cursors = Cursors(rig.client, rig.names, "acme")
        await cursors.accept({"things": 15})
        found = await cursor(rig, "things")
        assert (found["held"], found["accepted"]) == (5000, 15)
        await cursors.accept({"things": 9000})
        assert (await cursor(rig, "things"))["accepted"] == 5000


async def test_walks_of_telemetry_are_rewound_where_their_cursors_lie(tmp_path: Path) -> None:
    """They have a stream of their own, which need not exist."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.commit([], "things", Cursor({"completed_ms": 5}))
        cursors = Cursors(rig.client, rig.names, "acme")
        assert await cursors.walks() == ["things"]
        await (await book.telemetry()).commit([], "packets", Cursor({"completed_ms": 5}))
        assert await cursors.walks() == ["packets", "things"]
        await cursors.rewind(1, ["packets"])
        found = await rig.js.get("BRIDGE_TELEMETRY", {"last_by_subj": "bridge.tcursor.acme.packets"})
        assert found is not None
        assert json.loads(found.payload) == {"completed_ms": 5, "again_from_ms": 1}
        assert await cursor(rig, "things") == {"completed_ms": 5}


async def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    """Source or walk: exit 64, and what may have been meant. A source that was never read needs no resync."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        result = await program(tmp_path, server, "acne")
        assert (result.code, result.err) == (64, "there is no source acne; did you mean acme?\n")
        result = await program(tmp_path, server, "acme")
        assert (result.code, "has no cursor yet" in result.err) == (1, True)
        rig.vendor.put("a", "1")
        async with rig.running():
            pass
        result = await program(tmp_path, server, "acme", "--walk", "thing")
        assert (result.code, result.err) == (64, "there is no walk thing; did you mean things?\n")


@pytest.mark.parametrize("since", ["yesterday", "2999-01-01", "1969-07-20T00:00:00Z", "-1d", ""])
def test_a_wrong_time_is_a_wrong_command_line(tmp_path: Path, since: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a time, or not in the past: exit 64, with what was expected."""
    assert main(["resync", "acme", f"--since={since}"]) == 64
    assert "argument --since" in capsys.readouterr().err


# --- deletes that are held back ---


async def held_back(rig: SourceRig, count: int) -> None:
    """So many of forty things have vanished, and their deletion waits."""
    for number in range(count):
        rig.vendor.drop(f"t{number}")

    async def held() -> bool:
        return bool((await cursor(rig, "things")).get("held") == count)

    await wait_until(held, what="deletes to be held back")
    await wait_until(lambda: ("acme", "blocked") in rig.told("bridge.source"), what="source.blocked")


def things(rig: SourceRig) -> None:
    for number in range(40):
        rig.vendor.put(f"t{number}", "1")


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_accepted_deletes_are_published(tmp_path: Path, running: bool) -> None:
    """By a daemon that runs as by one that starts later, once; what it holds back is in the cursor, and so is the
    operator's word, until it is done."""
    async with nats_server(tmp_path) as server, source_rig(server.url, deletes=True, page_size=100) as rig:
        things(rig)
        async with rig.running():
            await held_back(rig, 15)
            assert len(rig.told()) == 40
            if running:
                result = await program(tmp_path, server, "acme", "--accept-deletes", "--follow")
                assert (result.code, result.err) == (0, "")
                assert "things: 15 deletes" in result.out
                assert result.out.splitlines()[-1] == "  things: done"
        if not running:
            result = await program(tmp_path, server, "acme", "--accept-deletes", "--json")
            assert json.loads(result.out) == {"source": "acme", "accepted": {"things": 15}}
            assert (await cursor(rig, "things"))["accepted"] == 15
            async with rig.running():
                await wait_until(lambda: len(rig.told()) == 55, what="the deletes")
        assert sorted(rig.told()[40:]) == sorted((f"t{number}", "deleted") for number in range(15))
        assert rig.told("bridge.source")[-2:] == [("acme", "blocked"), ("acme", "recovered")]
        assert {"held", "accepted"}.isdisjoint(await cursor(rig, "things"))


async def test_nothing_is_accepted_where_nothing_is_held(tmp_path: Path) -> None:
    """Exit 1 and a sentence, and the cursor stays as it is; so for a walk that holds nothing."""
    async with (
        nats_server(tmp_path) as server,
        source_rig(server.url, deletes=True, slow_walk=True, page_size=100) as rig,
    ):
        things(rig)
        async with rig.running():
            pass
        before = await cursor(rig, "things")
        result = await program(tmp_path, server, "acme", "--accept-deletes")
        text = "source acme: no deletes are held back, nothing was changed\n"
        assert (result.code, result.out, result.err) == (1, "", text)
        assert await cursor(rig, "things") == before
        async with rig.running():
            await held_back(rig, 15)
        result = await program(tmp_path, server, "acme", "--accept-deletes", "--walk", "things-slow")
        text = "source acme: no deletes are held back by walk things-slow, nothing was changed; walk things holds 15\n"
        assert (result.code, result.err) == (1, text)
        assert "accepted" not in await cursor(rig, "things")


async def test_status_says_what_is_held_back(tmp_path: Path) -> None:
    """And what to do; nothing else of the source is wrong."""
    async with nats_server(tmp_path) as server, source_rig(server.url, deletes=True, page_size=100) as rig:
        things(rig)
        async with rig.running():
            await held_back(rig, 15)
        result = await program(tmp_path, server, "--json", command="status")
        (source,) = json.loads(result.out)["sources"]
        assert (source["condition"], source["half"]) == ("blocked", "deletes")
        assert source["reason"].startswith("walk things: 15 of entity thing are gone at once")
        (problem,) = [text for text in source["problems"] if text.startswith("deletes are held back")]
        assert "bridged resync acme --accept-deletes" in problem


async def test_following_ends_with_its_deadline(tmp_path: Path) -> None:
    """No daemon runs: exit 75, and which walks are not done."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        rig.vendor.put("a", "1")
        async with rig.running():
            pass
        result = await program(tmp_path, server, "acme", "--follow", "--deadline", "1s")
        assert (result.code, result.out.splitlines()[-1]) == (75, "  things: waiting")
        assert "not done after 1 s: things" in result.err
        result = await program(tmp_path, server, "acme", "--follow", "--deadline", "1s", "--json")
        assert json.loads(result.out)["left"] == ["things"]


async def test_following_shows_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the cursor has them: the vendor's count where it says one; a bar on a terminal."""
    async with nats_server(tmp_path) as server, source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        cursors, seq = Cursors(rig.client, rig.names, "acme"), 0
        for terminal in (False, True):
            async with anyio.create_task_group() as group:
                steps: list[dict[str, Json]] = [
                    {"again_from_ms": 0, "rows": 0},
                    {"again_from_ms": 0, "rows": 10},
                    {"again_from_ms": 0, "rows": 20, "total": 40},
                    {"completed_ms": 5},
                ]
                for number, step in enumerate(steps):
                    seq = (await book.commit([], "things", Cursor(step, seq))).cursor_seq
                    if number == 0:
                        group.start_soon(watched, cursors, terminal)
                    shown = [": waiting", ": 10 rows", ": 20 of 40 rows", ": done"][number].removeprefix(": ")
                    seen: list[str] = []

                    def is_shown(shown: str = shown, seen: list[str] = seen) -> bool:
                        seen.append(capsys.readouterr().out)
                        return shown in "".join(seen)

                    await wait_until(is_shown, what=shown)


async def watched(cursors: Cursors, terminal: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: terminal)
        assert await follow(cursors, ["things"], "again_from_ms", 60.0, quiet=False) == []
