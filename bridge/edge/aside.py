"""Work that may hang for ever, such as reading from a mount that is gone, done where nobody else waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class StillBusy(Exception):
    """It was not done in time, or what was begun before is not. It does not keep the process from ending."""


class Aside(Generic[T]):
    """One thing at a time, in a thread. While one hangs no further thread is begun."""

    def __init__(self) -> None:
        self._job: _Job[T] | None = None

    async def run(self, work: Callable[[], T], deadline_s: float) -> T:
        """What `work` returns. Raises what it raises, and StillBusy. Needs the asyncio backend."""
        if self._job is not None and self._job.is_alive():
            raise StillBusy
        # Not anyio's: the process would wait for its threads at the end, be it for ever.
        self._job = job = _Job(work)
        job.start()
        with anyio.move_on_after(deadline_s):
            await job.done.wait()
        if not job.done.is_set():
            raise StillBusy
        self._job = None
        if job.error is not None:
            raise job.error
        return job.result[0]


class _Job(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="aside", daemon=True)
        self.result: list[T] = []
        self.error: Exception | None = None
        self.done = anyio.Event()
        self._work = work
        self._loop = asyncio.get_running_loop()

    def run(self) -> None:
        try:
            self.result.append(self._work())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self.error = error
        # The loop may have ended meanwhile, and nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.done.set)
