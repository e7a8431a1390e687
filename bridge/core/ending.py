"""Why a live session ended, as one of a few words that can be counted: the error's text is for people."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from bridge.core.errors import Away, BridgeError, Refused, Throttled, Unauthorized


class Ending(StrEnum):
    """Every word there is. No text of a vendor's ever becomes one."""

    CLOSED = "closed"
    """The vendor ended it in order: it restarts, goes away, or gives no reason."""
    LOST = "lost"
    """The connection broke without a word."""
    SILENT = "silent"
    """No sign of life in time, though the connection stood: we ended it."""
    UNREACHABLE = "unreachable"
    """There was no answer to our attempt to connect: name, connection, TLS or time-out."""
    UNANSWERED = "unanswered"
    """It was opened and never confirmed in time."""
    FAULT = "fault"
    """The vendor reported trouble of its own."""
    PROTOCOL = "protocol"
    """What the vendor sent is not what the protocol promises."""
    TOKEN = "token"  # noqa: S105 - a word for it
    """The token was not accepted; it is renewed."""
    REFUSED = "refused"
    """The vendor says no and will go on saying no: a human is needed."""
    THROTTLED = "throttled"
    """Over the vendor's quota."""
    HANDOVER = "handover"
    """A session with a new token took its place before the old one ran out: nothing was interrupted."""
    READING = "reading"
    """Not the session failed but the reading beside it, for good."""
    NATS = "nats"
    """NATS was away, or the lease lost: the vendor is the buffer."""
    OTHER = "other"
    """Anything else; an error of ours, too."""


E = TypeVar("E", bound=BridgeError)

_BY_CLOSE_CODE = {
    1000: Ending.CLOSED, 1001: Ending.CLOSED, 1005: Ending.CLOSED, 1012: Ending.CLOSED, 1013: Ending.CLOSED,
    1006: Ending.LOST, 1015: Ending.LOST,
    1011: Ending.FAULT, 1014: Ending.FAULT, 4500: Ending.FAULT,
    1002: Ending.PROTOCOL, 1003: Ending.PROTOCOL, 1007: Ending.PROTOCOL, 1009: Ending.PROTOCOL,
    3008: Ending.SILENT, 4408: Ending.UNANSWERED, 4504: Ending.UNANSWERED,
}  # fmt: skip


def marked(error: E, ending: Ending) -> E:
    """The error, which from now on tells this ending, unless what it is says more."""
    error.ending = ending
    return error


def by_close_code(code: int) -> Ending:
    """What a close code of WebSocket tells; codes of a vendor's own are an orderly end."""
    return _BY_CLOSE_CODE.get(code, Ending.CLOSED)


def ending_of(error: BaseException) -> Ending:
    """The ending that an error tells: by what it is, else by what it was marked with where it was raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case Throttled():
            return Ending.THROTTLED
        case Unauthorized():
            return Ending.TOKEN
        case Refused():
            return Ending.REFUSED
        case Away():
            return Ending.NATS
    found = getattr(error, "ending", None)
    return found if isinstance(found, Ending) else Ending.OTHER
