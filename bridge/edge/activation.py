"""Sockets handed over by whoever started us: they listen already, and go on doing so while we are started anew.

The variables are taken out of the environment, and the sockets are not passed on: whoever is started by us gets none.

Source: sd_listen_fds(3), systemd.socket(5).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

import structlog

FIRST = 3
"""The number of the first one; 0 to 2 are standard input, output and error."""
MOST = 64

log = structlog.get_logger()


class Handed:
    """Sockets by name, each to be taken once. What is left is closed by `close`."""

    def __init__(self, sockets: dict[str, list[socket.socket]]) -> None:
        self._sockets = sockets

    def names(self) -> list[str]:
        """What there is, in the order it was handed over."""
        return [name for name, some in self._sockets.items() if some]

    def take(self, name: str) -> list[socket.socket]:
        """Copies of those of that name, to be closed by whoever takes them; none if none were handed over.

        The originals stay open as long as this process lives: a listener that is closed and opened anew (a reload)
        finds them again, and what waits meanwhile is not refused.
        """
        return [one.dup() for one in self._sockets.get(name, ())]

    def close(self) -> None:
        """They are closed, here; who handed them over still has them."""
        for some in self._sockets.values():
            for one in some:
                one.close()
        self._sockets = {}


def taken(environ: MutableMapping[str, str], first: int = FIRST) -> Handed:
    """What was handed over to this process. The environment no longer says so."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return Handed({})
    found: dict[str, list[socket.socket]] = {}
    for at in range(min(int(count), MOST)):
        number = first + at
        name = names[at] if at < len(names) and names[at] else "unknown"
        try:
            os.set_inheritable(number, False)
            one = socket.socket(fileno=number)
            # Copies share it, and a copy made of one that blocks would make all of them block.
            one.setblocking(False)
            found.setdefault(name, []).append(one)
        except OSError as error:
            log.warning(
                "activation.failed", number=number, name=name, reason=error.strerror, advice="it is no socket: see "
                "the socket unit; whoever is to listen there opens one by itself",
            )  # fmt: skip
            with suppress(OSError):
                os.close(number)
    return Handed(found)
