"""`python -m tests.chaos`: faults of every kind for minutes, then the verdict, as a table, as JSON and as a page.

Exit code 0: every property holds. 1: one does not, and which, in sentences, with the seed to repeat it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio

from tests.chaos.judge import SECRET, secrets_in
from tests.chaos.page import page
from tests.chaos.report import as_json, as_table, as_text
from tests.chaos.run import Run, run
from tests.chaos.schedule import SHOP


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long the faults last; starting and judging come on top")
    add("--seed", type=int, help="repeats the schedule of another run")
    add("--replicas", type=int, choices=(1, 3), default=1, help="one broker, or three with three replicas")
    add("--report", type=Path, help="a folder for report.json, report.html, and what a run wrote that fails")
    return parser.parse_args()


def keep(where: Path, folder: Path, report: dict[str, Any], found: Run) -> None:
    """Report and page; of a run that fails also logs, configurations and the stream."""
    where.mkdir(parents=True, exist_ok=True)
    (where / "report.json").write_text(as_text(report), "utf-8")
    (where / "report.html").write_text(page(report), "utf-8")
    print(f"\nreport: {where / 'report.html'}")
    if not found.verdict.faithful:
        (folder / "stream.jsonl").write_text(found.evidence.artefacts["the stream"], "utf-8")
        ledgers = {name: [one.to_json() for one in changes] for name, changes in found.evidence.changes.items()}
        ledgers[SHOP] = [asdict(one) for one in found.evidence.sent]
        (folder / "ledgers.json").write_text(json.dumps(ledgers, ensure_ascii=False), "utf-8")
        leave = shutil.ignore_patterns("store", "copy")
        shutil.copytree(folder, where / "run", dirs_exist_ok=True, ignore=leave)
        print(f"what the run wrote: {where / 'run'}")


async def main(given: argparse.Namespace) -> int:
    """One run; the exit code."""
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    say(f"chaos: seed {seed}, {given.minutes:g} minutes, {given.replicas} replica{'s' * (given.replicas > 1)}")
    folder = Path(tempfile.mkdtemp(prefix="bridged-chaos-"))
    try:
        found = await run(folder, seed=seed, seconds=given.minutes * 60, replicas=given.replicas, say=say)
        report = as_json(found)
        told = secrets_in({"report.json": as_text(report), "report.html": page(report)}, found.evidence.secrets)
        if told:
            found.verdict.broken[SECRET] += told
            report = as_json(found)
        print(as_table(report))
        if given.report is not None:
            keep(given.report, folder, report, found)
        return int(not found.verdict.faithful)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(anyio.run(main, arguments()))
