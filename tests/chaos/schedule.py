"""What strikes whom, and when: drawn from a seed before anything starts. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

LEASE_S: Final = 5.0
WINDOW_S: Final = 10.0
"""The longest window of the whole: after so many seconds the server gives up an unfinished batch. A request waits for
five, and a lease lasts as long. The server's window for repetitions is none of ours: nothing relies on it."""
INSTANCES: Final = ("north", "south")
BOTH: Final = "both"
STEP_S: Final = 3600
"""How far a clock steps, one way or the other, and back."""

Range = tuple[float, float]

AT_INSTANCES: Final[Mapping[str, Range]] = {
    "killed": (0.0, 1.5),
    "paused": (LEASE_S + 0.5, LEASE_S + 3.0),
    "stopped": (0.0, 1.0),
    "clock stepped": (2.0, 5.0),
}
"""SIGKILL; SIGSTOP for longer than the lease; SIGTERM; the wall clock an hour ahead or behind, and back."""
ON_WAYS: Final[Mapping[str, Range]] = {
    "refused": (1.0, 3.0),
    "delayed": (2.0, 4.0),
    "trickled": (2.0, 4.0),
    "cut": (1.0, 2.0),
    "half-closed": (0.5, 1.0),
    "reset": (0.0, 0.2),
    "silent": (LEASE_S + 0.5, LEASE_S + 3.0),
    "deaf": (LEASE_S + 0.5, LEASE_S + 3.0),
}
"""What the proxies between a daemon and NATS do. `refused`: existing connections are reset, too. `cut`: in the middle
of a message. `silent`: nothing gets through to NATS, `deaf`: nothing comes from it; the other way is open."""
AT_ONE_BROKER: Final[Mapping[str, Range]] = {
    "killed": (0.2, 2.0),
    "frozen": (1.0, 6.0),
    "away": (WINDOW_S + 1.0, WINDOW_S + 3.0),
    "rolled back": (2.0, 4.0),
    "full": (2.0, 4.0),
}
"""SIGKILL; SIGSTOP; away for longer than every window; the events' store put back to where it was so many seconds
before, under the view, which is not; the account has no more room."""
AT_A_CLUSTER: Final[Mapping[str, Range]] = {
    "killed": (0.2, 2.0),
    "frozen": (1.0, 6.0),
    "deposed": (0.5, 1.5),
    "away": (WINDOW_S + 1.0, WINDOW_S + 3.0),
    "full": (2.0, 4.0),
}
"""The same of whoever leads the stream of events, `deposed`: it has to step down; away are all three at once."""
AT_ANY_VENDOR: Final[Mapping[str, Range]] = {"storm": (2.0, 5.0), "poison": (2.0, 4.0), "quota cut": (2.0, 4.0)}
"""5xx for all requests; rows that nobody can read; hardly any requests are let through."""
TOKENS: Final[Mapping[str, Range]] = {"revoked": (2.0, 4.0)}
PUSHES: Final[Mapping[str, Range]] = {
    "withheld": (2.0, 5.0),
    "doubled": (2.0, 4.0),
    "reordered": (2.0, 4.0),
    "dropped": (0.2, 1.0),
}
"""Of what is pushed; `dropped`: all sockets end at once."""
SHOP: Final = "shop"
AT_VENDORS: Final[Mapping[str, Mapping[str, Range]]] = {
    "support": {**AT_ANY_VENDOR, **TOKENS, **PUSHES},
    "travel": {**AT_ANY_VENDOR, **TOKENS, **PUSHES},
    "plant": {**AT_ANY_VENDOR, **TOKENS, **PUSHES},
    "roster": {**AT_ANY_VENDOR, **TOKENS},
    "office": AT_ANY_VENDOR,
    SHOP: {"withheld": (2.0, 5.0), "doubled": (2.0, 4.0), "reordered": (2.0, 4.0), "poison": (2.0, 4.0)},
}
"""By source. The shop's are those of a sender of webhooks."""


@dataclass(frozen=True, slots=True)
class Blow:
    """`after_s` seconds after the one before it in its lane has ended, `target` is struck by `kind`, for `seconds`.

    The target is an instance, "both" of them, or empty where the lane says it. `sign`: the way a clock steps.
    """

    after_s: float
    kind: str
    target: str
    seconds: float
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """Lanes that run beside each other, by name: `instances`, `ways`, `broker`, and one for each source."""

    seed: int
    seconds: float
    replicas: int
    lanes: Mapping[str, Sequence[Blow]]

    def first_round(self, lane: str) -> int:
        """So many blows of a lane come whatever happens: one of each kind."""
        return len(kinds(self.replicas)[lane])

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def kinds(replicas: int) -> Mapping[str, Mapping[str, Range]]:
    """What there is in each lane, and from how many to how many seconds it lasts."""
    broker = AT_ONE_BROKER if replicas == 1 else AT_A_CLUSTER
    return {"instances": AT_INSTANCES, "ways": ON_WAYS, "broker": broker, **AT_VENDORS}


def schedule(seed: int, seconds: float, replicas: int = 1) -> Schedule:
    """The blows of about so many seconds. Every kind of a lane comes once before any of them comes again."""
    lanes = {
        # One stream of chance for each lane: what is added to one leaves the others as they are.
        lane: tuple(_lane(random.Random(f"{seed}:{lane}"), seconds, given, lane))
        for lane, given in kinds(replicas).items()
    }
    return Schedule(seed, seconds, replicas, lanes)


def _lane(dice: random.Random, seconds: float, given: Mapping[str, Range], lane: str) -> Iterator[Blow]:
    left, count = seconds, 0
    rest = (2.0, 6.0) if lane == "broker" else (0.5, 4.0)
    while left > 0 or count < len(given):
        for kind in dice.sample(list(given), len(given)):
            if left <= 0 and count >= len(given):
                return
            target = dice.choice([*INSTANCES, *INSTANCES, BOTH]) if lane in ("instances", "ways") else ""
            blow = Blow(
                round(dice.uniform(*rest), 2), kind, target, round(dice.uniform(*given[kind]), 2), dice.choice((-1, 1))
            )
            # Half a second more than it lasts: processes take their time to start and to end.
            left -= blow.after_s + blow.seconds + 0.5
            count += 1
            yield blow
