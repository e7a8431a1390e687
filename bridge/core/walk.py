"""One pass over a collection: what to ask for next, and when it is over. Paging that cannot end is an error."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.errors import Retry
from bridge.core.facts import Ask, Page, Walk, Window
from bridge.core.record import Json

MOST_PAGES = 100_000
"""A pass with more pages than this is not going to end."""


class Stuck(Retry):
    """The vendor's paging does not advance: the pass is given up and a new one begins."""


def window_of(walk: Walk, now_ms: int, completed_ms: int | None) -> Window | None:
    """The window of a pass that starts at `now_ms`; None when the walk reads everything.

    It reaches back from the last complete pass, not from now: whatever was inside the look-back while nobody
    looked is read again. Both ends are widened by the overlap.
    """
    if walk.reach_s is None:
        return None
    since_ms = now_ms if completed_ms is None else min(now_ms, completed_ms)
    return Window(
        start_ms=since_ms - round((walk.reach_s + walk.overlap_s) * 1000),
        end_ms=now_ms + round(walk.overlap_s * 1000),
    )


class Pass:
    """The state of one pass. `ask` says what to read, `take` is told what came.

    `started_ms` is the wall time when it began; `ids` are the entities seen; `complete` turns False when the
    vendor said that it was still loading: such a pass proves no absence and moves no cursor.
    """

    def __init__(self, walk: Walk, window: Window | None, started_ms: int) -> None:
        self.walk = walk
        self.window = window
        self.started_ms = started_ms
        self.position: Json = None
        self.ids: set[str] = set()
        self.pages = 0
        self.rows = 0
        self.complete = True
        self.done = False
        self._positions: set[str] = set()

    def ask(self) -> Ask:
        """The next page to read."""
        return Ask(self.walk, self.window, self.position)

    def take(self, page: Page, ids: Sequence[str]) -> None:
        """Account for a page whose readable rows had these ids (unreadable ones count in `page.rows` only).

        Raises Stuck when the page claims that more follows and does not advance.
        """
        fresh = [id_ for id_ in ids if id_ not in self.ids]
        self.complete = self.complete and page.complete
        if page.next is not None:
            position = repr(page.next)
            if position in self._positions or (ids and not fresh) or self.pages >= MOST_PAGES:
                raise Stuck(
                    f"walk {self.walk.name}: page {self.pages + 1} says that more follows but does not advance "
                    f"({len(page.rows)} rows, none of them new, or a position seen before, or more than "
                    f"{MOST_PAGES} pages); the pass starts over"
                )
            self._positions.add(position)
        self.ids.update(fresh)
        self.pages += 1
        self.rows += len(page.rows)
        self.position = page.next
        # An empty page that names a next one is not the end: some vendors filter after they have cut the page.
        self.done = page.next is None
