"""From a live frame to its acknowledgement, at fixed rates, beside a bare `await js.publish` at the same rates."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from typing import Any

import anyio
from anyio.abc import TaskStatus

from bridge.edge.codec import encode
from bridge.engine.ports import Offer
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.bench.pacer import pacer
from tests.bench.report import Figure, Line, median, percentile
from tests.bench.stage import Stage, world
from tests.bench.vendor import MemoryVendor, adapter, session
from tests.bench.watch import WatchedLedger
from tests.support.waiting import wait_until

RATES = (100, 1000)
WARM_UP = 0.1
"""Share of the first events that does not count."""
FRAME_BYTES = 600
COLUMNS = ("p50 / js.publish", "p99 / js.publish", "p50 ms", "p99 ms")


class PacedFeed:
    """See `Feed`. A session that offers one frame per tick, and remembers when each was due."""

    def __init__(self, rate: float, count: int, seed: int) -> None:
        self._rate = rate
        self._frames = _frames(count, seed)
        self.due: dict[str, int] = {}
        self.late: list[int] = []
        self.go = anyio.Event()
        self.over = anyio.Event()

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Offer frames once the source is live, then stay."""
        task_status.started()
        await self.go.wait()
        async with pacer(self._rate, len(self._frames)) as ticks:
            frames = iter(self._frames)
            while found := await ticks.receive():
                for tick in found:
                    frame = next(frames)
                    self.due[frame["id"]] = tick
                    offer(frame, FRAME_BYTES)
            self.late = ticks.late
        self.over.set()
        await anyio.sleep_forever()


async def bridge(stage: Stage, rate: float, count: int, seed: int) -> dict[str, list[int]]:
    """Latencies from the scheduled time to the known acknowledgement, and to two points on the way (ns)."""
    ledger = WatchedLedger(stage.client)
    feed = PacedFeed(rate, count, seed)
    source = Source(adapter(stage.fresh("live")), lambda _: feed)
    runner = Runner(source, world(ledger, MemoryVendor([])))
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        await wait_until(lambda: runner.status.state == "live", 10, "the source to be live")
        # Its announcement is an event too: it is out of the way once it is stored.
        await wait_until(lambda: source.name in ledger.stored, 10, "the source's announcement")
        feed.go.set()
        with anyio.fail_after(count / rate + 30):
            await feed.over.wait()
        await wait_until(lambda: len(ledger.stored) > count, 30, "every acknowledgement")
        group.cancel_scope.cancel()
    return {
        "bridge": _counted([ledger.stored[id_] - tick for id_, tick in feed.due.items()]),
        "of it, until the ledger has it": _counted([ledger.asked[id_] - tick for id_, tick in feed.due.items()]),
        "of it, until it is offered": _counted(feed.late),
    }


async def bare(stage: Stage, rate: float, count: int, seed: int) -> list[int]:
    """A loop that awaits `js.publish` for each tick, of a payload made beforehand."""
    subject, payloads = stage.fresh("bare.live"), iter([encode(frame) for frame in _frames(count, seed)])
    taken: list[int] = []
    async with pacer(rate, count) as ticks:
        with anyio.fail_after(count / rate + 30):
            while found := await ticks.receive():
                for tick in found:
                    await stage.js.publish(f"{subject}.{len(taken)}", next(payloads))
                    taken.append(time.perf_counter_ns() - tick)
    return _counted(taken)


async def measure(stage: Stage, seconds: float, rounds: int) -> Figure:
    """Interleaved rounds of `seconds` each; medians of each round's percentiles."""
    values: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for rate in RATES:
            count = int(rate * seconds)
            taken_by = await bridge(stage, rate, count, number)
            ours, theirs = taken_by["bridge"], await bare(stage, rate, count, number)
            for name, taken in (taken_by | {"await js.publish": theirs}).items():
                for percent in (50, 99):
                    values[name, rate][f"p{percent} ms"].append(percentile(taken, percent) / 1e6)
            for percent in (50, 99):
                ratio = percentile(ours, percent) / percentile(theirs, percent)
                values["bridge", rate][f"p{percent} / js.publish"].append(ratio)
            await stage.settle()
    lines = [
        Line(f"{name} at {rate:,}/s", {column: median(columns[column]) for column in COLUMNS if column in columns})
        for (name, rate), columns in values.items()
    ]
    return Figure(
        f"live frame to acknowledgement, sync_interval {stage.sync}",
        f"from the time a frame is due (open loop), {seconds:g} s at each rate, {rounds} interleaved rounds, medians",
        lines,
    )


def _frames(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    at = time.time_ns() // 1_000_000
    return [session(rng, at) for _ in range(count)]


def _counted(taken: list[int]) -> list[int]:
    return taken[int(len(taken) * WARM_UP) :]
