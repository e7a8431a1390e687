"""The proxy does what it is told, and no more: pieces, one way only, and everything again once it is healed."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from tests.support.proxy import Proxy, proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


class Echo:
    """A server that counts what comes, answers each chunk in capitals, and greets."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        """One connection."""
        async with stream:
            await stream.send(b"hello")
            async for chunk in stream:
                self.heard.append(chunk)
                await stream.send(chunk.upper())


async def heard(stream: SocketStream, size: int) -> bytes:
    """So many bytes."""
    found = b""
    with anyio.fail_after(30):
        while len(found) < size:
            found += await stream.receive()
    return found


async def test_it_trickles_stops_one_way_and_heals() -> None:
    """Pieces of a size; nothing up while all comes down; nothing down while all goes up; what was held back arrives."""
    echo = Echo()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo.serve)
        port = int(listener.extra(anyio.abc.SocketAttribute.local_port))
        async with proxy(port) as way, await anyio.connect_tcp("127.0.0.1", way.port) as client:
            assert await heard(client, 5) == b"hello"
            await trickles(way, client, echo)
            await goes_one_way(way, client, echo)
            await half_closes(way, client, echo)
        tasks.cancel_scope.cancel()


async def trickles(way: Proxy, client: SocketStream, echo: Echo) -> None:
    """Four bytes at a time."""
    way.trickle(4, 0.02)
    await client.send(b"abcdefghij")
    assert await heard(client, 10) == b"ABCDEFGHIJ"
    assert max(map(len, echo.heard)) <= 4
    assert way.trickled >= 6
    way.heal()


async def goes_one_way(way: Proxy, client: SocketStream, echo: Echo) -> None:
    """Up, and then down."""
    way.partition(upwards=True)
    echo.heard.clear()
    await client.send(b"up")
    await wait_until(lambda: way.held[True] == 1, what="it to be held")
    assert echo.heard == []
    way.heal()
    assert await heard(client, 2) == b"UP"
    way.partition(upwards=False)
    await client.send(b"down")
    await wait_until(lambda: way.held[False] == 1, what="the answer to be held")
    assert echo.heard[-1] == b"down"
    way.heal()
    assert await heard(client, 4) == b"DOWN"
    assert way.held == {True: 1, False: 1}


async def half_closes(way: Proxy, client: SocketStream, echo: Echo) -> None:
    """The client hears the end; what it says is still heard, and what is answered is not."""
    await way.half_close()
    assert way.half_closed == 1
    with pytest.raises(anyio.EndOfStream), anyio.fail_after(30):
        await client.receive()
    for times in (1, 2):
        await client.send(b"again")
        await wait_until(lambda times=times: b"".join(echo.heard).count(b"again") == times, what="it to be heard")
    assert way.links == 1
