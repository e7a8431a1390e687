"""What an idle live session costs: memory and CPU of thousands in one process, beside bare `websockets`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.bench.idler import CALM_S, DEADLINE_S, FURTHER, WARM_UP
from tests.bench.peer import BEAT_S, peers
from tests.bench.report import Figure, Line
from tests.support.certificates import Authority

SESSION = "GraphQL session: feed, inbox, the task that holds it"
LINES = {
    SESSION: "session",
    "Socket.IO session, Engine.IO 3": "engine3",
    "Socket.IO session, Engine.IO 4": "engine4",
    "plain stream": "stream",
    "its socket alone": "socket",
    "`websockets.connect`, as it comes": "bare",
    "the same, no compression, as many pings": "lean",
    "TLS alone, upgraded by hand, no pings": "tls",
}
HELD = "idle sessions, beating as their vendors do"
"""The figure's name."""
HELD_LINES = {"GraphQL session": "session", "Socket.IO session": "engine3"}
FURTHER_LINE = "a further subscription on a socket"
TARGET_KB, TARGET_FURTHER_KB, TARGET_CPU = 60, 5, 5
"""Per connection, per further subscription, and in percent of a core for the largest number of sessions."""
PING_S = 3.0
"""Of silence: between two beats we ping once."""
VENDORS_BEAT_S = 25.0
"""The platform's `pingInterval`, which its documents name; no vendor says how often its GraphQL server sends `ka`."""
USUAL_PING_S = 20.0
"""Of silence, after which we ping where nothing else is configured."""
SOCKETS = 20
"""On which further subscriptions are weighed."""


@dataclass(frozen=True, slots=True)
class Held:
    """How many sessions there are when they are looked at, for how many seconds, and how often the server beats."""

    counts: tuple[int, ...]
    seconds: float
    beat_s: float = VENDORS_BEAT_S


async def taken(
    kind: str,
    port: int,
    authority: Path,
    counts: Sequence[int],
    seconds: float,
    rest_s: float,
    beat_s: float,
    ping_s: float,
) -> list[dict[str, float]]:
    """What a fresh process saw, once for each count. What a beat needs for the first time belongs to a connection."""
    command = [sys.executable, "-m", "tests.bench.idler", kind, str(port), str(authority)]
    command += [",".join(map(str, counts)), *(str(value) for value in (seconds, rest_s, beat_s, ping_s))]
    with anyio.fail_after(DEADLINE_S + rest_s + seconds * len(counts)):
        found = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    if found.returncode:
        raise RuntimeError(f"{kind}: {found.stdout.decode(errors='replace')[-2000:]}")
    return [json.loads(line) for line in found.stdout.splitlines()[-len(counts) :]]


async def measure(folder: Path, count: int, seconds: float) -> Figure:
    """Each kind once, in a process of its own, against a server in another."""
    authority = Authority(folder)
    seen: dict[str, dict[str, float]] = {}
    async with peers(1, authority.issue("idle", "127.0.0.1")) as (server,):
        for name, kind in LINES.items():
            (seen[name],) = await taken(
                kind, server.port, authority.path, [count], seconds, 1.5 * BEAT_S, BEAT_S, PING_S
            )
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


async def held(folder: Path, wanted: Held) -> Figure:
    """More and more sessions in one process, and many subscriptions on a few sockets."""
    counts, seconds, beat_s = wanted.counts, wanted.seconds, wanted.beat_s
    authority = Authority(folder)
    lines: list[Line] = []
    async with peers(1, authority.issue("held", "127.0.0.1"), beat_s=beat_s) as (server,):

        async def seen(kind: str, wanted: Sequence[int], look_s: float, rest_s: float) -> list[dict[str, float]]:
            return await taken(kind, server.port, authority.path, wanted, look_s, rest_s, beat_s, USUAL_PING_S)

        # Its memory alone: a server that was not asked for anything by GraphQL does not beat at once.
        (theirs,) = await seen("bare", counts[:1], 1.0, CALM_S)
        for name, kind in HELD_LINES.items():
            for one in await seen(kind, counts, seconds, beat_s + CALM_S):
                values = {
                    "kB / websockets": one["bytes"] / theirs["bytes"],
                    "kB": one["bytes"] / 1000,
                    "CPU %": one["cpu"] * 100,
                    "handshakes/s": one["handshakes"],
                }
                lines.append(Line(f"{name}, {one['count']:,}", values))
        (many,) = await seen("subscriptions", [SOCKETS], 1.0, CALM_S)
    alone = lines[0].values["kB"]
    lines.append(Line(FURTHER_LINE, {"kB": (many["bytes"] / 1000 - alone) / FURTHER}))
    return Figure(
        HELD,
        f"wss connections in one process under uvloop, {WARM_UP} more before the measurement begins; kB: what is "
        f"resident more for each (1,000 bytes); the server beats every {beat_s:g} s (so does the platform by its "
        f"documents; how often a vendor's `ka` comes is not known), and after {USUAL_PING_S:g} s of silence ours ping; "
        f"CPU in percent of one core over {seconds:g} s; beside `websockets.connect`, as it comes, at {counts[0]:,}; "
        f"further subscriptions: {FURTHER} on each of {SOCKETS} sockets. Aimed at: {TARGET_KB} kB, "
        f"{TARGET_FURTHER_KB} kB for a subscription, and {TARGET_CPU} % at 5,000",
        lines,
    )
