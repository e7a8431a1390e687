"""What a live session has seen, and the watch over its silence: when a quiet peer counts as a dead one."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import dataclass, field

import anyio

BEATS = 3
"""Signs of life after which their interval counts: the first often comes at once, and out of step with the others."""
INTERVALS = 3.0
"""So many intervals of silence mean a dead peer, where nothing is configured."""
SHORTEST_S = 10.0
"""A limit that we found ourselves is never shorter: a hiccup must not end a session."""
STEADY_S = 60.0
"""So long after the peer was made to wait its beats do not tell in which intervals they are sent."""
SECOND_LOOK_S = 0.1
"""Frames may lie unread because we were held up ourselves: they are looked for once more."""


@dataclass(slots=True)
class SessionStatistics:
    """What live sessions have seen, for status and metrics. Times are seconds of the event loop's clock.

    `odd`: frames that were ignored. `resubscriptions`: operations started again on a session that went on.
    `off`: operations that do not run, and why: refused, until the next session, or ended again and again, until they
    hold. `renewed_for`: operations that a renewed token is to help, and that have not run long since.

    Of Socket.IO: `beat_interval_s`, `beat_timeout_s`: the heartbeat of the last open packet, as far as we go along
    with it. `round_trip_s`: from our last ping that was answered to its answer (revision 3; in revision 4 the server
    measures). `last_beat`: the last answer, or the server's last ping. `filtered`: events that nobody wanted.
    `unreadable`: packets that could not be read. `acks`: events whose acknowledgement was sent.
    """

    sessions: int = 0
    frames: int = 0
    bytes: int = 0
    odd: int = 0
    resubscriptions: int = 0
    last_frame: float | None = None
    last_beat: float | None = None
    off: dict[str, str] = field(default_factory=dict)
    renewed_for: set[str] = field(default_factory=set)
    beat_interval_s: float | None = None
    beat_timeout_s: float | None = None
    round_trip_s: float | None = None
    filtered: int = 0
    unreadable: int = 0
    acks: int = 0

    def heard(self, size: int) -> float:
        """A frame of `size` bytes, whatever it says. Returns when."""
        now = self.last_frame = anyio.current_time()
        self.frames += 1
        self.bytes += size
        return now


class Vigil:
    """One session's silence. Armed by `idle_s` from the start, and by `beat_s` or the interval seen once it beats.

    Whatever arrives counts as life, not only what was promised: a busy server may well leave its beats out.
    """

    def __init__(self, beat_s: float | None, idle_s: float | None, statistics: SessionStatistics) -> None:
        self._beat_s = beat_s
        self._idle_s = idle_s
        self._statistics = statistics
        self._heard_at = anyio.current_time()
        self._beat_at = self._heard_at
        self._beats = 0
        self._longest_s = 0.0
        self._nap: anyio.CancelScope | None = None
        self._away_at: float | None = None
        self._learns_at = -math.inf

    async def away(self, wait: Awaitable[None]) -> None:
        """Await it. Nothing is read meanwhile: that is not the peer's silence."""
        self._away_at = anyio.current_time()
        try:
            await wait
        finally:
            self._heard_at += anyio.current_time() - self._away_at
            self._learns_at = anyio.current_time() + STEADY_S
            self._away_at = None

    @property
    def limit_s(self) -> float | None:
        """How long the peer may be silent now; None while any silence is fine."""
        limits = [] if self._idle_s is None else [self._idle_s]
        if self._beats and self._beat_s is not None:
            limits.append(self._beat_s)
        elif self._beats >= BEATS and self._beat_s is None:
            limits.append(max(SHORTEST_S, INTERVALS * self._longest_s))
        return min(limits, default=None)

    def heard(self, size: int) -> None:
        """A frame of `size` bytes, whatever it says."""
        self._heard_at = self._statistics.heard(size)

    def beat(self) -> None:
        """The frame was a sign of life that will be repeated."""
        now = self._statistics.last_beat = anyio.current_time()
        before = self.limit_s
        if now >= self._learns_at:
            if self._beats:
                self._longest_s = max(self._longest_s, now - self._beat_at)
            self._beats += 1
        self._beat_at = now
        if self.limit_s != before and self._nap is not None:
            self._nap.cancel()

    async def expire(self) -> str:
        """Return when the peer has been silent for too long, with a sentence that says for how long."""
        while True:
            limit_s = self.limit_s
            left_s = math.inf if limit_s is None else self._heard_at + limit_s - anyio.current_time()
            if left_s <= 0:
                heard_at = self._heard_at
                await anyio.sleep(SECOND_LOOK_S)
                if self._heard_at == heard_at and self._away_at is None:
                    return f"nothing was heard for {limit_s:g} s, though " + (
                        "it gave regular signs of life" if self._beats else "no silence is to be longer than that"
                    )
                continue
            # Cut short where the limit changes. An event to wait for would weigh as much as the rest of the vigil.
            with anyio.CancelScope() as self._nap:
                await anyio.sleep(left_s)
