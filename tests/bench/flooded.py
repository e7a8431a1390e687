"""One subscription that is flooded, in a process of its own: `python -m tests.bench.flooded KIND PORT CA COUNT`.

Prints JSON with what was seen. `bridge`: the session with the real inbox, a ledger side that is far slower than the
flood, and a quiet session beside it. `bare`: a receive loop of `websockets`, `decoding`: the same with `json.loads`.
`burst`: many small frames in one go, into the bridge's session and into a bare loop, and for how long nothing else ran.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus
from websockets.asyncio.client import connect

from bridge.core.errors import Overrun
from bridge.core.facts import GraphqlSession, Operation
from bridge.edge.websocket import WebSockets
from bridge.engine.inbox import Inbox
from bridge.engine.subscriptions import GraphqlFeed
from tests.bench.idler import resident
from tests.bench.report import median, percentile

LEDGER_PER_S = 5_000
"""What the ledger side takes: some of the rate of a first reading."""
ALONE_S = 2.0
DEADLINE_S = 600.0
SMALL = {"WebSocket pings": 0, "`ka` of 13 bytes": 13, "200 bytes of JSON": 200}
"""By name, the bytes in a frame of a burst."""
BURST_BYTES = 320 * 1024
"""More than one read can bring."""


class Listener:
    """Sessions with the server, as the daemon holds them."""

    def __init__(self, port: int, ca: str) -> None:
        self._port = port
        self._sockets = WebSockets(ca_file=ca)
        self._numbers = count(1)

    async def hold(self, path: str, inbox: Inbox, *, task_status: TaskStatus[None]) -> None:
        """One session, settled at once. Ends only in an error: that of the session."""
        operation = Operation("changes", "subscription { change { id } }")
        url = f"wss://127.0.0.1:{self._port}{path}"
        session = GraphqlSession(url, "graphql-ws", (operation,), settle_s=0.0, max_message_mb=16)
        await GraphqlFeed(session, self._sockets, self._numbers).hold(inbox, task_status=task_status)


async def bridge(port: int, ca: str, wanted: int) -> dict[str, float]:
    """The flood into the inbox, and what became of the quiet session."""
    listener, inbox, quiet = Listener(port, ca), Inbox(), Inbox()
    late: list[float] = []

    async def watch_quiet() -> None:
        while True:
            for frame, *_ in await quiet.take():
                late.append((time.perf_counter_ns() - frame["payload"]["data"]["ns"]) / 1e6)

    async with anyio.create_task_group() as group:
        await group.start(listener.hold, "/quiet", quiet)
        group.start_soon(watch_quiet)
        await anyio.sleep(ALONE_S)
        alone, late[:] = list(late), []
        forget_peak()
        before, cpu, start = resident(), time.process_time(), time.perf_counter()
        await group.start(listener.hold, f"/flood/{wanted}", inbox)
        report: dict[str, float] = {}
        overruns = kept = 0
        found: dict[str, float] = {}
        while not report:
            try:
                taken = await inbox.take()
            except Overrun:
                overruns += 1
                continue
            kept += len(taken)
            for frame, *_ in taken:
                data = frame["payload"]["data"]
                report = data if "pings" in data else report
            if not found and inbox.statistics().offered >= wanted:
                found = {
                    "seconds": time.perf_counter() - start,
                    "cpu": time.process_time() - cpu,
                    "quiet": percentile(late, 50),
                    "quiet99": percentile(late, 99),
                    "quiet_worst": max(late),
                }
            await anyio.sleep(len(taken) / LEDGER_PER_S)
        group.cancel_scope.cancel()
    seen = inbox.statistics()
    if seen.overruns < 1 or seen.overruns != overruns or seen.forgotten + kept != seen.offered - seen.frames:
        raise RuntimeError(f"the inbox did not count what it forgot: {seen}, {overruns} overruns, {kept} taken")
    return found | {
        "peak": peak() - before,
        "overruns": overruns,
        "forgotten": seen.forgotten,
        "pings": report["pings"],
        "pong_s": report["slowest_s"],
        "alone": percentile(alone, 50),
        "alone99": percentile(alone, 99),
    }


async def bare(port: int, ca: str, wanted: int, decode: Callable[[str | bytes], Any]) -> dict[str, float]:
    """A receive loop, with the defaults of the library."""
    context = ssl.create_default_context(cafile=ca)
    forget_peak()
    before, cpu, start = resident(), time.process_time(), time.perf_counter()
    async with connect(f"wss://127.0.0.1:{port}/flood/{wanted}", ssl=context) as connection:
        await connection.send('{"type":"start","id":"1"}')
        for _ in range(wanted):
            decode(await connection.recv())
        found = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "peak": peak() - before}
        # Leaving politely is not what is measured.
        connection.transport.abort()
    return found


async def burst(port: int, ca: str, rounds: int) -> dict[str, float]:
    """The longest pause of the loop (ms) while small frames come in one go: medians of `rounds`."""
    found: dict[str, float] = {}
    context = ssl.create_default_context(cafile=ca)
    for kind, size in SMALL.items():
        number = BURST_BYTES // (size + 2 + 2 * (size > 125))

        async def ours(number: int = number, size: int = size) -> None:
            inbox = Inbox()
            async with anyio.create_task_group() as group:
                await group.start(Listener(port, ca).hold, f"/burst/{size}/{number}", inbox)
                await inbox.take()
                group.cancel_scope.cancel()

        async def theirs(number: int = number, size: int = size) -> None:
            async with connect(f"wss://127.0.0.1:{port}/burst/{size}/{number}", ssl=context) as connection:
                await connection.send('{"type":"start","id":"1"}')
                while '"done"' not in str(await connection.recv()):
                    pass

        for name, work in (("bridge", ours), ("bare", theirs)):
            found[f"{name}, {kind}"] = median([await longest_pause_ms(work) for _ in range(rounds)])
    return found


async def longest_pause_ms(work: Callable[[], Awaitable[None]]) -> float:
    """For how long nothing else could run while it did."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await anyio.lowlevel.checkpoint()
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await work()
        group.cancel_scope.cancel()
    return longest * 1e3


def forget_peak() -> None:
    """From now on `peak` is the highest since now."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak() -> int:
    """Bytes of memory that this process occupied at most."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


async def main(kind: str, port: int, ca: str, wanted: int) -> None:
    """Take one kind and print what was seen."""
    kinds = {
        "bridge": lambda: bridge(port, ca, wanted),
        "bare": lambda: bare(port, ca, wanted, len),
        "decoding": lambda: bare(port, ca, wanted, json.loads),
        "burst": lambda: burst(port, ca, wanted),
    }
    with anyio.fail_after(DEADLINE_S):
        found = await kinds[kind]()
    os.write(1, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    anyio.run(
        main,
        sys.argv[1],
        int(sys.argv[2]),
        sys.argv[3],
        int(sys.argv[4]),
        backend="asyncio",
        backend_options={"use_uvloop": True},
    )
