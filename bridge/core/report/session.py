"""What a source's live session measures, as `bridged status` tells it: from the claim that its daemon renews."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bridge.core.event import timestamp
from bridge.core.lease import RENEWALS, Claim
from bridge.core.report.ages import span

Json = dict[str, Any]


def session(claim: Claim | None, now: datetime) -> Json | None:
    """As JSON; None for a source without live sessions, one that nobody holds, and a claim of an older build.

    `measured`: when. `stale`: a renewal that would have brought news is overdue by as much as lies between two, so
    the daemon may be gone. Moments are RFC 3339 texts in UTC; None where nothing was measured.
    """
    if claim is None or claim.session is None or claim.session.polled:
        return None
    vitals = claim.session
    old_s = now.timestamp() - vitals.at_ms / 1000
    return {
        "live": vitals.live,
        "shut_since": None if vitals.live else _stamp(vitals.shut_ms),
        "measured": timestamp(vitals.at_ms),
        "stale": old_s > 2 * claim.lease_s / RENEWALS,
        "last_frame": _stamp(vitals.last_frame_ms),
        "last_beat": _stamp(vitals.last_beat_ms),
        "round_trip_ms": vitals.round_trip_ms,
        "beat_interval_s": _seconds(vitals.beat_interval_ms),
        "beat_timeout_s": _seconds(vitals.beat_timeout_ms),
        "sessions": vitals.sessions,
        "frames": vitals.frames,
        "odd": vitals.odd,
        "unreadable": vitals.unreadable,
        "filtered": vitals.filtered,
        "acks": vitals.acks,
    }


def told(session: Json, now: datetime) -> str:
    """One line for people, such as `heartbeat 4 s ago, answered in 12 ms (every 25 s); 1,234 frames, the last 2 s ago`.

    Of what is stale it says first how old it is; ages are then those of that moment, and say so.
    """
    measured = datetime.fromisoformat(session["measured"])
    since, ago = (measured, "before") if session["stale"] else (now, "ago")

    def when(stamp: str) -> str:
        return f"{span((since - datetime.fromisoformat(stamp)) / timedelta(seconds=1))} {ago}"

    parts = [_heart(session, when), _frames(session, when)]
    parts += [f"{session[name]:,} {name}" for name in ("odd", "unreadable", "filtered") if session[name]]
    parts += [f"{session['acks']:,} acknowledged"] if session["acks"] else []
    parts += [f"{session['sessions']:,} sessions so far"] if session["sessions"] > 1 else []
    text = "; ".join(parts)
    if not session["stale"]:
        return text
    old = span((now - measured) / timedelta(seconds=1))
    return f"not measured for {old} (is `bridged run` running?); at that time: {text}"


def _heart(session: Json, when: Callable[[str], str]) -> str:
    every_s, took_ms = session["beat_interval_s"], session["round_trip_ms"]
    every = f" (every {span(every_s)})" if every_s is not None else ""
    if session["last_beat"] is not None:
        text = f"heartbeat {when(session['last_beat'])}{_answered(took_ms)}{every}"
    else:
        text = f"no heartbeat yet{every}" if every else ""
    if session["live"]:
        return text or "open"
    return f"not open; {text}" if text else "not open"


def _answered(took_ms: float | None) -> str:
    if took_ms is None:
        return ""
    # The event loop's clock may tell no less than a millisecond.
    return f", answered in {took_ms:.0f} ms" if took_ms >= 1 else ", answered within 1 ms"


def _frames(session: Json, when: Callable[[str], str]) -> str:
    count, last = session["frames"], session["last_frame"]
    if not count:
        return "no frame yet"
    text = "1 frame" if count == 1 else f"{count:,} frames"
    return text if last is None else f"{text}, {'the last ' if count > 1 else ''}{when(last)}"


def _stamp(at_ms: int | None) -> str | None:
    return None if at_ms is None else timestamp(at_ms)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
