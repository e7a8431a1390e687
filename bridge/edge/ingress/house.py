"""What all connections share: the rules, whoever answers, what is counted, and the word to stop."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import anyio
import structlog

from bridge.core.config import IngressSettings
from bridge.engine.ports import Answer

MOST_HELD = 128 * 1024 * 1024
"""Bytes of bodies held at once, over all connections: a thousand senders that prove who they are only at the end of a
body must not fill this machine's memory."""
SAID_AGAIN_S = 60.0
"""What happens over and over is said once in so many seconds."""

_Frames = Sequence[traceback.FrameSummary]

log = structlog.get_logger()


@dataclass
class Counts:
    """What happened since the start; `connections` is now."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    """Connections beyond `max_connections`."""
    handshakes: int = 0
    """TLS handshakes that failed or took too long."""
    bugs: int = 0


@dataclass
class House:
    """One for each listener."""

    settings: IngressSettings
    answer: Answer
    table: str = "ingress"
    """Of the configuration, whose door this is: what is logged begins so."""
    counts: Counts = field(default_factory=Counts)
    stopping: bool = False
    held: int = 0
    idle: set[Callable[[], None]] = field(default_factory=set)
    """What ends connections on which nothing is in flight that must be finished."""
    _bugs: set[tuple[str, str, int]] = field(default_factory=set)
    _said: dict[str, float] = field(default_factory=dict)

    def stop(self) -> None:
        """Connections without a request end now, the others after the one they have."""
        self.stopping = True
        for end in self.idle:
            end()

    def bug(self, error: Exception) -> None:
        """Log where it happened, once for each place: whoever found a request that does it could fill the disk.

        Without the error's own text, which often shows the value it stumbled over, and so the request.
        """
        self.counts.bugs += 1
        for leaf, frames in _leaves(error, ()):
            last = frames[-1] if frames else None
            place = (type(leaf).__name__, last.filename if last else "", (last.lineno or 0) if last else 0)
            if place not in self._bugs:
                self._bugs.add(place)
                log.error(
                    f"{self.table}.bug",
                    error=type(leaf).__name__,
                    trace="".join(traceback.format_list(frames)),
                    advice="a request was answered with 500; please report this with the trace",
                )

    def say(self, event: str, **values: object) -> None:
        """Log a warning, unless the same was said within `SAID_AGAIN_S`."""
        now = anyio.current_time()
        if now >= self._said.get(event, now):
            self._said[event] = now + SAID_AGAIN_S
            log.warning(event, **values)


def _leaves(error: Exception, before: _Frames) -> Iterator[tuple[Exception, _Frames]]:
    frames = (*before, *traceback.extract_tb(error.__traceback__))
    if isinstance(error, ExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part, frames)
    else:
        yield error, frames
