"""The notify protocol: where messages go, what they look like, and that nothing about it ever ends the daemon."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.edge.notify import Notifier, Post, taken


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        yield made


@pytest.mark.parametrize("abstract", [False, True])
def test_one_datagram_holds_all_variables(listener: socket.socket, tmp_path: Path, abstract: bool) -> None:
    """By a path and by an abstract name: one message, a line for each variable, in their order."""
    name = str(tmp_path / "notify")
    listener.bind(f"\0{name}" if abstract else name)
    Notifier(Post(f"@{name}" if abstract else name)).send(RELOADING=1, MONOTONIC_USEC=123456)
    assert listener.recv(65536) == b"RELOADING=1\nMONOTONIC_USEC=123456"


def test_a_status_is_one_line(listener: socket.socket, tmp_path: Path) -> None:
    """What a vendor or a file says cannot forge another variable, nor make the datagram too long to be sent."""
    listener.bind(name := str(tmp_path / "notify"))
    Notifier(Post(name)).send(STATUS="wrong\nREADY=1\r\nand\tmore" + "x" * 100_000)
    assert listener.recv(200_000).startswith(b"STATUS=wrong READY=1 and morexxx")
    Notifier(Post(name)).send(STATUS="y" * 100_000)
    assert listener.recv(200_000) == b"STATUS=" + b"y" * 1000


@pytest.mark.skipif(not hasattr(socket, "AF_VSOCK"), reason="this system has no sockets for virtual machines")
@pytest.mark.parametrize(("address", "kinds"), [
    ("vsock:2:1234", ["SOCK_DGRAM", "SOCK_SEQPACKET", "SOCK_STREAM"]),
    ("vsock-stream:2:1234", ["SOCK_STREAM"]),
    ("vsock-seqpacket:2:1234", ["SOCK_SEQPACKET"]),
])  # fmt: skip
def test_the_host_of_a_virtual_machine_is_told(monkeypatch: pytest.MonkeyPatch, address: str, kinds: list[str]) -> None:
    """By the kind that the address names, else by the first that the host offers; a connection is one message."""
    tried: list[str] = []
    sent: list[tuple[object, bytes]] = []

    class Vsock:
        def __init__(self, family: int, kind: int) -> None:
            assert family == socket.AF_VSOCK
            tried.append(socket.SocketKind(kind).name)
            self.where: object = None

        def __enter__(self) -> Vsock:
            return self

        def __exit__(self, *_: object) -> None: ...

        def settimeout(self, _: float) -> None: ...

        def connect(self, where: object) -> None:
            if tried[-1] != kinds[-1]:
                raise OSError(19, "No such device")
            self.where = where

        def sendall(self, data: bytes) -> None:
            sent.append((self.where, data))

    monkeypatch.setattr(socket, "socket", Vsock)
    Notifier(Post(address)).send(READY=1)
    assert (tried, sent) == (kinds, [((2, 1234), b"READY=1")])


@pytest.mark.parametrize(
    "address", ["notify", "vsock:x:1", "vsock:1", "http://127.0.0.1", "/nowhere/notify", "@nobody"]
)
def test_nothing_about_the_socket_is_raised(address: str) -> None:
    """An address of no known form, and a socket that is not there: said once, with what to do."""
    notifier = Notifier(Post(address))
    with capture_logs() as logs:
        notifier.send(READY=1)
        notifier.send(WATCHDOG=1)
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("notify.failed", "warning")
    assert "NotifyAccess=" in line["advice"]


def test_a_manager_that_comes_back_is_told_again(tmp_path: Path) -> None:
    """One that was started anew has a new socket at the same place; that it had gone is news again if it goes again."""
    name = str(tmp_path / "notify")
    notifier = Notifier(Post(name))
    with capture_logs() as logs:
        notifier.send(READY=1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.settimeout(10)
            there.bind(name)
            notifier.send(WATCHDOG=1)
            assert there.recv(100) == b"WATCHDOG=1"
        notifier.send(WATCHDOG=1)
    assert [line["reason"] for line in logs] == ["No such file or directory", "Connection refused"]


def test_a_manager_that_does_not_read_holds_nobody_up(listener: socket.socket, tmp_path: Path) -> None:
    """Its queue is full: the message is given up after half a second, and said to be lost."""
    listener.bind(name := str(tmp_path / "notify"))
    notifier = Notifier(Post(name))
    with capture_logs() as logs:
        for _ in range(2000):
            notifier.send(WATCHDOG=1)
            if logs:
                break
    assert logs[0]["event"] == "notify.failed"


@pytest.mark.parametrize(
    ("environ", "post"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "/run/x"}, Post("/run/x")),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "60000000"}, Post("/run/x", 60.0)),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, Post("/run/x")),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, Post("/run/x")),
    ],
)
def test_the_environment_speaks_to_us_alone(environ: dict[str, str], post: Post | None) -> None:
    """What it says is taken out of it; a watchdog that is meant for another process is not ours to feed."""
    environ |= {"PATH": "/bin"}
    assert taken(environ) == post
    assert environ == {"PATH": "/bin"}
    ours = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert taken(ours) == Post("/run/x", 2.0)
