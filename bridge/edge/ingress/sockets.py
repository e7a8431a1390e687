"""Sockets to listen on: an address as it is configured, bound, and said again as people write it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import anyio

from bridge.edge.ingress.trouble import CannotListen, IngressMisconfigured, ListenForbidden

BACKLOG = 512
"""Connections the system holds for us until we take them. The kernel's own bound (`somaxconn`) may be lower."""


def address(text: str) -> tuple[str, int]:
    """Host and port of `0.0.0.0:8791`, `[::]:8791` or `name:8791`; port 0 means any free one.

    Raises IngressMisconfigured for anything else.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not host or (":" in host) != bracketed or not digits or int(port) > 65_535:
        raise IngressMisconfigured(
            f"[ingress] listen: {text!r} is no address and port, such as 127.0.0.1:8791 or [::]:8791"
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def network(host: str) -> str:
    """What counts as one sender: of IPv6 a whole /64, as whoever has one of its addresses has all; else the address."""
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


async def bound(text: str, *, table: str = "ingress") -> list[socket.socket]:
    """Sockets that listen there: one for each address the host name has. `table`: whose `listen` it is, for complaints.

    Raises IngressMisconfigured (no address), CannotListen (taken, not ours, name unknown) and ListenForbidden.
    """
    host, port = address(text)
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotListen(
            f"[{table}] listen: the name {host} cannot be resolved; give an address of this machine"
        ) from None
    made: list[socket.socket] = []
    try:
        for family, where in dict.fromkeys((family, where) for family, _, _, _, where in found):
            # A name with several addresses and any free port: the same port on each, as only one is told to senders.
            where = (where[0], port or (made[0].getsockname()[1] if made else 0), *where[2:])
            made.append(_open(family, where))
    except OSError as error:
        for one in made:
            one.close()
        raise _trouble(error, text, table) from error
    return made


def _open(family: int, where: tuple[str | int, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port in TIME_WAIT is free for us; on Windows the same option would take a port somebody listens on.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] means everybody, whatever the system's default is; any other address is of one family anyway.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(where[0] != "::"))
        one.bind(where)
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one


def _trouble(error: OSError, text: str, table: str) -> CannotListen | ListenForbidden:
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"[{table}] listen: {text} is taken by another program, perhaps by another bridged; stop it, "
            "or choose another port"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return CannotListen(
            f"[{table}] listen: {text} is no address of this machine; choose one of its own, or 0.0.0.0 for all"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ListenForbidden(
            f"[{table}] listen: this user may not listen on {text}; choose a port above 1023, have systemd open the "
            "socket, or grant CAP_NET_BIND_SERVICE"
        )
    return CannotListen(f"[{table}] listen: {text} cannot be opened ({error.strerror or type(error).__name__})")


def inherited(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """The same, made ready. Raises IngressMisconfigured for one that does not listen."""
    ready = list(sockets)
    for one in ready:
        stream = one.type == socket.SOCK_STREAM
        if not stream or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise IngressMisconfigured(
                f"the socket {label(one)}, handed over by whoever started us, does not listen for streams; "
                "a systemd socket unit needs ListenStream= and Accept=no"
            )
        one.setblocking(False)
    return ready


def label(listening: socket.socket) -> str:
    """Where it listens, as people write it: `127.0.0.1:8791`, `[::]:8791`, or the path of a Unix socket."""
    where = listening.getsockname()
    if not isinstance(where, tuple):
        return f"unix:{where}"
    host, port = where[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
