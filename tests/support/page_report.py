"""Reports as the status page gets them, made up: five sources in different states, or any number of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

UNREACHED = "the vendor cannot be reached, for 2 min: it did not answer within 30 s; tried again in 20 s"
STATES = ("opening", "standby", "connecting", "catching_up", "live", "waiting", "away", "blocked", "stopped")


class Moments:
    """RFC 3339 texts around one moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def ago(self, seconds: float) -> str:
        """`seconds` before now; after it, where negative."""
        return (self.now - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def source(name: str, moments: Moments, **changes: Any) -> Json:
    """A source that is live and well, but for `changes`."""
    return {
        "name": name,
        "vendor": "prosonata",
        "adapter": "prosonata",
        "state": "live",
        "state_since": moments.ago(11_000),
        "state_reason": "",
        "here": True,
        "owner": {
            "instance": "bridged@gate-1",
            "build": "0.9.0",
            "since_ms": int(moments.now.timestamp() * 1000) - 11_100_000,
        },
        "takes": None,
        "condition": "connected",
        "since": moments.ago(10_990),
        "reason": "",
        "half": "",
        "failing_since": None,
        "again": None,
        "problems": [],
        "freshness": {"age_s": 96.0, "target_s": 300.0, "late": False},
        "session": None,
        "walks": [walk("contacts", moments), walk("projects", moments, every_s=900.0)],
        "quota": None,
        "subscriptions": [],
        "token": None,
        "inbox": None,
        "counts": {
            "received": 1290,
            "stored": 1204,
            "unchanged": 80,
            "duplicates": 6,
            "quarantined": 0,
            "by_change": {"created": 204, "updated": 990, "deleted": 10},
        },
        "rate": rate(name, 6),
        "open_gaps": [],
        "quarantined": 0,
        "last_quarantine": None,
        "last_event": {"entity": "contact", "change": "updated", "seq": 48_211, "observed": moments.ago(100)},
        **changes,
    }


def walk(name: str, moments: Moments, every_s: float = 300.0, **changes: Any) -> Json:
    """A walk that was complete a while ago, and is read as often as wished."""
    return {
        "name": name,
        "completed": moments.ago(every_s / 3),
        "age_s": every_s / 3,
        "every_s": every_s,
        "late": False,
        "planned_s": every_s,
        "cost": 2.0,
        "next": moments.ago(-every_s / 1.5),
        "rows": None,
        "total": None,
        **changes,
    }


def session(moments: Moments, **changes: Any) -> Json:
    """A live session that is open."""
    return {
        "live": True,
        "shut_since": None,
        "measured": moments.ago(2),
        "stale": False,
        "last_frame": moments.ago(3),
        "last_beat": moments.ago(9),
        "round_trip_ms": 12.4,
        "beat_interval_s": 25.0,
        "beat_timeout_s": 20.0,
        "sessions": 2,
        "frames": 48_120,
        "odd": 0,
        "unreadable": 0,
        "filtered": 14,
        "acks": 0,
        **changes,
    }


def quota(moments: Moments, **changes: Any) -> Json:
    """A budget that suffices."""
    return {
        "measured": moments.ago(2),
        "limit": 50,
        "period_s": 900.0,
        "reserve": 10,
        "ours": 40.0,
        "left": 38,
        "resets": moments.ago(-260),
        "refused": 0,
        "walks": 2,
        **changes,
    }


def rate(seed: str, scale: float) -> list[int]:
    """Sixty numbers that look like an hour."""
    shift = sum(map(ord, seed))
    wave = (1.2 + math.sin((minute + shift) / 6) + math.sin((minute * 3 + shift) / 4) for minute in range(60))
    return [max(0, round(scale * height)) for height in wave]


def five(moments: Moments) -> list[Json]:
    """Live by session, live by polling, webhooks, blocked, waiting."""
    live_token = {"age_s": 720.0, "expires_in_s": 2880.0, "renew_in_s": 2460.0, "renewals": 14}
    return [
        source(
            "support-acme",
            moments,
            vendor="pcvisit",
            adapter="pcvisit",
            session=session(moments),
            token=live_token,
            freshness={"age_s": 3.0, "target_s": 30.0, "late": False},
            rate=rate("support", 22),
            walks=[walk("sessions", moments, every_s=600.0)],
            subscriptions=[
                {"name": "supportSession", "verified": True, "first": moments.ago(80_000), "off": None, "reason": ""}
            ],
            inbox={"frames": 0, "bytes": 0, "overruns": 0},
        ),
        source("orders", moments, quota=quota(moments)),
        source(
            "shop-hooks",
            moments,
            vendor="webhook",
            adapter="webhook",
            takes="/hooks/shop-hooks",
            walks=[],
            freshness=None,
            rate=rate("hooks", 40),
            quarantined=3,
            last_quarantine={"observed": moments.ago(5_400), "reason": "the body is not JSON"},
        ),
        source(
            "travel-risk",
            moments,
            vendor="x_assist",
            adapter="x_assist",
            state="blocked",
            state_since=moments.ago(840),
            state_reason="login refused: invalid_client",
            condition="blocked",
            since=moments.ago(840),
            reason="login refused: invalid_client",
            failing_since=moments.ago(860),
            again=moments.ago(-900),
            rate=[*rate("travel", 5)[:45], *([0] * 15)],
            problems=["the vendor refuses, a human is needed, for 14 min: login refused: invalid_client"],
            freshness={"age_s": 861.0, "target_s": 300.0, "late": True},
            session=session(moments, live=False, shut_since=moments.ago(860)),
            token={"age_s": 4500.0, "expires_in_s": -900.0, "renew_in_s": None, "renewals": 3},
        ),
        source(
            "workforce",
            moments,
            vendor="agyletime",
            adapter="agyletime",
            state="waiting",
            state_since=moments.ago(95),
            state_reason="timeout",
            condition="lost",
            since=moments.ago(60),
            reason="the vendor did not answer within 30 s",
            failing_since=moments.ago(95),
            again=moments.ago(-20),
            problems=[UNREACHED],
            quota=quota(moments, limit=600, period_s=3600.0, reserve=0, left=4, refused=2, ours=600.0),
            token={"age_s": 300.0, "expires_in_s": 3300.0, "renew_in_s": 3000.0, "renewals": 1},
            walks=[walk("employees", moments, every_s=300.0, planned_s=900.0, rows=1200, total=4800)],
            open_gaps=[{"id": "g1", "from": moments.ago(200), "feed": "shifts", "reason": "the session was not open"}],
        ),
    ]


def many(count: int, moments: Moments) -> list[Json]:
    """Any number of sources: mostly live, every 20th blocked, every 9th catching up."""
    made = []
    for number in range(count):
        state = "blocked" if number % 20 == 7 else "catching_up" if number % 9 == 4 else "live"
        made.append(
            source(
                f"tenant-{number:04}",
                moments,
                state=state,
                vendor=("prosonata", "pcvisit", "agyletime")[number % 3],
                adapter=("prosonata", "pcvisit", "agyletime")[number % 3],
                state_since=moments.ago(240),
                condition="blocked" if state == "blocked" else "connected",
                session=session(moments) if number % 3 == 1 else None,
                problems=["the vendor refuses, a human is needed, for 4 min: 403"] if state == "blocked" else [],
            )
        )
    return made


def report(sources: list[Json], moments: Moments, **changes: Any) -> Json:
    """A whole report of these sources."""
    vendors = [(one["name"], one["vendor"]) for one in sources] or [("", "")]
    events = [
        {
            "at": moments.ago(4 + 13 * number),
            "source": vendors[number % len(vendors)][0],
            "vendor": vendors[number % len(vendors)][1],
            "entity": ("contact", "project", "session")[number % 3],
            "change": ("updated", "created", "updated", "deleted")[number % 4],
            "seq": 48_300 - number,
        }
        for number in range(24 if sources else 0)
    ]
    live = sum(one["state"] == "live" for one in sources)
    return {
        "version": 1,
        "instance": {
            "name": "gate-1",
            "host": "gate-1.example.net",
            "pid": 4711,
            "build": "0.9.0",
            "since": moments.ago(11_100),
            "now": moments.ago(0),
            "phase": "ready",
            "refused": None,
        },
        "headline": f"{len(sources)} sources: {live} live, {len(sources) - live} not; 123 events a minute",
        "ok": not any(one["problems"] for one in sources),
        "conditions": [{"name": "nats", "holds": True, "why": ""}, {"name": "webhooks", "holds": True, "why": ""}],
        "nats": {"server": "nats://127.0.0.1:4222", "version": "2.15.1", "connected": True, "away_since": None},
        "stream": {
            "name": "BRIDGE",
            "messages": 48_301,
            "bytes": 73_400_320,
            "first_seq": 1,
            "last_seq": 48_301,
            "first_ts": moments.ago(7_000_000),
            "last_ts": moments.ago(4),
        },
        "webhooks": {"addresses": ["127.0.0.1:8788"], "requests": 20_412, "refused": 3, "connections": 2},
        "sources": sources,
        "alerts": [
            {
                "name": "on-call",
                "channels": [
                    {"name": "pager", "waiting": 0, "failing": False, "since": None, "tried": 0, "problem": ""}
                ],
            }
        ],
        "events": events,
        **changes,
    }


def moments_now() -> Moments:
    """Around this very moment."""
    return Moments(datetime.now(UTC))
