"""What somebody should look at in a source, in words: from what the stream tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.core.event import timestamp
from bridge.core.report.ages import age, span, until
from bridge.core.report.overview import NEVER, Overview

FAILING = ("lost", "blocked")
LATE_INTERVALS = 2.0
LATE_SLACK_S = 60.0
"""A walk is late when its last complete pass is older than two intervals and a minute: passes and quotas take time.

Where the plan stretches the interval, as the quota is too small, it is late by that.
"""
SHUT_S = 30.0
"""A live session that is not open, or silent beyond its heartbeat, for less is a hiccup."""


def problems(
    view: Overview,
    walks: Sequence[Mapping[str, Any]],
    subscriptions: Sequence[Mapping[str, Any]],
    now: datetime,
    session: Mapping[str, Any] | None = None,
) -> list[str]:
    """The worst first; none when all is well. `walks`, `subscriptions` and `session` are as in `status --json`."""
    found = []
    if view.condition == NEVER:
        if not _first_reading_goes_well(view, walks, now):
            found.append(_never(view, walks, now))
    elif view.condition in FAILING:
        found.append(_failing(view, now))
    # What the stream says already need not be said again, and what is stale is no news of a session.
    said = view.condition == NEVER or (view.condition in FAILING and view.half not in ("reading", "deletes"))
    if session is not None and not session["stale"] and not said and (trouble := _session(session, now)):
        found.append(trouble)
    late = [walk for walk in walks if walk["late"]]
    found += [
        f"{walk['name']} was last complete {age(walk['completed'], now)} ago, and should be every "
        f"{span(max(walk['every_s'], walk['planned_s'] or 0.0))}"
        for walk in late
    ]
    # A source whose live session failed is polled meanwhile.
    unread = view.condition in FAILING and view.half not in ("live", "deletes")
    if late and len(late) == len(walks) and not unread:
        found.append("nothing of it is read: is `bridged run` running?")
    found += [
        f"{one['name']}: refused since {one['off']}: {one['reason'] or 'no reason given'}; ask `bridged check --online`"
        for one in subscriptions
        if one["off"]
    ]
    found += [
        f"a gap is open since {gap.get('from')} ({gap.get('feed')}): {gap.get('reason')}" for gap in view.open_gaps
    ]
    return found


def owned_since(owner: Mapping[str, Any]) -> str | None:
    """Since when a daemon has had the source, as RFC 3339 text; None where its record does not say."""
    since_ms = owner.get("since_ms")
    return timestamp(since_ms) if isinstance(since_ms, int) else None


def _first_reading_goes_well(view: Overview, walks: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether somebody reads the source for the first time, and has not had it for longer than that should take."""
    since = owned_since(view.owner)
    planned = [walk for walk in walks if walk["planned_s"] is not None]
    if since is None or not any(walk["completed"] or walk["rows"] is not None for walk in planned):
        return False
    slowest_s: float = max(walk["planned_s"] for walk in planned)
    return _old_s(since, now) <= LATE_INTERVALS * slowest_s + LATE_SLACK_S


def _never(view: Overview, walks: Sequence[Mapping[str, Any]], now: datetime) -> str:
    if not view.owner:
        return "it has never been read: start `bridged run`, and see its log"
    since = owned_since(view.owner)
    text = f"{NEVER}, though {view.owner.get('instance', 'a daemon')} has had it"
    text += f" since {since} ({age(since, now)})" if since else ""
    reading = ", ".join(walk["name"] for walk in walks if not walk["completed"])
    if reading:
        return f"{text}; its first reading is under way: {reading}"
    if walks:
        return f"{text}; it has been read before, and now logs in or waits: see the log of `bridged run`"
    return (
        f"{text}; nothing is read yet: it logs in, or waits for the vendor or its quota; see the log of `bridged run`"
    )


def _session(session: Mapping[str, Any], now: datetime) -> str | None:
    """What the daemon's lease tells before anything is announced, or where it hangs and announces nothing."""
    shut = session["shut_since"]
    if not session["live"]:
        if shut is None or _old_s(shut, now) <= SHUT_S:
            return None
        return f"its live session has not been open for {age(shut, now)}: see the log of `bridged run`"
    heard = max((stamp for stamp in (session["last_frame"], session["last_beat"]) if stamp), default=None)
    every_s, timeout_s = session["beat_interval_s"], session["beat_timeout_s"]
    if heard is None or every_s is None or _old_s(heard, now) <= every_s + (timeout_s or 0.0) + SHUT_S:
        return None
    return (
        f"nothing was heard in its live session for {age(heard, now)}, though its heartbeat comes every "
        f"{span(every_s)}: see the log of `bridged run`"
    )


def _old_s(stamp: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(stamp)).total_seconds()


def _failing(view: Overview, now: datetime) -> str:
    for_ = age(view.failing_since or view.since, now)
    refused = view.condition == "blocked"
    if view.half == "live":
        text = f"live session down for {for_}, polled meanwhile: {view.reason}"
        text += "; the vendor refuses it, a human is needed" if refused else ""
    elif view.half == "deletes":
        text = f"deletes are held back, all else goes on, a human is needed, for {for_}: {view.reason}"
    elif refused and view.half == "reading":
        text = f"the vendor refuses a part, the rest goes on, a human is needed, for {for_}: {view.reason}"
    elif refused:
        text = f"the vendor refuses, a human is needed, for {for_}: {view.reason}"
    elif view.half == "reading":
        text = f"the vendor cannot be read, what is pushed goes on, for {for_}: {view.reason}"
    else:
        text = f"the vendor cannot be reached, for {for_}: {view.reason}"
    left_s = until(view.again, now) if view.again else None
    if left_s is None:
        return text
    if left_s > 0:
        return f"{text}; tried again in {span(left_s)} ({view.again})"
    # It is announced once, however often it is refused: later attempts leave no trace in the stream.
    return f"{text}; was to be tried again at {view.again}"
