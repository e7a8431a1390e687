"""One place: whoever follows begins when the former has ended in order, and never two are seated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from bridge.engine.seat import Run, Seat
from tests.support.engine import on_virtual_clock

Script = Callable[[Seat], Awaitable[None]]


class Bench:
    """Whoever sits leaves in order, which takes `goodbye_s`. `log`: what happened, with the time."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self._began = 0.0

    def note(self, what: str) -> None:
        self.log.append((round(anyio.current_time() - self._began, 3), what))

    def guest(self, name: str, goodbye_s: float = 0.0) -> Run:
        async def run() -> None:
            self.note(f"{name} in")
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(goodbye_s)
                self.note(f"{name} out")

        return run

    def during(self, first: Run, script: Script) -> None:
        async def main() -> None:
            self._began = anyio.current_time()
            seat = Seat(first)
            async with anyio.create_task_group() as group:
                group.start_soon(seat.hold)
                await script(seat)
                group.cancel_scope.cancel()

        on_virtual_clock(main)


def test_the_successor_begins_when_the_former_has_left() -> None:
    """However long that takes; and whoever wants to know is told at that moment."""
    bench = Bench()

    async def script(seat: Seat) -> None:
        await anyio.sleep(1)
        left = seat.give(bench.guest("b"))
        assert not left.is_set()
        await left.wait()
        bench.note("told")
        await anyio.sleep(1)

    bench.during(bench.guest("a", goodbye_s=3), script)
    assert sorted(bench.log) == [(0, "a in"), (4, "a out"), (4, "b in"), (4, "told"), (5, "b out")]


def test_who_was_to_follow_and_is_replaced_never_begins() -> None:
    """The last word counts, also where it is that nobody follows."""
    bench = Bench()

    async def script(seat: Seat) -> None:
        await anyio.sleep(1)
        seat.give(bench.guest("b"))
        seat.give(None)
        await seat.give(bench.guest("c")).wait()
        await anyio.sleep(1)
        await seat.give(None).wait()
        assert seat.over

    bench.during(bench.guest("a", goodbye_s=1), script)
    assert [what for _, what in bench.log] == ["a in", "a out", "c in", "c out"]


def test_before_it_is_held_the_first_can_be_replaced() -> None:
    """Nobody has to leave then."""
    bench = Bench()
    seat = Seat(bench.guest("a"))

    async def main() -> None:
        assert seat.give(bench.guest("b")).is_set()
        with anyio.move_on_after(1):
            await seat.hold()

    on_virtual_clock(main)
    assert [what for _, what in bench.log] == ["b in", "b out"]
    assert seat.over


def test_an_error_of_whoever_is_seated_ends_it() -> None:
    """It is raised where the seat is held: what to do about it is not decided here."""

    async def fail() -> None:
        raise ZeroDivisionError

    seat = Seat(fail)
    with pytest.raises(ZeroDivisionError):
        on_virtual_clock(seat.hold)
    assert seat.over
