"""Positions in a feed whose rows each carry a cursor, where nothing but the rows says whether more follow."""

from __future__ import annotations

from bridge.core.errors import Retry
from bridge.core.event import timestamp
from bridge.core.facts import Ask
from bridge.core.record import Json

LONGEST_CURSOR = 16_384
"""Bytes in UTF-8. A vendor's cursor is sent back as it came; a longer one is none."""


def cursor(ask: Ask) -> str | None:
    """The cursor to go on from; None for the first page."""
    found = ask.position.get("cursor") if isinstance(ask.position, dict) else None
    return found if isinstance(found, str) else None


def fits(text: str, most: int) -> bool:
    """Whether a vendor's text can be sent back: it can be spelled in UTF-8 (no half of a surrogate pair), briefly."""
    try:
        return len(text) <= most and len(text.encode()) <= most
    except UnicodeEncodeError:
        return False


def following(ask: Ask, rows: int, last: Json, total: Json = None) -> Json:
    """The position after a page of `rows` rows whose last row has the cursor `last`; None at the end.

    The end is an empty page, or one shorter than asked for, unless the vendor counts more rows than were seen
    (`total`): it may allow shorter pages than we ask for, and stopping there would lose the rest in silence.
    Raises Retry where more follows but the page does not say from where, or does not advance.
    """
    seen = rows + (ask.position.get("seen", 0) if isinstance(ask.position, dict) else 0)
    counted = total if isinstance(total, (int, float)) and not isinstance(total, bool) else 0
    if not rows or (rows < ask.walk.page_size and seen >= counted):
        return None
    if not isinstance(last, str) or not last:
        raise Retry(f"walk {ask.walk.name}: more rows follow, but the last row of the page has no cursor")
    if not fits(last, LONGEST_CURSOR):
        raise Retry(
            f"walk {ask.walk.name}: more rows follow, but the cursor of the page's last row is not UTF-8 of at most "
            f"{LONGEST_CURSOR} bytes"
        )
    if last == cursor(ask):
        raise Retry(f"walk {ask.walk.name}: the page ends at the cursor it was asked to start after")
    return {"cursor": last, "seen": seen}


def inside(ask: Ask, scope: str | None, *stamps: str | None) -> bool:
    """Whether a record of this scope and these times (RFC 3339, UTC) must have been listed in the window asked for.

    The overlap at both ends does not count: it is there because nobody knows where exactly the vendor cuts.
    """
    if scope != ask.walk.scope or ask.window is None or not all(stamps):
        return False
    overlap_ms = round(ask.walk.overlap_s * 1000)
    start, end = timestamp(ask.window.start_ms + overlap_ms), timestamp(ask.window.end_ms - overlap_ms)
    return all(start <= stamp <= end for stamp in stamps if stamp)
