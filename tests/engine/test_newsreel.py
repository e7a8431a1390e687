"""Server-sent events: once all of it, then what has changed; and nobody who is slow costs anybody else anything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel

from bridge.engine.newsreel import Newsreel
from tests.support.engine import on_virtual_clock

Json = dict[str, Any]


class Desk:
    """A report that is changed by hand."""

    def __init__(self, count: int = 2) -> None:
        self.states: dict[str, str] = {f"s{number}": "live" for number in range(count)}
        self.headline = "well"
        self.rows: list[Json] = []
        self.reports = self.looked = 0
        self.padding = ""

    def names(self) -> Sequence[str]:
        return list(self.states)

    def head(self) -> Json:
        return {"instance": {"now": anyio.current_time()}, "headline": self.headline}

    def sources(self, names: Sequence[str]) -> Sequence[Json]:
        self.looked += len(names)
        return [{"name": name, "state": self.states[name], "age_s": anyio.current_time()} for name in names]

    def events(self, after: int, until: int) -> Sequence[Json]:
        return self.rows[after:until][::-1]

    @property
    def stored(self) -> int:
        return len(self.rows)

    def encode(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def report(self, until: int) -> Json:
        self.reports += 1
        sources = list(self.sources(self.names()))
        return {**self.head(), "sources": sources, "events": list(self.events(0, until)), "padding": self.padding}


class Reader:
    """One client: what it was sent, as (event, data). `stuck`: it takes nothing more."""

    def __init__(self) -> None:
        self.text = b""
        self.stuck = anyio.Event()
        self.hangs = False
        self.ended = False

    async def write(self, data: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.hangs:
            await self.stuck.wait()
        self.text += data

    async def read(self, reel: Newsreel) -> None:
        await reel.serve(self.write)
        self.ended = True

    @property
    def messages(self) -> list[tuple[str, Any]]:
        found = []
        for block in self.text.decode().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found

    def of(self, kind: str) -> list[Any]:
        return [data for found, data in self.messages if found == kind]


def during(desk: Desk, script: Callable[[Newsreel, anyio.abc.TaskGroup], Awaitable[None]]) -> None:
    async def main() -> None:
        reel = Newsreel(desk)
        async with anyio.create_task_group() as group:
            group.start_soon(reel.run)
            await script(reel, group)
            group.cancel_scope.cancel()

    on_virtual_clock(main)


def test_all_of_it_once_and_then_what_changes() -> None:
    """One report; a source that changes by more than the clock, once; head and stored rows when there is news."""
    desk = Desk()
    desk.rows = [{"seq": 1}]

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        reader = Reader()
        group.start_soon(reader.read, reel)
        await anyio.sleep(8.5)
        assert reader.text.startswith(b"retry: 2000\n\nevent: report\n")
        (report,) = reader.of("report")
        assert [source["name"] for source in report["sources"]] == ["s0", "s1"]
        assert report["events"] == [{"seq": 1}]
        assert reader.of("source") == []
        assert reader.of("stored") == []
        desk.states["s1"] = "blocked"
        desk.rows += [{"seq": 2}, {"seq": 3}]
        await anyio.sleep(3)
        assert [(one["name"], one["state"]) for one in reader.of("source")] == [("s1", "blocked")]
        assert reader.of("stored") == [[{"seq": 3}, {"seq": 2}]]
        heads = len(reader.of("head"))
        desk.headline = "not so well"
        await anyio.sleep(2)
        assert [one["headline"] for one in reader.of("head")[heads:]] == ["not so well"]
        assert len(reader.of("report")) == 1

    during(desk, script)


def test_who_listens_knows_that_we_live() -> None:
    """Without any news there is a head every ten seconds, and never fifteen seconds of silence."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        reader = Reader()
        group.start_soon(reader.read, reel)
        await anyio.sleep(1000)
        assert 95 <= len(reader.of("head")) <= 101

    during(desk, script)


def test_who_comes_later_misses_nothing_and_hears_nothing_twice() -> None:
    """What was stored just before is in the report or comes as news, never in both and never in none."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        readers = []
        for number in range(1, 40):
            desk.rows.append({"seq": number})
            readers.append(Reader())
            group.start_soon(readers[-1].read, reel)
            await anyio.sleep(0.3)
        await anyio.sleep(3)
        for reader in readers:
            told = [row["seq"] for row in reader.of("report")[0]["events"][::-1]]
            for rows in reader.of("stored"):
                told += [row["seq"] for row in rows[::-1]]
            assert told == list(range(1, 40))

    during(desk, script)


def test_one_report_serves_all_who_come_at_once() -> None:
    """A hundred pages that open together cost one report, and the hundred-and-first is told to wait."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        readers = [Reader() for _ in range(100)]
        for reader in readers:
            assert not reel.full
            group.start_soon(reader.read, reel)
        await anyio.sleep(0.5)
        assert reel.full
        assert desk.reports == 1
        assert all(len(reader.of("report")) == 1 for reader in readers)
        looked = desk.looked
        await anyio.sleep(10)
        assert desk.looked - looked <= 2 * 11, "they are looked at once for all"

    during(desk, script)


def test_who_does_not_read_is_cut_off_and_holds_nobody_up() -> None:
    """It may be 256 kB behind; the others hear everything in time."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        slow, quick = Reader(), Reader()
        for reader in (slow, quick):
            group.start_soon(reader.read, reel)
        await anyio.sleep(0.5)
        slow.hangs = True
        for number in range(100):
            desk.headline = f"{number} " + "x" * 8000
            await anyio.sleep(1)
        assert len(quick.of("head")) >= 99
        (client,) = [one for one in reel._clients if one.cut]
        assert not client.waiting, "nothing is kept for it"
        slow.stuck.set()
        await anyio.sleep(1)
        assert slow.ended
        assert not quick.ended
        assert (reel.clients, reel.slow) == (1, 1)

    during(desk, script)


def test_who_trickles_is_cut_off_before_it_has_all_of_a_large_report() -> None:
    """A report of many sources is megabytes, and each who takes its time would keep another one of them."""
    desk = Desk()
    desk.padding = "x" * 3_000_000
    reel = Newsreel(desk)
    slow = Reader()

    async def trickle(data: bytes) -> None:
        await anyio.sleep(9)
        slow.text += data

    async def script() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(reel.run)
            group.start_soon(reel.serve, trickle)
            for number in range(10):
                desk.headline = f"{number}" + "y" * 60_000
                await anyio.sleep(2)
            await anyio.sleep(20)
            assert (reel.clients, reel.slow) == (0, 1)
            group.cancel_scope.cancel()

    on_virtual_clock(script)
    assert len(slow.text) < 1_000_000


def test_sources_that_come_and_go_bring_a_new_report() -> None:
    """A reload changes which there are."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        reader = Reader()
        group.start_soon(reader.read, reel)
        await anyio.sleep(2.5)
        del desk.states["s0"]
        desk.states["s9"] = "opening"
        await anyio.sleep(2)
        assert [one["name"] for one in reader.of("report")[-1]["sources"]] == ["s1", "s9"]
        assert len(reader.of("report")) == 2

    during(desk, script)


def test_a_thousand_sources_are_looked_at_in_turn() -> None:
    """A hundred a second, and each change is told within ten seconds or so."""
    desk = Desk(1000)

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        reader = Reader()
        group.start_soon(reader.read, reel)
        await anyio.sleep(0.5)
        looked = desk.looked
        for name in ("s0", "s555", "s999"):
            desk.states[name] = "waiting"
        await anyio.sleep(12)
        assert desk.looked - looked <= 1200
        assert sorted(one["name"] for one in reader.of("source")) == ["s0", "s555", "s999"]

    during(desk, script)


def test_where_nobody_listens_nothing_is_made() -> None:
    """Not before the first, and not after the last has gone."""
    desk = Desk()

    async def script(reel: Newsreel, group: anyio.abc.TaskGroup) -> None:
        await anyio.sleep(3600)
        assert (desk.reports, desk.looked) == (0, 0)
        with anyio.move_on_after(5):
            await Reader().read(reel)
        await anyio.sleep(2)
        looked = desk.looked
        await anyio.sleep(3600)
        assert (desk.looked, reel.clients) == (looked, 0)

    during(desk, script)
