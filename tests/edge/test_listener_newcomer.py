"""Who has just come when the door is closed: a request that was on its way is answered, silence ends soon."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.support.knocking import Desk, door, post
from tests.support.program import elapse
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


async def test_a_first_request_on_its_way_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken in, then told to stop, then the request comes: it is answered, and the connection closed after it."""
    monkeypatch.setattr("bridge.edge.ingress.wire.NEWCOMER_S", 60.0)
    monkeypatch.setattr("bridge.edge.listener.STOP_S", 60.0)
    async with door(Desk()) as listener:
        port = int(listener.addresses[0].rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await wait_until(lambda: listener.counts.connections == 1, what="the connection to be taken in")
            listener.stop()
            with anyio.fail_after(30):
                await elapse(0.1)
                await stream.send(post())
                answer = await stream.receive()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()


async def test_one_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door does not wait for whoever connects ahead of time, as load balancers do, until its own time is up."""
    monkeypatch.setattr("bridge.edge.listener.STOP_S", 3600.0)
    async with door(Desk(), header_timeout_s=3600.0) as listener:
        port = int(listener.addresses[0].rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await wait_until(lambda: listener.counts.connections == 1, what="the connection to be taken in")
            listener.stop()
            with anyio.fail_after(60), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
