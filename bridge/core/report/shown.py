"""The report put together, and what of it may be shown: nothing with an id in it, which may be personal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.event import timestamp
from bridge.core.report.facts import RecentEvent
from bridge.core.report.version import VERSION

Json = dict[str, Any]

_GAP = ("feed", "reason", "from", "to")
_QUARANTINE = ("observed", "reason")
_OWNER = ("instance", "host", "pid", "build", "since_ms")
_PASSING = ("age_s", "expires_in_s", "renew_in_s", "measured", "seen")
"""What changes by the passing of time alone: whoever looks can reckon it."""


def head(
    *,
    instance: Json,
    headline: str,
    conditions: Sequence[Json],
    nats: Json,
    stream: Json | None,
    webhooks: Json | None,
    alerts: Sequence[Json],
    troubled: bool,
) -> Json:
    """A report without sources and events. `troubled`: some source has a problem."""
    well = all(one["holds"] for one in conditions) and nats["connected"]
    well = well and not troubled and instance.get("refused") is None
    well = well and not any(channel["problem"] for alert in alerts for channel in alert["channels"])
    return {
        "version": VERSION,
        "instance": instance,
        "headline": headline,
        "ok": well,
        "conditions": list(conditions),
        "nats": nats,
        "stream": stream,
        "webhooks": webhooks,
        "alerts": list(alerts),
    }


def report(head: Json, sources: Sequence[Json], events: Sequence[Json]) -> Json:
    """The whole, its keys in the order in which they are read."""
    first = {name: value for name, value in head.items() if name != "alerts"}
    return {**first, "sources": list(sources), "alerts": head["alerts"], "events": list(events)}


def public(source: Json) -> Json:
    """A source as `describe` has it, without what has an id in it, or might have."""
    last, owner, aside = source["last_event"], source["owner"], source["last_quarantine"]
    return {
        **source,
        "owner": None if owner is None else {key: owner[key] for key in _OWNER if key in owner},
        "last_event": None if last is None else _event(last),
        "open_gaps": [{key: gap.get(key) for key in _GAP} for gap in source["open_gaps"]],
        "last_quarantine": None if aside is None else {key: aside.get(key) for key in _QUARANTINE},
    }


def row(event: RecentEvent) -> Json:
    """One of the last events."""
    return {
        "at": timestamp(event.at_ms),
        "source": event.source,
        "vendor": event.vendor,
        "entity": event.entity,
        "change": event.change,
        "seq": event.seq,
    }


def lasting(value: Any) -> Any:
    """The same without what changes by the passing of time alone: to tell whether there is news."""
    if isinstance(value, Mapping):
        return {key: lasting(one) for key, one in value.items() if key not in _PASSING}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def _event(last: Json) -> Json:
    # events.VENDOR.SOURCE.ENTITY.CHANGE.ID
    tokens = str(last.get("subject") or "").split(".")
    entity, change = (tokens[3], tokens[4]) if len(tokens) > 4 else ("", "")
    return {"entity": entity, "change": change, "seq": last.get("seq"), "observed": last.get("observed")}
