"""Takes a source's vitals: what its live sessions have measured, at moments of the wall clock."""

from __future__ import annotations

import math

import anyio

from bridge.core.lifecycle import State
from bridge.core.vitals import Vitals
from bridge.engine.source import Status

_OPEN = (State.CATCHING_UP, State.LIVE)
"""Where a source is while a live session is subscribed."""


def take_vitals(status: Status, now_ms: int) -> Vitals | None:
    """As of now, which is `now_ms` by the wall clock; None for a source without live sessions.

    Session statistics are kept in the event loop's time, which means nothing to another process.
    """
    seen = status.session
    if seen is None:
        return None
    now = anyio.current_time()

    def at_ms(moment: float | None) -> int | None:
        return None if moment is None else now_ms - round((now - moment) * 1000)

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
    )


def _ms(seconds: float | None) -> int | None:
    # The peer names them, and may name anything.
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000)
