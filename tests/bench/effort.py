"""How much `make bench` does: figure by figure, for a look, for the whole, and for the proof of what was aimed at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.bench.idle import Held
from tests.bench.recovery import Load
from tests.bench.throughput_report import Throughput
from tests.bench.volume import Volume

FIGURES = (
    "cpu", "catchup", "latency", "fairness", "commit", "opening", "starting", "idle", "flood", "noticing", "volume",
    "freshness", "polling", "alerts", "webhook", "resting", "readying", "throughput", "held",
    "recovery",
)  # fmt: skip
PROOF = (
    "catchup", "latency", "commit", "opening", "freshness", "polling", "webhook", "resting", "readying", "throughput",
    "held", "recovery",
)  # fmt: skip
"""What there are aims for, in a quarter of an hour on a machine with nothing else to do; see `table.py`."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: sessions and rounds of catch-up, seconds and rounds of latency, known entities, rounds.

    `backlog`: what the hog has to read; `batches`: commits of each size; `idle`: connections, and for how many seconds
    they are looked at; `flood`: messages; `deaths`: of peers, of each kind; `volume`: packets; `fresh`: hours;
    `polled`: rows of a collection that is read again;
    `rest_s`: seconds for which an idle daemon is looked at; `throughput`: every kind of source, beside scripts;
    `held`: sessions that beat as their vendors do; `recovery`: kills.
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
    throughput: Throughput
    polled: int = 100_000
    rest_s: float = 30.0
    held: Held = Held((500, 2_000, 5_000), 25.0)
    recovery: Load = Load(5, 500, 2, 1_000.0, 4.0, 12.0)


QUICK = Effort(
    2_000, 2, 1.5, (10_000,), 1, 30_000, 5, (300, 4.0), 50_000, 5, Volume(5_000, 10.0, 3.0), 8.0,
    Throughput(3_000, 500, 0.6, 1), 20_000, 10.0,
    Held((50, 100), 2.0, 4.0), Load(1, 20, 1, 500.0, 1.0, 5.0),
)  # fmt: skip
WHOLE = Effort(
    8_000, 3, 4.0, (10_000, 100_000), 2, 40_000, 30, (2_000, 12.0), 1_000_000, 50, Volume(5_000, 30.0, 8.0), 48.0,
    Throughput(6_000, 1_500, 1.5, 3),
)  # fmt: skip
FULL = replace(
    WHOLE, known=(10_000, 100_000, 1_000_000), starts=1, idle=(5_000, 12.0), volume=Volume(5_000, 600.0, 15.0)
)
PROVING = replace(
    WHOLE, sessions=3_000, rounds=2, seconds=2.0, known=(100_000,), starts=1, batches=8, fresh=24.0, polled=50_000,
    rest_s=15.0, throughput=Throughput(15_000, 3_000, 3.0, 2), held=Held((500, 2_000, 5_000), 25.0),
    recovery=Load(3, 500, 1, 1_000.0, 3.0, 10.0),
)  # fmt: skip
"""Of `proof`."""
