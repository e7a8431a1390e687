"""Where push becomes pull: the one bounded buffer between a live session and the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio

from bridge.core.errors import Overrun

FRAMES = 30_000
"""Six seconds of the biggest feed there is: so long a server may stand still before anything is forgotten."""
TAKE = 500
"""Frames handed over at once: what one batch of telemetry holds. While more wait, smaller lists only cost more."""


class Arrived(NamedTuple):
    """A frame, when it came (seconds of the event loop's clock), whom to tell that the ledger has it, and its trace."""

    frame: Any
    at: float
    stored: Callable[[], None] | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class InboxStatistics:
    """What an inbox holds now, and what it has seen since it was made."""

    frames: int
    bytes: int
    offered: int
    forgotten: int
    overruns: int


class Inbox:
    """Bounded in frames and bytes. The session offers without waiting; one task takes lists.

    When it is full everything in it is forgotten at once, and the next `take` raises Overrun: catch-up will find
    what was lost, so keeping a part of it would only delay that.
    """

    def __init__(self, *, frames: int | None = None, size: int = 16 * 1024 * 1024) -> None:
        """`frames`: the most it holds; `FRAMES` unless said otherwise. `size`: the most bytes."""
        self._limit = FRAMES if frames is None else frames
        self._size_limit = size
        self._frames: deque[tuple[Arrived, int]] = deque()
        self._size = 0
        self._overrun = False
        self._missed = ""
        self._arrived = anyio.Event()
        self._offered = self._forgotten = self._overruns = 0

    def __call__(
        self, frame: Any, size: int, stored: Callable[[], None] | None = None, traceparent: str | None = None
    ) -> None:
        """Hand over one frame of `size` bytes. Never waits, never raises. See `Offer`."""
        self._offered += 1
        if self._overrun or len(self._frames) >= self._limit or self._size + size > self._size_limit:
            if not self._overrun:
                self._overrun = True
                self._overruns += 1
            self._forgotten += len(self._frames) + 1
            self._frames.clear()
            self._size = 0
        else:
            self._frames.append((Arrived(frame, anyio.current_time(), stored, traceparent), size))
            self._size += size
        self._arrived.set()

    def missed(self, reason: str) -> None:
        """Frames may not have reached us: the next `take` raises Overrun, and what is here stays. Never raises."""
        self._missed = reason
        self._arrived.set()

    @property
    def oldest_at(self) -> float | None:
        """When the frame arrived that has waited longest (seconds of the event loop's clock); None if none waits."""
        return self._frames[0][0].at if self._frames else None

    @property
    def forgot(self) -> bool:
        """Whether the next `take` raises Overrun."""
        return self._overrun or bool(self._missed)

    async def take(self, at_most: int = TAKE) -> list[Arrived]:
        """Wait for frames and return them in order, at least one.

        Raises Overrun once per overrun or miss.
        """
        while not self._frames and not self._overrun and not self._missed:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        if self._overrun:
            self._overrun, self._missed = False, ""
            raise Overrun(
                f"the inbox was full ({self._limit} frames or {self._size_limit} bytes): "
                "what it held is forgotten and read again from the vendor"
            )
        if self._missed:
            reason, self._missed = self._missed, ""
            raise Overrun(reason)
        taken = []
        for _ in range(min(at_most, len(self._frames))):
            arrived, size = self._frames.popleft()
            self._size -= size
            taken.append(arrived)
        return taken

    def depth(self) -> tuple[int, int]:
        """How many frames and bytes wait now."""
        return len(self._frames), self._size

    def statistics(self) -> InboxStatistics:
        """A snapshot for status and metrics."""
        return InboxStatistics(len(self._frames), self._size, self._offered, self._forgotten, self._overruns)
