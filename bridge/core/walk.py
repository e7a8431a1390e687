"""One pass over a collection: what to ask for next, and when it is over. Paging that cannot end is an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, count

from bridge.core.coverage import Coverage
from bridge.core.errors import Retry
from bridge.core.facts import Ask, Page, Walk, Window
from bridge.core.gap import Gap
from bridge.core.record import Json

MOST_PAGES = 100_000
"""A pass with more pages than this is not going to end."""

AGAIN = "again_from_ms"
"""In a cursor: an operator wants everything since then read again (ms since the Unix epoch), until a pass has."""


class Stuck(Retry):
    """The vendor's paging does not advance: the pass is given up and a new one begins."""


MARGIN_SHARE = 0.1
LONGEST_MARGIN_S = 86_400.0
"""What a stream is about to forget no longer counts as remembered: a pass takes its time, and clocks differ."""


def horizon_ms(walk: Walk, now_ms: int, retention_s: float) -> int | None:
    """How far back a pass of what occurs once may read, as the stream remembers no more; None: as far as it likes."""
    if not walk.once or retention_s == math.inf:
        return None
    margin_s = min(retention_s * MARGIN_SHARE, LONGEST_MARGIN_S)
    return now_ms - round((retention_s - margin_s) * 1000)


def window_of(
    walk: Walk,
    now_ms: int,
    completed_ms: int | None,
    *,
    retention_s: float = math.inf,
    again_from_ms: int | None = None,
) -> Window | None:
    """The window of a pass that starts at `now_ms`; None when the walk reads everything.

    It reaches back from the last complete pass, not from now: whatever was inside the look-back while nobody
    looked is read again. Both ends are widened by the overlap. What occurs once is never read further back than the
    stream remembers it (`retention_s`). `again_from_ms`: an operator wants everything since then read again (0: all).
    """
    horizon = horizon_ms(walk, now_ms, retention_s)
    if walk.reach_s is None:
        return None if horizon is None else Window(horizon, now_ms + round(walk.overlap_s * 1000))
    since_ms = min(ms for ms in (now_ms, completed_ms, again_from_ms) if ms is not None)
    start_ms = since_ms - round((walk.reach_s + walk.overlap_s) * 1000)
    if again_from_ms is not None:
        start_ms = max(start_ms, 0)
    return Window(
        start_ms=start_ms if horizon is None else max(start_ms, horizon),
        end_ms=now_ms + round(walk.overlap_s * 1000),
    )


def forgotten_gap(walk: Walk, now_ms: int, completed_ms: int | None, retention_s: float) -> Gap | None:
    """What a pass that starts at `now_ms` may no longer read, though nobody has looked there; None if nothing."""
    horizon = horizon_ms(walk, now_ms, retention_s)
    if horizon is None or completed_ms is None or completed_ms >= horizon:
        return None
    return Gap(walk.name, "the stream no longer remembers what it holds from then", completed_ms, horizon)


SIZES = 3
"""Pages of so many sizes take turns, where they cover ranges."""


def page_sizes(walk: Walk) -> Sequence[int]:
    """The page sizes of consecutive passes of a walk whose pages cover ranges, over and over.

    What lies between the last row of one page and the first of the next is shown by neither. With another size the
    pages end elsewhere. No two have a common divisor: so of the places between two rows two sizes share few, and all
    of them next to none. Vendors set an upper bound to sizes, so they grow only where there are none below.
    """
    sizes = [walk.page_size]
    smaller, larger = range(walk.page_size - 1, 1, -1), count(max(2, walk.page_size + 1))
    for size in chain(smaller, larger):
        if len(sizes) == SIZES:
            break
        if all(math.gcd(size, other) == 1 for other in sizes):
            sizes.append(size)
    return sizes


class Pass:
    """The state of one pass. `ask` says what to read, `take` is told what came.

    `started_ms` is the wall time when it began; `ids` are the entities seen; `complete` turns False when the
    vendor said that it was still loading: such a pass proves no absence and moves no cursor.
    `proves_absence` turns False when a page said that the pass cannot see all there is. `coverage`: the ranges its
    pages covered. `evidence`: what they said that another walk goes by.
    """

    def __init__(
        self,
        walk: Walk,
        window: Window | None,
        started_ms: int,
        known: Sequence[str] = (),
        *,
        position: Json = None,
        rows: int = 0,
    ) -> None:
        """`known`: the entities to read, for a walk that reads them by id.

        `position`, `rows`: where a pass that was cut off goes on, and how many rows it had read by then.
        """
        self.walk = walk
        self.window = window
        self.started_ms = started_ms
        self.position: Json = position
        self.ids: set[str] = set()
        self.pages = 0
        self.rows = rows
        self.complete = True
        self.proves_absence = True
        self.done = False
        self.resumed = position is not None
        self.coverage = Coverage()
        self.evidence: list[Json] = []
        self._positions: set[str] = set()
        self._known = known
        self._asked = 0
        self._before = 0
        self._totals: dict[str, int] = {}
        self._shown: dict[str, int] = {}
        self._wavered = False

    def anew(self) -> Pass:
        """The same pass from its beginning."""
        return Pass(self.walk, self.window, self.started_ms, self._known)

    def ask(self) -> Ask:
        """The next page to read."""
        return Ask(self.walk, self.window, self.position, self._known[self._asked : self._asked + self.walk.batch])

    @property
    def total(self) -> int | None:
        """How many rows the vendor says there are, in the parts read so far; None: it does not say."""
        return sum(self._totals.values()) if self._totals else None

    @property
    def skipped(self) -> bool:
        """Whether rows may have been passed over: the vendor's total changed meanwhile, or fewer came than it says."""
        return self._wavered or (not self.resumed and bool(self._short()))

    def proves(self, id_: str) -> bool:
        """Whether this complete pass, which did not hold this entity, proves that it was not there."""
        if not (self.complete and self.proves_absence):
            return False
        if self.coverage.used:
            # Where fewer rows came than the vendor counts, nobody knows on which side of a page the others lie.
            return self.coverage.proves(id_, self._totals if self.resumed else self._short())
        return not self.resumed and not self.skipped

    def take(self, page: Page, ids: Sequence[str], listed: Sequence[str] | None = None) -> None:
        """Account for a page whose readable rows had these ids (unreadable ones count in `page.rows` only).

        `listed`: the ids as the vendor spells them, in the order of the rows, where that differs from `ids`.
        Raises Stuck when the page claims that more follows and does not advance.
        """
        fresh = [id_ for id_ in ids if id_ not in self.ids]
        self.complete = self.complete and page.complete
        self.proves_absence = self.proves_absence and page.proves_absence
        self.position = page.next if self.walk.of or not self.walk.batch else None
        if self.position is not None:
            position, pages = repr(page.next), self.pages - self._before
            stale = bool(ids) and not fresh and not page.repeats
            if position in self._positions or stale or pages >= MOST_PAGES:
                raise Stuck(
                    f"walk {self.walk.name}: page {pages + 1} says that more follows but does not advance "
                    f"({len(page.rows)} rows, none of them new, or a position seen before, or more than "
                    f"{MOST_PAGES} pages); the pass starts over"
                )
            self._positions.add(position)
        self.coverage.add(page, ids if listed is None else listed, self.ids)
        self._count(page, len(set(fresh)) + len(page.rows) - len(ids))
        self.ids.update(fresh)
        self.pages += 1
        self.rows += len(page.rows)
        if page.evidence is not None:
            self.evidence.append(page.evidence)
        if self.walk.batch and self.position is None:
            self._on()
        # An empty page that names a next one is not the end: some vendors filter after they have cut the page.
        self.done = self.position is None and (not self.walk.batch or self._asked >= len(self._known))

    def _count(self, page: Page, rows: int) -> None:
        self._shown[page.part] = self._shown.get(page.part, 0) + rows
        if page.total is not None:
            self._wavered = self._wavered or self._totals.get(page.part, page.total) != page.total
            self._totals[page.part] = page.total

    def _short(self) -> set[str]:
        """The parts of which fewer rows came than the vendor says there are."""
        return {part for part, total in self._totals.items() if self._shown.get(part, 0) < total}

    def _on(self) -> None:
        """To the next of the known entities."""
        self._asked = min(self._asked + self.walk.batch, len(self._known))
        if not self.walk.of:
            self.position = self._asked if self._asked < len(self._known) else None
            return
        # What belongs to one does not belong to another: nothing of it need be remembered.
        self._positions.clear()
        self.ids.clear()
        self._before = self.pages
