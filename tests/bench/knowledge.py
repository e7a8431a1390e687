"""Opening a source of which the stream knows many entities: time, and memory per entity."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from typing import Any

import anyio

from tests.bench.report import Figure, Line, median
from tests.bench.stage import Stage, scribe
from tests.bench.vendor import adapter, sessions

DEADLINE_S = 300.0
BATCH = 500
PROMISED_AT, PROMISED_S = 100_000, 5.0
"""With so many known entities a process that is started anew is ready within so many seconds."""


async def fill(stage: Stage, count: int) -> str:
    """A source with `count` known sessions; its name."""
    name = stage.fresh(f"known{count}x")
    maker = adapter(name)
    writer = scribe(maker, stage.ledger.max_payload)
    book = await stage.ledger.open(maker.vendor, name, {"instance": "bench"})
    # One session's content under many ids: only headers are read back, and a million sessions would not fit in memory.
    like = writer.note(maker.live(sessions(1, 0)[0])[0], "snapshot", first_read=True)
    rng = random.Random(0)
    for at in range(0, count, BATCH):
        ids = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(min(BATCH, count - at))]
        notes = [replace(like, key=writer.key("session", id_), record=replace(like.record, id=id_)) for id_ in ids]
        await book.commit([writer.seal(note, "snapshot", None, None)[1] for note in notes], "none", None)
    await stage.settle()
    return name


async def opened(stage: Stage, vendor: str, source: str) -> dict[str, Any]:
    """What a fresh process needed to open the source."""
    command = [sys.executable, "-m", "tests.bench.opener", stage.server.url, vendor, source]
    start = time.perf_counter_ns()
    with anyio.fail_after(DEADLINE_S):
        found = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    whole_s = (time.perf_counter_ns() - start) / 1e9
    if found.returncode:
        raise RuntimeError(f"the opener of {source} failed: {found.stdout.decode(errors='replace')[-2000:]}")
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer | {"whole_s": whole_s}


async def bare(stage: Stage, source: str, count: int) -> float:
    """The same entries read headers-only through nats-py's own pull consumer, in seconds."""
    start = time.perf_counter_ns()
    subscription = await stage.js.pull_subscribe(
        f"$KV.bridge-state.pcvisit.{source}.>", stream="KV_bridge-state", config=_headers_only()
    )
    got = 0
    while got < count:
        got += len(await subscription.fetch(1000, timeout=5))
    taken = (time.perf_counter_ns() - start) / 1e9
    await subscription.unsubscribe()
    return taken


async def measure(stage: Stage, counts: list[int], rounds: int) -> Figure:
    """Medians of `rounds` openings each, every one in a process of its own."""
    lines, broken = [], []
    for count in counts:
        source = await fill(stage, count)
        found, theirs = [], []
        for _ in range(rounds):
            found.append(await opened(stage, "pcvisit", source))
            theirs.append(await bare(stage, source, count))
        if any(one["keys"] != count for one in found):
            raise RuntimeError(f"opened with {[one['keys'] for one in found]} of {count} keys")
        seconds, whole_s, cpu_s = (median([one[name] for one in found]) for name in ("s", "whole_s", "whole_cpu_s"))
        if count <= PROMISED_AT and whole_s > PROMISED_S:
            load = os.getloadavg()[0]
            broken.append(f"{count:,} known took {whole_s:.1f} s ({cpu_s:.1f} s own CPU, at load {load:.1f})")
        lines.append(
            Line(
                f"{count:,} known entities",
                {
                    "x nats-py's fetch": median(theirs) / seconds,
                    "s": seconds,
                    "entities/s": count / seconds,
                    "process, s": whole_s,
                    "its CPU, s": cpu_s,
                    "own CPU us": median([one["cpu_s"] for one in found]) / count * 1e6,
                    "bytes/entity": median([one["bytes"] for one in found]) / count,
                    "MB": median([one["bytes"] for one in found]) / 1e6,
                },
            )
        )
    return Figure(
        "opening a source",
        f"`Ledger.open` in a fresh process, {rounds} times, medians; memory is what the process holds more after the "
        "sequencer is made; beside it nats-py's pull `fetch` of the same entries, headers only, from a warm process; "
        f"`process` is from its start to its end, promised up to {PROMISED_AT:,}: {PROMISED_S:g} s",
        lines,
        f"promised were {PROMISED_S:g} s: {'; '.join(broken)}" if broken else "",
    )


def _headers_only() -> Any:
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

    return ConsumerConfig(
        headers_only=True, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE, mem_storage=True
    )
