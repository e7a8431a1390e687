"""Errors named after what happens next. Anything else that is raised is a bug and looks like one.

Texts of these errors reach logs and events: they say what happened, where, and what to do, and never
hold a secret or a person's data.
"""

from __future__ import annotations

from bridge.core.budget import Limit


class BridgeError(Exception):
    """A condition the bridge knows how to live with. `ending`: see `bridge/core/ending.py`; None: nobody has said."""

    ending: str | None = None


class Retry(BridgeError):
    """Try the same again, not before `after` seconds (None: the back-off decides)."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Throttled(Retry):
    """The vendor's quota is spent: everyone who shares the budget pauses for `after` seconds.

    `limit` is the quota the vendor named while refusing, if it named one.
    """

    def __init__(self, reason: str, *, after: float | None = None, limit: Limit | None = None) -> None:
        super().__init__(reason, after=after)
        self.limit = limit


class TooComplex(Retry):
    """The vendor will never answer a request of this size: make it smaller; the same again is no use."""


class Unauthorized(BridgeError):
    """The token is not accepted: renew it once and repeat; a second time is `Refused`."""


class CursorExpired(BridgeError):
    """The vendor no longer knows the position we asked to go on from: start the pass over."""


class Malformed(BridgeError):
    """The bytes are not what was promised: set them aside, go on with the next.

    `raw` is what could not be read, for the quarantine; it is never part of the text.
    """

    def __init__(self, reason: str, *, raw: bytes = b"") -> None:
        super().__init__(reason)
        self.raw = raw


class Overrun(BridgeError):
    """A bounded buffer is full: what it held is forgotten, and catch-up finds it again."""


class Refused(BridgeError):
    """The vendor says no and will go on saying no: the source stops and a human is called.

    `after`: seconds until it is tried all the same (None: the engine's own rule).
    """

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class WalkRefused(Refused):
    """The vendor refuses what one walk asks for: only that walk stops, unless the source has nothing else."""


class Away(BridgeError):
    """NATS cannot be written to now, or our knowledge of it is in doubt: forget, re-open, then go on."""


class Unfit(BridgeError):
    """The NATS server or its stream is not what the bridge needs, and only an operator can change that: stop."""
