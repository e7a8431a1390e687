"""Pages that are asked for by their number, of rows in the order of their ids: what each of them proves.

Rows may move between two requests, so pages do not add up to a whole. But one answer is one look: between its first and
its last row it shows all there is. `Page.covers` says so, and absence is concluded from nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from bridge.core.facts import Ask, Page
from bridge.core.record import Json
from bridge.core.resource import Resource, onward, part, place

_DIGITS = re.compile(r"[0-9]{1,18}")
_MOST = 10**18


def whole(value: Json) -> int | None:
    """A whole number that is not negative, also where it is spelled as text; None for all else."""
    if type(value) is int:
        # As a rule: rows come by the hundred thousand.
        return value if 0 <= value < _MOST else None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    # Comparing first also keeps NaN and the infinities away from int().
    if isinstance(value, float) and 0 <= value < _MOST and value == int(value):
        return int(value)
    return None


def number(ask: Ask) -> int:
    """Which page of its part is asked for, counted from 1."""
    return whole(place(ask)) or 1


def page(resource: Resource, ask: Ask, rows: Sequence[Json], *, total: int | None, size: int) -> Page:
    """One page of rows in ascending order of `resource.id`, of at most `size` of them.

    `total`: how many rows the vendor counts in this part. A page that is full is followed by another, whatever the
    vendor counts; so is a shorter one, if it counts more: only an empty page is the end then.
    """
    at = number(ask)
    ends = not rows or (len(rows) < size and (total is None or total <= (at - 1) * size + len(rows)))
    ids = [whole(row.get(resource.id)) if isinstance(row, dict) else None for row in rows]
    known = [id_ for id_ in ids if id_ is not None]
    ordered = len(known) == len(ids) and all(before < after for before, after in pairwise(known))
    covers: tuple[int | None, int | None] | None = None
    if rows and ordered:
        # A short page may be one that the vendor has cut: that nothing follows its last row only a count can tell.
        covers = (None if at == 1 else known[0], None if ends and total is not None else known[-1])
    elif at == 1 and not rows:
        covers = (None, None)
    return Page(
        rows=rows,
        next=onward(resource, ask, None if ends else at + 1),
        repeats=ends,  # where rows have moved back by one, the last page of a part may hold nothing new
        # After others an empty page shows nothing more than they did, which is no disorder.
        proves_absence=ordered or not rows,
        total=total,
        covers=covers,
        part=part(resource, ask),
    )


def newest(resource: Resource, ask: Ask, rows: Sequence[Json], *, total: int | None) -> Page:
    """The first page of rows in descending order of `resource.id`: what it shows is all that it says."""
    ids = [id_ for row in rows if isinstance(row, dict) and (id_ := whole(row.get(resource.id))) is not None]
    evidence = {"newest": max(ids, default=None), "total": total, "part": part(resource, ask)}
    return Page(
        rows=rows, next=onward(resource, ask, None), repeats=True, proves_absence=False, total=None, evidence=evidence
    )
