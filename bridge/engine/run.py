"""A pass under way: how it begins from a cursor, and which cursor covers what it has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio
import structlog

from bridge.core.bookmark import CUT, HEARD, Bookmark, Lasting, completed, fingerprint
from bridge.core.event import timestamp
from bridge.core.facts import Walk
from bridge.core.gap import Gap
from bridge.core.record import Json
from bridge.core.walk import AGAIN, Pass, forgotten_gap, page_sizes, window_of
from bridge.engine.departures import Inquiry

PAGES_TOLD = 10
"""After so many pages a pass that somebody waits for says how far it has come."""

KEPT_S = 60.0
"""So often a pass that takes longer stores how far it has come, whether anything has changed or not."""

log = structlog.get_logger()


@dataclass(slots=True)
class Run:
    """`since` is the sequencer's tick when it began. `waited_for`: it is the first, or an operator waits for it.

    `cut`: see `CUT`. `kept_at`: when its place was stored last, or it began.
    `inquiry`: who is asked for by id, once all pages are read; `lasting`: what the cursor must say after that.
    """

    walk: Walk
    state: Pass
    first_read: bool
    since: int
    completed_ms: int | None
    heard_ms: int | None
    forgotten: Gap | None
    again_from_ms: int | None = None
    waited_for: bool = False
    unreadable: int = 0
    restarts: int = 0
    waiting_since: float | None = None
    began_at: float = field(default_factory=anyio.current_time)
    cut: bool = False
    kept_at: float = field(default_factory=anyio.current_time)
    held: int = 0
    inquiry: Inquiry | None = None
    lasting: Lasting = Lasting()

    @property
    def shows_progress(self) -> bool:
        """Whether the cursor is to be stored after this page even if nothing has changed, as somebody waits for it."""
        return self.waited_for and not self.state.done and self.state.pages % PAGES_TOLD == 0

    def keeps_place(self) -> bool:
        """Whether the cursor is to be stored after this page in any case, as another life may have to go on from it."""
        now = anyio.current_time()
        if self.walk.once or self.walk.batch or self.state.done or now - self.kept_at < KEPT_S:
            return False
        self.kept_at = now
        return True

    def note_progress(self, source: str) -> None:
        """Log how far the pass has come, once in a while."""
        state = self.state
        if state.pages % PAGES_TOLD == 0 and not state.done:
            (log.info if self.waited_for else log.debug)(
                "walk.progress",
                walk=state.walk.name,
                rows=state.rows,
                total=state.total,
                pages=state.pages,
                seconds=round(anyio.current_time() - self.began_at),
                source=source,
            )

    def cursor_after(self, before: Mapping[str, Json], lasting: Lasting, heard_ms: int | None) -> Json:
        """The cursor that covers the page just read; the last page of a complete pass completes the walk.

        `before`: the cursor that lies there; `lasting`: what outlives the pass, if this is its end; `heard_ms`: until
        when what was pushed is stored, None: until now.
        """
        state = self.state
        if not state.done:
            return self.cursor(before, state.position if state.complete else None)
        if not state.complete:
            return before or self.cursor(before, None)
        return completed(state.started_ms, lasting, state.walk.page_size if state.coverage.used else None, heard_ms)

    def cursor(self, before: Mapping[str, Json], position: Json) -> Json:
        """The cursor in the middle of the pass."""
        state = self.state
        cursor: dict[str, Json] = {
            "pass_ms": state.started_ms,
            "position": position,
            "first_read": self.first_read,
            "page_size": state.walk.page_size,
            "rows": state.rows,
            "made_by": fingerprint(self.walk),
        }
        if state.total is not None:
            cursor["total"] = state.total
        if self.completed_ms is not None:
            cursor["completed_ms"] = self.completed_ms
            cursor["completed"] = timestamp(self.completed_ms)
        if self.heard_ms is not None:
            cursor[HEARD] = self.heard_ms
        if self.again_from_ms is not None:
            cursor[AGAIN] = self.again_from_ms
        if self.cut:
            cursor[CUT] = True
        return {**cursor, **Bookmark.read(before).lasting.data()}


def begin(
    walk: Walk,
    mark: Bookmark,
    *,
    now_ms: int,
    retention_s: float,
    since: int,
    first_read: bool,
    known: Sequence[str],
    resumes: bool,
) -> Run:
    """A pass over `walk`, from the beginning, or, if `resumes` and the cursor allows it, from where one was cut off."""
    resumed = resumes and mark.resumable(walk, now_ms)
    started_ms = mark.pass_ms if resumed and mark.pass_ms is not None else now_ms
    window = window_of(walk, started_ms, mark.completed_ms, retention_s=retention_s, again_from_ms=mark.again_from_ms)
    sized = replace(walk, page_size=_size(walk, mark))
    if resumed:
        state = Pass(sized, window, started_ms, known, position=mark.position, rows=mark.rows)
        log.info("pass.resumed", walk=walk.name, rows=mark.rows, since=timestamp(started_ms))
    else:
        state = Pass(sized, window, started_ms, known)
    return Run(
        walk=walk,
        state=state,
        first_read=first_read,
        since=since,
        completed_ms=mark.completed_ms,
        heard_ms=mark.heard_ms,
        forgotten=forgotten_gap(walk, started_ms, mark.completed_ms, retention_s),
        again_from_ms=mark.again_from_ms,
        waited_for=first_read or mark.due,
        cut=resumes and mark.pass_ms is not None,
    )


def _size(walk: Walk, mark: Bookmark) -> int:
    """How many rows a page holds: the size of the pass that was cut off, else the one after that of the last pass."""
    sizes, size = page_sizes(walk), mark.page_size
    if size is None or size not in sizes:
        return walk.page_size
    return size if mark.pass_ms is not None else sizes[(sizes.index(size) + 1) % len(sizes)]
