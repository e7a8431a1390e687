"""One alert as channels get it: read back from the event it is stored as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.core.record import Json

ENTITY = "alert"
"""The entity of alerts among the bridge's own events: `events.bridge.<alert>.alert.occurred.<id>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a channel tells. `id` names the alert for good: one that is sent twice has it both times.

    `alert` is the rule's name. `title` is one line, `body` may be "". `severity`: `info`, `success`, `warning` or
    `failure`. `group`: the values of `group_by`, "" without. `count`: how many events it tells of; `held`: how many of
    the group were held back by the throttle since the last one. `traceparent`: of what triggered it (W3C Trace
    Context). `at_ms`: when it was decided, milliseconds since the Unix epoch. `data`: all of it as stored, JSON values.

    Texts are not in the `repr`: they may be personal data.
    """

    id: str
    alert: str
    title: str = field(repr=False)
    body: str = field(default="", repr=False)
    severity: str = "info"
    group: str = field(default="", repr=False)
    count: int = 1
    held: int = 0
    traceparent: str | None = None
    at_ms: int = 0
    data: Mapping[str, Json] = field(default_factory=dict, repr=False)


def read_alert(ce_id: str, name: str, after: Json, *, traceparent: str | None = None, at_ms: int = 0) -> Alert:
    """The alert in the `after` of an event of rule `name`. Never raises: what others wrote is told as it can be."""
    data: Mapping[str, Json] = after if isinstance(after, Mapping) else {}
    return Alert(
        id=ce_id,
        alert=name,
        title=_text(data.get("title")) or f"alert {name}",
        body=_text(data.get("body")),
        severity=_text(data.get("severity")) or "info",
        group=_text(data.get("group")),
        count=_whole(data.get("count"), 1),
        held=_whole(data.get("held"), 0),
        traceparent=traceparent,
        at_ms=at_ms,
        data=data,
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Json, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise
