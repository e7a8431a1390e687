"""Where push becomes pull: the one bounded buffer between a live session and the ledger."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio

from bridge.core.errors import Overrun

FRAMES = 30_000
"""Six seconds of the biggest feed there is: so long a server may stand still before anything is forgotten."""
CROWDED = 1 / 3
"""So full, a session reads no further, as long as frames are taken: what its vendor keeps need not be forgotten."""
ROOMY = 1 / 6
"""No fuller than this it reads on: there is work for a second, and to stop and go for each frame would cost more."""
PATIENCE_S = 5.0
"""No session is held up for longer at once, nor where no frame was taken for so long."""
FURTHER = 1 / 30
"""Of what it may hold so much is read all the same when that has passed: signs of life lie between the frames."""
CALM_S = 60.0
"""A vendor that was made to wait has caught up when nobody was for so long."""
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

    Before it is full it is crowded: a session reads no further then, and its vendor keeps what it has to say. That is
    asked of it only while frames are taken: during a first reading they may have to wait for hours.

    When it is full everything in it is forgotten at once, and the next `take` raises Overrun: catch-up will find
    what was lost, so keeping a part of it would only delay that.
    """

    def __init__(
        self,
        *,
        frames: int | None = None,
        size: int = 16 * 1024 * 1024,
        held: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`frames`: the most it holds; `FRAMES` unless said otherwise. `size`: the most bytes.

        `held` is told for how many seconds a session was made to wait, each time when that is over.
        """
        self._limit = FRAMES if frames is None else frames
        self._size_limit = size
        self._held = held
        self._taken_at = -math.inf
        self._awaited = False
        """Whether somebody waits to take what comes."""
        self._room: anyio.Event | None = None
        """There only while somebody waits for room."""
        self._further = 0
        """Until so many were offered it is not crowded."""
        self._behind: float | None = None
        self._calm_at = -math.inf
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
            self._make_room()
        else:
            self._frames.append((Arrived(frame, anyio.current_time(), stored, traceparent), size))
            self._size += size
        self._arrived.set()

    def missed(self, reason: str) -> None:
        """Frames may not have reached us: the next `take` raises Overrun, and what is here stays. Never raises."""
        self._missed = reason
        self._arrived.set()

    @property
    def crowded(self) -> bool:
        """See `Offer`."""
        return self._holds(CROWDED) and self._offered >= self._further and anyio.current_time() < self._patient_until

    @property
    def behind(self) -> bool:
        """See `Offer`."""
        return self.behind_since is not None

    async def room(self) -> None:
        """See `Offer`. Returns after `PATIENCE_S` at the latest; then some more are read in any case."""
        began = anyio.current_time()
        if self.behind_since is None:
            # As of what waits here already, it may be that not all had been read that was sent by then.
            self._behind = began if self.oldest_at is None else self.oldest_at
        self._calm_at = math.inf
        try:
            while self._holds(ROOMY) and anyio.current_time() < (until := min(self._patient_until, began + PATIENCE_S)):
                self._room = self._room or anyio.Event()
                with anyio.CancelScope(deadline=until):
                    await self._room.wait()
        finally:
            ended = anyio.current_time()
            self._calm_at = ended + CALM_S
            if self._holds(CROWDED):
                self._further = self._offered + math.ceil(self._limit * FURTHER)
            self._held(ended - began)

    @property
    def behind_since(self) -> float | None:
        """Since when the vendor may have said what nobody has read yet (seconds of the loop's clock); None: it has not.

        Where sessions are made to wait again and again, since the first time.
        """
        if self._behind is not None and anyio.current_time() >= self._calm_at:
            self._behind = None
        return self._behind

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
            self._awaited = True
            try:
                await self._arrived.wait()
            finally:
                self._awaited = False
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
        self._taken_at = anyio.current_time()
        if not self._holds(ROOMY):
            self._make_room()
        return taken

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    @property
    def _patient_until(self) -> float:
        return (anyio.current_time() if self._awaited else self._taken_at) + PATIENCE_S

    def _holds(self, part: float) -> bool:
        """Whether so much of what it may hold is there."""
        return len(self._frames) >= self._limit * part or self._size >= self._size_limit * part

    def depth(self) -> tuple[int, int]:
        """How many frames and bytes wait now."""
        return len(self._frames), self._size

    def statistics(self) -> InboxStatistics:
        """A snapshot for status and metrics."""
        return InboxStatistics(len(self._frames), self._size, self._offered, self._forgotten, self._overruns)
