"""Dead peers, and how long it takes to notice them: a frozen process, a half-open connection, a silent server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskStatus

from bridge.core.errors import Retry
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.session import Upgrade
from bridge.edge.websocket import WebSocket, WebSockets
from bridge.engine.inbox import Inbox
from bridge.engine.ports import Socket
from bridge.engine.subscriptions import GraphqlFeed
from tests.bench.peer import SHORT_BEAT_S, Peer, peers
from tests.bench.report import Figure, Line, median
from tests.support.proxy import proxy
from tests.support.waiting import wait_until

DEADLINE_S = 2.5
PING_S = 1.0
MARGIN_S = 0.5
"""Beyond the deadline: the second look (0.1 s), and a busy machine."""
BEATS = 3
GUARD_S = 30.0

BY_PINGS: dict[str, Any] = {"ping_interval_s": PING_S, "ping_timeout_s": DEADLINE_S - PING_S, "beat_timeout_s": 60.0}
BY_BEATS: dict[str, Any] = {"ping_interval_s": None, "beat_timeout_s": DEADLINE_S}
BY_SILENCE: dict[str, Any] = {"ping_interval_s": PING_S, "idle_timeout_s": DEADLINE_S, "beat_timeout_s": 60.0}


@dataclass(slots=True)
class Watched:
    """Implements `Sockets`; notes when the session gives its socket up, which is when it has noticed."""

    inner: WebSockets
    gave_up_at: float | None = None

    @asynccontextmanager
    async def connect(self, session: Upgrade) -> AsyncIterator[Socket]:
        """See `Sockets`."""
        async with self.inner.connect(session) as socket:
            yield _Watched(socket, self)


@dataclass(slots=True)
class _Watched:
    inner: WebSocket
    by: Watched

    async def send(self, frame: Any) -> None:
        await self.inner.send(frame)

    async def receive(self) -> tuple[Any, int, str]:
        return await self.inner.receive()

    async def send_text(self, text: str, json: Any = None, /) -> None:
        await self.inner.send_text(text, json)

    def say(self, text: str, /) -> bool:
        return self.inner.say(text)

    async def receive_raw(self) -> str | bytes:
        return await self.inner.receive_raw()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.by.gave_up_at = self.by.gave_up_at or anyio.current_time()
        await self.inner.close(code, reason)


@dataclass(slots=True)
class Run:
    """One session whose peer dies. Times are seconds from then on."""

    sockets: WebSockets
    numbers: count[int]
    noticed_s: float = -1.0
    left_s: float = -1.0

    async def watch(self, url: str, limits: dict[str, Any], die: Callable[[Run], Awaitable[float]]) -> None:
        """Hold a session; `die` makes its peer a dead one, once it is live, and returns when that was."""
        operation = Operation("changes", "subscription { change { id } }")
        session = GraphqlSession(url, "graphql-ws", (operation,), settle_s=0.0, **limits)
        watched = Watched(self.sockets)
        feed = GraphqlFeed(session, watched, self.numbers)
        died_at = 0.0
        over_at = 0.0

        async def hold(*, task_status: TaskStatus[None]) -> None:
            nonlocal over_at
            try:
                await feed.hold(Inbox(), task_status=task_status)
            except Retry:
                over_at = anyio.current_time()

        with anyio.fail_after(GUARD_S):
            async with anyio.create_task_group() as group:
                await group.start(hold)
                await wait_until(lambda: feed.statistics.last_beat is not None)
                died_at = await die(self)
        self.noticed_s = (watched.gave_up_at or over_at) - died_at
        self.left_s = over_at - died_at


async def _frozen(runs: Sequence[Run], servers: Sequence[Peer], limits: dict[str, Any]) -> None:
    """The process is stopped; its kernel goes on acknowledging."""
    rng = Random(0)
    async with anyio.create_task_group() as group:
        for run, server in zip(runs, servers, strict=True):

            async def die(_: Run, server: Peer = server, wait_s: float = rng.random()) -> float:
                await anyio.sleep(wait_s)
                server.freeze()
                return anyio.current_time()

            group.start_soon(run.watch, f"ws://127.0.0.1:{server.port}/beating", limits, die)


async def _half_open(runs: Sequence[Run], server: Peer, limits: dict[str, Any]) -> None:
    """A proxy that lets nothing through any more, in neither direction, and closes nothing."""
    rng = Random(1)

    async def one(run: Run, wait_s: float) -> None:
        async with proxy(server.port) as way:

            async def die(_: Run) -> float:
                await anyio.sleep(wait_s)
                way.blackhole()
                return anyio.current_time()

            await run.watch(f"ws://127.0.0.1:{way.port}/beating", limits, die)

    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(one, run, rng.random())


async def _silent(runs: Sequence[Run], server: Peer, limits: dict[str, Any]) -> None:
    """The server says nothing after its last beat, though it answers pings."""

    async def die(_: Run) -> float:
        # Its last word follows the first one by so much.
        await anyio.sleep((BEATS - 1) * SHORT_BEAT_S)
        return anyio.current_time()

    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.watch, f"ws://127.0.0.1:{server.port}/beating/{BEATS}", limits, die)


async def measure(rounds: int) -> Figure:
    """`rounds` of each, side by side."""
    sockets, numbers = WebSockets(), count(1)
    lines: list[Line] = []
    missed: list[str] = []

    async def take(name: str, limits: dict[str, Any], work: Callable[..., Awaitable[None]], way: Any) -> None:
        runs = [Run(sockets, numbers) for _ in range(rounds)]
        await work(runs, way, limits)
        noticed = [run.noticed_s / DEADLINE_S for run in runs]
        late = sum(run.noticed_s > DEADLINE_S + MARGIN_S for run in runs)
        if late:
            missed.append(f"{name}: {late} of {rounds} were noticed more than {MARGIN_S:g} s late")
        values = {"min": min(noticed), "median": median(noticed), "max": max(noticed), "missed": float(late)}
        lines.append(Line(name, values | {"left after s, max": max(run.left_s for run in runs)}))

    async with peers(2 * rounds + 1) as (server, *frozen):
        await take("frozen process, by pings", BY_PINGS, _frozen, frozen[:rounds])
        await take("frozen process, by beats", BY_BEATS, _frozen, frozen[rounds:])
        await take("half-open TCP, by pings", BY_PINGS, _half_open, server)
        await take("half-open TCP, by beats", BY_BEATS, _half_open, server)
        await take("silent server, by beats", BY_BEATS, _silent, server)
        await take("silent server that answers pings, by the idle limit", BY_SILENCE, _silent, server)
    return Figure(
        "noticing dead peers",
        f"{rounds} runs of each, side by side; when the session gave its socket up, relative to the configured "
        f"deadline of {DEADLINE_S:g} s, which begins with the last thing heard: so less than 1 is normal; missed: more "
        f"than {MARGIN_S:g} s late; `left`: until the connection was closed, too",
        lines,
        failure="; ".join(missed),
    )
