"""A flood through one subscription: throughput, bounded memory, and what a quiet session beside it notices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio

from tests.bench.flooded import BURST_BYTES, DEADLINE_S, LEDGER_PER_S, SMALL
from tests.bench.peer import RESULT_BYTES, peers
from tests.bench.report import Figure, Line
from tests.support.certificates import Authority

BURSTS = 3
LINES = {
    "bridge: session and inbox, a quiet session beside it": "bridge",
    "`websockets`, receive loop": "bare",
    "the same with `json.loads`": "decoding",
}


async def taken(kind: str, port: int, authority: Path, count: int) -> dict[str, float]:
    """What a fresh process saw."""
    command = [sys.executable, "-m", "tests.bench.flooded", kind, str(port), str(authority), str(count)]
    with anyio.fail_after(DEADLINE_S + 10):
        found = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    if found.returncode:
        raise RuntimeError(f"{kind}: {found.stdout.decode(errors='replace')[-2000:]}")
    answer: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return answer


async def measure(folder: Path, count: int) -> list[Figure]:
    """Each kind once, in a process of its own, against a server in another."""
    authority = Authority(folder)
    async with peers(1, authority.issue("flood", "127.0.0.1")) as (server,):
        seen = {name: await taken(kind, server.port, authority.path, count) for name, kind in LINES.items()}
        pauses = await taken("burst", server.port, authority.path, BURSTS)
    ours, theirs, _ = seen.values()
    lines = [
        Line(
            name,
            {
                "CPU / websockets": one["cpu"] / theirs["cpu"],
                "messages/s": count / one["seconds"],
                "CPU us per message": one["cpu"] / count * 1e6,
                "peak MB": one["peak"] / 1e6,
            },
        )
        for name, one in seen.items()
    ]
    flood = Figure(
        "a flood through one subscription",
        f"{count:,} results of {RESULT_BYTES} bytes over wss as fast as they are taken; `peak`: what was resident more "
        f"at most; the ledger side takes {LEDGER_PER_S:,}/s: the inbox overran {ours['overruns']:.0f} times and forgot "
        f"{ours['forgotten']:,.0f}, every one counted, and the session went on; the server had all its "
        f"{ours['pings']:.0f} pings answered, the slowest after {ours['pong_s']:.2f} s, behind what lay before it",
        lines,
    )
    quiet = Figure(
        "a quiet session beside the flood",
        "20 results a second in the same process; from the server's clock to the inbox's taker",
        [
            Line(
                "p50 ms",
                {"beside / alone": ours["quiet"] / ours["alone"], "beside": ours["quiet"], "alone": ours["alone"]},
            ),
            Line(
                "p99 ms",
                {
                    "beside / alone": ours["quiet99"] / ours["alone99"],
                    "beside": ours["quiet99"],
                    "alone": ours["alone99"],
                },
            ),
            Line("worst ms", {"beside": ours["quiet_worst"]}),
        ],
    )
    burst = Figure(
        "many small frames in one go",
        f"{BURST_BYTES // 1024} KiB of them over wss; the longest time for which nothing else ran, in ms, medians of "
        f"{BURSTS}; the library parses whatever one read brought (up to 256 KiB) before anybody else has a turn",
        [
            Line(
                kind,
                {
                    "bridge / websockets": pauses[f"bridge, {kind}"] / pauses[f"bare, {kind}"],
                    "bridge": pauses[f"bridge, {kind}"],
                    "websockets": pauses[f"bare, {kind}"],
                },
            )
            for kind in SMALL
        ],
    )
    return [flood, quiet, burst]
