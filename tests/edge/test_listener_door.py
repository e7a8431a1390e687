"""Opening and closing the door: addresses, inherited sockets, what cannot be opened, requests in flight at the end."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.core.config import IngressSettings
from bridge.core.errors import BridgeError
from bridge.edge import listener as module
from bridge.edge.ingress import sockets
from bridge.edge.ingress.trouble import CannotListen, IngressMisconfigured, ListenForbidden
from bridge.edge.listener import listening
from bridge.engine.ports import Incoming, Reply
from tests.support.knocking import Desk, door, knocking, post
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


# --- addresses ----------------------------------------------------------------------------------------------------


async def test_the_addresses_are_the_real_ones() -> None:
    """A free port is told; every form of address can be reached."""
    async with door(Desk()) as listener:
        host, port = listener.addresses[0].split(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
    for listen, shown in (("[::1]:0", "[::1]:"), ("[::]:0", "[::]:"), ("0.0.0.0:0", "0.0.0.0:")):
        async with door(Desk(), listen=listen) as listener:
            assert listener.addresses[0].startswith(shown)
            port = listener.addresses[0].rpartition(":")[2]
            for client in ["::1"] if listen == "[::1]:0" else ["127.0.0.1"]:
                with anyio.fail_after(30):
                    async with await anyio.connect_tcp(client, int(port)) as stream:
                        await stream.send(post())
                        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")


async def test_a_name_means_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All on the same port, as only one is told to senders."""

    async def both(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "here.example"
        return [
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)),
        ]

    monkeypatch.setattr("bridge.edge.ingress.sockets.anyio.getaddrinfo", both)
    async with door(Desk(), listen="here.example:0") as listener:
        (one, other) = listener.addresses
        assert one.rpartition(":")[2] == other.rpartition(":")[2]
        assert (one.rpartition(":")[0], other.rpartition(":")[0]) == ("127.0.0.1", "[::1]")


@pytest.mark.parametrize(
    "listen", ["", "8791", ":8791", "::1:8791", "[1.2.3.4]:1", "h:", "h:x", "h:65536", "h:-1", "h:٣"]
)
async def test_what_is_no_address_is_refused(listen: str) -> None:
    """In a sentence that shows how one looks."""
    with pytest.raises(IngressMisconfigured, match=r"is no address and port, such as 127\.0\.0\.1:8791 or \[::\]:8791"):
        async with door(Desk(), listen=listen):
            pass


async def failure(listen: str) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        async with door(Desk(), listen=listen):
            pass
    return caught.value


async def test_what_cannot_be_opened_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken, not ours, unknown, forbidden: one sentence each, and nothing stays open."""
    async with door(Desk()) as listener:
        taken = await failure(listener.addresses[0])
        assert isinstance(taken, CannotListen)
        assert f"{listener.addresses[0]} is taken by another program" in str(taken)
    foreign = await failure("192.0.2.1:8791")
    assert isinstance(foreign, CannotListen)
    assert "192.0.2.1:8791 is no address of this machine" in str(foreign)
    unknown = await failure("nowhere.invalid:8791")
    assert isinstance(unknown, CannotListen)
    assert "the name nowhere.invalid cannot be resolved" in str(unknown)

    def forbidden(*_: Any) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets, "_open", forbidden)
    privileged = await failure("127.0.0.1:80")
    assert isinstance(privileged, ListenForbidden)
    assert "this user may not listen on 127.0.0.1:80; choose a port above 1023" in str(privileged)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_inherited_sockets_are_taken_as_they_are(family: int, tmp_path: Path) -> None:
    """In place of the configured address, which is not touched; closed at the end."""
    where: Any = ("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s")
    given = socket.socket(family)
    given.bind(where)
    given.listen()
    desk = Desk()
    async with listening(IngressSettings(listen="nonsense"), desk, sockets=[given]) as listener:
        assert listener.addresses == (sockets.label(given),)
        with socket.socket(family) as client:
            client.connect(given.getsockname())
            client.sendall(post())
            await wait_until(lambda: desk.taken)
    assert given.fileno() == -1
    assert desk.taken[0].peer == ("127.0.0.1" if family == socket.AF_INET else "")


async def test_a_connection_without_a_request_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed at once when the door is, before its first request and after it."""
    monkeypatch.setattr(module, "STOP_S", 600)
    with anyio.fail_after(60):
        async with AsyncExitStack() as clients:
            async with door(Desk(), header_timeout_s=600, idle_timeout_s=600) as listener:
                silent = await clients.enter_async_context(knocking(listener))
                served = await clients.enter_async_context(knocking(listener))
                assert (await served.ask(post())).status == 200
                await wait_until(lambda: listener.counts.connections == 2)
            assert (await silent.ended(), await served.ended()) == (b"", b"")


async def test_an_inherited_socket_that_does_not_listen_is_refused() -> None:
    """A connection, as `Accept=yes` hands over, or datagrams: said in a sentence, before anything is served."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as given:
            given.bind(("127.0.0.1", 0))
            with pytest.raises(IngressMisconfigured, match="does not listen for streams"):
                async with listening(IngressSettings(), Desk(), sockets=[given]):
                    pass


# --- closing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled", [False, True], ids=["left", "cancelled"])
async def test_requests_in_flight_are_finished(cancelled: bool) -> None:
    """Nobody new is taken, idle connections end at once, and who has a request in flight gets its answer."""
    release = anyio.Event()

    async def wait(_: Incoming) -> Reply:
        await release.wait()
        return Reply(200, "done")

    desk = Desk(reply=wait)
    leave = anyio.Event()
    opened: list[module.Listener] = []

    async def host() -> None:
        with anyio.CancelScope() as scope:
            async with door(desk, header_timeout_s=600, idle_timeout_s=600) as listener:
                opened.append(listener)
                await leave.wait()
                if cancelled:
                    scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host)
        await wait_until(lambda: opened)
        async with knocking(opened[0]) as busy, knocking(opened[0]) as idle:
            await wait_until(lambda: opened[0].counts.connections == 2)
            await busy.send(post())
            await wait_until(lambda: desk.taken)
            leave.set()
            assert await idle.ended() == b""
            with pytest.raises(ConnectionRefusedError):
                async with knocking(opened[0]):
                    pass
            release.set()
            heard = await busy.heard()
            assert (heard.body, heard.headers["connection"]) == (b"done", "close")
            assert await busy.ended() == b""


@pytest.mark.parametrize("cancelled", [False, True], ids=["left", "cancelled"])
async def test_closing_takes_no_longer_than_it_may(cancelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come is cut off; so is a sender in the middle of its headers."""
    monkeypatch.setattr(module, "STOP_S", 0.2)
    ended: list[str] = []

    async def never(_: Incoming) -> Reply:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("answer")
        raise AssertionError

    desk = Desk(reply=never)
    with anyio.fail_after(60):
        async with AsyncExitStack() as clients:
            with anyio.CancelScope() as scope:
                async with door(desk, answer_timeout_s=600, header_timeout_s=600) as listener:
                    busy = await clients.enter_async_context(knocking(listener))
                    halfway = await clients.enter_async_context(knocking(listener))
                    await busy.send(post())
                    await halfway.send(b"GET /a HTT")
                    await wait_until(lambda: desk.taken and listener.counts.connections == 2)
                    if cancelled:
                        scope.cancel()
            assert await busy.ended() == await halfway.ended() == b""
    assert ended == ["answer"]
    assert listener.counts.connections == 0


async def test_an_error_inside_the_block_closes_the_door() -> None:
    """And is the error that comes out."""
    with pytest.raises(ExceptionGroup) as caught:
        async with door(Desk()) as listener:
            raise ValueError("mine")
    assert caught.group_contains(ValueError, match="mine")
    with pytest.raises(ConnectionRefusedError):
        async with knocking(listener):
            pass


async def test_a_machine_out_of_files_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not being able to take a connection is said, does not spin, and is over when it is over."""
    monkeypatch.setattr(module, "BREATH_S", 0.01)
    loop = asyncio.get_running_loop()
    real, failures = loop.sock_accept, [errno.EMFILE, errno.ECONNABORTED]

    async def accept(one: socket.socket) -> Any:
        if failures:
            raise OSError(failures.pop(), "Too many open files")
        return await real(one)

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return accept if name == "sock_accept" else getattr(loop, name)

    monkeypatch.setattr("bridge.edge.listener.asyncio.get_running_loop", Loop)
    async with door(Desk()) as listener, knocking(listener) as client:
        assert (await client.ask(post())).status == 200
    assert failures == []
