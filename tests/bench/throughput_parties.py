"""The processes of the throughput bench as it sees them: the vendor, who takes events from it, and what that used."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from tests.bench.stage import Stage, cpu_s
from tests.bench.throughput_vendor import vending
from tests.bench.webhook_script import STREAM as HANDS
from tests.support.live_webhooks import SOURCE, webhook_daemon
from tests.support.nats_server import free_port
from tests.support.stream import STREAM
from tests.support.waiting import wait_until

START_S = 60.0
RUN_S = 180.0
"""Whatever is asked of a process, it has answered by then."""
_LINE = 100_000


class TakerGone(RuntimeError):
    """A process that takes events has ended before its time."""


@dataclass(slots=True)
class Vendor:
    """The vendor's process, over its control connection."""

    pid: int
    port: int
    _control: ClientConnection
    _numbers: int = 0

    async def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Its account of an order."""
        with anyio.fail_after(RUN_S):
            await self._control.send(json.dumps({"do": do, **what}))
            account: dict[str, Any] = json.loads(await self._control.recv())
            return account

    def fresh(self, count: int) -> int:
        """The first of so many numbers that no event has had: microseconds since the Unix epoch, about now."""
        first = max(self._numbers, time.time_ns() // 1000)
        self._numbers = first + count
        return first


@asynccontextmanager
async def vendor() -> AsyncIterator[Vendor]:
    """A vendor, while the block runs."""
    async with vending() as peer, dial(f"ws://127.0.0.1:{peer.port}/control", ping_interval=None) as control:
        yield Vendor(peer.pid, peer.port, control)


@dataclass(slots=True)
class Taker:
    """A process that takes what a vendor has and stores it. `place`: in which stream, under which subjects.

    `port`: where it takes webhooks, if it does.
    """

    name: str
    pid: int
    place: tuple[str, str]
    port: int = 0
    _process: Process | None = None
    _answers: BufferedByteReceiveStream | None = field(default=None, repr=False)

    async def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Its answer to an order."""
        assert self._process is not None
        assert self._process.stdin is not None
        with anyio.fail_after(RUN_S):
            await self._process.stdin.send((json.dumps({"do": do, **what}) + "\n").encode())
            return await self.heard()

    async def heard(self) -> dict[str, Any]:
        """The next line of JSON it says. What else it says is passed over. Raises TakerGone."""
        assert self._answers is not None
        while True:
            try:
                line = await self._answers.receive_until(b"\n", _LINE)
            except anyio.IncompleteRead:
                raise TakerGone(f"{self.name} has ended; what it complained of stands above") from None
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found

    @property
    def cpu_s(self) -> float:
        """CPU seconds of it so far, of all its threads."""
        return cpu_s(self.pid)


@asynccontextmanager
async def taker(
    name: str, command: Sequence[str], place: tuple[str, str], env: Mapping[str, str] | None = None
) -> AsyncIterator[Taker]:
    """A process that listens to the vendor and takes orders, while the block runs."""
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": None, "env": env}
    async with await anyio.open_process(command, **options) as process:
        assert process.stdout is not None
        one = Taker(name, process.pid, place, 0, process, BufferedByteReceiveStream(process.stdout))
        try:
            with anyio.fail_after(START_S):
                await one.heard()
            yield one
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@asynccontextmanager
async def python(kind: str, at: Vendor, on: Stage, place: tuple[str, str]) -> AsyncIterator[Taker]:
    """`bridge` or `script`."""
    command = [sys.executable, "-m", "tests.bench.throughput_taker", kind, str(at.port), on.server.url]
    async with taker(kind, command, place) as one:
        yield one


@asynccontextmanager
async def hook_daemon(folder: Path, on: Stage) -> AsyncIterator[Taker]:
    """The whole daemon, with one source that takes webhooks."""
    daemon, url = webhook_daemon(folder, on.server.url, name="throughput-hooks")
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("source.live"), START_S, "the source to be live")
        yield Taker("bridge", daemon.pid, (STREAM, f"events.*.{SOURCE}.payment.>"), urlsplit(url).port or 0)
    finally:
        daemon.close()


@asynccontextmanager
async def hook_script(on: Stage) -> AsyncIterator[Taker]:
    """`tests.bench.webhook_script`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.webhook_script", on.server.url, str(port)]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        try:
            with anyio.fail_after(START_S):
                await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", _LINE)
            yield Taker("script", process.pid, (HANDS, "hands.>"), port)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
