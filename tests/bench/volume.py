"""The one feed that is big: packets of measurements through a single session, into the stream, beside a bare script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import anyio

from bridge.edge.nats.answers import Entry
from tests.bench.packets import numbers, pushing
from tests.bench.peer import Peer
from tests.bench.report import Figure, Line
from tests.bench.stage import BARE, Stage, cpu_s, stage
from tests.bench.volumed import OVERHEAD_S, SUSTAINED_S, TS_DIGITS, sustained
from tests.support.stream import TELEMETRY

KINDS = {"bridge": (TELEMETRY, "telemetry.>"), "bare": (BARE, "bare.>")}
"""Where each kind's packets lie."""
NAMES = {"bridge": "bridge: session, inbox, ledger", "bare": "`websockets`, `json.loads`, `js.publish_async`"}
STEP = 2500
MOST_STEPS = 16
_TS = re.compile(rf"[0-9]{{{TS_DIGITS}}}\Z")


@dataclass(frozen=True, slots=True)
class Volume:
    """Packets a second and for how many seconds; then `STEP` more a second at each step, each for `step_s`."""

    rate: int
    seconds: float
    step_s: float


Seen = Mapping[str, float]


async def carried_out(
    kind: str, on: Stage, peer: Peer, orders: Sequence[tuple[float, float]], *, rising: bool
) -> list[Seen]:
    """What a fresh process saw, order by order."""
    limit_s = OVERHEAD_S * len(orders) + 2 * sum(seconds for _, seconds in orders)
    command = [
        sys.executable, "-m", "tests.bench.volumed", kind, str(peer.port), on.server.url, json.dumps(orders),
        str(int(rising)),
    ]  # fmt: skip
    with anyio.fail_after(limit_s):
        found = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith(b"{")]
    if found.returncode or not lines:
        raise RuntimeError(f"{kind}: {found.stdout.decode(errors='replace')[-2000:]}")
    return [json.loads(line) for line in lines]


async def missing(on: Stage, kind: str, seen: Sequence[Seen]) -> tuple[int, int]:
    """By number: how many of the packets that were sent the stream does not hold, and how many it holds twice."""
    expected = {ts for one in seen for ts in numbers(int(one["first_us"]), one["rate"], 0, int(one["sent"]))}
    stream, subjects = KINDS[kind]
    twice, sent = 0, len(expected)

    def take(entry: Entry) -> None:
        nonlocal twice
        ts = _TS.search(entry.subject)
        if ts is not None and int(ts[0]) in expected:
            expected.remove(int(ts[0]))
        else:
            twice += 1

    config = {
        "deliver_policy": "all", "ack_policy": "none", "filter_subject": subjects, "headers_only": True,
        "mem_storage": True, "inactive_threshold": 60_000_000_000,
    }  # fmt: skip
    if not sent:
        return 0, 0
    name = await on.api.consumer(stream, config)
    async with on.api.reader(stream, name, take) as reader:
        for _ in count():
            if await reader.read():
                break
    await on.api.drop_consumer(stream, name)
    return len(expected), twice


async def measure(folder: Path, wanted: Volume) -> list[Figure]:
    """Each kind at the given rate, then each at rising rates, all against one server and one peer."""
    steps = [(STEP * number, wanted.step_s) for number in range(1, MOST_STEPS + 1)]
    steady: dict[str, Seen] = {}
    highest: dict[str, list[Seen]] = {}
    lost: dict[str, tuple[int, int]] = {}
    server: dict[str, float] = {}
    async with stage(folder, sync_always=False) as on, pushing() as peer:
        for kind in KINDS:
            before = cpu_s(on.server.pid)
            (steady[kind],) = await carried_out(kind, on, peer, [(wanted.rate, wanted.seconds)], rising=False)
            server[kind] = cpu_s(on.server.pid) - before
            lost[kind] = await missing(on, kind, [steady[kind]])
        for kind in KINDS:
            highest[kind] = await carried_out(kind, on, peer, steps, rising=True)
    ours, theirs = steady["bridge"], steady["bare"]
    whole = f"{wanted.rate:,}/s for {wanted.seconds:g} s"
    first = Figure(
        "a session of packets into the stream",
        f"{ours['sent']:,.0f} `object-packet` events of some 400 bytes, {whole} by their own clock; every event "
        f"looked for in the stream by its number: {lost['bridge'][0]:,} missing, {lost['bridge'][1]:,} twice; of the "
        f"script's {lost['bare'][0]:,} and {lost['bare'][1]:,}; the inbox overran {ours['overruns']:.0f} times and "
        f"held {ours['fullest']:,.0f} at most; `p50`, `p99`: from when a packet was due until it was known to be "
        "stored; `queued`: share of the time in which the process could have run, and others had the processors",
        [
            Line(
                NAMES[kind],
                {
                    "CPU / script": _each(one) / _each(theirs),
                    "stored/s": one["stored"] / one["seconds"],
                    "CPU us per packet": _each(one),
                    "server's CPU us": server[kind] / max(1.0, one["stored"]) * 1e6,
                    "p50 ms": one["p50"],
                    "p99 ms": one["p99"],
                    "queued %": one["queued_s"] / one["seconds"] * 100,
                },
            )
            for kind, one in steady.items()
        ],
        failure=_failure(ours, lost["bridge"]),
    )
    memory = Figure(
        "memory of a session of packets",
        f"resident MB of the whole process while the same packets came, {whole}",
        [Line(NAMES[kind], {at: one[f"rss_{at}"] / 1e6 for at in ("start", "middle", "end")})
         for kind, one in steady.items()],
    )  # fmt: skip
    rates = {kind: max((one["rate"] for one in seen if sustained(one)), default=0.0) for kind, seen in highest.items()}
    ceiling = Figure(
        "the highest rate of packets that is sustained",
        f"steps of {STEP:,}/s, {wanted.step_s:g} s each, until the inbox overruns or the last packet is stored more "
        f"than {SUSTAINED_S:g} s after it was sent; peer, nats-server and the process share the machine",
        [
            Line(
                NAMES[kind],
                {
                    "rate / script": rates[kind] / max(1.0, rates["bare"]),
                    "sustained/s": rates[kind],
                    "stored/s in the next step": seen[-1]["stored"] / seen[-1]["seconds"],
                    "queued % there": seen[-1]["queued_s"] / seen[-1]["seconds"] * 100,
                },
            )
            for kind, seen in highest.items()
        ],
    )
    return [first, memory, ceiling]


def _each(seen: Seen) -> float:
    return seen["cpu"] / max(1.0, seen["stored"]) * 1e6


def _failure(ours: Seen, lost: tuple[int, int]) -> str:
    """What must not be. What an inbox that overran forgot is announced as a gap; that is lost, and not in silence."""
    if lost[1]:
        return f"{lost[1]:,} packets are in the stream twice"
    return f"{lost[0]:,} packets are missing and the inbox never overran" if lost[0] and not ours["overruns"] else ""
