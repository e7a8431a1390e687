"""Pages of the pcvisit sandbox's session history: cursors, cutting, and pages that are wrong on purpose."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bridge.sandbox.faults import SHAPES, Fault
from bridge.sandbox.pcvisit_world import Company

EDITED: Final = frozenset(
    {"id", "name", "state", "sessionFinishedAt", "duration", "customDuration", "invoiceState", "participants"}
)
"""The fields that changes touch. A query that leaves one out is not told of the version it is served."""


class CursorRefused(Exception):
    """A cursor that is not ours, or belongs to another query."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What was asked for: of whom, which time frame, from which position, how many rows at most."""

    company: Company
    start_ms: int | None
    end_ms: int | None
    position: int
    length: int
    cursor: str = ""

    def mark(self, position: int) -> str:
        """The cursor that stands for a position in the sorted rows of this query."""
        query = f"{self.company.uuid}|{self.start_ms}|{self.end_ms}|{position}"
        return f"cursor_{hashlib.blake2b(query.encode(), digest_size=4).hexdigest()}{position:x}"

    def at_cursor(self, cursor: str) -> Cut:
        """The same query from a cursor on. Raises CursorRefused."""
        digits = cursor.removeprefix("cursor_")[8:]
        position = int(digits, 16) if digits and set(digits) <= set("0123456789abcdef") else -1
        if position < 0 or self.mark(position) != cursor:
            raise CursorRefused
        return Cut(self.company, self.start_ms, self.end_ms, position, self.length, cursor)


@dataclass(slots=True)
class Served:
    """A page in the making: under which name it stands in the answer, and which versions its rows are.

    `ids` and `seqs` run parallel to the rows; a seq of 0 means that the row no longer shows its version.
    """

    name: str
    ids: list[str]
    seqs: list[int]


def page(
    cut: Cut, fault: Fault | None, *, newest_first: bool, since_ms: int, name: str
) -> tuple[dict[str, Any], Served]:
    """One page in the vendor's shape, by `sessionCreatedAt` and id, and what it serves.

    A position counts rows of the data set as it is now: when a late row comes in before it, the rows move on
    by one, and the last row of the page before is served again.
    """
    company = cut.company
    low, high = company.window(cut.start_ms, cut.end_ms)
    kind = fault.kind if fault else ""
    total = (high - low) // 2 if kind == "loading" else high - low
    start = cut.position
    if kind == "repeat":
        start = max(0, start - cut.length)
    elif kind == "overlap" and fault:
        start = max(0, start - min(2 if fault.rows is None else fault.rows, cut.length - 1))
    places = range(start, min(start + cut.length, total))
    ids = [company.order[high - 1 - place if newest_first else low + place][1] for place in places]
    shown = cut.position if kind == "repeat" else start
    nodes = [
        {"cursor": cut.cursor if kind == "stuck" else cut.mark(shown + n), "value": company.sessions[id_]}
        for n, id_ in enumerate(ids, 1)
    ]
    answer = {
        "__typename": "SessionProtocolEdge",
        "nodes": nodes,
        "totalCount": total,
        "batchLoadingIsStillActive": kind == "loading",
        "reportingActiveSince": since_ms,
    }
    return answer, Served(name, ids, [company.version[id_] for id_ in ids])


def spoil(fault: Fault, nodes: list[Any], served: Served, rng: random.Random) -> None:
    """Apply a fault of stage `rows` to the rows of an answer, which has at least one."""
    if fault.kind == "doubled":
        nodes.insert(1, nodes[0])
        served.ids.insert(1, served.ids[0])
        served.seqs.insert(1, served.seqs[0])
        return
    if fault.id:
        places = [place for place, id_ in enumerate(served.ids) if id_ == fault.id]
    else:
        places = rng.sample(range(len(nodes)), min(1 if fault.rows is None else fault.rows, len(nodes)))
    for place in places:
        served.seqs[place] = 0
        shape = fault.shape or rng.choice(SHAPES)
        if shape == "nan_literal":
            served.seqs[:] = [0] * len(served.seqs)
        nodes[place] = _unreadable(shape, nodes[place])


def _unreadable(shape: str, node: dict[str, Any]) -> dict[str, Any]:
    value: Any = node.get("value") or {}
    match shape:
        case "null_id":
            value = {**value, "id": None}
        case "wrong_types":
            value = {**value, "sessionCreatedAt": "yesterday", "participants": "none", "duration": {"ms": 5}}
        case "text_nan":
            value = {**value, "sessionCreatedAt": "NaN", "duration": "NaN"}
        case "nan_literal":
            value = {**value, "duration": msgspec.Raw(b"NaN")}
        case "no_object":
            value = "deleted"
    return {**node, "value": value}
