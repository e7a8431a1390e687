"""The heartbeat of an Engine.IO session: who asks, how long an answer may take, and when the peer counts as dead.

Revision 3: we ask every interval, and the server answers within its time-out; at most one ping is on its way.
Revision 4: the server asks, and the next ping comes within interval and time-out together. Only what the protocol
promises counts, for a server whose heart has stopped may still flush what it had in its buffers. Source: the protocol
documents at https://github.com/socketio/engine.io-protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from bridge.core.wire.packets import Heartbeat
from bridge.engine.vigil import SECOND_LOOK_S, SessionStatistics

Ping = Callable[[float], Awaitable[None]]
"""Sends our ping; the argument is how many seconds that may take."""


class Pulse:
    """One session's heartbeat, from its open packet on. `ping` None: the server asks, as in revision 4."""

    __slots__ = (
        "_asked_at", "_away_at", "_beat_at", "_interval_s", "_nap", "_ping", "_statistics", "_timeout_s", "_took_s",
    )  # fmt: skip

    def __init__(self, terms: Heartbeat, statistics: SessionStatistics, ping: Ping | None) -> None:
        self._interval_s = statistics.beat_interval_s = terms.interval_s
        self._timeout_s = statistics.beat_timeout_s = terms.timeout_s
        self._statistics = statistics
        self._ping = ping
        self._beat_at = anyio.current_time()
        self._asked_at: float | None = None
        self._took_s: float | None = None
        self._nap: anyio.CancelScope | None = None
        self._away_at: float | None = None

    async def away(self, wait: Awaitable[None]) -> None:
        """Await it. Nothing is read meanwhile: an answer that lies unread is not late."""
        self._away_at = anyio.current_time()
        try:
            await wait
        finally:
            now = anyio.current_time()
            self._beat_at += now - self._away_at
            if self._asked_at is not None:
                self._asked_at += now - max(self._away_at, self._asked_at)
            self._away_at = None

    def beat(self) -> bool:
        """The answer to our ping, or the server's ping. False for an answer that we have not asked for."""
        now = anyio.current_time()
        if self._ping is not None:
            if self._asked_at is None:
                return False
            self._took_s = self._statistics.round_trip_s = now - self._asked_at
            self._asked_at = None
            if self._nap is not None:
                self._nap.cancel()
        self._beat_at = self._statistics.last_beat = now
        return True

    async def expire(self) -> str:
        """Ask as the protocol has it; return when the peer has missed its deadline, with a sentence that says which."""
        return await (self._listen() if self._ping is None else self._ask(self._ping))

    async def _ask(self, ping: Ping) -> str:
        due_at = self._beat_at + self._interval_s
        await anyio.sleep_until(due_at)
        while True:
            asked_at = self._asked_at = anyio.current_time()
            await ping(self._timeout_s)
            # Nearly every answer is there long before the next ping: thousands need not be woken by each.
            await anyio.sleep_until(asked_at + min(self._interval_s, self._timeout_s))
            while self._asked_at is not None:
                left_s = self._asked_at + self._timeout_s - anyio.current_time()
                if left_s > 0:
                    # An event to wait for would be one more object for each of thousands of sessions.
                    with anyio.CancelScope() as self._nap:
                        await anyio.sleep(left_s)
                    self._nap = None
                    continue
                # The answer may lie unread because we were held up ourselves.
                await anyio.sleep(SECOND_LOOK_S)
                if self._away_at is None and self._asked_at is not None:
                    return f"no answer to our ping within {self._timeout_s:g} s{self._before(asked_at)}"
            # An answer that took longer than the interval is followed by the next ping at once.
            if (due_at := asked_at + self._interval_s) > anyio.current_time():
                await anyio.sleep_until(due_at)

    async def _listen(self) -> str:
        limit_s = self._interval_s + self._timeout_s
        while True:
            beat_at = self._beat_at
            await anyio.sleep_until(beat_at + limit_s)
            if self._beat_at == beat_at:
                await anyio.sleep(SECOND_LOOK_S)
            if self._beat_at == beat_at and self._away_at is None:
                return (
                    f"no ping of the server's within {limit_s:g} s, though it had announced one "
                    f"every {self._interval_s:g} s"
                )

    def _before(self, asked_at: float) -> str:
        if self._took_s is None:
            return "; none was ever answered"
        earlier_s = asked_at - self._beat_at
        return f"; the one before was answered {earlier_s:.1f} s before this one, in {self._took_s:.3f} s"
