"""Runs all sources side by side. What befalls one costs no other anything."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import structlog

from bridge.core.backoff import Backoff
from bridge.core.errors import Unfit
from bridge.engine.runner import Runner
from bridge.engine.source import Source, Status, World

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
        async with anyio.create_task_group() as group:
            for name in self._runners:
                group.start_soon(self._keep, name)

    def statuses(self) -> list[Status]:
        """Every source as it is now, in the order of the configuration."""
        return [runner.status for runner in self._runners.values()]

    async def _keep(self, name: str) -> None:
        backoff = Backoff(self._world.roll, first=5.0, longest=300.0)
        while True:
            try:
                await self._runners[name].run()
            except Unfit:
                raise
            except Exception:
                self.bugs += 1
                pause = backoff.next()
                log.exception("source.bug", source=name, restart_in_s=round(pause, 1), advice="please report this")
                await anyio.sleep(pause)
                self._runners[name] = Runner(self._sources[name], self._world)
