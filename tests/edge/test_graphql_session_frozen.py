"""Live sessions with servers that stop: a real process under SIGSTOP, a server that never reads; and leaving them."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.core.errors import Retry
from bridge.core.facts import GraphqlSession, Operation
from bridge.edge.websocket import WebSockets
from bridge.engine.subscriptions import GraphqlFeed
from tests.support.dialects import TRANSPORT, Peer, Speaker
from tests.support.freezing import freeze
from tests.support.graphql_server import graphql_server
from tests.support.holding import holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
SOON_S = 5.0
"""Two seconds are promised; a busy machine may add some. The library alone would take ten and more."""


@cache
def sockets() -> WebSockets:
    return WebSockets()


def feed(port: int, **more: Any) -> GraphqlFeed:
    session = GraphqlSession(
        f"ws://127.0.0.1:{port}/graphql",
        TRANSPORT,
        (Operation("sessions", "subscription { session { id } }"),),
        **{"settle_s": 0.05, "ping_interval_s": None, **more},
    )
    return GraphqlFeed(session, sockets(), count(1))


@asynccontextmanager
async def server_process() -> AsyncIterator[tuple[Process, int]]:
    """A server in a process of its own, which sends one event and then beats ten times a second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.graphql_server", cwd=ROOT, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        with anyio.fail_after(120):
            port = int(await process.stdout.readline())
        yield process, port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def stop(process: Process) -> None:
    freeze(process.pid)


async def never_reads(peer: Peer) -> None:
    """Accepts, sends one event, and from then on only sends: it reads neither our pongs nor our close."""
    speaker = Speaker(peer, TRANSPORT)
    await speaker.accept()
    await speaker.number(await speaker.subscribed(), 1)
    peer.freeze()
    await anyio.sleep_forever()


async def test_a_stopped_process_is_noticed_by_pings() -> None:
    """Scenario 17: its kernel still accepts what we send; no pong comes back."""
    async with (
        server_process() as (process, port),
        holding(feed(port, ping_interval_s=0.5, ping_timeout_s=0.5)) as hold,
    ):
        await hold.wait_settled()
        await wait_until(lambda: hold.taken.numbers() == [1])
        stop(process)
        began = anyio.current_time()
        error = await hold.ended()
        assert type(error) is Retry
        assert "no answer to a ping" in str(error)
        assert hold.over_at - began >= 0.5


async def test_a_stopped_process_is_noticed_by_its_silence() -> None:
    """Scenario 17: without pings, by the beats that stop."""
    async with server_process() as (process, port), holding(feed(port, beat_timeout_s=2.0)) as hold:
        await hold.wait_settled()
        await wait_until(lambda: hold.feed.statistics.last_beat is not None)  # type: ignore[attr-defined]
        stop(process)
        began = anyio.current_time()
        error = await hold.ended()
        assert "nothing was heard for 2 s" in str(error)
        assert hold.over_at - began >= 1.5


async def test_a_stopped_process_is_left_in_time() -> None:
    """Scenario 21: shutdown with a frozen peer."""
    async with server_process() as (process, port), holding(feed(port)) as hold:
        await hold.wait_settled()
        stop(process)
        assert await hold.leave() < SOON_S


async def test_a_server_that_never_reads_is_noticed_by_pings() -> None:
    """Scenario 17: half-open in one direction."""
    async with (
        graphql_server(never_reads) as server,
        holding(feed(server.port, ping_interval_s=0.3, ping_timeout_s=0.3)) as hold,
    ):
        assert "no answer to a ping" in str(await hold.ended())
        assert hold.taken.numbers() == [1]


async def test_a_silent_server_is_noticed_by_the_idle_limit() -> None:
    """Scenario 17: it never gave a sign of life; the limit is configured."""
    async with graphql_server(never_reads) as server, holding(feed(server.port, idle_timeout_s=0.5)) as hold:
        assert "nothing was heard for 0.5 s" in str(await hold.ended())


@pytest.mark.parametrize("state", ["connecting", "greeting", "settling", "live", "frozen"])
async def test_leaving_in_each_state(state: str) -> None:
    """Scenario 21: shutdown during each state, over a real socket: in time, and the server has no connection left."""
    here = anyio.Event()

    async def script(peer: Peer) -> None:
        speaker = Speaker(peer, TRANSPORT)
        await speaker.greeting()
        if state != "greeting":
            await speaker.acknowledge()
            await speaker.subscribed()
        if state == "frozen":
            peer.freeze()
        here.set()
        await speaker.until_gone()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.set()
        while await reader.read(65_536):
            pass
        writer.close()

    async with graphql_server(script) as server:
        listener = await asyncio.start_server(mute, "127.0.0.1", 0)
        try:
            port = listener.sockets[0].getsockname()[1] if state == "connecting" else server.port
            async with holding(feed(port, settle_s=0.0 if state == "live" else 60.0)) as hold:
                with anyio.fail_after(120):
                    await here.wait()
                    if state == "live":
                        await hold.settled.wait()
                assert await hold.leave() < SOON_S
        finally:
            listener.close()
        if state != "frozen":
            await wait_until(lambda: server.open == 0)
