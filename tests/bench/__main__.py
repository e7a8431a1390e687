"""`python -m tests.bench [--quick | --full] [--json FILE] [FIGURE …]`: figures of this machine, beside bare nats-py.

Absolute figures drift with the machine; ratios come from the same run, interleaved, and mean something.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog

from tests.bench import (
    alerts,
    catchup,
    commit,
    cpu,
    fairness,
    flood,
    freshness,
    idle,
    knowledge,
    latency,
    machine,
    noticing,
    polling,
    readying,
    resting,
    startup,
    volume,
    webhook,
)
from tests.bench.report import Figure
from tests.bench.stage import stage
from tests.bench.volume import Volume

FIGURES = (
    "cpu", "catchup", "latency", "fairness", "commit", "opening", "starting", "idle", "flood", "noticing", "volume",
    "freshness", "polling", "alerts", "webhook", "resting", "readying",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: sessions and rounds of catch-up, seconds and rounds of latency, known entities, rounds.

    `backlog`: what the hog has to read; `batches`: commits of each size; `idle`: connections, and for how many seconds
    they are looked at; `flood`: messages; `deaths`: of peers, of each kind; `volume`: packets; `fresh`: hours;
    `polled`: rows of a collection that is read again;
    `rest_s`: seconds for which an idle daemon is looked at.
    """

    sessions: int
    rounds: int
    seconds: float
    known: tuple[int, ...]
    starts: int
    backlog: int
    batches: int
    idle: tuple[int, float]
    flood: int
    deaths: int
    volume: Volume
    fresh: float
    polled: int = 100_000
    rest_s: float = 30.0


QUICK = Effort(
    2_000, 2, 1.5, (10_000,), 1, 30_000, 5, (300, 4.0), 50_000, 5, Volume(5_000, 10.0, 3.0), 8.0, 20_000, 10.0
)
WHOLE = Effort(
    8_000, 3, 4.0, (10_000, 100_000), 2, 40_000, 30, (2_000, 12.0), 1_000_000, 50, Volume(5_000, 30.0, 8.0), 48.0
)
FULL = replace(
    WHOLE, known=(10_000, 100_000, 1_000_000), starts=1, idle=(5_000, 12.0), volume=Volume(5_000, 600.0, 15.0)
)


async def run(effort: Effort, wanted: set[str], show: Callable[[Figure], None]) -> None:
    """Take the figures that are wanted, and show each as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="bridged-bench-") as name:
        folder = Path(name)
        if "cpu" in wanted:
            show(cpu.measure(effort.rounds * 15))
        if "freshness" in wanted:
            show(freshness.measure(effort.fresh))
        if "polling" in wanted:
            show(await polling.measure(effort.polled, effort.rounds))
        for sync_always in (True, False):
            if wanted & {"catchup", "latency", "fairness", "opening", "alerts"}:
                async with stage(folder, sync_always=sync_always) as on:
                    if "catchup" in wanted:
                        show(await catchup.measure(on, effort.sessions, effort.rounds))
                    if "latency" in wanted:
                        show(await latency.measure(on, effort.seconds, effort.rounds))
                    if "fairness" in wanted:
                        show(await fairness.measure(on, effort.backlog, effort.seconds, effort.rounds))
                    if "alerts" in wanted:
                        show(await alerts.measure(on, effort.seconds, effort.rounds))
                    if "opening" in wanted and not sync_always:
                        show(await knowledge.measure(on, list(effort.known), effort.starts))
        if "commit" in wanted:
            show(await commit.measure(folder, effort.batches))
        if "starting" in wanted:
            show(await startup.measure(folder, effort.starts))
        if "readying" in wanted:
            show(readying.measure(folder, effort.starts * 3))
        if "resting" in wanted:
            show(resting.measure(folder, effort.rest_s))
        if "idle" in wanted:
            show(await idle.measure(folder, *effort.idle))
        if "flood" in wanted:
            for figure in await flood.measure(folder, effort.flood):
                show(figure)
        if "volume" in wanted:
            for figure in await volume.measure(folder, effort.volume):
                show(figure)
        if "webhook" in wanted:
            for sync_always in (True, False):
                show(await webhook.measure(folder, effort.seconds, effort.rounds, sync_always=sync_always))
        if "noticing" in wanted:
            show(await noticing.measure(effort.deaths))


def main() -> int:
    """Take figures, print them, and write them to a file where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Figures of this machine.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"default: all of {', '.join(FIGURES)}")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--quick", action="store_true", help="less of everything, in a few minutes")
    much.add_argument("--full", action="store_true", help="opening with 1,000,000 known entities as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    args = parser.parse_args()
    wanted = set(args.figures) or set(FIGURES)
    if unknown := wanted - set(FIGURES):
        parser.error(f"no figure is called {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    described = machine.describe(Path(tempfile.gettempdir()))
    print(", ".join(f"{name} {value}" for name, value in described.items()), "\n")
    found: list[Figure] = []

    def show(figure: Figure) -> None:
        found.append(figure)
        print(figure.as_markdown(), flush=True)

    anyio.run(
        run,
        QUICK if args.quick else FULL if args.full else WHOLE,
        wanted,
        show,
        backend="asyncio",
        backend_options={"use_uvloop": True},
    )
    if args.json is not None:
        whole = {"machine": described, "figures": [figure.as_json() for figure in found]}
        args.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    for figure in found:
        if figure.failure:
            print(f"{figure.name}: {figure.failure}", file=sys.stderr)
    return int(any(figure.failure for figure in found))


if __name__ == "__main__":
    sys.exit(main())
