"""Walks that read what belongs to known entities, such as the packets of objects: by id, page by page, aside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from bridge.adapter import Ask, Json, Page, Record, Request, Response, Token, Walk
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter, wall
from tests.support.waiting import wait_until

PACKETS = Walk(
    "packets", "packet", 20.0, reach_s=60.0, overlap_s=5.0, page_size=2,
    once=True, telemetry=True, batch=1, of="thing", on_connect=False, again_s=(1.0,),
)  # fmt: skip


class Belongings(SimAdapter):
    """The simulated vendor, whose things have packets."""

    def walks(self, token: Token) -> Sequence[Walk]:
        return [*super().walks(token), PACKETS]

    def request(self, ask: Ask, token: Token) -> Request:
        if not ask.walk.of:
            return super().request(ask, token)
        assert ask.window is not None
        window = [ask.window.start_ms, ask.window.end_ms]
        body = {"of": list(ask.ids), "after": ask.position, "window": window}
        return Request("GET", "sim:packets", {"authorization": token.value}, body)

    def page(self, ask: Ask, response: Response) -> Page:
        if not ask.walk.of:
            return super().page(ask, response)
        self._raise_for(response)
        rows = response.json["rows"]
        return Page(rows, response.json["next"], repeats=bool(response.json["next"]))

    def record(self, ask: Ask, row: Json) -> Record:
        if not ask.walk.of:
            return super().record(ask, row)
        id_ = f"{ask.ids[0]}-{row['ts']}"
        return Record("packet", id_, {"ts": row["ts"]}, at_ms=row["ts"], occurred=True, telemetry=True)


class Field(Bench):
    """A bench whose things send packets. `asked`: what was asked of them, `(id, position)` in order."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.packets: dict[str, list[int]] = {}
        self.asked: list[tuple[str, Json]] = []
        self.windows: list[list[int]] = []
        things = self.vendor._things

        def answer(request: Request) -> Response:
            return self._packets(request) if request.url == "sim:packets" else things(request)

        self.vendor._things = answer  # type: ignore[method-assign]

    def _fresh(self) -> Runner:
        return Runner(Source(Belongings(self._settings), self.vendor.feed if self._live else None), self._world)

    def _packets(self, request: Request) -> Response:
        (of,), after = request.json["of"], request.json["after"] or 0
        self.asked.append((of, request.json["after"]))
        self.windows.append(request.json["window"])
        low, high = request.json["window"]
        found = [ts for ts in self.packets.get(of, []) if low <= ts <= high][after:]
        more = after + 2 if len(found) > 2 else None
        return Response(200, {}, b"", {"rows": [{"ts": ts} for ts in found[:2]], "next": more})

    def send(self, of: str, count: int) -> None:
        """So many packets of a thing, now."""
        self.packets.setdefault(of, []).extend(wall() + number for number in range(count))

    def told(self) -> list[str]:
        """The ids of all packets in the stream."""
        aside = self.ledger.aside
        return [entry.data["id"] for entry in aside.events] if aside else []

    def issued(self) -> list[str]:
        return [f"{of}-{ts}" for of, all_ in self.packets.items() for ts in all_]


def test_packets_of_known_things_are_read_page_by_page() -> None:
    """Several pages for one thing, then the next one from its beginning; each packet is stored once."""
    bench = Field()
    for name in "abc":
        bench.vendor.put(name, "1")

    async def script() -> None:
        bench.send("a", 5)
        bench.send("b", 1)
        await anyio.sleep(45)

    on_virtual_clock(lambda: bench.during(script))
    assert sorted(bench.told()) == sorted(bench.issued())
    first = bench.asked.index(("a", None))
    assert bench.asked[first : first + 5] == [("a", None), ("a", 2), ("a", 4), ("b", None), ("c", None)]
    assert not [entry for entry in bench.ledger.events if entry.subject.startswith("events.sim.acme.packet.")]
    assert bench.changes() == [("a", "snapshot"), ("b", "snapshot"), ("c", "snapshot")]


def test_a_failed_page_of_one_thing_is_read_again() -> None:
    """The pass goes on where it failed, with the same thing and the same position."""
    bench = Field()
    bench.vendor.put("a", "1")
    bench.vendor.put("b", "1")

    async def script() -> None:
        await anyio.sleep(15)
        bench.send("a", 5)
        bench.send("b", 3)
        await wait_until(lambda: ("a", 2) in bench.asked)
        bench.vendor.faults.extend([sim.status(500), sim.status(502)])
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert sorted(bench.told()) == sorted(bench.issued())


def test_pushes_do_not_wait_for_packets() -> None:
    """After a connect the packets are read beside what is pushed, and the window reaches back to the last pass."""
    bench = Field(live=True)
    bench.vendor.put("a", "1")
    seen: list[int] = []

    async def script() -> None:
        await anyio.sleep(50)
        bench.vendor.hang_up()
        bench.send("a", 3)
        await anyio.sleep(0.5)
        seen.append(len(bench.asked))
        await anyio.sleep(10)
        seen.append(len(bench.asked))

    on_virtual_clock(lambda: bench.during(script))
    assert sorted(bench.told()) == sorted(bench.issued())
    assert seen[1] > seen[0]
    low, high = bench.windows[-1]
    assert high - low >= 65_000 + 5_000


def test_things_learned_later_lose_nothing() -> None:
    """A pass that knew nobody is complete, and the next window still covers its time."""
    bench = Field()

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.put("late", "1")
        bench.send("late", 3)
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert sorted(bench.told()) == sorted(bench.issued())


def test_what_has_just_become_known_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the walk is due again; and what was known before is no reason to ask."""
    monkeypatch.setattr(sys.modules[__name__], "PACKETS", replace(PACKETS, every_s=50_000.0))
    bench = Field()
    asked: list[int] = []

    async def script() -> None:
        await anyio.sleep(100)
        asked.append(len(bench.asked))
        bench.vendor.put("late", "1")
        bench.send("late", 3)
        await anyio.sleep(60)
        asked.append(len(bench.asked))
        await anyio.sleep(1_000)
        asked.append(len(bench.asked))

    on_virtual_clock(lambda: bench.during(script))
    assert sorted(bench.told()) == sorted(bench.issued())
    assert len(bench.issued()) == 3
    assert asked[0] < asked[1] == asked[2]


def test_a_packet_that_is_listed_late_is_told_all_the_same() -> None:
    """It is older than passes that did not hold it, and yet nobody waits to learn it by another id."""
    bench = Field()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(50)
        bench.packets["a"] = [wall() - 40_000]
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.told() == bench.issued()


def test_crashes_double_no_packet() -> None:
    """Whoever starts afresh reads the window again and knows what is stored."""
    bench = Field()
    for name in "ab":
        bench.vendor.put(name, "1")
    bench.crash_at({9, 14, 20, 27, 35, 44})

    async def script() -> None:
        for _ in range(6):
            bench.send("a", 3)
            bench.send("b", 2)
            await anyio.sleep(10)
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes >= 5
    assert sorted(bench.told()) == sorted(bench.issued())
