"""Events per second of catch-up into the ledger: new, unchanged and changed; beside bare nats-py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import anyio

from bridge.edge.codec import encode
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.bench.report import Figure, Line, median
from tests.bench.stage import Stage, Stamp, scribe, world
from tests.bench.vendor import MemoryVendor, adapter, sessions
from tests.bench.watch import WatchedLedger

PASSES = ("first reading", "unchanged", "all changed")
DEADLINE_S = 120.0
PAGE = 500


async def bridge(stage: Stage, count: int, *, page: int, seed: int) -> dict[str, Stamp]:
    """Read `count` sessions three times: new, unchanged, all changed. What each pass took."""
    began: list[Stamp] = []
    ended: list[Stamp] = []
    done = anyio.Event()

    def on_pass() -> None:
        ended.append(stage.stamp())
        if len(ended) == 2:
            vendor.edit()
        if len(ended) == len(PASSES):
            done.set()

    vendor = MemoryVendor(sessions(count, seed), on_first_page=lambda: began.append(stage.stamp()))
    ledger = WatchedLedger(stage.client, on_pass)
    source = Source(adapter(stage.fresh("run"), page=page, every_s=0.0))
    runner = Runner(source, world(ledger, vendor))
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run)
        with anyio.fail_after(DEADLINE_S):
            await done.wait()
        group.cancel_scope.cancel()
    counts = runner.status.counts
    # Sessions the first and the third reading stored, and what the second found to be known.
    if counts.by_change.get("snapshot") != count or counts.by_change.get("updated") != count:
        raise RuntimeError(f"the runner stored {counts.by_change} of {count} sessions")
    return {name: end.since(start) for name, start, end in zip(PASSES, began, ended, strict=False)}


async def one_by_one(stage: Stage, count: int) -> Stamp:
    """`await js.publish`, one after the other, of payloads made beforehand."""
    subject, payloads = stage.fresh("bare.one"), _payloads(count)
    start = stage.stamp()
    for index, payload in enumerate(payloads):
        await stage.js.publish(f"{subject}.{index}", payload)
    return stage.stamp().since(start)


async def pipelined(stage: Stage, count: int) -> Stamp:
    """`publish_async` of the same payloads, its window as it comes (4,000)."""
    subject, payloads = stage.fresh("bare.many"), _payloads(count)
    start = stage.stamp()
    futures = [await stage.js.publish_async(f"{subject}.{index}", payload) for index, payload in enumerate(payloads)]
    await stage.js.publish_async_completed()
    taken = stage.stamp().since(start)
    for future in futures:
        future.result()
    return taken


async def pipelined_events(stage: Stage, count: int, seed: int) -> Stamp:
    """`publish_async` of the bridge's own events, sealed beforehand, into the bridge's stream."""
    maker = adapter(stage.fresh("sealed"))
    writer = scribe(maker, stage.ledger.max_payload)
    events = []
    for row in sessions(count, seed):
        note = writer.note(maker.live(row)[0], "snapshot", first_read=True)
        events.append(writer.seal(note, "snapshot", None, None)[1])
    sealed = [(event.subject, event.payload, dict(event.headers)) for event in events]
    start = stage.stamp()
    futures = [await stage.js.publish_async(subject, payload, headers=headers) for subject, payload, headers in sealed]
    await stage.js.publish_async_completed()
    taken = stage.stamp().since(start)
    for future in futures:
        future.result()
    return taken


async def measure(stage: Stage, count: int, rounds: int) -> Figure:
    """Interleaved rounds; medians."""
    taken: dict[str, list[Stamp]] = defaultdict(list)
    few = max(500, count // 8)
    for number in range(rounds):
        for name, stamp in (await bridge(stage, count, page=PAGE, seed=number)).items():
            taken[f"bridge, {name}"].append(stamp)
        await stage.settle()
        taken["publish_async, 600 bytes"].append(await pipelined(stage, count))
        taken["publish_async, our events"].append(await pipelined_events(stage, count, number))
        await stage.settle()
        taken["await js.publish"].append(await one_by_one(stage, few))
        for name, stamp in (await bridge(stage, few, page=50, seed=number)).items():
            if name == PASSES[0]:
                taken[f"bridge, {name}, pages of 50"].append(stamp)
        await stage.settle()
    counts = {
        name: few if name in ("await js.publish", "bridge, first reading, pages of 50") else count for name in taken
    }
    return Figure(
        f"catch-up, sync_interval {stage.sync}",
        f"{count:,} sessions in pages of {PAGE}, {rounds} interleaved rounds, medians; per event in CPU time",
        _lines(taken, counts),
    )


def _lines(taken: Mapping[str, list[Stamp]], counts: Mapping[str, int]) -> list[Line]:
    rates = {name: median([counts[name] / stamp.wall for stamp in stamps]) for name, stamps in taken.items()}
    bare = ("await js.publish", "publish_async, 600 bytes", "publish_async, our events")
    lines = []
    for name, stamps in taken.items():
        ratios = {other: rates[name] / rates[other] for other in bare} if name not in bare else {}
        lines.append(
            Line(
                name,
                {
                    **{f"x {other}": ratio for other, ratio in ratios.items()},
                    "events/s": rates[name],
                    "own CPU us": median([stamp.own_cpu / counts[name] * 1e6 for stamp in stamps]),
                    "server CPU us": median([stamp.server_cpu / counts[name] * 1e6 for stamp in stamps]),
                },
            )
        )
    return lines


def _payloads(count: int) -> list[bytes]:
    return [encode(row) for row in sessions(count, 0)]
