"""Pages of a list that knows no cursor and no order, by slices of creation time instead of by offset.

When a row was created never changes, so rows cannot move from one slice to another while others come and go. With
an offset they do: whatever is deleted before it makes the next page skip a row.

The list takes `limit`, `offset`, and `from` and `to` in milliseconds; whether those two are part of the interval need
not be known, as neighbouring slices overlap. A slice that is full is halved, after one that is nearly empty the next
is twice as long. Only a millisecond that is full by itself is read by offset: each page begins with the last row of
the one before, and where another row stands there, the millisecond is read again from its beginning.

A row without a readable time is in no slice. Where one was seen and the list is read by slices, it is kept, but there
may be more of them: such a pass proves no absence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from bridge.core.errors import CursorExpired, Retry
from bridge.core.facts import Ask, Page
from bridge.core.fields import LAST_MS
from bridge.core.record import Json

NEARLY_EMPTY = 4
"""A slice with less than this part of what fits makes the next one twice as long."""
TRIES = 10
"""How often one millisecond is read anew, as rows of it come and go or have no stable order, or a single row."""
LOOKS = 2
"""How often a short list is read anew, before it is read by slices."""
MONTH_MS = 30 * 86_400_000
"""A window is never asked for at once if it is longer: some lists refuse that."""
SLACK_MS = 1_000
"""Rows further outside of what was asked for are not there by rounding."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a pass stands. `stage`: "all", "end" (is there a row behind the last one?) or "slice".

    `low` to `high` is the slice, `high` not included; None: open. `top`: from here on the slice is open; `width`: of
    the next slice; `full`: so many rows make a full page. `seen` and `last`: for offsets, how many rows were read, and
    which was the last. `tries`: how often this was begun anew. `undated`: whether rows without a readable time were
    among those that "all" gave.
    """

    stage: str = "all"
    low: int | None = None
    high: int | None = None
    top: int = 0
    width: int = 1
    full: int = 0
    seen: int = 0
    last: str = ""
    tries: int = 0
    undated: bool = False

    @property
    def narrow(self) -> bool:
        """Whether it cannot be halved."""
        return self.high is not None and self.high - (self.low or 0) <= 1


@dataclass(frozen=True, slots=True)
class _Answer:
    """Rows and what is known of them. `newest`: the latest moment known (ms); `undated`: have no readable time."""

    rows: Sequence[Json]
    keys: Sequence[str]
    times: Sequence[int]
    undated: Sequence[Json]
    newest: int


def parameters(ask: Ask) -> dict[str, str]:
    """The query of the page that `ask` is about. Raises CursorExpired for a position that is none of `page`."""
    spot, start = _spot(ask), ask.window.start_ms if ask.window else None
    low, high = spot.low, spot.high
    if spot.stage != "slice":
        low, high = start, ask.window.end_ms if ask.window else None
    elif low is not None and low != start:
        # Where neither bound is part of the interval, this is what still finds a row at `low`.
        low -= 1
    # The second row shows that the first answer was not all there is. Behind a single row nothing may stand: a vendor
    # that gives one row at once would give that one again.
    is_end = spot.stage == "end"
    limit, offset = 2 if is_end else ask.walk.page_size, spot.seen - 1
    if is_end and spot.seen == 1:
        offset = 1
    told = {"limit": limit, "offset": offset if offset > 0 else None, "from": low, "to": high}
    return {name: str(value) for name, value in told.items() if value is not None}


def page(
    ask: Ask, rows: Sequence[Json], *, names: Sequence[str], at: str, now_ms: int | None, prove: bool = True
) -> Page:
    """The page that `rows`, the answer to `parameters(ask)`, are.

    A row is known by its fields `names`, and was created at its field `at` (ms). `now_ms`: the vendor's clock.
    `prove`: where fewer rows come than were asked for, make sure that they are not fewer because the vendor gives no
    more at once; it costs a request. Raises Retry where the list cannot be read this way.
    """
    spot, count = _spot(ask), len(rows)
    times = [time for row in rows if (time := _time(row, at)) is not None]
    undated = [row for row in rows if _time(row, at) is None]
    answer = _Answer(rows, [_key(row, names) for row in rows], times, undated, max([*times, now_ms or 0]))
    oldest, newest = min(times, default=0), answer.newest
    if spot.stage == "all":
        if count >= ask.walk.page_size:
            return _follow(undated, _first(ask, ask.walk.page_size, oldest, newest), proves=not undated)
        if not count or not prove:
            return Page(rows)
        # What the second look needs of the first one, should it show that there is more.
        known = replace(spot, stage="end", low=oldest, top=newest, seen=count, last=answer.keys[-1])
        return _follow(rows, replace(known, undated=bool(undated)))
    return _end(ask, spot, answer) if spot.stage == "end" else _slice(ask, spot, answer)


def _end(ask: Ask, spot: _Spot, answer: _Answer) -> Page:
    keys = answer.keys
    if spot.seen == 1:
        if not keys:
            return Page([])
        if keys == [spot.last]:
            # Offsets seem to be ignored. That there is more is no likelier than that this row is all there is.
            return Page([], proves_absence=False)
        if spot.tries >= TRIES:
            raise _single(ask)
    elif keys == [spot.last]:
        return Page([])
    elif len(keys) > 1 or spot.tries >= LOOKS:
        first = _first(ask, spot.seen, spot.low or 0, max(answer.newest, spot.top))
        return _follow(answer.rows, first, proves=not (spot.undated or answer.undated))
    return _follow(answer.rows, _Spot(tries=spot.tries + 1))


def _first(ask: Ask, full: int, oldest: int, newest: int) -> _Spot:
    """The first slice: what is older than the rows that were seen, in case that they are the newest."""
    low = ask.window.start_ms if ask.window else None
    top = ask.window.end_ms if ask.window else newest + 1
    base = low or 0
    inside = base < oldest < top
    high = oldest if inside else base + max(1, (top - base) // 2)
    width = max(1, (newest + 1 - oldest) // 2) if inside else high - base
    return _Spot("slice", low, high, max(top, high), width, full)


def _slice(ask: Ask, spot: _Spot, answer: _Answer) -> Page:
    rows, count, base = answer.rows, len(answer.rows), spot.low or 0
    is_full = count >= spot.full
    # As many as ever came at once fit at least, whatever was concluded before.
    spot = replace(spot, full=min(ask.walk.page_size, max(spot.full, count)))
    if spot.seen:
        if answer.keys[:1] != [spot.last]:
            if spot.tries >= TRIES:
                raise Retry(
                    f"walk {ask.walk.name}: more rows of one millisecond than one answer holds, and their order did "
                    f"not stay the same for {TRIES} readings"
                )
            return _follow(rows, replace(spot, seen=0, last="", tries=spot.tries + 1))
        return _offset(ask, spot, answer) if is_full else _next(ask, spot, rows)
    if not is_full:
        return _next(ask, spot, rows)
    if not spot.narrow:
        top = spot.top
        if spot.high is None:
            top = max(answer.newest + 1, base + 2 * spot.width)
        high = base + max(1, ((top if spot.high is None else spot.high) - base) // 2)
        return _follow(answer.undated, replace(spot, high=high, top=top, width=high - base), proves=not answer.undated)
    inside = sum(base - SLACK_MS <= time <= base + SLACK_MS for time in answer.times)
    # A single row may be there by chance, as one with time 0 is.
    if len(answer.times) - inside >= inside:
        raise Retry(
            f"walk {ask.walk.name}: the vendor gives other rows than those `from` and `to` ask for, or a whole page "
            "of rows without a readable time of creation"
        )
    return _offset(ask, spot, answer)


def _offset(ask: Ask, spot: _Spot, answer: _Answer) -> Page:
    if spot.full < 2:
        raise _single(ask)
    seen = max(0, spot.seen - 1) + len(answer.rows)
    return _follow(answer.rows, replace(spot, seen=seen, last=answer.keys[-1]), proves=not answer.undated)


def _single(ask: Ask) -> Retry:
    return Retry(f"walk {ask.walk.name}: the vendor gives a single row at once, which is too few to go on by")


def _next(ask: Ask, spot: _Spot, rows: Sequence[Json]) -> Page:
    """After a slice that was read to its end."""
    low = spot.high
    if low is None or (ask.window and low >= ask.window.end_ms):
        return Page(rows, repeats=True)
    longest = MONTH_MS if ask.window else LAST_MS
    width = min(spot.width * 2, longest) if len(rows) * NEARLY_EMPTY < spot.full else spot.width
    high: int | None = min(low + width, spot.top)
    if low >= spot.top:
        high = None
    return _follow(rows, _Spot("slice", low, high, spot.top, width, spot.full))


def _follow(rows: Sequence[Json], spot: _Spot, *, proves: bool = True) -> Page:
    return Page(rows, asdict(spot), repeats=True, proves_absence=proves)


def _spot(ask: Ask) -> _Spot:
    if ask.position is None:
        if ask.window and ask.window.end_ms - ask.window.start_ms > MONTH_MS:
            start, full = ask.window.start_ms, ask.walk.page_size
            return _Spot("slice", start, start + MONTH_MS, ask.window.end_ms, MONTH_MS, full)
        return _Spot()
    try:
        return _Spot(**ask.position)
    except TypeError:
        raise CursorExpired(f"walk {ask.walk.name}: the position is none of a list read by slices") from None


def _key(row: Json, names: Sequence[str]) -> str:
    """Tells rows apart. A digest: it enters the position, which is stored, and a row can be about anybody."""
    known = repr([row.get(name) for name in names] if isinstance(row, dict) else row)
    return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()


def _time(row: Json, at: str) -> int | None:
    value = row.get(at) if isinstance(row, dict) else None
    is_time = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LAST_MS
    return int(value) if is_time else None  # type: ignore[arg-type]
