"""How soon it works again: the daemon killed and started anew, with one source and with many, and the broker away."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from bridge.engine.pace import KNOCKS
from tests.bench.recovery_scene import Judged, Kept, Scene, scene
from tests.bench.report import Figure, Line, median
from tests.bench.stage import cpu_s

KILLED, LIVE, BROKER = "back after SIGKILL", "all live after SIGKILL", "broker killed under load"
"""The figures' names."""
FIRST_S, ALL_LIVE_S, FLOWING_S = 1.5, 5.0, 1.0
"""What was aimed at: the first new event after a restart, all connections live, flowing after the broker's return."""
KILL_RATE = 100.0
PUSHED: Mapping[str, Mapping[str, Any]] = {
    "Socket.IO, as it comes: settles for 2 s": {},
    "Socket.IO, `ws_settle_s = 0`": {"ws_settle_s": 0},
}
WAYS = {**PUSHED, "polled every second": {"transport": "none", "journal_every_s": 1}}
"""How the source is read; what is not as usual."""
VENDORS = 5
DOWN_S = 0.5
"""Between a kill and the restart."""
AWAY_S = 5.0
_READY = re.compile(r"^\[\d+\] (\S+ \S+) \[INF\] Server is ready", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """`kills`: of the daemon; `sources` that are to be live again; the broker's `losses`, at `rate`/s.

    `calm_s`, `after_s`: how long events flow before the broker is killed, and after it has come back.
    """

    kills: int
    sources: int
    losses: int
    rate: float
    calm_s: float
    after_s: float


async def killed(folder: Path, load: Load) -> Figure:
    """One source, events at a steady rate, and SIGKILL again and again."""
    kills = load.kills
    lines: list[Line] = []
    accounts: list[str] = []
    failures: list[str] = []
    for number, (name, more) in enumerate(WAYS.items()):
        starts: list[float] = []
        used: list[float] = []
        async with scene(folder / str(number), 1, **more) as on:
            on.daemon.start()
            await on.all_live()
            await on.vendor.control(KILL_RATE)
            for _ in range(kills):
                await anyio.sleep(1.0)
                on.daemon.kill()
                await anyio.sleep(DOWN_S)
                starts.append(time.time())
                on.daemon.start()
                await on.all_live()
                used.append(cpu_s(on.daemon.pid))
            kept, judged = await on.judge()
        first = [first_after([one for one in kept if one.due >= start], start) - start for start in starts]
        any_ = [first_after(kept, start) - start for start in starts]
        lines.append(_line(name, first).having("any, median s", median(any_)).having("CPU s until live", median(used)))
        accounts.append(str(judged))
        failures.append(_failure(judged))
    return Figure(
        KILLED,
        f"{kills} times each: a daemon with one source over TLS and {KILL_RATE:g} events/s is killed, and started "
        f"{DOWN_S:g} s later, beside a nats-server that stays; in seconds from exec until the stream has the first "
        "event that the vendor issued after it (any: the first that it had not, from before). A source is read soon "
        "after its session was begun, and again `ws_settle_s` after that is open, as no vendor says when it listens; "
        f"then what was pushed is stored. {'; '.join(accounts)}. Aimed at: {FIRST_S:g} s",
        lines,
        "; ".join(filter(None, failures)),
    )


async def restarted(folder: Path, load: Load) -> Figure:
    """So many sources, each with a live session of its own, at five vendors; then at one."""
    sources = load.sources
    lines: list[Line] = []
    for vendors in (VENDORS, 1):
        async with scene(folder / str(vendors), sources, vendors=vendors) as on:
            on.daemon.start()
            await on.all_live()
            on.daemon.kill()
            await anyio.sleep(DOWN_S)
            start = time.time()
            on.daemon.start()
            await on.all_live()
            used = cpu_s(on.daemon.pid)
            await anyio.sleep(1.0)
            connects = [(at, port) for at, port in (await on.vendor.control())["connects"] if at >= start]
        opened = sorted(at - start for at, _ in connects)
        ports = {port for _, port in connects}
        values = {
            "all sessions open, s": opened[sources - 1],
            "all live, s": max(on.live_at()) - start,
            "connects/s at one vendor": max(busiest([at for at, port in connects if port == one]) for one in ports),
            "connects per source": len(connects) / sources,
            "daemon's CPU s": used,
        }
        lines.append(Line(f"{sources:,} sources at {vendors} vendor{'s' * (vendors > 1)}", values))
    return Figure(
        LIVE,
        f"a daemon with a Socket.IO session over TLS for each source is killed and started {DOWN_S:g} s later; "
        "seconds from exec. Live: the session is open and settled (2 s), and what was missed has been read. Sessions "
        f"with one vendor are opened {KNOCKS.requests} a second at most, after the first {KNOCKS.burst}. Aimed at: all "
        f"connections within {ALL_LIVE_S:g} s at 500, without a storm at the vendor",
        lines,
    )


async def away(folder: Path, load: Load) -> Figure:
    """The server killed under load, and started again on the same store."""
    lines: list[Line] = []
    failures: list[str] = []
    for number, (name, more) in enumerate(PUSHED.items()):
        runs = [await _loss(folder / f"{number}-{run}", load, more) for run in range(load.losses)]
        values = {column: median([values[column] for values, _ in runs]) for column in runs[0][0]}
        values |= {
            column: sum(getattr(judged, column) for _, judged in runs) for column in ("issued", "lost", "doubled")
        }
        lines.append(Line(name, values))
        failures += [_failure(judged) for _, judged in runs]
    return Figure(
        BROKER,
        f"nats-server killed for {AWAY_S:g} s while one session brings {load.rate:,.0f} events/s, started again on its "
        f"store, {load.losses} times each, medians; from when it says that it is ready until it has stored the first "
        "event, and until an event is stored within 0.1 s of being due, what had piled up included; what the vendor "
        f"issued against what the stream holds. Aimed at: 0 lost, 0 doubled, flowing within {FLOWING_S:g} s",
        lines,
        "; ".join(filter(None, failures)),
    )


async def _loss(folder: Path, load: Load, more: Mapping[str, Any]) -> tuple[dict[str, float], Judged]:
    async with scene(folder, 1, **more) as on:
        on.daemon.start()
        await on.all_live()
        await on.vendor.control(load.rate)
        await anyio.sleep(load.calm_s)
        await on.server.kill()
        gone = time.time()
        await anyio.sleep(AWAY_S)
        await on.server.start()
        ready = _ready_at(on)
        await anyio.sleep(load.after_s)
        peak = _peak_mb(on.daemon.pid)
        kept, judged = await on.judge()
    values = {
        "first stored, s": first_after(kept, ready) - ready,
        "caught up, s": caught_up_at(kept, ready) - ready,
        "away, s": ready - gone,
        "median ms before": median([one.stored - one.due for one in kept if one.stored < gone]) * 1e3,
        "daemon's peak MB": peak,
    }
    return values, judged


PARTS = {"killed": killed, "restarted": restarted, "away": away}
"""Each takes its figure, by what its folder is called."""


def busiest(times: Sequence[float], window_s: float = 1.0) -> float:
    """How many of these fall into the fullest second, however it begins."""
    ordered, first, most = sorted(times), 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return float(most)


def first_after(kept: Sequence[Kept], moment: float) -> float:
    """When the first was stored from then on; infinite: never."""
    return min((one.stored for one in kept if one.stored >= moment), default=float("inf"))


def caught_up_at(kept: Sequence[Kept], ready: float, late_s: float = 0.1) -> float:
    """When, after `ready`, the first event was stored that was due after it and was not late; infinite: never."""
    return min(
        (one.stored for one in kept if one.due >= ready and one.stored - one.due <= late_s), default=float("inf")
    )


def _failure(judged: Judged) -> str:
    return str(judged) if judged.lost or judged.doubled else ""


def _line(name: str, values: Sequence[float]) -> Line:
    return Line(name, {"median s": median(values), "most s": max(values), "least s": min(values)})


def _ready_at(on: Scene) -> float:
    found = _READY.findall(on.server.log)[-1]
    return datetime.strptime(found, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _peak_mb(pid: int) -> float:
    """What a process has occupied at most."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
