"""An event loop of virtual time: nothing waits, the order of what is ready is drawn, and processes die and stand still.

Nothing on it depends on the machine: the same seed makes the same steps in the same order, whatever addresses objects
have. A `Life` is what one process does: every task begun in its context. The loop counts its steps, so it can be ended
between any two of them, and holds them back while it stands still.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import math
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any, TypeVar

import anyio
import sniffio

TICK_S = 1e-6
"""No timer rings sooner: what waits for less than a float can add would wait for ever, as time stood still."""
MOST_TURNS = 20_000
"""So many turns without a timer that takes longer: somebody spins."""
MOST_STEPS = 60_000
"""No story takes nearly as many."""

T = TypeVar("T")


class Spinning(Exception):
    """Tasks keep one another busy, and no time passes. Or nothing is left to happen, and somebody waits."""


class Life:
    """One process, from its start to its end. `ends`: told once when it dies. `dead`: its ports must refuse it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scope = anyio.CancelScope()
        self.ends: Callable[[], None] = lambda: None
        self.dead = False
        self.still = False
        self.steps = 0
        self.dies_at = 0
        self.parked: list[asyncio.Handle] = []

    def doom(self, steps: int) -> None:
        """Die so many steps from now."""
        if not self.dies_at:
            self.dies_at = self.steps + steps + 1

    def die(self) -> None:
        """SIGKILL: what still runs of it comes to nothing, as no port takes anything from it any more."""
        if not self.dead:
            self.dead = True
            self.ends()
            self.wake()
            self.scope.cancel()

    def sleep(self) -> None:
        """SIGSTOP."""
        self.still = not self.dead

    def wake(self) -> None:
        """SIGCONT."""
        self.still = False
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.take_up(self.parked)
        self.parked = []


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)
"""To which process the running task belongs; None: to the world around them."""


def outside() -> Context:
    """A context of no process. What is begun in it belongs to the world."""
    context = Context()
    context.run(sniffio.current_async_library_cvar.set, "asyncio")
    return context


class _Task(asyncio.Task[Any]):
    """Sets of tasks have the same order in every run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.BaseEventLoop):
    """`chance` draws the order in which tasks that are ready at once go on; without, they go on by age."""

    def __init__(self, chance: Random | None) -> None:
        super().__init__()
        self._chance = chance
        self._now = 0.0
        self._tasks = 0
        self.turns = 0
        self.steps = 0
        self.set_task_factory(self._make)  # type: ignore[arg-type]

    def time(self) -> float:
        """See `AbstractEventLoop.time`."""
        return self._now

    def take_up(self, handles: list[asyncio.Handle]) -> None:
        """Go on with what was held back."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def _make(self, loop: VirtualLoop, coro: Coroutine[Any, Any, T], **how: Any) -> asyncio.Task[T]:
        task = _Task(coro, loop=self, **how)
        self._tasks += 1
        task.number = self._tasks
        return task

    def _process_events(self, event_list: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return

    def _advance(self) -> None:
        """Nobody is ready: on to the next timer."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not scheduled or scheduled[0]._when == math.inf:
            raise Spinning("everybody waits, and nothing is left to happen")
        if scheduled[0]._when > self._now + TICK_S:
            self._now, self.turns = scheduled[0]._when, 0
        else:
            self._now += TICK_S

    def _due(self) -> list[asyncio.Handle]:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            self._advance()
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Spinning(f"{MOST_TURNS} turns of the loop, and no time has passed")
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        if self.steps > MOST_STEPS:
            self.steps = 0
            raise Spinning(f"more than {MOST_STEPS} steps: somebody never rests")
        due = list(ready)
        ready.clear()
        return due

    def _shuffled(self, due: list[asyncio.Handle]) -> list[asyncio.Handle]:
        """The tasks among them in an order that is drawn; what is no task stays where it is."""
        places, tasks = [], []
        for at, handle in enumerate(due):
            task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            if type(task) is _Task:
                places.append(at)
                tasks.append((task.number, at, handle))
        if len(tasks) > 1:
            tasks.sort()
            if self._chance is not None:
                self._chance.shuffle(tasks)
            for at, (_, _, handle) in zip(places, tasks, strict=True):
                due[at] = handle
        return due

    def _run_once(self) -> None:
        due = self._due()
        for handle in due if len(due) == 1 else self._shuffled(due):
            if handle._cancelled:
                continue
            life = handle._context.get(LIFE)  # type: ignore[attr-defined]
            if life is not None:
                if life.still:
                    life.parked.append(handle)
                    continue
                life.steps += 1
                if life.steps == life.dies_at:
                    outside().run(life.die)
            self.steps += 1
            handle._run()


def play(main: Callable[[], Coroutine[Any, Any, T]], chance: Random | None) -> T:
    """Run `main` in virtual time, which begins with 0."""
    loop = VirtualLoop(chance)
    collects, clock = gc.isenabled(), anyio.current_time
    gc.disable()
    # The same, without asking each time which library runs.
    anyio.current_time = loop.time
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(outside().run(loop.create_task, main()))
    finally:
        left, loop.turns = asyncio.all_tasks(loop), 0
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        anyio.current_time = clock
        asyncio.set_event_loop(None)
        loop.close()
        if collects:
            gc.enable()
