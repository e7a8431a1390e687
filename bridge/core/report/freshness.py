"""How old what is known of a vendor may be, against what is promised of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.core.report.problems import SHUT_S

Json = dict[str, Any]


def freshness(walks: Sequence[Mapping[str, Any]], session: Mapping[str, Any] | None, now: datetime) -> Json | None:
    """As `bridge.core.report.contract.Freshness`; None where nothing was read or heard yet.

    `walks` and `session` are as in the report. What is pushed in an open session is as fresh as its last sign of life.
    """
    if session is not None and session["live"] and not session["stale"] and (found := _heard(session, now)):
        return found
    read = [walk for walk in walks if walk["age_s"] is not None]
    if not read:
        return None
    worst = max(read, key=_strain)
    return {"age_s": worst["age_s"], "target_s": _target(worst), "late": worst["late"]}


def _heard(session: Mapping[str, Any], now: datetime) -> Json | None:
    last = max((stamp for stamp in (session["last_frame"], session["last_beat"]) if stamp), default=None)
    if last is None:
        return None
    age_s = round(max(0.0, (now - datetime.fromisoformat(last)).total_seconds()), 3)
    every_s = session["beat_interval_s"]
    target_s = None if every_s is None else every_s + (session["beat_timeout_s"] or 0.0)
    return {"age_s": age_s, "target_s": target_s, "late": target_s is not None and age_s > target_s + SHUT_S}


def _target(walk: Mapping[str, Any]) -> float | None:
    every_s: float | None = walk["every_s"]
    return None if every_s is None else max(every_s, walk["planned_s"] or 0.0)


def _strain(walk: Mapping[str, Any]) -> tuple[bool, float]:
    """The one that is late goes first, and of those the one whose target is missed by the most."""
    target_s = _target(walk)
    return walk["late"], walk["age_s"] / target_s if target_s else 0.0
