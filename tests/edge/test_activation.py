"""Sockets that were handed over: found by name, usable again and again, passed on to nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from bridge.edge.activation import taken


@pytest.fixture
def numbers() -> Iterator[list[int]]:
    """Three listening sockets whose numbers follow each other, inheritable, as a service manager leaves them."""
    first = 200
    with ExitStack() as stack:
        for at in range(3):
            made = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            os.dup2(made.fileno(), first + at, inheritable=True)
        yield [first, first + 1, first + 2]
    for number in range(first, first + 3):
        try:
            os.close(number)
        except OSError:
            continue


def announced(count: int, names: str, pid: int | None = None) -> dict[str, str]:
    return {
        "LISTEN_PID": str(os.getpid() if pid is None else pid),
        "LISTEN_FDS": str(count),
        "LISTEN_FDNAMES": names,
        "PATH": "/bin",
    }


def test_sockets_are_found_by_name(numbers: list[int]) -> None:
    """Two of one name and one of another; the environment says nothing of them any more, and children get none."""
    environ = announced(3, "webhooks:status:webhooks")
    handed = taken(environ, numbers[0])
    assert environ == {"PATH": "/bin"}
    assert handed.names() == ["webhooks", "status"]
    assert [os.get_inheritable(number) for number in numbers] == [False] * 3
    copies = handed.take("webhooks")
    where = [copy.getsockname() for copy in copies]
    assert len(set(where)) == 2
    for copy in copies:
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        copy.close()
    assert list(handed.take("other")) == []
    handed.close()


def test_a_socket_survives_the_listener_that_took_it(numbers: list[int]) -> None:
    """Who connects between two listeners waits, and is taken by the second."""
    handed = taken(announced(1, "webhooks"), numbers[0])
    (first,) = handed.take("webhooks")
    where = first.getsockname()
    first.close()
    with socket.create_connection(where, timeout=10) as client:
        (second,) = handed.take("webhooks")
        second.settimeout(10)
        peer, _ = second.accept()
        assert peer.getpeername() == client.getsockname()
        peer.close()
        second.close()
    handed.close()


@pytest.mark.parametrize("environ", [
    {"PATH": "/bin"},
    announced(1, "webhooks", pid=1),
    {**announced(1, "webhooks"), "LISTEN_FDS": "many"},
])  # fmt: skip
def test_what_is_not_for_us_is_left_alone(numbers: list[int], environ: dict[str, str]) -> None:
    """Without the variables, with another process's, or with nonsense, nothing is taken; nor is anything passed on."""
    environ = dict(environ)
    assert taken(environ, numbers[0]).names() == []
    assert environ == {"PATH": "/bin"}


def test_what_is_no_socket_is_said(numbers: list[int]) -> None:
    """A file among them is named and closed; the others are taken, and one without a name has one."""
    read, write = os.pipe()
    os.dup2(read, numbers[0])
    with capture_logs() as logs:
        handed = taken(announced(2, ""), numbers[0])
    os.close(read)
    os.close(write)
    assert [(line["event"], line["number"]) for line in logs] == [("activation.failed", numbers[0])]
    assert handed.names() == ["unknown"]
    handed.close()
