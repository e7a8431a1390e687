"""What the runs of the throughput bench come to, as tables that say which bar was missed, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench import throughput_node as node
from tests.bench.report import Figure, Line, median
from tests.bench.throughput_first import wanted as wanted_first

KINDS = {
    "graphql": "GraphQL live",
    "packets": "Socket.IO, packets of telemetry",
    "entities": "Socket.IO, rows of a store",
    "rows": "REST walk, first reading",
    "webhooks": "webhooks, 32 connections",
}
LIVE = ("graphql", "packets", "entities")
RATES = {1_000: 5.0, 5_000: 10.0}
"""Events a second by the clock, and what 99 of 100 may take, in ms."""
GROWN = 50
"""Events by which a backlog may be larger at a run's end than at its half, without having grown: what is under way."""
LEAST, MOST_US = 0.7, 45.0
"""With GraphQL live: of a careful script's rate, and us of CPU per event."""
BESIDE_NODE = {"node": 2.0, "node-red": 3.0}
"""Times as fast as these, with GraphQL live, the bridge is to be."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """How much is sent: events as fast as they go, webhooks, seconds at each rate, and rounds of all of it."""

    events: int
    webhooks: int
    seconds: float
    rounds: int

    @property
    def paced_rounds(self) -> int:
        """Rounds at fixed rates, which take longest."""
        return max(1, self.rounds - 1)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. `told`: what vendor and taker say of it, see `Tally.account`; of the vendor `late_ms`: 99
    of 100 left it by so much later than they were due, at most."""

    per_s: float
    cpu_us: float
    server_us: float
    told: Mapping[str, float]


Runs = dict[tuple[str, str, int], list[Run]]
"""By kind, taker and rate (0: as fast as it goes)."""


def fastest(runs: Runs, wanted: Throughput, failure: str) -> Figure:
    """Each kind as fast as it goes."""
    lines, misses = [], []
    for kind, name in KINDS.items():
        ours, theirs = runs[kind, "bridge", 0], runs[kind, "script", 0]
        ratio, cpu = _rates(ours, theirs), _cpu(ours, theirs)
        lines.append(Line(f"{name}: bridge", {"rate / script": ratio, "CPU / script": cpu, **_absolute(ours)}))
        lines.append(Line(f"{name}: script", _absolute(theirs)))
        if kind != "graphql":
            continue
        if ratio < LEAST:
            misses.append(f"{name}: {LEAST:g} of the script's rate wanted, {ratio:.2f} seen (by CPU {1 / cpu:.2f})")
        if (us := _absolute(ours)["CPU us"]) > MOST_US:
            misses.append(f"{name}: at most {MOST_US:g} us of CPU wanted, {us:.0f} seen")
    return Figure(
        "events as fast as they go, beside a script by hand",
        f"{wanted.events:,} events ({wanted.webhooks:,} webhooks) of some 400 to 700 bytes in each of {wanted.rounds} "
        "interleaved rounds, medians; from the first byte that left the vendor until the last event was acknowledged; "
        "vendor, nats-server and taker share the machine; CPU of the taker's whole process. The script: `websockets`, "
        "msgspec, nats-py with up to 4,000 acknowledgements outstanding; rows by offset; webhooks by aiohttp. Each "
        f"event that was sent is looked for in the stream: the bench fails where one is missing or there twice."
        f"{_told(misses)}",
        lines,
        failure,
    )


def paced(runs: Runs, wanted: Throughput) -> Figure:
    """Those kinds that are live, at fixed rates."""
    lines, misses = [], []
    for kind in LIVE:
        for rate, most_ms in RATES.items():
            ours, theirs = runs[kind, "bridge", rate], runs[kind, "script", rate]
            name, told, other = f"{KINDS[kind]}, {rate:,}/s", _medians(ours), _medians(theirs)
            values = {f"p{percent} / script": told[f"p{percent}"] / other[f"p{percent}"] for percent in (50, 99)}
            values |= {"p50 ms": told["p50"], "p99 ms": told["p99"], "script's p99": other["p99"]}
            values |= {"backlog, half": told["half"], "at the end": told["end"], "vendor's p99": told["late_ms"]}
            lines.append(Line(name, {**values, "CPU us": median([run.cpu_us for run in ours])}))
            if told["p99"] > most_ms:
                misses.append(f"{name}: 99 of 100 within {most_ms:g} ms wanted, {told['p99']:.1f} seen")
            if told["end"] > told["half"] + GROWN:
                misses.append(f"{name}: the backlog grew from {told['half']:,.0f} to {told['end']:,.0f}")
    return Figure(
        "live event to acknowledgement, at fixed rates",
        f"from the time each is due by the vendor's clock (open loop), {wanted.seconds:g} s in each of "
        f"{wanted.paced_rounds} interleaved rounds, medians of each round's percentiles. Backlog: events due and not "
        "yet acknowledged, at the run's half and at its end. `vendor's p99`: by how many ms at most 99 of 100 left the "
        f"vendor late, which is in the others, too.{_told(misses)}",
        lines,
    )


def beside_node(runs: Runs, wanted: Throughput, missing: str) -> Figure:
    """GraphQL live, as fast as it goes; or why not."""
    name = "GraphQL live beside Node.js"
    if missing:
        return Figure(name, f"Not taken: {missing}.")
    ours, lines, misses = runs["graphql", "bridge", 0], [], []
    for taker, title in node.TITLES.items():
        theirs = runs["graphql", taker, 0]
        ratio, cpu = _rates(ours, theirs), _cpu(theirs, ours)
        lines.append(Line(title, {"bridge's rate / its": ratio, "its CPU / bridge's": cpu, **_absolute(theirs)}))
        if ratio < (least := BESIDE_NODE.get(taker, 0.0)):
            misses.append(f"{least:g} times the rate of {taker} wanted, {ratio:.2f} seen (by CPU {cpu:.2f})")
    return Figure(
        name,
        f"{wanted.events:,} events in each of {wanted.rounds} interleaved rounds, medians; the same vendor, server and "
        f"judgement. {node.HOW}{_told(misses)}",
        [*lines, Line("bridge", _absolute(ours))],
    )


def _medians(runs: Sequence[Run]) -> dict[str, float]:
    names = ("p50", "p99", "half", "end", "late_ms")
    return {name: median([run.told[name] for run in runs]) for name in names}


def _absolute(runs: Sequence[Run]) -> dict[str, float]:
    return {
        "events/s": median([run.per_s for run in runs]),
        "CPU us": median([run.cpu_us for run in runs]),
        "server's CPU us": median([run.server_us for run in runs]),
    }


def _rates(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    """The median of each round's ratio."""
    return median([mine.per_s / other.per_s for mine, other in zip(ours, theirs, strict=True)])


def _cpu(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    return median([mine.cpu_us / other.cpu_us for mine, other in zip(ours, theirs, strict=True)])


def _told(misses: Sequence[str]) -> str:
    return (" Each run had real-time priority." if wanted_first() else "") + _missed(misses)


def _missed(misses: Sequence[str]) -> str:
    return f" **Missed:** {'; '.join(misses)}." if misses else ""
