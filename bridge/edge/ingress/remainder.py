"""What a connection has brought behind a usual head: the body, as long as was announced, and what follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.edge.ingress.wire import Wire


class Crowded(Exception):
    """There is no room for more bodies now."""


class Remainder:
    """One for each connection. `hold`: told of each piece that is kept; False when that is too much."""

    def __init__(self, wire: Wire, hold: Callable[[int], bool]) -> None:
        self._wire = wire
        self._hold = hold
        self._here = b""
        self._owed = 0

    def begin(self, here: bytes, length: int) -> None:
        """A head was read: `here` lies behind it, and a body of so many bytes begins there."""
        self._here, self._owed = here, length

    def leave(self) -> bytes:
        """What lies behind the last body."""
        here, self._here = self._here, b""
        return here

    async def body(self, patience_s: float) -> bytes | None:
        """The body, whole; None when the client left. Raises Late, and Crowded."""
        length = self._owed
        if len(self._here) >= length:
            # As nearly always: one read brought all of it.
            body, self._here = self._here[:length], self._here[length:]
            self._owed = 0
            if not self._hold(length):
                raise Crowded
            return body
        deadline = asyncio.get_running_loop().time() + patience_s
        so_far = bytearray()
        more = self.leave()
        while True:
            piece, self._here = more[: self._owed], more[self._owed :]
            # Joined as it comes: a piece may be a byte long, and an object of its own fifty times that.
            so_far += piece
            self._owed -= len(piece)
            if not self._hold(len(piece)):
                raise Crowded
            if not self._owed:
                return bytes(so_far)
            more = await self._wire.take(deadline)
            if not more:
                return None

    def skip(self) -> bool:
        """Throw away what has come of a body that nobody wants. False: that is not all of it."""
        here = len(self._here)
        self._here, self._owed = self._here[self._owed :], max(0, self._owed - here)
        return not self._owed
