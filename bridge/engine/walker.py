"""Reads one walk page by page and hands each page to the sequencer, with the cursor that covers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import anyio
import structlog

from bridge.adapter import Adapter, Ask, Page, Walk
from bridge.core.absence import Absence
from bridge.core.canonical import legible
from bridge.core.errors import CursorExpired, Malformed, Refused, Retry
from bridge.core.event import timestamp
from bridge.core.fields import LAST_MS
from bridge.core.gap import Gap, vendor_gap
from bridge.core.record import Json, Record
from bridge.core.subject import token as token_of
from bridge.core.subject import untoken
from bridge.core.walk import AGAIN, Pass, Stuck, forgotten_gap, window_of
from bridge.engine.aliases import Aliases
from bridge.engine.breath import SLICE, breathe
from bridge.engine.herald import announce_gap
from bridge.engine.lanes import Lanes
from bridge.engine.ports import Ledger, Wall
from bridge.engine.reader import Reader

MOST_ROWS = 1000
"""A page of this many rows, and ten times as many as were asked for, is a mistake or an attack."""

RESTARTS = 3
"""How often one pass may start over because the vendor forgot our position."""

log = structlog.get_logger()


def _moment(value: Json) -> int | None:
    """A time a cursor holds; None for what only somebody else can have written there."""
    return value if type(value) is int and 0 <= value <= LAST_MS else None


class Step(Enum):
    """What a step of a walk has come to."""

    MORE = "more"
    """The pass goes on with the next page."""
    DONE = "done"
    """The pass is complete and its cursor stored."""
    LOADING = "loading"
    """The vendor is still loading: the pass begins again after the walk's `incomplete_retry_s`."""


@dataclass(slots=True)
class _Run:
    """A pass under way. `since` is the sequencer's tick when it began."""

    state: Pass
    first_read: bool
    since: int
    completed_ms: int | None
    forgotten: Gap | None
    again_from_ms: int | None = None
    unreadable: int = 0
    restarts: int = 0
    waiting_since: float | None = None
    began_at: float = 0.0
    held: int = 0


class Walker:
    """Goes on where it stopped: after an error the same pass continues with the page that failed."""

    def __init__(self, adapter: Adapter[Any], reader: Reader, lanes: Lanes, wall: Wall, ledger: Ledger) -> None:
        self._adapter = adapter
        self._reader = reader
        self.lanes = lanes
        self._sequencer = lanes.main
        self._wall = wall
        self._ledger = ledger
        self._runs: dict[str, _Run] = {}
        self._absences: dict[str, Absence] = {}
        self._elsewhere: dict[str, set[str]] = {}
        self._held: set[str] = set()
        self._wanted: set[str] = set()
        self._of: dict[str, str] = {}
        self._asked: dict[str, set[str]] = {}
        self.aliases = Aliases(self._sequencer, lanes.cursors())
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
        self._of = {walk.name: walk.of for walk in walks if walk.of}
        await self.lanes.prepare(walks, self._adapter.push_disorder_s)
        self.aliases.prepare(walks)

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

    def last_completed_ms(self) -> int | None:
        """When any complete pass began last, by the stream (milliseconds since the Unix epoch): somebody was there."""
        moments = [_moment(value.get("completed_ms")) for value in self.lanes.cursors().values()]
        return max((moment for moment in moments if moment is not None), default=None)

    def ages(self, walks: Sequence[Walk]) -> dict[str, float]:
        """Seconds since the last complete pass of each walk that has had one and need not be read again at once."""
        now_ms = self._wall()
        cursors = {w.name: self.lanes.of(w).cursor(w.name).value for w in walks if w.name not in self._runs}
        return {
            name: (now_ms - completed) / 1000
            for name, value in cursors.items()
            if (completed := _moment(value.get("completed_ms"))) is not None and AGAIN not in value
        }

    async def step(self, walk: Walk) -> Step:
        """Read one page and store what it tells.

        Raises Retry (the pass continues next time), Refused, WalkRefused, and Away.
        """
        run = self._runs.get(walk.name) or self._begin(walk)
        ask = run.state.ask()
        asked_at = self._sequencer.arrivals.asked()
        try:
            page = await self._reader.page(ask) if ask.ids or not walk.batch else Page([])
            records, unreadable = await self._read(run, page)
            await self.aliases.learn(walk.entity, page.aliases)
            records, strange = self.aliases.familiar(records)
            if walk.batch and not walk.of:
                # What was not asked for is nobody's state.
                records = [record for record in records if record.id in ask.ids]
            run.state.take(page, [record.id for record in [*records, *strange]])
        except CursorExpired as error:
            self._start_over(run, f"{error}")
            return Step.MORE
        except Malformed as error:
            raise Retry(f"walk {walk.name}: page {run.state.pages + 1} cannot be read: {error}") from error
        except Stuck:
            del self._runs[walk.name]
            raise
        run.unreadable += len(unreadable)
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
            run.held += await sequencer.page(
                records,
                unreadable,
                walk=walk.name,
                cursor=self._cursor_after(run),
                part_cursor=sequencer.cursor(walk.name).value or self._cursor(run, None),
                cursor_alone=run.state.done and run.state.complete,
                first_read=run.first_read,
                since=run.since,
                asked_at=asked_at,
                lag_s=walk.lag_s,
            )
        except BaseException:
            # The page counts as read and was not stored, as when the live session ended: the pass begins anew.
            del self._runs[walk.name]
            raise
        return await self._end(run) if run.state.done else Step.MORE

    def _begin(self, walk: Walk) -> _Run:
        sequencer = self.lanes.of(walk)
        value = sequencer.cursor(walk.name).value
        now_ms = self._wall()
        completed = _moment(value.get("completed_ms"))
        again_from = _moment(value.get(AGAIN))
        retention_s = self._ledger.retention_s(telemetry=walk.telemetry)
        # A walk that has no cursor beside others that have is new. Without any cursor at all, known entities mean
        # that the cursors were lost: what differs from them is then news, not a first read.
        first = (
            value.get("first_read", False) or self.lanes.has_forgotten(walk)
            if value
            else (sequencer.has_cursors() or not sequencer.knows_anything())
        )
        # Those a telemetry walk goes by are no telemetry: their events are in the main lane.
        known = self._asked[walk.name] = self._sequencer.ids(walk.of or walk.entity) if walk.batch else set()
        window = window_of(walk, now_ms, completed, retention_s=retention_s, again_from_ms=again_from)
        run = _Run(
            state=Pass(walk, window, now_ms, sorted(known)),
            first_read=bool(first),
            since=sequencer.arrivals.tick(),
            began_at=anyio.current_time(),
            completed_ms=completed,
            forgotten=forgotten_gap(walk, now_ms, completed, retention_s),
            again_from_ms=again_from,
        )
        self._runs[walk.name] = run
        return run

    async def _read(self, run: _Run, page: Page) -> tuple[list[Record], list[Malformed]]:
        ask, records, unreadable = run.state.ask(), [], []
        if len(page.rows) > MOST_ROWS + 10 * ask.walk.page_size:
            raise Retry(
                f"walk {ask.walk.name}: the vendor sent {len(page.rows)} rows where {ask.walk.page_size} were asked for"
            )
        for number, row in enumerate(page.rows, 1):
            if not number % SLICE:
                await breathe()
            try:
                record = self._adapter.record(ask, row)
            except Malformed as error:
                unreadable.append(Malformed(str(error), raw=error.raw or legible(row)))
                continue
            if not _too_old(ask, record):
                records.append(record)
        return records, unreadable

    def _start_over(self, run: _Run, why: str) -> None:
        walk = run.state.walk
        if run.restarts >= RESTARTS:
            del self._runs[walk.name]
            raise Retry(f"walk {walk.name}: the vendor forgot our position {RESTARTS + 1} times in one pass: {why}")
        log.info("pass.restarted", walk=walk.name, reason=why, pages=run.state.pages)
        run.restarts += 1
        run.state = run.state.anew()

    def _cursor_after(self, run: _Run) -> Json:
        """The cursor that covers the page just read; the last page of a complete pass completes the walk."""
        if not run.state.done:
            return self._cursor(run, run.state.position)
        if not run.state.complete:
            return self.lanes.of(run.state.walk).cursor(run.state.walk.name).value or self._cursor(run, None)
        return {"completed_ms": run.state.started_ms, "completed": timestamp(run.state.started_ms)}

    def _cursor(self, run: _Run, position: Json) -> Json:
        cursor: dict[str, Json] = {"pass_ms": run.state.started_ms, "position": position, "first_read": run.first_read}
        if run.completed_ms is not None:
            cursor["completed_ms"] = run.completed_ms
            cursor["completed"] = timestamp(run.completed_ms)
        if run.again_from_ms is not None:
            cursor[AGAIN] = run.again_from_ms
        return cursor

    async def _end(self, run: _Run) -> Step:
        state, walk = run.state, run.state.walk
        if not state.complete:
            return self._again_soon(run)
        del self._runs[walk.name]
        self.completed_ms[walk.name] = state.started_ms
        (self._held.add if run.held else self._held.discard)(walk.name)
        # Who was on a row that could not be read is not absent.
        if walk.reports_absence and state.proves_absence and not run.unreadable:
            await self._report_absence(run)
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

    def _again_soon(self, run: _Run) -> Step:
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

    async def _announce_gap(self, run: _Run, page: Page) -> None:
        if run.state.pages > 1:
            return
        for gap in (run.forgotten, vendor_gap(run.state.walk.name, run.completed_ms, page.reaches_back_to_ms)):
            if gap is not None:
                await announce_gap(self._sequencer, gap)

    async def _report_absence(self, run: _Run) -> None:
        walk, entity = run.state.walk, run.state.walk.entity
        ask = run.state.ask()
        elsewhere = self._elsewhere.setdefault(walk.name, set())
        # An update can move a record into a window in which it was not before.
        elsewhere -= run.state.ids
        candidates = self._sequencer.ids(entity) - run.state.ids - elsewhere
        absent = []
        for id_ in sorted(candidates):
            after = await self._sequencer.last_known(entity, id_)
            # A window only moves forward, so what lies outside of it now never comes back into it.
            if after is not None and self._adapter.belongs(ask, after):
                absent.append(id_)
            else:
                elsewhere.add(id_)
        gone, held = self._absences.setdefault(walk.name, Absence()).confirm(
            absent, known=len(run.state.ids) + len(absent)
        )
        if held:
            log.warning("deletes.held", walk=walk.name, held=held, advice="too many at once; check the vendor")
        if gone:
            cursor = self._sequencer.cursor(walk.name).value
            await self._sequencer.page(
                [Record(entity, id_, None, gone=True) for id_ in gone],
                [],
                walk=walk.name,
                cursor=cursor,
                part_cursor=cursor,
                cursor_alone=False,
                first_read=False,
                since=run.since,
            )


def _too_old(ask: Ask, record: Record) -> bool:
    """Whether the vendor gave more than was asked for, and the stream no longer knows whether it holds it."""
    if not ask.walk.once or ask.window is None or record.at_ms is None:
        return False
    return record.at_ms < ask.window.start_ms
