"""Events that are told together: how many, which, and a line of each. Kept as JSON in a rule's state.

A batch counts all of its events and describes the first twenty of them; the title is the last one's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bridge.core.alerts.decision import MOST_EVENTS, Decision, Kind, Reference, identity
from bridge.core.alerts.settings import Severity
from bridge.core.alerts.template import LONGEST_TITLE, bounded, one_line
from bridge.core.record import Json

Batch = dict[str, Json]

LONGEST_LINE = 120
"""Characters of what a batch says of one of its events."""
LONGEST_KEPT = 1000
"""Characters of the body that is kept of a single event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An event as a rule is going to tell it. `key` names its group in the state, `group` for people."""

    reference: Reference
    at: str
    title: str
    body: str
    key: str = ""
    group: str = ""
    traceparent: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """Whose decisions they are, and how grave."""

    alert: str
    severity: Severity

    def at_once(self, kind: Kind, sight: Sight, before: Batch | None = None) -> Decision:
        """One event; `before`: those of its group that were held back until now."""
        held = before["count"] if before else 0
        ended = f" ({held} held back before)" if held else ""
        body = sight.body
        if before:
            body = f"{body}\n\nHeld back since {before['first']}:\n{_lines(before, before['count'])}"
        events = [*_events(before), sight.reference]
        origin = before["begin"] if before else sight.reference.ce_id
        return Decision(
            id=identity(self.alert, kind, sight.key, origin, sight.reference.ce_id, sight.reference.seq),
            alert=self.alert,
            kind=kind,
            title=one_line(sight.title, LONGEST_TITLE - len(ended)) + ended,
            body=bounded(body),
            severity=self.severity,
            group=sight.group,
            count=held + 1,
            held=held,
            events=tuple(events[-MOST_EVENTS:]),
            first=min(before["first"], sight.at) if before else sight.at,
            last=max(before["last"], sight.at) if before else sight.at,
            traceparent=sight.traceparent,
            missing=sight.missing,
        )

    def together(self, kind: Kind, batch: Batch, *, key: str = "", group: str = "") -> Decision:
        """All of a batch."""
        count = batch["count"]
        ended = f" (and {count - 1} more)" if count > 1 else ""
        return Decision(
            id=identity(self.alert, kind, key, batch["begin"], batch["end"], batch["seq"]),
            alert=self.alert,
            kind=kind,
            title=one_line(batch["title"], LONGEST_TITLE - len(ended)) + ended,
            body=bounded(_lines(batch, count) if count > 1 else batch["body"]),
            severity=self.severity,
            group=group,
            count=count,
            held=0 if kind == "digest" else count,
            events=_events(batch),
            first=batch["first"],
            last=batch["last"],
            traceparent=batch["trace"],
            missing=tuple(batch["missing"]),
        )


def begun(sight: Sight) -> Batch:
    """A batch of one."""
    return {
        "count": 1,
        "first": sight.at,
        "last": sight.at,
        "begin": sight.reference.ce_id,
        "end": sight.reference.ce_id,
        "seq": sight.reference.seq,
        "title": sight.title[:LONGEST_TITLE],
        "body": sight.body[:LONGEST_KEPT],
        "trace": sight.traceparent,
        "missing": list(sight.missing[:MOST_EVENTS]),
        "events": [list(sight.reference)],
        "lines": [one_line(sight.title, LONGEST_LINE)],
    }


def grown(batch: Batch | None, sight: Sight, *, roomy: bool = True) -> Batch:
    """The batch with one more. Not `roomy`: it is counted, and no more is said of it."""
    return begun(sight) if batch is None else merged(batch, begun(sight), roomy=roomy)


def merged(batch: Batch | None, later: Batch, *, roomy: bool = True) -> Batch:
    """Both as one."""
    if batch is None:
        return later
    most = MOST_EVENTS if roomy else 0
    return {
        **later,
        "count": batch["count"] + later["count"],
        "first": min(batch["first"], later["first"]),
        "last": max(batch["last"], later["last"]),
        "begin": batch["begin"],
        "body": "",
        "missing": list(dict.fromkeys([*batch["missing"], *later["missing"]]))[:MOST_EVENTS],
        "events": [*batch["events"], *later["events"][: max(0, most - len(batch["events"]))]],
        "lines": [*batch["lines"], *later["lines"][: max(0, most - len(batch["lines"]))]],
    }


def weight(value: Json) -> int:
    """Bytes that it takes in the state."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _events(batch: Batch | None) -> tuple[Reference, ...]:
    return tuple(Reference(*one) for one in batch["events"]) if batch else ()


def _lines(batch: Batch, count: int) -> str:
    more = count - len(batch["lines"])
    return "\n".join([f"- {line}" for line in batch["lines"]] + ([f"and {more} more"] if more else []))
