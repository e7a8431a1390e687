"""Takes a source's vitals: what its live sessions have measured, what is read when, at moments of the wall clock."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio

from bridge.core.lifecycle import State
from bridge.core.schedule import Schedule
from bridge.core.vitals import Reserves, Tempo, Vitals
from bridge.engine.quota import Quota
from bridge.engine.source import Status

_OPEN = (State.CATCHING_UP, State.LIVE)
"""Where a source is while a live session is subscribed."""


def take_vitals(
    status: Status, now_ms: int, schedule: Schedule | None = None, quota: Quota | None = None
) -> Vitals | None:
    """As of now, which is `now_ms` by the wall clock; None where nothing is measured.

    `schedule`: what the source reads, if it does; `quota`: what it reads with. Session statistics are kept in the event
    loop's time, which means nothing to another process.
    """
    seen = status.session
    if seen is None and schedule is None:
        return None
    now = anyio.current_time()

    def at_ms(moment: float | None) -> int | None:
        return None if moment is None or not math.isfinite(moment) else max(0, now_ms - round((now - moment) * 1000))

    walks = () if schedule is None or quota is None else _tempos(status, schedule, quota, at_ms)
    reserves = None if schedule is None or quota is None else _reserves(quota, now, at_ms)
    if seen is None:
        return Vitals(at_ms=now_ms, polled=True, walks=walks, quota=reserves)
    return Vitals(
        at_ms=now_ms,
        live=status.state in _OPEN,
        sessions=seen.sessions,
        frames=seen.frames,
        odd=seen.odd,
        unreadable=seen.unreadable,
        filtered=seen.filtered,
        acks=seen.acks,
        last_frame_ms=at_ms(seen.last_frame),
        last_beat_ms=at_ms(seen.last_beat),
        round_trip_ms=None if seen.round_trip_s is None else round(seen.round_trip_s * 1000, 1),
        beat_interval_ms=_ms(seen.beat_interval_s),
        beat_timeout_ms=_ms(seen.beat_timeout_s),
        shut_ms=status.shut_ms,
        walks=walks,
        quota=reserves,
    )


def _tempos(
    status: Status, schedule: Schedule, quota: Quota, at_ms: Callable[[float | None], int | None]
) -> tuple[Tempo, ...]:
    planned = quota.planner(status.name)
    tempos = []
    for walk in schedule.walks:
        plan = planned(walk)
        rows, total = status.progress.get(walk.name, (None, None))
        tempos.append(Tempo(walk.name, walk.every_s, plan.every_s, plan.cost, at_ms(schedule.due(walk)), rows, total))
    return tuple(tempos)


def _reserves(quota: Quota, now: float, at_ms: Callable[[float | None], int | None]) -> Reserves:
    gauge = quota.gauge()
    return Reserves(
        limit=gauge.limit.requests,
        period_s=gauge.limit.seconds,
        ours=round(gauge.ours, 1),
        reserve=gauge.limit.reserve,
        left=gauge.left,
        resets_ms=None if gauge.resets_s is None else at_ms(now + gauge.resets_s),
        refused=quota.refusals,
        walks=quota.plan.count(),
    )


def _ms(seconds: float | None) -> int | None:
    # The peer names them, and may name anything.
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000)
