"""Reads one walk page by page and hands each page to the sequencer, with the cursor that covers it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import anyio
import structlog

from bridge.adapter import Adapter, Page, Walk
from bridge.core.bookmark import Bookmark
from bridge.core.canonical import Exact, exact
from bridge.core.errors import CursorExpired, Malformed, Refused, Retry
from bridge.core.gap import vendor_gap
from bridge.core.meter import Stage
from bridge.core.subject import token as token_of
from bridge.core.subject import untoken
from bridge.core.walk import Stuck
from bridge.engine.aliases import Aliases
from bridge.engine.departures import Departures, HeldBack, Inquiry
from bridge.engine.herald import announce_gap
from bridge.engine.lanes import Lanes
from bridge.engine.ports import Ledger, Wall
from bridge.engine.probes import Probes
from bridge.engine.pulse import STORE_S
from bridge.engine.reader import Reader
from bridge.engine.rows import read_rows
from bridge.engine.run import Run, begin
from bridge.engine.tracing import UNSTORED
from bridge.engine.unchanged import Unchanged

RESTARTS = 3
"""How often one pass may start over because the vendor forgot our position."""

log = structlog.get_logger()


class Step(Enum):
    """What a step of a walk has come to."""

    MORE = "more"
    """The pass goes on with the next page."""
    DONE = "done"
    """The pass is complete and its cursor stored."""
    LOADING = "loading"
    """The vendor is still loading: the pass begins again after the walk's `incomplete_retry_s`."""


class Walker:
    """Goes on where it stopped: after an error the same pass continues with the page that failed."""

    def __init__(
        self,
        adapter: Adapter[Any],
        reader: Reader,
        lanes: Lanes,
        wall: Wall,
        ledger: Ledger,
        *,
        resumes: bool = False,
        warned: set[str] | None = None,
        spelled: Exact = exact,
    ) -> None:
        """`resumes`: a pass that was cut off may go on where it was (`Bookmark.resumable`); nothing is ever pushed.

        `warned`: of which walks it was said that their vendor's order cannot be believed; it outlives this object.
        """
        self._adapter = adapter
        self._reader = reader
        self._tracer = reader.tracer
        self.lanes = lanes
        self._sequencer = lanes.main
        self._wall = wall
        self._ledger = ledger
        self._resumes = resumes
        self._warned = set() if warned is None else warned
        self._runs: dict[str, Run] = {}
        self._begun: set[str] = set()
        self._walks: Sequence[Walk] = ()
        self._departures = Departures(adapter, reader, self._sequencer)
        self._probes = Probes(self._sequencer)
        self._held: set[str] = set()
        self._hurried: set[str] = set()
        self._wanted: set[str] = set()
        self._of: dict[str, str] = {}
        self._asked: dict[str, set[str]] = {}
        self.aliases = Aliases(self._sequencer, lanes.cursors())
        self._unchanged = Unchanged(adapter, self._sequencer, self.aliases, spelled)
        self.completed_ms: dict[str, int] = {}
        """When the last complete pass of each walk began, in milliseconds since the Unix epoch."""

    @property
    def under_way(self) -> set[str]:
        """The names of the walks that stand in the middle of a pass."""
        return set(self._runs)

    async def prepare(self, walks: Sequence[Walk]) -> None:
        """Open what these walks need. Raises Refused for what cannot be a walk, and Away."""
        for walk in walks:
            if untoken(token_of(walk.name)) is None:
                raise Refused(
                    f"walk {walk.name[:60]}…: the name is too long to be a cursor's; check what it is made from"
                )
        self._walks = list(walks)
        self._of = {walk.name: walk.of for walk in walks if walk.of}
        # Where nothing is pushed, nothing overtakes another push.
        await self.lanes.prepare(walks, 0.0 if self._resumes else self._adapter.push_disorder_s)
        self.aliases.prepare(walks)
        self._wanted |= self._probes.prepare(walks)

    @property
    def progress(self) -> dict[str, tuple[int, int | None]]:
        """See `Status.progress`."""
        return {name: (run.state.rows, run.state.total) for name, run in self._runs.items() if run.state.pages}

    def held_back(self) -> list[HeldBack]:
        """Deletes that wait for an operator, as the cursors say."""
        return self._departures.held_back(self._walks)

    def held(self, walk: Walk) -> bool:
        """Whether the pass that just ended held something back that must be read again soon."""
        return walk.name in self._held

    def wanted(self) -> set[str]:
        """The walks whose answer something waits for. Told once."""
        wanted, self._wanted = self._wanted, set()
        return wanted

    def abandon(self, walk: Walk) -> None:
        """Begin its next pass anew: too much may have happened by then to go on with this one."""
        self._runs.pop(walk.name, None)

    def last_heard_ms(self) -> int | None:
        """Until when all that was pushed was stored, by the last pass in the stream (milliseconds since the epoch)."""
        marks = map(Bookmark.read, self.lanes.cursors().values())
        last = max(marks, key=lambda mark: mark.completed_ms or -1, default=Bookmark())
        return last.completed_ms if last.heard_ms is None else last.heard_ms

    def ages(self, walks: Sequence[Walk]) -> dict[str, float]:
        """Seconds since the last complete pass of each walk that has had one and need not be read again at once."""
        now_ms = self._wall()
        marks = {
            w.name: Bookmark.read(self.lanes.of(w).cursor(w.name).value) for w in walks if w.name not in self._runs
        }
        return {
            name: (now_ms - mark.completed_ms) / 1000
            for name, mark in marks.items()
            if mark.completed_ms is not None and not mark.due and name not in self._wanted
        }

    async def step(self, walk: Walk) -> Step:
        """Read one page and store what it tells.

        Raises Retry (the pass continues next time), Refused, WalkRefused, and Away.
        """
        run = self._runs.get(walk.name) or await self._begin(walk)
        if run.inquiry is not None:
            return await self._inquire(run, run.inquiry)
        ask, meter = run.state.ask(), self._reader.meter
        asked_at = self._sequencer.arrivals.asked()
        try:
            page = await self._reader.page(ask) if ask.ids or not walk.batch else Page([])
            meter.took(Stage.PAGE_ANSWERED, anyio.current_time() - asked_at)
            answered_ns = 0 if self._tracer is None else self._tracer.now_ns
            marks = self._unchanged.marks(ask, page, since=run.since, asked_at=asked_at)
            rows = await read_rows(self._adapter, ask, page, marks)
            records, unreadable = rows.records, rows.unreadable
            await self.aliases.learn(walk.entity, page.aliases)
            records, strange = self.aliases.familiar(records)
            if walk.batch and not walk.of:
                # What was not asked for is nobody's state.
                records = [record for record in records if record.id in ask.ids]
            found = [*rows.passed, *(record.id for record in [*records, *strange])]
            run.state.take(page, found, rows.listed)
        except CursorExpired as error:
            self._start_over(run, f"{error}")
            return Step.MORE
        except Malformed as error:
            raise Retry(f"walk {walk.name}: page {run.state.pages + 1} cannot be read: {error}") from error
        except Stuck:
            del self._runs[walk.name]
            raise
        run.unreadable += len(unreadable)
        run.note_progress(self._sequencer.source)
        begun = None
        if self._tracer is not None:
            begun = self._tracer.page(walk.entity, asked_at=asked_at, answered_ns=answered_ns)
        try:
            await self._announce_gap(run, page)
            sequencer = self.lanes.of(walk)
            if strange and (by_id := self.aliases.walk_of(walk.entity)):
                self._wanted.add(by_id.name)
            run.held += len(strange)
            if walk.telemetry and unreadable:
                # What could not be read is the bridge's own news, and no telemetry.
                await self._sequencer.live([], unreadable, feed=walk.name)
                unreadable = []
            known = sequencer.cursor(walk.name).value
            value = self._departures.sighted(run.state, known)
            with self._reader.beat.busy(f"storing a page of {walk.name}", STORE_S):
                run.held += await sequencer.page(
                    records,
                    unreadable,
                    walk=walk.name,
                    cursor=run.cursor_after(value, self._probes.seen(run.state, value), meter.heard_until_ms()),
                    part_cursor=value or run.cursor(value, None),
                    cursor_alone=(run.state.done and run.state.complete)
                    or run.shows_progress
                    or value is not known
                    or (self._resumes and run.keeps_place()),
                    first_read=run.first_read,
                    since=run.since,
                    asked_at=asked_at,
                    lag_s=walk.lag_s,
                    marks=rows.marks,
                    begun=begun,
                )
            sequencer.counts.unchanged += len(rows.passed)
            self._reader.meter.took(Stage.PAGE_STORED, anyio.current_time() - asked_at)
            if self._tracer is not None:
                self._tracer.settled([begun])
        except BaseException:
            # The page counts as read and was not stored, as when the live session ended: the pass begins anew.
            del self._runs[walk.name]
            if self._tracer is not None:
                self._tracer.settled([begun], UNSTORED)
            raise
        return await self._end(run) if run.state.done else Step.MORE

    async def _begin(self, walk: Walk) -> Run:
        sequencer = self.lanes.of(walk)
        value = (await sequencer.certain_cursor(walk.name)).value
        # A walk that has no cursor beside others that have is new. Without any cursor at all, known entities mean
        # that the cursors were lost: what differs from them is then news, not a first read.
        first = (
            value.get("first_read", False) or self.lanes.has_forgotten(walk)
            if value
            else (sequencer.has_cursors() or not sequencer.knows_anything())
        )
        # Those a telemetry walk goes by are no telemetry: their events are in the main lane.
        known = self._asked[walk.name] = self._sequencer.ids(walk.of or walk.entity) if walk.batch else set()
        run = begin(
            walk,
            Bookmark.read(value),
            now_ms=self._wall(),
            retention_s=self._ledger.retention_s(telemetry=walk.telemetry),
            since=sequencer.arrivals.tick(),
            first_read=bool(first),
            known=sorted(known),
            # Only what an earlier life left: a pass that this one has given up is given up.
            resumes=self._resumes and walk.name not in self._begun,
        )
        self._begun.add(walk.name)
        self._runs[walk.name] = run
        return run

    def _start_over(self, run: Run, why: str) -> None:
        walk = run.state.walk
        if run.restarts >= RESTARTS:
            del self._runs[walk.name]
            raise Retry(f"walk {walk.name}: the vendor forgot our position {RESTARTS + 1} times in one pass: {why}")
        log.info("pass.restarted", walk=walk.name, reason=why, pages=run.state.pages)
        run.restarts += 1
        run.state = run.state.anew()

    async def _end(self, run: Run) -> Step:
        """The last page is stored, and with it the cursor of a pass that is complete."""
        state, walk = run.state, run.state.walk
        if not state.complete:
            return self._again_soon(run)
        # Whatever is cut off from here on is done again by the next pass.
        del self._runs[walk.name]
        self._note_order(run)
        # Who was on a row that could not be read is not absent.
        if walk.reports_absence and not walk.wakes and state.proves_absence and not run.unreadable:
            gone, run.lasting = await self._departures.look(state)
            if self._departures.wanted(walk):
                self._wanted.add(walk.name)
            if walk.confirms and gone:
                run.inquiry, self._runs[walk.name] = Inquiry(gone, min(state.ids, default=None)), run
                return Step.MORE
            await self._departures.publish(state, gone, run.lasting, run.since)
        return self._finish(run)

    async def _inquire(self, run: Run, inquiry: Inquiry) -> Step:
        """Ask for one of those that are absent by its id, or, with all of them asked for, publish who is gone."""
        if inquiry.next is not None:
            await self._departures.ask(run.state, inquiry, run.since)
            return Step.MORE
        del self._runs[run.walk.name]
        lasting = self._departures.after(inquiry, run.walk, run.lasting)
        await self._departures.publish(run.state, inquiry.gone, lasting, run.since)
        return self._finish(run)

    def _finish(self, run: Run) -> Step:
        """Nothing of the pass is left to do."""
        state, walk = run.state, run.state.walk
        self.completed_ms[walk.name] = state.started_ms
        (self._held.add if run.held else self._held.discard)(walk.name)
        # What may have been passed over is looked for at once, but only once: a vendor may count wrongly for ever.
        # What was removed while nobody was there may have moved other rows past the place gone on from.
        passed_over = state.skipped or (state.resumed and not (run.first_read or state.coverage.used))
        if passed_over and walk.name not in self._hurried:
            self._wanted.add(walk.name)
        (self._hurried.add if passed_over else self._hurried.discard)(walk.name)
        self._wanted |= self._probes.completed(state)
        # A slower walk may have begun earlier, and still needs to know what was live since then.
        begun = [other.since for other in self._runs.values()]
        arrivals = self._sequencer.arrivals
        arrivals.forget(min(begun, default=arrivals.tick()))
        self.aliases.completed(walk, run.began_at, state.started_ms)
        # What belongs to those that have just become known need not wait until it is due.
        for name in [name for name, of in self._of.items() if of == walk.entity]:
            if self._sequencer.ids(walk.entity) - self._asked.get(name, set()):
                self._wanted.add(name)
        log.debug("pass.completed", walk=walk.name, pages=state.pages, rows=state.rows, first_read=run.first_read)
        return Step.DONE

    def _note_order(self, run: Run) -> None:
        walk, disorder = run.state.walk, run.state.coverage.disorder
        if disorder and walk.name not in self._warned:
            self._warned.add(walk.name)
            log.warning(
                "walk.disordered", walk=walk.name, reason=disorder, source=self._sequencer.source,
                advice="rows were to come by ascending id; a pass that breaks this proves nothing deleted. Said once",
            )  # fmt: skip

    def _again_soon(self, run: Run) -> Step:
        """The vendor was still loading: read the window again shortly, for as long as the walk allows."""
        state, walk = run.state, run.state.walk
        now = anyio.current_time()
        if run.waiting_since is None:
            run.waiting_since = now
        if now - run.waiting_since >= walk.incomplete_wait_s:
            del self._runs[walk.name]
            raise Retry(
                f"walk {walk.name}: the vendor has said for {now - run.waiting_since:.0f} s that it is still loading; "
                "nothing of this walk counts as complete until it stops saying so"
            )
        run.state = state.anew()
        return Step.LOADING

    async def _announce_gap(self, run: Run, page: Page) -> None:
        if run.state.pages > 1:
            return
        for gap in (run.forgotten, vendor_gap(run.state.walk.name, run.completed_ms, page.reaches_back_to_ms)):
            if gap is not None:
                await announce_gap(self._sequencer, gap)
