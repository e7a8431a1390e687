"""Runs all sources side by side, and changes which they are. What befalls one costs no other anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from bridge.core.backoff import Backoff
from bridge.core.errors import Unfit
from bridge.core.lifecycle import Signal
from bridge.core.report.facts import SourceFacts
from bridge.engine.runner import Runner
from bridge.engine.seat import Seat
from bridge.engine.source import Source, Status, World

PROVEN_S = 600.0
"""A source that has run for this long starts its back-off over, in seconds."""
END_S = 10.0
"""How long `apply` waits for those that end, in seconds: a session says goodbye within two, a lease is given back
within three. Who takes longer ends all the same, and its successor begins then."""

UNFIT_S = 60.0
"""How long until a source that came by `apply`, and that the server lacks something for, is tried again, in seconds."""

log = structlog.get_logger()


class Supervisor:
    """`run` holds every source until cancelled."""

    def __init__(self, sources: Sequence[Source], world: World) -> None:
        self._world = world
        self._runners = {source.name: Runner(source, world) for source in sources}
        self._sources = {source.name: source for source in sources}
        self._seats = {source.name: Seat(partial(self._keep, source)) for source in sources}
        self._group: TaskGroup | None = None
        self.bugs = 0

    async def run(self) -> None:
        """Hold all sources. Never returns; is cancelled."""
        ended = anyio.Event()
        try:
            async with anyio.create_task_group() as beside:
                try:
                    if self._world.sharing is not None:
                        self._enrol()
                        await beside.start(self._world.sharing.run, ended)
                    async with anyio.create_task_group() as group:
                        self._group = group
                        for seat in self._seats.values():
                            group.start_soon(seat.hold)
                        await anyio.sleep_forever()
                finally:
                    # Our place among the instances is given up when the last lease has been.
                    ended.set()
        finally:
            self._group = None
            for status in self.statuses():
                status.signal(Signal.STOP, self._world.wall())

    def statuses(self) -> list[Status]:
        """Every source as it is now, in the order of the configuration."""
        return [runner.status for runner in self._runners.values()]

    def facts(self, names: Iterable[str] | None = None) -> list[SourceFacts]:
        """What can be seen of every source now, in the order of the configuration, or of those that are named."""
        runners = self._runners
        return [runners[name].facts() for name in (runners if names is None else names) if name in runners]

    def runners(self) -> list[Runner]:
        """Who works for each source now, in the order of the configuration."""
        return list(self._runners.values())

    async def apply(
        self, *, begun: Sequence[Source] = (), ended: Collection[str] = (), order: Sequence[str] = ()
    ) -> list[str]:
        """End some sources, and begin others; the rest is not touched: runner, session and inbox stay.

        `begun`: one that has the name of a source that runs takes its place when that has ended in order: its lease
        given back, its session closed. Its counters go on. `order`: all names, as the configuration has them now.
        Returns who has not ended within `END_S`: they still do, and their successors begin then. Raises what the
        making of a runner raises, and has changed nothing then.
        """
        # Both are one source to whoever measures it.
        sources = [replace(one, meter=self._sources[one.name].meter) if self.has(one.name) else one for one in begun]
        runners = {source.name: Runner(source, self._world) for source in sources}
        leaving: dict[str, anyio.Event] = {}
        former: dict[str, Runner] = {}
        for name in ended:
            leaving[name] = self._seats[name].give(None)
            former[name] = self._runners.pop(name)
            del self._sources[name]
        for source in sources:
            if self.has(source.name):
                former[source.name] = self._runners[source.name]
            if (left := self._begin(source, runners[source.name])) is not None:
                leaving[source.name] = left
        self._enrol()
        names = {name: None for name in order if name in self._runners} | dict.fromkeys(self._runners)
        self._runners = {name: self._runners[name] for name in names}
        with anyio.move_on_after(END_S):
            for left in leaving.values():
                await left.wait()
        slow = [name for name, left in leaving.items() if not left.is_set()]
        for name in slow:
            log.warning("source.ends_slowly", source=name, waited_s=END_S)
        for name, runner in former.items():
            if name not in slow:
                runner.status.signal(Signal.STOP, self._world.wall())
        self._seats = {name: seat for name, seat in self._seats.items() if not seat.over}
        return slow

    def wake(self) -> None:
        """Whoever waits for a vendor that failed or refused tries again now: an operator may have seen to it."""
        for runner in self._runners.values():
            runner.wake()

    def has(self, name: str) -> bool:
        """Whether there is such a source; one that is ending is none."""
        return name in self._sources

    def _enrol(self) -> None:
        """These are the sources to be shared with other instances."""
        if self._world.sharing is not None:
            sources = [source for source in self._sources.values() if not source.shared]
            fixed = [source.name for source in sources if source.pushed_only]
            self._world.sharing.roster([source.name for source in sources], fixed)

    def _begin(self, source: Source, runner: Runner) -> anyio.Event | None:
        """Returns what is set when its predecessor has ended; None where there is none."""
        name = source.name
        if name in self._runners:
            former = self._runners[name].status
            runner.status.counts, runner.status.reason = former.counts, "its configuration has changed"
        self._sources[name], self._runners[name] = source, runner
        keep = partial(self._keep, source, spares=True)
        if name in self._seats and not self._seats[name].over:
            return self._seats[name].give(keep)
        self._seats[name] = seat = Seat(keep)
        if self._group is not None:
            self._group.start_soon(seat.hold)
        return None

    async def _keep(self, source: Source, *, spares: bool = False) -> None:
        """`spares`: others ran before it. What only an operator can change holds up it alone, and ends nobody."""
        name, said = source.name, ""
        backoff = Backoff(self._world.roll, first=5.0, longest=300.0)
        while True:
            started = anyio.current_time()
            try:
                await self._runners[name].run()
            except Unfit as error:
                if not spares:
                    raise
                if str(error) != said:
                    said = str(error)
                    # No bug: where it was noticed says nothing.
                    log.error("source.unfit", source=name, reason=said, again_every_s=UNFIT_S)  # noqa: TRY400
                if self._sources.get(name) is source:
                    self._renew(name, said)
                await anyio.sleep(UNFIT_S)
            except Exception as error:
                self.bugs += 1
                if anyio.current_time() - started >= PROVEN_S:
                    backoff.reset()
                pause = backoff.next()
                log.exception("source.bug", source=name, restart_in_s=round(pause, 1), advice="please report this")
                if self._sources.get(name) is source:
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
