"""What a pass over rows sorted by number has shown to be empty: ranges of ids, in every part of the collection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Sequence
from typing import NamedTuple

from bridge.core.facts import Page

MOST_DIGITS = 30


class _Range(NamedTuple):
    """What one page covers (`start`, `end`; None: without end), and the first and last row that it showed."""

    start: int | None
    end: int | None
    first: int | None
    last: int | None


class Coverage:
    """The ranges that the pages of one pass cover.

    `used`: some page covered something. `disorder`: why the vendor's order cannot be believed, "" if it can: then
    the pass proves nothing.
    """

    def __init__(self) -> None:
        self.used = False
        self.disorder = ""
        self._parts: dict[str, list[_Range]] = {}

    def add(self, page: Page, ids: Sequence[str], seen: Container[str]) -> None:
        """Account for a page whose rows had these ids, in their order. `seen`: those of the pages before."""
        ranges = self._parts.setdefault(page.part, [])
        if page.covers is None:
            return
        self.used = True
        start, end = page.covers
        numbers = [whole(id_) for id_ in ids]
        shown = [number for number in numbers if number is not None]
        before = ranges[-1] if ranges else None
        self.disorder = self.disorder or _disorder(start, end, numbers, before, seen)
        ranges.append(_Range(start, end, shown[0] if shown else None, shown[-1] if shown else None))

    def proves(self, id_: str, closed: Container[str] = ()) -> bool:
        """Whether this id, which no page held, lies where every part has shown all there is.

        `closed`: parts whose open ends prove nothing, since fewer rows came than the vendor counts.
        """
        number = whole(id_)
        if number is None or self.disorder or not self._parts:
            return False
        return all(_covered(number, ranges, part in closed) for part, ranges in self._parts.items())


def whole(id_: str) -> int | None:
    """The whole number that an id is; None if it is none, or is not spelt as one."""
    # Asked of every row; a pattern takes twice as long.
    plain = id_.isascii() and id_.isdigit() and (id_[0] != "0" or id_ == "0") and len(id_) <= MOST_DIGITS
    return int(id_) if plain else None


def _covered(number: int, ranges: Sequence[_Range], closed: bool) -> bool:
    # Ranges ascend, but may overlap by some rows: the one before may reach further than the last that begins in time.
    at = bisect_right(ranges, number, key=lambda range_: -1 if range_.start is None else range_.start)
    return any(_holds(range_, number, closed) for range_ in ranges[max(0, at - 2) : at])


def _holds(range_: _Range, number: int, closed: bool) -> bool:
    start, end, first, last = range_
    if closed:
        if first is None or last is None:
            return False
        start, end = first if start is None else start, last if end is None else end
    return (start is None or start <= number) and (end is None or number <= end)


def _disorder(
    start: int | None, end: int | None, numbers: Sequence[int | None], before: _Range | None, seen: Container[str]
) -> str:
    """What is wrong with a page, after the one `before` of the same part; "" if nothing is."""
    if start is not None and end is not None and start > end:
        return f"a page covers {start} to {end}, which is nothing"
    last = None
    for number in numbers:
        if number is None:
            return "a row's id is no whole number"
        if last is not None and number <= last:
            return f"row {number} came after row {last} on one page"
        if (start is not None and number < start) or (end is not None and number > end):
            return f"row {number} lies outside of what its page says that it covers"
        last = number
    if before is None:
        return ""
    if before.end is None:
        return "a page followed one that covers all that comes after it"
    if start is None:
        return "a later page covers all that comes before it"
    if before.start is not None and start < before.start:
        return f"a page that begins at {start} came after one that begins at {before.start}"
    if end is not None and end < before.end:
        return f"a page that ends at {end} came after one that ends at {before.end}"
    for number in numbers:
        if number is not None and before.last is not None and number <= before.last and str(number) not in seen:
            return f"row {number} came after row {before.last}, on a later page"
    return ""
