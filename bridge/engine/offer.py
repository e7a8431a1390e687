"""Where a live session leaves what it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Offer(Protocol):
    """Takes a frame without waiting: the one place where push becomes pull."""

    def __call__(
        self, frame: Any, size: int, stored: Callable[[], None] | None = None, traceparent: str | None = None
    ) -> None:
        """Hand over one frame of `size` bytes. Never raises; an overrun is remembered by the inbox.

        A `Malformed` in place of a frame is a frame that could not be read, for the quarantine. `stored` is called,
        once and without waiting, when the ledger holds all that the frame told, and never if that is not to be.
        `traceparent`: the trace context that came with it (a webhook's header), as it was received: a valid one is
        gone on with, and anything else counts as none.
        """
        ...

    @property
    def crowded(self) -> bool:
        """Whether a session awaits `room` before it reads on: what is left unread makes its vendor wait."""
        ...

    async def room(self) -> None:
        """Wait until it is no longer crowded. Whatever is offered all the same is taken, as long as it fits."""
        ...

    @property
    def behind(self) -> bool:
        """Whether a vendor was made to wait lately: it may have told a session more than was read."""
        ...

    def missed(self, reason: str) -> None:
        """Frames may not have reached us, while the session goes on: read everything again. Never raises."""
        ...
