"""What an idle live session costs: memory and CPU of thousands in one process, beside bare `websockets`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio

from tests.bench.idler import DEADLINE_S, PING_S, WARM_UP
from tests.bench.peer import BEAT_S, peers
from tests.bench.report import Figure, Line
from tests.support.certificates import Authority

LINES = {
    "GraphQL session: feed, inbox, the task that holds it": "session",
    "Socket.IO session, Engine.IO 3": "engine3",
    "Socket.IO session, Engine.IO 4": "engine4",
    "plain stream": "stream",
    "its socket alone": "socket",
    "`websockets.connect`, as it comes": "bare",
    "the same, no compression, as many pings": "lean",
    "TLS alone, upgraded by hand, no pings": "tls",
}
TARGET_KB = 60


async def taken(kind: str, port: int, authority: Path, count: int, seconds: float) -> dict[str, float]:
    """What a fresh process saw."""
    command = [sys.executable, "-m", "tests.bench.idler", kind, str(port), str(authority), str(count), str(seconds)]
    with anyio.fail_after(DEADLINE_S + seconds):
        found = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    if found.returncode:
        raise RuntimeError(f"{kind}: {found.stdout.decode(errors='replace')[-2000:]}")
    answer: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return answer


async def measure(folder: Path, count: int, seconds: float) -> Figure:
    """Each kind once, in a process of its own, against a server in another."""
    authority = Authority(folder)
    seen: dict[str, dict[str, float]] = {}
    async with peers(1, authority.issue("idle", "127.0.0.1")) as (server,):
        for name, kind in LINES.items():
            seen[name] = await taken(kind, server.port, authority.path, count, seconds)
    theirs = next(seen[name] for name, kind in LINES.items() if kind == "bare")
    return Figure(
        "idle live sessions",
        f"{count:,} wss connections in one process under uvloop, {WARM_UP} more before the measurement begins; kB: "
        f"what is resident more (1,000 bytes; the aim is {TARGET_KB}); the server beats every {BEAT_S:g} s, and after "
        f"{PING_S:g} s of silence ours ping (of Engine.IO 3 we beat, and are answered; a stream is pinged, which is no "
        f"beat); CPU in percent of one core over {seconds:g} s of that; the server's own "
        "share of the machine slows the handshakes of all alike",
        [
            Line(
                name,
                {
                    "kB / websockets": one["bytes"] / theirs["bytes"],
                    "kB": one["bytes"] / 1000,
                    "CPU %": one["cpu"] * 100,
                    "beats/s": one["beats"] * (count + WARM_UP) / seconds,
                    "handshakes/s": one["handshakes"],
                },
            )
            for name, one in seen.items()
        ],
    )
