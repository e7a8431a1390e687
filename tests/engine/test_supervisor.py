"""Many sources side by side: what befalls one costs no other anything."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from random import Random

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.adapter import Ask, Json, Page, Response, Token, Walk
from bridge.core.errors import Unfit
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.engine.ports import Feed
from bridge.engine.quota import Quotas
from bridge.engine.source import Source, World
from bridge.engine.supervisor import PROVEN_S, Supervisor
from tests.support.engine import on_virtual_clock
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall

Script = Callable[[Supervisor], Awaitable[None]]


class Buggy(SimAdapter):
    """Has a bug that shows whenever it is `armed`."""

    armed = True

    def page(self, ask: Ask, response: Response) -> Page:
        if self.armed:
            raise ZeroDivisionError("our own mistake")
        return super().page(ask, response)


class House:
    """A supervisor over a sound source and one with a bug."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.vendor = SimVendor()
        self.vendor.put("a", "1")
        self.buggy = Buggy(SimSettings(name="bad", adapter="sim"))
        self.world = World(
            ledger=self.ledger,
            http=self.vendor,
            quotas=Quotas(),
            encode=lambda value: json.dumps(value).encode(),
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={},
        )
        self.sound = SimAdapter(SimSettings(name="good", adapter="sim"))
        self.supervisor: Supervisor

    def status(self, name: str):  # type: ignore[no-untyped-def]
        return next(status for status in self.supervisor.statuses() if status.name == name)

    def events(self, source: str) -> list[str]:
        prefix = f"events.sim.{source}."
        return [entry.change for entry in self.ledger.events if entry.subject.startswith(prefix)]

    def during(self, script: Callable[[], Awaitable[None]]) -> list[Json]:
        """Run the sources while `script` runs. Returns what was logged about bugs."""

        async def main() -> None:
            self.supervisor = Supervisor([Source(self.buggy), Source(self.sound)], self.world)
            async with anyio.create_task_group() as group:
                group.start_soon(self.supervisor.run)
                await script()
                group.cancel_scope.cancel()

        with capture_logs() as logs:
            on_virtual_clock(main)
        return [entry for entry in logs if entry["event"] == "source.bug"]


def test_a_bug_in_one_source_does_not_stop_the_other() -> None:
    """It is logged as a bug, with its traceback and a request, and counted; the other goes on."""
    house = House()

    async def script() -> None:
        await anyio.sleep(100)
        house.vendor.put("b", "1")
        await anyio.sleep(100)
        assert house.status("good").state is State.LIVE

    bugs = house.during(script)
    assert house.events("good") == ["snapshot", "created"]
    assert len(bugs) == house.supervisor.bugs > 1
    assert bugs[0]["source"] == "bad"
    assert bugs[0]["exc_info"]
    assert bugs[0]["log_level"] == "error"
    assert "report" in bugs[0]["advice"]


def test_a_buggy_source_is_started_again_ever_less_often() -> None:
    """Starting anew costs requests: with a bug that stays, an hour sees few of them."""
    house = House()

    async def script() -> None:
        await anyio.sleep(3_600)

    assert 10 < len(house.during(script)) < 60


def test_a_source_whose_bug_has_gone_goes_on() -> None:
    """And what it missed it reads."""
    house = House()

    async def script() -> None:
        await anyio.sleep(30)
        house.buggy.armed = False
        await anyio.sleep(400)
        assert house.status("bad").state is State.LIVE

    house.during(script)
    assert house.events("bad") == ["snapshot"]


def test_a_bug_once_a_day_does_not_add_up() -> None:
    """A source that has run for long is started again soon."""
    house = House()
    house.buggy.armed = False

    async def script() -> None:
        for _ in range(10):
            await anyio.sleep(PROVEN_S + 100)
            house.buggy.armed = True
            await anyio.sleep(12)
            house.buggy.armed = False
            await anyio.sleep(100)

    bugs = house.during(script)
    assert len(bugs) >= 10
    assert sorted(bug["restart_in_s"] for bug in bugs)[len(bugs) // 2] <= 5


def test_the_status_tells_of_a_source_that_waits_for_its_restart() -> None:
    """It is not said to be live while it is down, and its counters stay."""
    house = House()
    house.buggy.armed = False

    async def script() -> None:
        await anyio.sleep(50)
        stored = house.status("bad").counts.stored
        house.buggy.armed = True
        await anyio.sleep(10.2)
        status = house.status("bad")
        assert status.state is State.OPENING
        assert "ZeroDivisionError" in status.reason
        assert status.counts.stored == stored > 0

    house.during(script)


def test_cancellation_passes_and_every_source_is_stopped() -> None:
    """No error, no restart; the status says so."""
    house = House()
    house.buggy.armed = False

    async def script() -> None:
        await anyio.sleep(50)

    assert house.during(script) == []
    assert [status.state for status in house.supervisor.statuses()] == [State.STOPPED] * 2


def test_what_only_an_operator_can_change_ends_all() -> None:
    """A stream that does not fit is no bug to be retried."""
    house = House()

    def unfit(step: str) -> None:
        raise Unfit("the stream is not what it must be")

    house.ledger.on_step = unfit

    async def script() -> None:
        await anyio.sleep(1_000)

    with pytest.raises(BaseExceptionGroup) as caught:
        house.during(script)
    assert caught.group_contains(Unfit)
    assert house.supervisor.bugs == 0


class PushesSome(SimAdapter):
    """Its live session tells of some things that no walk reads."""

    live_only = True


class PushesAll(SimAdapter):
    """It has nothing to ask."""

    def walks(self, token: Token) -> Sequence[Walk]:
        return []


class Roll:
    """What a `Sharing` is told of sources."""

    def __init__(self) -> None:
        self.told: list[tuple[list[str], list[str]]] = []

    def roster(self, names: Iterable[str], fixed: Collection[str] = ()) -> None:
        self.told.append((list(names), list(fixed)))


def test_what_no_reading_finds_again_is_not_moved_for_evenness() -> None:
    """Whoever shares is told which sources these are: with a live session, and something or all of it only pushed."""

    def never(_: Token) -> Feed:
        raise AssertionError("nobody listens here")

    def source(kind: type[SimAdapter], name: str) -> Source:
        return Source(kind(SimSettings(name=name, adapter="sim")), never)

    roll = Roll()
    sources = [
        source(SimAdapter, "read"),
        source(PushesSome, "some"),
        source(PushesAll, "all"),
        replace(source(PushesAll, "polled"), feed=None),
        replace(source(PushesAll, "everywhere"), shared=True),
    ]

    async def script() -> None:
        supervisor = Supervisor(sources, replace(House().world, sharing=roll))  # type: ignore[arg-type]
        await supervisor.apply()

    on_virtual_clock(script)
    assert roll.told == [(["read", "some", "all", "polled"], ["some", "all"])]
