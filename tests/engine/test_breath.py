"""Work by the page leaves the event loop to others between slices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from bridge.engine.breath import SLICE, TURNS, in_slices
from bridge.engine.scribe import Scribe
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter

PAGE = 500
MOST_TURNS = 10_000
MOST_AT_ONCE = 40
"""Rows: what they cost a live event that waits for them is about two milliseconds."""


class Bystander:
    """A task that is always ready: sees how far the page's work has come each time it gets its turn."""

    def __init__(self, progress: Callable[[], int]) -> None:
        self._progress = progress
        self.begun = anyio.Event()
        self.steps: list[int] = []

    async def beside(self, work: Awaitable[None]) -> None:
        """Run `work`; `steps` then holds how much of it was done between two turns of ours."""

        async def look() -> None:
            await self.begun.wait()
            last = 0
            while True:
                await anyio.lowlevel.checkpoint()
                now = self._progress()
                self.steps.append(now - last)
                last = now

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await work
            group.cancel_scope.cancel()


def test_slices_keep_the_order_and_give_turns_between() -> None:
    """Items are worked off in order, a slice at a time, and everybody else has several turns between two slices."""
    done: list[int] = []

    def handle(item: int) -> int:
        done.append(item)
        return -item

    async def main() -> list[int]:
        results: list[int] = []

        async def work() -> None:
            bystander.begun.set()
            results.extend(await in_slices(handle, range(5 * SLICE + 3)))

        bystander = Bystander(lambda: len(done))
        await bystander.beside(work())
        assert max(bystander.steps) == SLICE
        assert bystander.steps.count(0) >= 5 * (TURNS - 2)
        return results

    assert on_virtual_clock(main) == [-item for item in range(5 * SLICE + 3)]
    assert done == list(range(5 * SLICE + 3))


def test_few_records_wait_for_nobody() -> None:
    """A live event's own way has no extra turn of the event loop in it."""

    async def main() -> None:
        done: list[int] = []
        bystander = Bystander(lambda: len(done))

        async def work() -> None:
            bystander.begun.set()
            await in_slices(done.append, range(SLICE))

        await bystander.beside(work())
        assert bystander.steps in ([], [SLICE])

    on_virtual_clock(main)


def test_a_page_is_mapped_a_slice_at_a_time(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Of a page's 500 rows only a few are mapped, noted or sealed before everybody else has a turn."""
    work = dict.fromkeys(("mapped", "noted", "sealed"), 0)

    def counted(kind: str, owner: type, name: str) -> None:
        real = getattr(owner, name)

        def wrapper(*args, **kwargs):  # type: ignore[no-untyped-def]
            work[kind] += 1
            # The virtual clock goes on only while nobody is ready: the bystander begins with the first row.
            bystander.begun.set()
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapper)

    counted("mapped", SimAdapter, "record")
    counted("noted", Scribe, "note")
    counted("sealed", Scribe, "seal")
    bystander = Bystander(lambda: sum(work.values()))
    bench = Bench(page_size=PAGE)
    for number in range(PAGE):
        bench.vendor.put(f"{number:04}", "1")

    async def main() -> None:
        async def read() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(bench.run)
                await bystander.begun.wait()
                for _ in range(MOST_TURNS):
                    if min(work.values()) >= PAGE:
                        break
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()

        await bystander.beside(read())
        assert min(work.values()) >= PAGE
        assert 0 < max(bystander.steps) < MOST_AT_ONCE, "a page's work was done in one piece"

    on_virtual_clock(main)
