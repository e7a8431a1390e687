"""The notify protocol: what a service tells the manager that started it, by datagrams on a socket it is given.

No library: the protocol is some lines of text in one datagram, and the two packages there are do neither `vsock:` nor
read the watchdog's variables. The manager's own library would be a C extension that few systems have for Python.

Whoever is started by us must not speak in our name, so the variables are taken out of the environment.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

import structlog

LONGEST = 1_000
"""Characters of one value: a status is one line, and a datagram that is too long would be lost as a whole."""
SEND_S = 0.5
"""How long one message may take where the manager's queue is full. The event loop stands still for so long."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Post:
    """Where messages go and how often a sign of life is expected, in seconds (None: never)."""

    address: str
    watchdog_s: float | None = None


def taken(environ: MutableMapping[str, str]) -> Post | None:
    """What the environment says, which is taken out of it; None where nobody listens."""
    address = environ.pop("NOTIFY_SOCKET", "")
    usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address:
        return None
    # Meant for another process where a shell or a wrapper stands in between.
    ours = pid in ("", str(os.getpid()))
    return Post(address, int(usec) / 1e6 if ours and _number(usec) else None)


class Notifier:
    """One sender of messages. Nothing that befalls the socket ever raises: the daemon works without being heard."""

    def __init__(self, post: Post) -> None:
        self.watchdog_s = post.watchdog_s
        self._address = post.address
        self._silent = False

    def send(self, **values: object) -> None:
        """One message with these variables, in this order. Returns at once, or after `SEND_S` at most."""
        message = "\n".join(f"{name}={_line(value)}" for name, value in values.items()).encode()
        try:
            # A new one each time: whoever restarts the manager, or moves its socket, is heard again.
            _send(_ways(self._address), message)
        except (OSError, ValueError, OverflowError) as error:
            if not self._silent:
                log.warning(
                    "notify.failed",
                    reason=getattr(error, "strerror", None) or str(error) or type(error).__name__,
                    advice="the service manager hears nothing of us; see NotifyAccess= and the socket it names",
                )
            self._silent = True
        else:
            self._silent = False


_Way = tuple[int, int, str | bytes | tuple[int, int]]
"""Family, kind and address."""

# A virtual machine's: which kinds its host offers is found out by trying, unless the address says so.
_VSOCK = {
    "vsock": (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM),
    "vsock-dgram": (socket.SOCK_DGRAM,),
    "vsock-seqpacket": (socket.SOCK_SEQPACKET,),
    "vsock-stream": (socket.SOCK_STREAM,),
}


def _ways(address: str) -> list[_Way]:
    """How to reach it, the best first. Raises ValueError for what is no path, nor abstract, nor a virtual machine's."""
    if address.startswith("/"):
        return [(socket.AF_UNIX, socket.SOCK_DGRAM, address)]
    if address.startswith("@"):
        return [(socket.AF_UNIX, socket.SOCK_DGRAM, b"\0" + os.fsencode(address[1:]))]
    kind, _, rest = address.partition(":")
    cid, _, port = rest.partition(":")
    family = getattr(socket, "AF_VSOCK", None)
    if kind not in _VSOCK or family is None or not (_number(cid) and _number(port)):
        raise ValueError(f"NOTIFY_SOCKET has a form that is not known: {address[:60]}")
    return [(family, one, (int(cid), int(port))) for one in _VSOCK[kind]]


def _send(ways: list[_Way], message: bytes) -> None:
    """By the first way that there is. Raises the last one's OSError."""
    for at, (family, kind, where) in enumerate(ways):
        try:
            with socket.socket(family, kind) as sender:
                sender.settimeout(SEND_S)
                sender.connect(where)
                # Of a stream, its end is the message's.
                sender.sendall(message)
        except OSError:
            if at == len(ways) - 1:
                raise
        else:
            return


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _line(value: object) -> str:
    return " ".join(str(value).split())[:LONGEST]
