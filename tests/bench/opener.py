"""A process that only opens a source's book: `python -m tests.bench.opener URL VENDOR SOURCE` prints what it took."""

from __future__ import annotations

import gc
import json
import logging
import resource
import sys
import time
from pathlib import Path

import anyio
import structlog

from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.engine.sequencer import Counts, Sequencer
from tests.bench.stage import scribe
from tests.bench.vendor import adapter


def resident() -> int:
    """Bytes of memory this process holds now; its peak where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(*arguments: str) -> None:
    """Open, and print one JSON object."""
    url, vendor, source = arguments
    async with connect(NatsOptions(urls=(url,))) as connection:
        ledger = JetStreamLedger(connection.client)
        await ledger.prepare()
        gc.collect()
        before, start, cpu = resident(), time.perf_counter_ns(), time.process_time_ns()
        book = await ledger.open(vendor, source, {"instance": "bench"})
        taken, used = time.perf_counter_ns() - start, time.process_time_ns() - cpu
        sequencer = Sequencer(book, scribe(adapter(source), ledger.max_payload), Counts())
        # Of the whole process until now, with all that Python loads.
        whole = time.process_time_ns()
        gc.collect()
        after = resident()
        known = len(sequencer.ids("session"))
        print(json.dumps({"keys": known, "s": taken / 1e9, "cpu_s": used / 1e9, "bytes": after - before,
                          "whole_cpu_s": whole / 1e9}))  # fmt: skip


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    anyio.run(main, *sys.argv[1:], backend="asyncio", backend_options={"use_uvloop": True})
