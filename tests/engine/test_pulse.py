"""Who is stuck: a loop in which something lasts longer than its own deadline allows, and nobody who merely waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from bridge.adapter import Request, Response
from bridge.core.errors import Away
from bridge.core.lifecycle import State
from bridge.engine.ports import Outcome
from bridge.engine.pulse import Pulse, Stuck
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_ledger import MemoryBook
from tests.support.sim_vendor import SimVendor

LOOK_S = 5.0


class Hanging(SimVendor):
    """Once `hung`, its answers come neither in time nor when whoever asked is told to stop."""

    hung = False

    def __init__(self) -> None:
        super().__init__()
        self.released = anyio.Event()

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        if self.hung:
            with anyio.CancelScope(shield=True):
                await self.released.wait()
        return await super().send(request, timeout_s=timeout_s, max_bytes=max_bytes)


class Watched:
    """A bench whose pulse is looked at every five seconds of virtual time; `seen` is who was stuck at each look."""

    def __init__(self, bench: Bench, *, asked: bool = True, **world: Any) -> None:
        self.pulse = Pulse(asked=asked)
        self.bench = bench
        bench._world = replace(bench._world, pulse=self.pulse, **world)
        self.seen: list[tuple[Stuck, ...]] = []

    async def look(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            await anyio.sleep(LOOK_S)
            self.seen.append(self.pulse.stuck(anyio.current_time()))

    async def during(self, script: Callable[[], Awaitable[None]]) -> None:
        await self.bench.during(script)

    async def live(self) -> None:
        await self.until(State.LIVE)

    async def until(self, state: State) -> None:
        with anyio.fail_after(86_400):
            while self.bench._runner is None or self.bench.runner.status.state is not state:  # noqa: ASYNC110
                await anyio.sleep(0.1)


def test_where_nobody_asks_nothing_is_kept() -> None:
    """No entry, and not even an object for each section."""
    beat = Pulse().of("source acme")
    first = beat.busy("asking the vendor", 1)
    assert beat.busy("storing events", 2) is first
    with first, first:
        assert not Pulse().open


def test_a_section_has_a_limit() -> None:
    """It is stuck once it was seen for longer than that, named with all that is known, the longest first."""
    pulse = Pulse(asked=True)
    one, two = pulse.of("source one"), pulse.of("source two")
    with one.busy("asking the vendor", 20), two.busy("storing events", 10):
        assert [pulse.stuck(at) for at in (100.0, 105.0, 110.0)] == [(), (), ()]
        assert pulse.stuck(111.0) == (Stuck("source two", "storing events", 11.0, 10),)
        with one.busy("storing events", 10):
            assert [stuck.loop for stuck in pulse.stuck(121.0)] == ["source one", "source two"]
    assert pulse.stuck(200.0) == ()
    assert not pulse.open


def test_a_section_that_fails_has_ended() -> None:
    """Errors and cancellations leave nothing behind."""
    pulse = Pulse(asked=True)
    with pytest.raises(ZeroDivisionError), pulse.of("x").busy("y", 1):
        raise ZeroDivisionError
    assert not pulse.open


def test_who_stood_still_as_a_whole_blames_nobody() -> None:
    """A process that was frozen for ten hours, in the middle of something, has a moment to go on with it."""
    pulse = Pulse(asked=True)
    with pulse.of("source one").busy("storing a batch", 300):
        pulse.stuck(0.0)
        assert pulse.stuck(36_000.0) == ()
        assert pulse.stuck(36_030.0) == ()
        late = [pulse.stuck(36_030.0 + at) for at in range(30, 300, 30)]
        assert late[-1], "but it is not forgiven for ever"


def test_who_waits_is_not_stuck() -> None:
    """Hours without NATS, without the vendor, and with the quota spent: nobody is stuck."""

    async def main() -> None:
        watched = Watched(Bench(live=True, every_s=10.0))

        async def script() -> None:
            await watched.live()
            watched.bench.ledger.go_away()
            await watched.until(State.AWAY)
            await watched.look(7200)
            watched.bench.ledger.come_back()
            await watched.live()
            watched.bench.vendor.faults.extend([lambda _: Response(503, {}, b"")] * 2000)
            await watched.look(7200)
            assert watched.bench.runner.status.failures > 10
            watched.bench.vendor.faults.clear()
            await watched.until(State.LIVE)
            watched.bench.runner._reader.quota.budget.pause(anyio.current_time(), 7200)
            asked = watched.bench.vendor.requests
            await watched.look(7000)
            assert watched.bench.vendor.requests <= asked + 1

        await watched.during(script)
        assert not any(watched.seen)

    on_virtual_clock(main)


def test_a_request_that_outlives_its_deadline_is_stuck() -> None:
    """Half a minute after the time it may take; where it ends after all, so does that."""

    async def main() -> None:
        vendor = Hanging()
        vendor.put("a", "1")
        watched = Watched(Bench(every_s=10.0, request_timeout_s=20.0), http=vendor)

        async def script() -> None:
            await watched.live()
            vendor.hung = True
            await watched.look(300)
            vendor.hung = False
            vendor.released.set()
            await watched.look(60)

        await watched.during(script)
        stuck = [at for at, seen in enumerate(watched.seen) if seen]
        assert stuck, watched.seen
        first = watched.seen[stuck[0]]
        assert [(one.loop, one.what, one.limit_s) for one in first] == [("source acme", "asking the vendor", 50)]
        assert 50 < first[0].for_s <= 55
        assert watched.seen[-1] == ()

    on_virtual_clock(main)


def test_a_write_that_never_returns_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes after it began, named by whose it is."""
    released = anyio.Event()

    async def append(*_: object) -> list[Outcome]:
        with anyio.CancelScope(shield=True):
            await released.wait()
        raise Away("it was on its way when the test ended")

    async def main() -> None:
        watched = Watched(Bench(live=True, every_s=10.0))

        async def script() -> None:
            await watched.live()
            monkeypatch.setattr(MemoryBook, "append", append)
            watched.bench.vendor.put("a", "2")
            await watched.look(330)
            monkeypatch.undo()
            released.set()

        await watched.during(script)
        stuck = next(seen for seen in watched.seen if seen)
        assert {(one.loop, one.limit_s) for one in stuck} == {("source acme", 300)}
        assert "storing events" in {one.what for one in stuck}
        assert watched.seen.index(stuck) >= 60

    on_virtual_clock(main)


class Entries(dict[Any, Any]):
    """Counts what was ever entered."""

    count = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        self.count += 1
        super().__setitem__(key, value)


@pytest.mark.parametrize("asked", [False, True])
def test_nothing_is_noted_while_nobody_asks(asked: bool) -> None:
    """A source that reads and is pushed to makes entries only where it is watched."""

    async def main() -> None:
        watched = Watched(Bench(live=True, every_s=10.0), asked=asked)
        watched.pulse.open = entries = Entries()

        async def script() -> None:
            await watched.live()
            watched.bench.vendor.put("a", "1")
            await anyio.sleep(60)

        await watched.during(script)
        assert (entries.count > 10) is asked
        assert not entries

    on_virtual_clock(main)
