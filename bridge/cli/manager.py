"""What the service manager that started us is told: ready, how it goes, that we live, reloading, stopping.

Said by `bridge/edge/notify.py`. The sign of life is given only while the event loop turns and no supervised loop is
stuck (`bridge/engine/pulse.py`); who is stuck is said before it is withheld for too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import anyio
import structlog

from bridge.engine.pulse import Pulse, Stuck
from bridge.engine.readiness import Readiness

EVERY_S = 5.0
"""How often we look: the status line changes no more often, and a sign of life is due within far more."""
PART = 4
"""A sign of life is given so often within the time after which we would be given up: half of them may be lost."""
EXTEND_S = 30.0
"""By how much the time to start, or to reload, is made longer with every look while there is something to wait for."""

log = structlog.get_logger()


class Tell(Protocol):
    """Sends one message; never raises."""

    def __call__(self, **values: object) -> None: ...


class Manager:
    """`run` never returns; it is to run from before anything is started until after everything has stopped.

    `watchdog_s`: how long the manager waits for a sign of life; None: it wants none.
    """

    def __init__(
        self,
        tell: Tell,
        pulse: Pulse,
        *,
        watchdog_s: float | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._tell = tell
        self._pulse = pulse
        self._watchdog_s = watchdog_s
        self._monotonic_ns = monotonic_ns
        self._readiness: Readiness | None = None
        self._headline: Callable[[], str] = _running
        self._attached = anyio.Event()
        self._ready = self._stopping = self._reloading = False
        self._refused = ""
        self._said = ""
        self._stuck: set[tuple[str, str]] = set()

    def attach(self, readiness: Readiness, headline: Callable[[], str]) -> None:
        """There is something to tell of. `headline` makes the status line; it returns at once, every few seconds."""
        self._readiness, self._headline = readiness, headline
        self._attached.set()

    async def run(self) -> None:
        """Look every few seconds, and at once when readiness changes. Is cancelled."""
        every_s = EVERY_S if self._watchdog_s is None else min(EVERY_S, self._watchdog_s / PART)
        while not self._stopping:
            self.look(anyio.current_time())
            with anyio.move_on_after(every_s):
                await self._news()
        await anyio.sleep_forever()

    async def _news(self) -> None:
        """Returns when something has changed that is not to wait."""
        if self._readiness is None:
            await self._attached.wait()
        elif self._ready:
            await anyio.sleep_forever()
        else:
            await self._readiness.changed()

    def look(self, now: float) -> None:
        """Tell what is to be told now. `now`: the event loop's clock, in seconds."""
        if self._stopping:
            return
        stuck = self._pulse.stuck(now)
        self._note(stuck)
        values: dict[str, object] = {}
        if not self._ready and self._readiness is not None and self._readiness.ready:
            self._ready = True
            values["READY"] = 1
        elif not self._ready or self._reloading:
            values["EXTEND_TIMEOUT_USEC"] = round(EXTEND_S * 1e6)
        if (status := self._status(stuck)) != self._said:
            self._said = values["STATUS"] = status
        if self._watchdog_s is not None and not stuck:
            values["WATCHDOG"] = 1
        if values:
            self._tell(**values)

    def reloading(self) -> None:
        """A reload begins. The time goes with it, or the manager would not know which reload is meant."""
        if self._stopping:
            return
        self._reloading = True
        self._tell(RELOADING=1, MONOTONIC_USEC=self._monotonic_ns() // 1_000)

    def reloaded(self, *, ok: bool, text: str) -> None:
        """It has ended. Where it was refused we go on as before, are as ready, and say so until one succeeds."""
        if self._stopping:
            return
        self._reloading = False
        self._refused = "" if ok else text
        self._said = text if ok else self._status(())
        self._tell(READY=1, STATUS=self._said)

    def stopping(self, reason: str, within_s: float) -> None:
        """We stop, and are done within so many seconds. Nothing is said after this but `failed`."""
        if self._stopping:
            return
        self._stopping = True
        usec = round(within_s * 1e6)
        # Nobody feeds the watchdog from here on: the stop has a deadline of its own.
        watchdog = {} if self._watchdog_s is None else {"WATCHDOG_USEC": usec}
        self._tell(STOPPING=1, STATUS=f"stopping: {reason}", EXTEND_TIMEOUT_USEC=usec, **watchdog)

    def failed(self, reason: str, code: int, errno: int | None = None) -> None:
        """We end with this exit code. `errno`: the system's, where that was the cause."""
        self._stopping = True
        self._tell(STATUS=f"failed: {reason}", EXIT_STATUS=code, **({} if errno is None else {"ERRNO": errno}))

    def _status(self, stuck: tuple[Stuck, ...]) -> str:
        if stuck:
            return f"stuck, no sign of life is given: {_sentence(stuck[0])}"
        if not self._ready:
            conditions = () if self._readiness is None else self._readiness.conditions
            waits = ", ".join(f"{one.name} ({one.why})" for one in conditions if not one.holds)
            return f"starting; waiting for {waits}" if waits else "starting"
        if self._refused:
            return f"the new configuration was refused, the old one goes on: {self._refused}"
        return self._headline()

    def _note(self, stuck: tuple[Stuck, ...]) -> None:
        for one in stuck:
            if (one.loop, one.what) not in self._stuck:
                log.error(
                    "watchdog.withheld",
                    loop=one.loop,
                    what=one.what,
                    for_s=round(one.for_s),
                    limit_s=round(one.limit_s),
                    advice="please report this; whoever watches us starts us anew, and nothing that is stored is lost",
                )
        if self._stuck and not stuck:
            log.warning("watchdog.resumed", reason="every loop makes progress again")
        self._stuck = {(one.loop, one.what) for one in stuck}


def _sentence(stuck: Stuck) -> str:
    return f"{stuck.loop} has been {stuck.what} for {stuck.for_s:.0f} s, which may take {stuck.limit_s:.0f} s at most"


def _running() -> str:
    return "running"
