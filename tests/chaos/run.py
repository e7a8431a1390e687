"""One run: everything is started, struck as the schedule says, left alone, and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.aftermath import Aftermath
from tests.chaos.flow import flow
from tests.chaos.judge import Evidence, Verdict, judged
from tests.chaos.parts import Parts, parts
from tests.chaos.schedule import Schedule, schedule
from tests.chaos.states import States, states
from tests.chaos.strikes import Strikes, Struck
from tests.support.waiting import wait_until

START_S: Final = 240.0
RATE: Final = 3.0
MOST_CHANGES: Final = 1_500
"""Of each vendor: so that a long run does not make more than a vendor's walk can read between two blows."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is left of a run. Moments are seconds since the Unix epoch."""

    plan: Schedule
    evidence: Evidence
    verdict: Verdict
    struck: list[Struck]
    states: States
    begun_s: float
    """When the first blow might fall."""
    healed_s: float
    ended_s: float


async def run(folder: Path, *, seed: int, seconds: float, replicas: int, say: Callable[[str], None]) -> Run:
    """`say` hears what is being done. Fails only where the parts do not even start."""
    plan = schedule(seed, seconds, replicas)
    rate = min(RATE, MOST_CHANGES / max(1.0, seconds))
    async with parts(folder, seed, replicas) as everything:
        say("vendors and brokers run; the instances start")
        await _begin(everything, rate)
        async with flow([server.url for server in everything.servers]) as flowing:
            strikes = Strikes(everything, flowing)
            begun_s = time.time()
            say(f"faults for {seconds / 60:g} minutes")
            await strikes.run(plan)
        healed_s = time.time()
        say(f"the faults are over after {healed_s - begun_s:.0f} s, {len(strikes.struck)} blows")
        evidence = await Aftermath(everything, strikes, plan, begun_s).evidence(say)
        everything.stop()
        verdict, known = judged(evidence), states(everything)
        return Run(plan, evidence, verdict, strikes.struck, known, begun_s, healed_s, time.time())


async def _begin(everything: Parts, rate: float) -> None:
    """Returns when every source is live somewhere, and everybody makes changes."""
    for daemon in everything.daemons.values():
        daemon.start()

    def live() -> bool:
        said = [line["source"] for daemon in everything.daemons.values() for line in daemon.said("source.live")]
        return set(said) >= set(everything.sources)

    await wait_until(live, START_S, "every source to be live")
    everything.begin_sending(rate)
    for vendor in everything.vendors.values():
        await vendor.rate(rate)
