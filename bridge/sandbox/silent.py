"""The live half of a vendor that pushes nothing: there are no sockets, and it can be down like any other."""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

import anyio

NOTHING: Final[tuple[()]] = ()


class Silent:
    """Takes no sockets. Needs an event loop only to say whether it is down."""

    sessions: Sized = NOTHING
    opened = 0

    def __init__(self) -> None:
        self.down_until = 0.0
        self.refused = 0

    @property
    def down(self) -> bool:
        """Whether it restarts."""
        return self.down_until > 0 and anyio.current_time() < self.down_until

    def drop(self, code: int = 1012) -> int:  # noqa: ARG002  # there is nothing to close
        """Closes nothing."""
        return 0
