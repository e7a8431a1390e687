"""`python -m tests.simulation`: stories from seeds, as many as a minute allows, on all cores.

Exit code 0: every promise was kept in every story. 1: the seeds are printed, each with the command that replays it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator

from tests.simulation.story import Outcome, hush, tell

EACH = 25
"""Seeds handed to a worker at a time."""
SHOWN = 5


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=1.0, help="how long to go on, by the clock (default: 1)")
    add("--seeds", type=int, help="play so many, however long it takes")
    add("--first", type=int, help="begin with this seed (default: drawn, and printed)")
    add("--seed", type=int, help="play only this one")
    add("-v", "--verbose", action="store_true", help="with --seed: tell the story")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    return parser.parse_args()


def several(seeds: range) -> tuple[list[Outcome], float]:
    """Play these; the CPU seconds it took."""
    hush()
    begun = time.process_time()
    return [tell(seed) for seed in seeds], time.process_time() - begun


def portions(first: int, count: int | None, minutes: float) -> Iterator[range]:
    """What the workers are given, until it is enough or time is up."""
    ends = time.monotonic() + minutes * 60
    at = first
    while (count is None and time.monotonic() < ends) or (count is not None and at < first + count):
        last = at + EACH if count is None else min(at + EACH, first + count)
        yield range(at, last)
        at = last


def one(seed: int, *, verbose: bool) -> int:
    """Play a seed twice: its digest says whether both were the same."""
    hush()
    outcome = tell(seed, verbose=verbose)
    for line in outcome.told:
        print(line)
    again = tell(seed)
    print(
        f"seed {seed}: {outcome.steps} steps, {outcome.virtual_s:.0f} virtual seconds, {outcome.crashes} deaths,",
        end=" ",
    )
    print(
        f"digest {outcome.digest}" + ("" if again.digest == outcome.digest else f", and {again.digest} the second time")
    )
    for wrong in outcome.wrong:
        print(f"BROKEN  {wrong}")
    return 1 if outcome.wrong or again.digest != outcome.digest else 0


def many(given: argparse.Namespace) -> int:
    """Play many."""
    first = random.SystemRandom().randrange(1_000_000_000) if given.first is None else given.first
    print(f"from seed {first}, {given.workers} workers", flush=True)
    begun, played, steps, virtual_s, deaths, cpu_s = time.monotonic(), 0, 0, 0.0, 0, 0.0
    broken: list[Outcome] = []
    with multiprocessing.Pool(given.workers) as pool:
        gate = multiprocessing.Semaphore(2 * given.workers)

        def paced() -> Iterator[range]:
            for portion in portions(first, given.seeds, given.minutes):
                gate.acquire()
                yield portion

        for outcomes, took_s in pool.imap_unordered(several, paced()):
            gate.release()
            cpu_s += took_s
            for outcome in outcomes:
                played += 1
                steps += outcome.steps
                virtual_s += outcome.virtual_s
                deaths += outcome.crashes
                if outcome.wrong:
                    broken.append(outcome)
                    print(f"seed {outcome.seed}: {outcome.wrong[0][:300]}", flush=True)
    took_s = time.monotonic() - begun
    rate, each_ms = played / took_s * 60, cpu_s / max(1, played) * 1000
    print(f"{played} stories in {took_s:.0f} s: {rate:.0f} a minute, {each_ms:.0f} ms of CPU each")
    print(f"{virtual_s / 86400:.1f} virtual days, {steps} steps, {deaths} deaths: {len(broken)} broken")
    for outcome in sorted(broken, key=lambda outcome: outcome.seed)[:SHOWN]:
        print(f"  python -m tests.simulation --seed {outcome.seed} -v")
    return 1 if broken else 0


def main() -> int:
    """The exit code."""
    given = arguments()
    return many(given) if given.seed is None else one(given.seed, verbose=given.verbose)


if __name__ == "__main__":
    sys.exit(main())
