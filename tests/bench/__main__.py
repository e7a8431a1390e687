"""`python -m tests.bench [--quick | --full] [--json FILE] [FIGURE …]`: figures of this machine, beside bare nats-py.

Absolute figures drift with the machine; ratios come from the same run, interleaved, and mean something. `proof` in
place of figures takes those for which something was aimed at, and `table FILE` writes these into the README.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import structlog

from tests.bench import (
    aims,
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
    recovery,
    resting,
    startup,
    table,
    throughput,
    volume,
    webhook,
)
from tests.bench.effort import FIGURES, FULL, PROOF, PROVING, QUICK, WHOLE, Effort
from tests.bench.report import Figure
from tests.bench.stage import stage


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
        if "held" in wanted:
            show(await idle.held(folder, effort.held))
        if "recovery" in wanted:
            for name, take in recovery.PARTS.items():
                show(await take(folder / name, effort.recovery))
        if "flood" in wanted:
            for figure in await flood.measure(folder, effort.flood):
                show(figure)
        if "volume" in wanted:
            for figure in await volume.measure(folder, effort.volume):
                show(figure)
        if "webhook" in wanted:
            for sync_always in (True, False):
                show(await webhook.measure(folder, effort.seconds, effort.rounds, sync_always=sync_always))
        if "throughput" in wanted:
            for figure in await throughput.measure(folder, effort.throughput):
                show(figure)
        if "noticing" in wanted:
            show(await noticing.measure(effort.deaths))


def main() -> int:
    """Take figures, print them, and write them to a file where asked to."""
    if sys.argv[1:2] == ["table"]:
        return table.main(sys.argv[2:], aims.AIMS)
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Figures of this machine.",
        epilog="`table FILE` in place of all this writes what `proof --json FILE` took into the README, as its table.",
    )
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"default: all of {', '.join(FIGURES)}; proof: what has an aim"
    )
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--quick", action="store_true", help="less of everything, in a few minutes")
    much.add_argument("--full", action="store_true", help="opening with 1,000,000 known entities as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    args = parser.parse_args()
    proof = args.figures == ["proof"]
    wanted = set(PROOF) if proof else set(args.figures) or set(FIGURES)
    if unknown := wanted - set(FIGURES):
        parser.error(
            f"no figure is called {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}, or proof alone"
        )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    described = machine.describe(Path(tempfile.gettempdir()))
    print(", ".join(f"{name} {value}" for name, value in described.items()), "\n")
    found: list[Figure] = []
    began = time.monotonic()

    def keep() -> None:
        # After each of them: a run that is broken off has not been for nothing.
        if args.json is not None:
            taken = described | {"minutes": round((time.monotonic() - began) / 60, 1), "quick": args.quick}
            whole = {"machine": taken, "figures": [figure.as_json() for figure in found]}
            args.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")

    def show(figure: Figure) -> None:
        found.append(figure)
        print(figure.as_markdown(), flush=True)
        keep()

    anyio.run(
        run,
        QUICK if args.quick else FULL if args.full else PROVING if proof else WHOLE,
        wanted,
        show,
        backend="asyncio",
        backend_options={"use_uvloop": True},
    )
    for figure in found:
        if figure.failure:
            print(f"{figure.name}: {figure.failure}", file=sys.stderr)
    return int(any(figure.failure for figure in found))


if __name__ == "__main__":
    sys.exit(main())
