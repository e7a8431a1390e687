"""One source, as whoever looks is told of it: as JSON, from what the stream says and what its instance measures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.core.event import timestamp
from bridge.core.hooks.settings import PREFIX, WebhookSettings
from bridge.core.lease import Claim
from bridge.core.report import tempo
from bridge.core.report.facts import SourceFacts
from bridge.core.report.freshness import freshness
from bridge.core.report.inside import inside
from bridge.core.report.intervals import Intervals
from bridge.core.report.overview import Overview, cursor_times, refused_since
from bridge.core.report.problems import LATE_INTERVALS, LATE_SLACK_S, problems
from bridge.core.report.session import session
from bridge.core.settings import BaseSettings
from bridge.core.subscription import first_seen
from bridge.core.vitals import Tempo

Json = dict[str, Any]


def describe(
    view: Overview,
    intervals: Intervals,
    now: datetime,
    settings: BaseSettings,
    claim: Claim | None = None,
    facts: SourceFacts | None = None,
    seen_ms: int | None = None,
) -> Json:
    """One source as JSON, as `bridge.core.report.contract.Source` says, but for the subject of its last event.

    `problems`: what somebody should look at, in words; none when all is well. `view`: what the stream tells, as of
    `seen_ms`. As the `claim` says: `session`, what the live session measures; `quota`, what is left of it; and of each
    walk what is planned. `facts`: what the process that runs the source tells; None: nobody does.
    """
    planned = tempo.tempos(claim)
    walks = [
        _walk(name, view.walks.get(name, {}), intervals, now, planned.get(name))
        for name in sorted(view.walks.keys() | planned.keys())
    ]
    measured = session(claim, now)
    subscriptions = [_subscription(one.name, view) for one in getattr(settings, "subscription", ())]
    return {
        "name": view.name,
        "vendor": view.vendor,
        "adapter": settings.adapter,
        **inside(facts),
        "condition": view.condition,
        "since": view.since,
        "reason": view.reason,
        "half": view.half,
        "failing_since": view.failing_since,
        "again": view.again,
        "problems": problems(view, walks, subscriptions, now, measured),
        "freshness": freshness(walks, measured, now),
        "takes": f"{PREFIX}{settings.name}" if isinstance(settings, WebhookSettings) else None,
        "owner": view.owner or None,
        "walks": walks,
        "subscriptions": subscriptions,
        "session": measured,
        "quota": tempo.quota(claim),
        "last_event": view.last_event,
        "open_gaps": view.open_gaps,
        "quarantined": view.quarantined,
        "last_quarantine": view.last_quarantine,
        "seen": None if seen_ms is None else timestamp(seen_ms),
    }


def _subscription(name: str, view: Overview) -> Json:
    cursor = view.subscriptions.get(name, {})
    first, off = first_seen(cursor), refused_since(cursor)
    reason = str(cursor.get("reason") or "") if off else ""
    return {"name": name, "verified": first is not None, "first": first, "off": off, "reason": reason}


def _walk(name: str, cursor: Json, intervals: Intervals, now: datetime, told: Tempo | None) -> Json:
    completed_ms, completed = cursor_times(cursor)
    every_s = told.wish_s if told else intervals.of(name)
    age_s = None if completed_ms is None else round(now.timestamp() - completed_ms / 1000, 3)
    late = False
    if age_s is not None and every_s is not None:
        late = age_s > LATE_INTERVALS * max(every_s, told.every_s if told else 0.0) + LATE_SLACK_S
    return {
        "name": name,
        "completed": completed,
        "age_s": age_s,
        "every_s": every_s,
        "late": late,
        **tempo.plan(told),
    }
