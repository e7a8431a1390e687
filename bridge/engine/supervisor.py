"""Runs all sources side by side. What befalls one costs no other anything."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import structlog

from bridge.core.backoff import Backoff
from bridge.core.errors import Unfit
from bridge.core.lifecycle import Signal
from bridge.engine.runner import Runner
from bridge.engine.source import Source, Status, World

PROVEN_S = 600.0
"""A source that has run for this long starts its back-off over, in seconds."""

log = structlog.get_logger()


class Supervisor:
    """`run` holds every source until cancelled."""

    def __init__(self, sources: Sequence[Source], world: World) -> None:
        self._world = world
        self._runners = {source.name: Runner(source, world) for source in sources}
        self._sources = {source.name: source for source in sources}
        self.bugs = 0

    async def run(self) -> None:
        """Hold all sources. Never returns; is cancelled."""
        try:
            async with anyio.create_task_group() as group:
                for name in self._runners:
                    group.start_soon(self._keep, name)
        finally:
            for status in self.statuses():
                status.signal(Signal.STOP, self._world.wall())

    def statuses(self) -> list[Status]:
        """Every source as it is now, in the order of the configuration."""
        return [runner.status for runner in self._runners.values()]

    async def _keep(self, name: str) -> None:
        backoff = Backoff(self._world.roll, first=5.0, longest=300.0)
        while True:
            started = anyio.current_time()
            try:
                await self._runners[name].run()
            except Unfit:
                raise
            except Exception as error:
                self.bugs += 1
                if anyio.current_time() - started >= PROVEN_S:
                    backoff.reset()
                pause = backoff.next()
                log.exception("source.bug", source=name, restart_in_s=round(pause, 1), advice="please report this")
                self._renew(name, f"an error of ours ({_name(error)}) ended it; it is started again")
                await anyio.sleep(pause)

    def _renew(self, name: str, reason: str) -> None:
        """A fresh runner, of which nothing but the counters is old."""
        counts = self._runners[name].status.counts
        self._runners[name] = Runner(self._sources[name], self._world)
        status = self._runners[name].status
        status.counts, status.reason = counts, reason


def _name(error: BaseException) -> str:
    """What kind of error it is, below the groups that tasks wrap around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
