"""From a webhook to the confirmation that it is stored, beside a script written by hand, at the same rate."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.bench.report import Figure, Line, median, percentile
from tests.bench.stage import cpu_s
from tests.bench.webhook_sender import deliver
from tests.support.live_webhooks import payments, signed, webhook_daemon
from tests.support.nats_server import NatsServer, free_port, nats_server
from tests.support.waiting import wait_until

RATE = 500
CONNECTIONS = 32
"""What a sender keeps open. One that waits for its answer is not used meanwhile."""
WARM_UP = 0.1
"""Share of the first requests that does not count."""
MOST_MS = 10.0
"""What 99 of 100 webhooks may take."""
START_S = 60.0
FLOOR = "202 and nothing else"
"""The least that sender and machine allow."""


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes webhooks: its process, and where."""

    pid: int
    port: int


@asynccontextmanager
async def _bridge(folder: Path, server: NatsServer) -> AsyncIterator[Taker]:
    daemon, url = webhook_daemon(folder, server.url, name=f"bridge-{server.name}")
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("source.live"), START_S, "the source to be live")
        yield Taker(daemon.pid, urlsplit(url).port or 0)
    finally:
        daemon.close()


@asynccontextmanager
async def _script(name: str, *arguments: str) -> AsyncIterator[Taker]:
    port = free_port()
    command = [sys.executable, "-m", f"tests.bench.{name}", *arguments, str(port)]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        try:
            with anyio.fail_after(START_S):
                await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 100)
            yield Taker(process.pid, port)
        finally:
            process.kill()


async def _deliver(taker: Taker, count: int, name: str) -> tuple[list[int], float]:
    """How long each took from the time it was due (ns), and the CPU seconds of whoever took them."""
    requests = _requests(count, name)
    before = cpu_s(taker.pid)
    taken = await deliver(taker.port, requests, rate=RATE, connections=CONNECTIONS)
    used = cpu_s(taker.pid) - before
    return taken[int(count * WARM_UP) :], used


def _late(p99: float, floor_p99: float) -> str:
    """What is said where 99 of 100 were not in time; both in ms."""
    if p99 <= MOST_MS:
        return ""
    beside = f"an answer without any work took up to {floor_p99:.1f} beside it"
    return f"99 of 100 are to take less than {MOST_MS:g} ms, and took up to {p99:.1f}; {beside}"


def _requests(count: int, name: str) -> Sequence[bytes]:
    made = []
    for delivery in payments(count, name):
        headers = {"host": "bench", "content-length": str(len(delivery.body)), **signed(delivery)}
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        made.append(f"POST /hooks/shop HTTP/1.1\r\n{lines}\r\n".encode() + delivery.body)
    return made


async def measure(folder: Path, seconds: float, rounds: int, *, sync_always: bool) -> Figure:
    """Interleaved rounds of `seconds` each at `RATE`; medians of each round's percentiles."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    count = int(RATE * seconds)
    sync = "always" if sync_always else "default"
    at = nats_server(folder, sync_always=sync_always, name=f"webhook-{sync}")
    async with (
        at as server, _bridge(folder, server) as ours, _script("webhook_script", server.url) as theirs,
        _script("webhook_echo") as nothing,
    ):  # fmt: skip
        for number in range(rounds):
            found = {}
            for name, taker in (("bridge", ours), ("aiohttp and js.publish", theirs), (FLOOR, nothing)):
                found[name], used = await _deliver(taker, count, f"round{number}")
                for percent in (50, 99):
                    values[name][f"p{percent} ms"].append(percentile(found[name], percent) / 1e6)
                values[name]["CPU ms each"].append(used / count * 1e3)
            mine, bare, floor = found.values()
            for percent in (50, 99):
                for than, other in (("by hand", bare), ("floor", floor)):
                    ratio = percentile(mine, percent) / percentile(other, percent)
                    values["bridge"][f"p{percent} / {than}"].append(ratio)
    columns = (
        "p50 / by hand", "p99 / by hand", "p50 / floor", "p99 / floor", "p50 ms", "p99 ms", "CPU ms each"
    )  # fmt: skip
    lines = [
        Line(name, {column: median(by[column]) for column in columns if column in by}) for name, by in values.items()
    ]
    p99, floor_p99 = lines[0].values["p99 ms"], lines[2].values["p99 ms"]
    return Figure(
        f"webhook to confirmation, sync_interval {sync}",
        f"signed webhooks at {RATE}/s from the time each is due (open loop), {seconds:g} s, {rounds} interleaved "
        "rounds, medians",
        lines,
        _late(p99, floor_p99),
    )
