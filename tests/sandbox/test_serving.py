"""The sandbox as a server: TLS, stopping while answers run, and being cancelled."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
from pathlib import Path

import aiohttp
import anyio
import pytest

from bridge.sandbox.pcvisit import Options, pcvisit_sandbox
from bridge.sandbox.serving import STOP_S
from tests.sandbox.client import GET_WORK_HISTORY, Client
from tests.support.certificates import Authority

pytestmark = pytest.mark.anyio


def closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    """With `tls` the address is https, and a client that trusts the authority is served."""
    authority = Authority(tmp_path)
    files = authority.issue("server", "127.0.0.1")
    trust = ssl.create_default_context(cafile=authority.path)
    async with (
        pcvisit_sandbox(Options(tls=files)) as sandbox,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
    ):
        assert sandbox.url.startswith("https://127.0.0.1:")
        assert "token" in await Client(sandbox, http).login()


async def test_other_paths_and_methods_are_refused() -> None:
    """Only POST to /graphql is the API."""
    async with pcvisit_sandbox() as sandbox, aiohttp.ClientSession() as http:
        for path, method, status in (("/graphql", "GET", 405), ("/", "POST", 404), ("/_sandbox/x", "GET", 404)):
            async with http.request(method, sandbox.base_url + path) as response:
                assert response.status == status
        for body in (b"{", b"[]", b'{"query": 5}'):
            async with http.post(sandbox.url, data=body) as response:
                assert response.status == 400


async def test_leaving_ends_answers_that_would_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """A request that hangs for a minute does not keep the sandbox from stopping; the port is free afterwards."""
    async with aiohttp.ClientSession() as http, anyio.create_task_group() as tasks:

        async def ask() -> None:
            async with client.post(GET_WORK_HISTORY, client.variables()) as response:
                assert response.status == 504

        with anyio.fail_after(STOP_S + 30):
            async with pcvisit_sandbox() as sandbox:
                client = Client(sandbox, http)
                sandbox.faults.plan("hang", seconds=60)
                tasks.start_soon(ask)
                while not sandbox.faults.served:
                    await anyio.lowlevel.checkpoint()
    assert closed(port_of(sandbox.url))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_cancelled_sandbox_stops_as_well() -> None:
    """Cancellation from outside closes the listener and every connection."""
    async with aiohttp.ClientSession() as http:
        with anyio.CancelScope() as scope:
            async with pcvisit_sandbox() as sandbox:
                await Client(sandbox, http).login()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert closed(port_of(sandbox.url))


async def test_signal_handlers_are_left_alone() -> None:
    """The server does not take signals away from the program it runs in."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with pcvisit_sandbox():
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_a_port_that_is_taken_is_an_error() -> None:
    """The second on the same port says so at once."""
    async with pcvisit_sandbox() as sandbox:
        with pytest.raises(OSError, match="in use"):
            async with pcvisit_sandbox(Options(port=port_of(sandbox.url))):
                pass
