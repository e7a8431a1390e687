"""A clock of its own process: `python -m tests.bench.pacer RATE COUNT` writes each tick's scheduled time to stdout.

Ticks are 8 bytes (perf_counter_ns, little-endian), written when they are due whatever the reader does: an open loop, so
that a stall of the reader counts against every tick that fell into it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio

TICK = struct.Struct("<q")
LEAD_NS = 50_000_000


class Ticks:
    """Receives ticks; `late` tells by how much each was behind its time when it arrived, in ns."""

    def __init__(self, stream: anyio.abc.ByteReceiveStream) -> None:
        self._stream = stream
        self._rest = b""
        self.late: list[int] = []

    async def receive(self) -> list[int]:
        """Wait for ticks; those that are there, at least one. Empty at the end."""
        while len(self._rest) < TICK.size:
            try:
                self._rest += await self._stream.receive()
            except anyio.EndOfStream:
                return []
        whole = len(self._rest) // TICK.size * TICK.size
        ticks = [tick for (tick,) in TICK.iter_unpack(self._rest[:whole])]
        self._rest = self._rest[whole:]
        now = time.perf_counter_ns()
        self.late += [now - tick for tick in ticks]
        return ticks


@asynccontextmanager
async def pacer(rate: float, count: int) -> AsyncIterator[Ticks]:
    """`count` ticks at `rate` per second, by a process that ends with the block."""
    command = [sys.executable, "-m", "tests.bench.pacer", str(rate), str(count)]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        try:
            yield Ticks(process.stdout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def due(rate: float, count: int) -> Iterator[int]:
    """The schedule, in perf_counter_ns."""
    start = time.perf_counter_ns() + LEAD_NS
    return (start + round(index * 1e9 / rate) for index in range(count))


def main(rate: float, count: int) -> None:
    """Write the ticks. Ends early when nobody reads."""
    for tick in due(rate, count):
        while (left := tick - time.perf_counter_ns()) > 0:
            time.sleep(left / 1e9)
        try:
            os.write(1, TICK.pack(tick))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
