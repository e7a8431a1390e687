"""What a source with a huge backlog costs the others in the same process: a quiet live one, and a polled one."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

import anyio

from bridge.core.record import Json
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.bench.latency import PacedFeed
from tests.bench.report import Figure, Line, median, percentile
from tests.bench.stage import Stage, world
from tests.bench.vendor import MemoryVendor, adapter, sessions
from tests.bench.watch import WatchedLedger
from tests.support.waiting import wait_until

RATE = 50
PAGE = 50
POLLED = 200
"""Sessions of the polled source: a few pages, all of them new at the pass that is timed."""
HOG_PAGE = 500
DEADLINE_S = 120.0


@asynccontextmanager
async def hog(stage: Stage, rows: Sequence[dict[str, Json]]) -> AsyncIterator[Runner]:
    """A source in the midst of its first reading, on the same connection; stopped with the block."""
    runner = Runner(Source(adapter(stage.fresh("hog"), page=HOG_PAGE)), world(stage.ledger, MemoryVendor(rows)))
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        await wait_until(lambda: stored(runner) > 0, 30, "the hog to begin")
        yield runner
        group.cancel_scope.cancel()


def stored(runner: Runner) -> int:
    """How many sessions of its first reading a source has stored."""
    return runner.status.counts.by_change.get("snapshot", 0)


async def live(stage: Stage, seconds: float, rows: Sequence[dict[str, Json]]) -> tuple[list[int], float]:
    """Latencies (ns) of a live source at `RATE`, and how many events/s a hog beside it stored; `rows` may be empty.

    The hog's reading must last longer than the live events do: those that came after its end are left out.
    """
    ledger = WatchedLedger(stage.client)
    feed = PacedFeed(RATE, int(RATE * seconds), 0)
    source = Source(adapter(stage.fresh("quiet")), lambda _: feed)
    runner = Runner(source, world(ledger, MemoryVendor([])))
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        await wait_until(lambda: source.name in ledger.stored, 10, "the source's announcement")
        async with hog(stage, rows) if rows else nullcontext() as beside:
            start, before = time.perf_counter_ns(), stored(beside) if beside else 0
            feed.go.set()
            with anyio.fail_after(DEADLINE_S):
                while not feed.over.is_set() and (beside is None or stored(beside) < len(rows)):
                    with anyio.move_on_after(0.02):
                        await feed.over.wait()
            end = time.perf_counter_ns()
            gone = stored(beside) - before if beside else 0
            due = {id_: tick for id_, tick in feed.due.items() if tick < end}
            await wait_until(lambda: due.keys() <= ledger.stored.keys(), 30, "every acknowledgement")
        group.cancel_scope.cancel()
    return [ledger.stored[id_] - tick for id_, tick in due.items()], gone / ((end - start) / 1e9)


async def polled(stage: Stage, rows: Sequence[dict[str, Json]], seed: int) -> float:
    """Seconds of a polled source's first reading, with a hog beside it unless `rows` is empty."""
    done = anyio.Event()
    ledger = WatchedLedger(stage.client, done.set)
    began: list[int] = []
    vendor = MemoryVendor(sessions(POLLED, seed), lambda: began.append(time.perf_counter_ns()))
    runner = Runner(Source(adapter(stage.fresh("polled"), page=PAGE)), world(ledger, vendor))
    async with hog(stage, rows) if rows else nullcontext() as beside, anyio.create_task_group() as group:
        group.start_soon(runner.run)
        with anyio.fail_after(DEADLINE_S):
            await done.wait()
        taken = (time.perf_counter_ns() - began[0]) / 1e9
        if beside is not None and stored(beside) >= len(rows):
            raise RuntimeError("the hog was done before the polled source was: give it more to read")
        group.cancel_scope.cancel()
    return taken


async def measure(stage: Stage, backlog: int, seconds: float, rounds: int) -> Figure:
    """Interleaved rounds, alone and beside the hog; medians of each round's values."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows = sessions(backlog, 1)
    # A daemon does not hold a vendor's whole history: the collector shall not visit it here at each full collection.
    gc.collect()
    gc.freeze()
    pass_name = f"polled source, pass of {POLLED} in pages of {PAGE}"
    for number in range(rounds):
        by_hog: dict[bool, list[float]] = {}
        for beside in (False, True):
            taken, rate = await live(stage, seconds, rows if beside else ())
            by_hog[beside] = [percentile(taken, percent) / 1e6 for percent in (50, 99)]
            by_hog[beside].append(await polled(stage, rows if beside else (), number) * 1e3)
            if beside:
                values["the hog itself"]["events/s"].append(rate)
            await stage.settle()
        names = (f"live source at {RATE}/s, p50", f"live source at {RATE}/s, p99", pass_name)
        for name, alone, crowded in zip(names, by_hog[False], by_hog[True], strict=True):
            values[name]["beside / alone"].append(crowded / alone)
            values[name]["alone ms"].append(alone)
            values[name]["beside the hog ms"].append(crowded)
    lines = [
        Line(name, {column: median(found) for column, found in columns.items()}) for name, columns in values.items()
    ]
    gc.unfreeze()
    return Figure(
        f"fairness, sync_interval {stage.sync}",
        f"a source at its first reading of {backlog:,} sessions in pages of {HOG_PAGE}, beside others in one process "
        f"and on one connection; {rounds} interleaved rounds, medians; live from when a frame is due to its "
        "acknowledgement",
        sorted(lines, key=lambda line: line.name == "the hog itself"),
    )
