"""What is read when, and why not sooner, as `bridged status` tells it: from the claim that a source's daemon renews."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.core.event import timestamp
from bridge.core.lease import Claim
from bridge.core.report.ages import age, span
from bridge.core.vitals import Tempo

Json = dict[str, Any]

DUE_S = 10.0
"""A walk that is due for longer waits for its turn, mostly for the quota."""


def quota(claim: Claim | None) -> Json | None:
    """How the quota stands that a source reads with, as JSON; None where its claim tells nothing of it."""
    if claim is None or claim.session is None or claim.session.quota is None:
        return None
    told = claim.session.quota
    return {
        "measured": timestamp(claim.session.at_ms),
        "limit": told.limit,
        "period_s": told.period_s,
        "reserve": told.reserve,
        "ours": told.ours,
        "left": told.left,
        "resets": None if told.resets_ms is None else timestamp(told.resets_ms),
        "refused": told.refused,
        "walks": told.walks,
    }


def tempos(claim: Claim | None) -> dict[str, Tempo]:
    """The walks that the claim tells of, by name."""
    if claim is None or claim.session is None:
        return {}
    return {walk.name: walk for walk in claim.session.walks}


def plan(tempo: Tempo | None) -> Json:
    """What is planned of one walk, as JSON: all None where nothing is told."""
    return {
        "planned_s": tempo and tempo.every_s,
        "cost": tempo and tempo.cost,
        "next": None if tempo is None or tempo.next_ms is None else timestamp(tempo.next_ms),
        "rows": tempo and tempo.rows,
        "total": tempo and tempo.total,
    }


def told(walk: Json, quota: Json | None, now: datetime) -> str:
    """One line of a walk, such as `read 3 min ago, next in 12 min: every 15 min instead of 5 min, since …`.

    Without a plan it says when the last complete look was, and how often there should be one.
    """
    if walk["planned_s"] is None:
        every = f", every {span(walk['every_s'])}" if walk["every_s"] else ""
        done = f"complete {age(walk['completed'], now)} ago" if walk["completed"] else "first reading under way"
        return done + every
    parts = [f"read {age(walk['completed'], now)} ago" if walk["completed"] else "not read to its end yet"]
    if walk["rows"] is not None:
        of = "" if walk["total"] is None else f" of {walk['total']:,}"
        parts.append(f"now at row {walk['rows']:,}{of}")
    elif walk["next"] is not None:
        wait_s = (datetime.fromisoformat(walk["next"]) - now).total_seconds()
        due = f"due for {span(-wait_s)}" if wait_s <= -DUE_S else "next now"
        parts.append(f"next in {span(wait_s)}" if wait_s >= 1 else due)
    wish_s, planned_s = walk["every_s"], walk["planned_s"]
    if wish_s is None or planned_s <= wish_s * 1.01:
        return ", ".join([*parts, f"every {span(planned_s)}"])
    return f"{', '.join(parts)}: every {span(planned_s)} instead of {span(wish_s)}{_why(walk, quota)}"


def left(quota: Json, now: datetime) -> str:
    """One line of the quota, such as `38 of 50 requests per 15 min left, 10 of them reserved; resets in 4 min`."""
    limit = f"{quota['limit']:,} requests per {span(quota['period_s'])}"
    text = f"{quota['left']:,} of {limit} left" if quota["left"] is not None else limit
    text += f", {quota['reserve']:,} of them reserved for others" if quota["reserve"] else ""
    if quota["resets"] is not None:
        wait_s = (datetime.fromisoformat(quota["resets"]) - now).total_seconds()
        # What was told of a block that is over says nothing of the present one.
        text += f"; resets in {span(wait_s)}" if wait_s > 0 else "; has been reset since"
    return f"{text}; refused {quota['refused']:,} times" if quota["refused"] else text


def _why(walk: Json, quota: Json | None) -> str:
    if quota is None:
        return ""
    pages = f", {walk['cost']:.0f} for this one each time" if walk["cost"] > 1 else ""
    return (
        f", since {quota['ours']:.0f} of {quota['limit']:,} requests per {span(quota['period_s'])} "
        f"go to {quota['walks']} collections{pages}"
    )
