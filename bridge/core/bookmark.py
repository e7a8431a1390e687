"""What a walk's cursor says: when it was last complete, where a pass stands, and what must outlive both.

A cursor is a JSON object in the stream, which anybody may have written: whatever cannot be read counts as absent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.core.event import timestamp
from bridge.core.facts import Walk
from bridge.core.fields import LAST_MS
from bridge.core.record import Json
from bridge.core.walk import AGAIN

HELD = "held"
"""In a cursor: so many deletes are held back, and wait for an operator."""
ACCEPTED = "accepted"
"""In a cursor: an operator has agreed to so many deletes, until they are published or held no more."""
ABSENT = "absent"
"""In a cursor: whom the last look did not find (`ids`), and which walk had looked (`by`: its `way`)."""
MOST_ABSENT = 500
"""So many are remembered, or none: of more at once the brake could not tell how many there are."""
MOST_ABSENT_BYTES = 16_384
"""Nor more than this of their ids, in UTF-8: the cursor is written with every page, and must fit into a message."""
CUT = "cut"
"""In a cursor: the pass under way took the place of one that was cut off, so it goes on if that happens to it, too."""
HEARD = "heard_ms"
"""In a cursor: until when all that was pushed was stored as the last pass ended, if that is before it had begun."""
RESUME_S = 86_400.0
"""A pass that was cut off goes on where it was if it began less than so long ago."""


_LASTING = (HELD, ACCEPTED, "evidence", "woke_ms", ABSENT)


def _size(id_: str) -> int:
    return len(id_.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Lasting:
    """What stays in the cursor from one pass to the next.

    `held` and `accepted`: see `HELD`, `ACCEPTED`. `evidence`: a digest of what a probe saw last; `woke_ms`: when that
    changed last, in milliseconds since the Unix epoch. `absent` and `absent_by`: see `ABSENT`.
    """

    held: int = 0
    accepted: int | None = None
    evidence: str = ""
    woke_ms: int | None = None
    absent: tuple[str, ...] = ()
    absent_by: str = ""

    def still(self, count: int) -> Lasting:
        """So many of the deletes that were accepted are still to come."""
        return replace(self, held=count, accepted=count)

    def missing(self, absent: Collection[str], by: str) -> Lasting:
        """With these as absent, for a walk that goes this `way`; with none where they are too many."""
        few = len(absent) <= MOST_ABSENT and sum(map(_size, absent)) <= MOST_ABSENT_BYTES
        kept = tuple(sorted(absent)) if few else ()
        return replace(self, absent=kept, absent_by=by if kept else "")

    def data(self) -> dict[str, Json]:
        """As in a cursor, without what says nothing."""
        said: dict[str, Json] = {HELD: self.held or None, ACCEPTED: self.accepted, "evidence": self.evidence or None}
        said[ABSENT] = {"by": self.absent_by, "ids": list(self.absent)} if self.absent else None
        return {key: value for key, value in {**said, "woke_ms": self.woke_ms}.items() if value is not None}

    def onto(self, value: Mapping[str, Json]) -> dict[str, Json]:
        """A cursor with this in the place of what it said of it."""
        return {**{key: said for key, said in value.items() if key not in _LASTING}, **self.data()}


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A cursor, read. Times are milliseconds since the Unix epoch.

    `first_read`: whether the pass under way is the walk's first; None: no pass is under way, or none that the stream
    knows of. `page_size`: of the pass under way, else of the last one of a walk whose pages cover ranges. `rows`:
    read so far. `made_by`: see `fingerprint`. `cut`: see `CUT`. `heard_ms`: see `HEARD`.
    """

    completed_ms: int | None = None
    heard_ms: int | None = None
    again_from_ms: int | None = None
    pass_ms: int | None = None
    position: Json = None
    first_read: bool | None = None
    page_size: int | None = None
    rows: int = 0
    made_by: str = ""
    cut: bool = False
    lasting: Lasting = Lasting()

    @staticmethod
    def read(value: Mapping[str, Json]) -> Bookmark:
        """What a cursor says."""
        evidence, made_by = value.get("evidence"), value.get("made_by")
        return Bookmark(
            completed_ms=_moment(value.get("completed_ms")),
            heard_ms=_moment(value.get(HEARD)),
            again_from_ms=_moment(value.get(AGAIN)),
            pass_ms=_moment(value.get("pass_ms")),
            position=value.get("position"),
            first_read=bool(value["first_read"]) if "first_read" in value else None,
            page_size=_count(value.get("page_size")),
            rows=_count(value.get("rows")) or 0,
            made_by=made_by if isinstance(made_by, str) else "",
            cut=value.get(CUT) is True,
            lasting=Lasting(
                held=_count(value.get(HELD)) or 0,
                accepted=_count(value.get(ACCEPTED)),
                evidence=evidence if isinstance(evidence, str) else "",
                woke_ms=_moment(value.get("woke_ms")),
                **_absent(value.get(ABSENT)),
            ),
        )

    @property
    def due(self) -> bool:
        """Whether an operator waits for the walk to be read."""
        return self.again_from_ms is not None or self.lasting.accepted is not None

    def resumable(self, walk: Walk, now_ms: int) -> bool:
        """Whether the walk's pass was cut off and is to go on at `position`: its first, or one after another such.

        Any other begins anew, as only a whole pass proves who is not there; but the end must be read some time.
        """
        if not (self.first_read or self.cut) or self.position is None or self.pass_ms is None:
            return False
        if self.again_from_ms is not None:
            return False
        recent = 0 <= now_ms - self.pass_ms <= RESUME_S * 1000
        return recent and not walk.batch and not walk.once and self.made_by == fingerprint(walk)


def fingerprint(walk: Walk) -> str:
    """Names a walk with all it asks for: a position means nothing to a walk that asks otherwise."""
    return hashlib.blake2b(repr(walk).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def way(walk: Walk) -> str:
    """Names a walk with all that decides whom it finds. Its pages have other sizes from pass to pass."""
    return fingerprint(replace(walk, page_size=0))


def completed(
    started_ms: int, lasting: Lasting, page_size: int | None = None, heard_ms: int | None = None
) -> dict[str, Json]:
    """The cursor of a walk whose pass is complete; `page_size`: of one whose pages cover ranges."""
    sizes = {} if page_size is None else {"page_size": page_size}
    heard = {HEARD: heard_ms} if heard_ms is not None and heard_ms < started_ms else {}
    return {"completed_ms": started_ms, "completed": timestamp(started_ms), **heard, **sizes, **lasting.data()}


def _absent(value: Json) -> dict[str, Any]:
    by, ids = (value.get("by"), value.get("ids")) if isinstance(value, dict) else (None, None)
    if not isinstance(by, str) or not isinstance(ids, list) or len(ids) > MOST_ABSENT:
        return {}
    return {"absent": tuple(ids), "absent_by": by} if all(isinstance(id_, str) for id_ in ids) else {}


def _moment(value: Json) -> int | None:
    """A time a cursor holds; None for what only somebody else can have written there."""
    return value if type(value) is int and 0 <= value <= LAST_MS else None


def _count(value: Json) -> int | None:
    return value if type(value) is int and 0 <= value <= LAST_MS else None
