"""Reads a source's walks, each when it is due, for as long as nothing fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from bridge.adapter import Walk
from bridge.core.backoff import Backoff
from bridge.core.bookmark import Bookmark
from bridge.core.errors import Refused, Retry, WalkRefused
from bridge.core.schedule import Schedule
from bridge.engine.allotment import Allotment
from bridge.engine.refusals import Refusals
from bridge.engine.walker import Step, Walker


class Reading:
    """One stretch of reading. `failed` outlives it: the walks that failed, the latest last; those give way to others.

    `noted` is called after every page, stored or not; `answered` after every page that is. `backoff` is for
    walks that fail while the reading goes on. `refusals` outlives it, too, and so does `allotment`, which learns what
    passes cost. `alone`: without another walk that is not refused there is nothing to go on with.
    """

    def __init__(
        self,
        walker: Walker,
        schedule: Schedule,
        failed: dict[str, None],
        noted: Callable[[Walker], None],
        backoff: Backoff,
        refusals: Refusals,
        allotment: Allotment,
        *,
        alone: bool,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self.walker = walker
        self._backoff = backoff
        self.schedule = schedule
        self._failed = failed
        self._noted = noted
        self._refusals = refusals
        self._allotment = allotment
        self._alone = alone
        self._answered = answered
        self._changed = anyio.Event()
        self._ahead: list[Walk] = []
        refusals.enter(schedule)

    def ask_refused(self) -> None:
        """Ask again now for what is refused and due by `Refusals`."""
        self._refusals.enter(self.schedule)
        self._changed.set()
        self._changed = anyio.Event()

    def missed(self) -> None:
        """Something may have been missed: read again what finds it, now."""
        self.schedule.all_due(anyio.current_time(), self.walker.under_way)
        self._changed.set()
        self._changed = anyio.Event()

    async def ahead(self) -> None:
        """Read once, before the session is held, what shows what is new and nothing else.

        Not what proves absences, as two looks in a row mistake a vendor's start for them; nor what was cut off, as it
        goes on where it was only once. Nothing counts as read by it. Raises Away.
        """
        for walk in self.schedule.walks:
            if not (walk.on_connect and self._shows_only_news(walk)):
                continue
            self._ahead.append(walk)
            try:
                while await self.walker.step(walk) is Step.MORE:
                    pass
            except (Retry, Refused):
                # The reading beside the session meets the same, and tells of it.
                return
            finally:
                self._noted(self.walker)

    def forget_ahead(self) -> None:
        """From here on all is pushed: what `ahead` stands in the middle of begins anew. Its first pages are older."""
        for walk in self._ahead:
            self.walker.abandon(walk)

    def _shows_only_news(self, walk: Walk) -> bool:
        if walk.reports_absence or walk.batch or walk.of or walk.telemetry:
            return False
        mark = Bookmark.read(self.walker.lanes.of(walk).cursor(walk.name).value)
        return mark.completed_ms is not None and not (mark.first_read or mark.cut or mark.due)

    def look(self, entity: str) -> None:
        """A push about this kind of thing needs the vendor's word: read its fastest walk, as soon as that tells."""
        walks = [walk for walk in self.schedule.walks if walk.entity == entity and not walk.batch]
        if walks:
            walk = min(walks, key=lambda walk: walk.every_s)
            self.schedule.once_more(walk, anyio.current_time(), self.walker.under_way)
            self._changed.set()
            self._changed = anyio.Event()

    async def for_ever(
        self, well: Callable[[], Awaitable[None]], failing: Callable[[Retry], Awaitable[None]] | None = None
    ) -> None:
        """Never returns. Awaits `well` whenever everything due has been read since the start or since a miss.

        Raises what `Walker.step` raises; the pass that failed is gone on with next time. With `failing` a Retry is
        told to it instead, and the walk tried again later. A walk that is refused is left out until it is to be asked
        again, and WalkRefused is raised only where nothing is left (`alone`).
        """
        if self.schedule.caught_up:
            await well()
        while True:
            now = anyio.current_time()
            walk = self.schedule.next(now)
            if walk is None:
                with anyio.move_on_after(self.schedule.wait(now)):
                    await self._changed.wait()
                continue
            try:
                step = await self.walker.step(walk)
            except WalkRefused as error:
                self._leave_out(walk, error)
                step = None
            except Retry as error:
                self._failed.pop(walk.name, None)
                self._failed[walk.name] = None
                if failing is None:
                    raise
                await failing(error)
                pause_s = self._backoff.next(at_least=error.after)
                self.schedule.postpone(walk, anyio.current_time(), pause_s)
                continue
            finally:
                self._noted(self.walker)
            now = anyio.current_time()
            if step is not None:
                self._backoff.reset()
                self._answered()
            if step is Step.DONE:
                self._failed.pop(walk.name, None)
                self._refusals.readable(walk.name)
                self._allotment.passed(walk)
                self.schedule.finished(walk, now)
                if self.walker.held(walk):
                    # What the vendor's query says disagrees with what is newer, or will be: only time can tell.
                    self.schedule.postpone(walk, now, min(walk.lag_s, walk.every_s))
            elif step is Step.LOADING:
                self.schedule.postpone(walk, now, walk.incomplete_retry_s)
            for wanted in self.walker.wanted():
                self.schedule.hasten(wanted, now)
            if self.schedule.caught_up:
                await well()

    def _leave_out(self, walk: Walk, error: WalkRefused) -> None:
        after = self._refusals.add(walk.name, error)
        if self._alone and self._refusals.every(one.name for one in self.schedule.walks):
            raise WalkRefused(str(error), after=self._refusals.wait_s()) from error
        self._refusals.tell(walk.name)
        self._allotment.refused(walk)
        self.schedule.refuse(walk.name, anyio.current_time() + after)
        self.walker.abandon(walk)
