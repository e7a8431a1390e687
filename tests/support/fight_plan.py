"""What strikes whom in a fight, and when: drawn from a seed before anything starts. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LEASE_S = 3.0
SOURCES = ("acme", "beta", "coda")
INSTANCES = ("north", "south")
BOTH = "both"
OWNER = "owner of "
STREAMS = ("BRIDGE", "BRIDGE", "KV_bridge-leases", "KV_bridge-state")

Range = tuple[float, float]
Whom = Callable[[random.Random, bool], tuple[str, str]]
"""Draws target and stand-in; told whether this kind comes for the first time."""

AT_INSTANCES: Mapping[str, Range] = {
    "paused": (LEASE_S + 0.5, LEASE_S + 2.5),
    "silenced": (LEASE_S + 0.5, LEASE_S + 2.5),
    "killed": (0.0, 1.0),
    "cut off": (0.2, 2.0),
    "delayed": (2.0, 4.0),
}
"""SIGSTOP; a partition in which connections stay open; SIGKILL; one in which they are reset and refused; a slow way.
How many seconds each lasts."""
AT_NATS: Mapping[str, Range] = {
    "leader killed": (0.3, 2.0),
    "leader stepped down": (0.0, 0.0),
    "leader paused": (1.0, 6.0),
}
"""Struck is whoever leads the stream that the blow names, at that moment."""


@dataclass(frozen=True, slots=True)
class Blow:
    """`after_s` seconds after the one before it in its lane has ended, `target` is `kind`, for `seconds`.

    The target is an instance, "both", "owner of SOURCE" (whoever that is then, `otherwise` if nobody knows), or the
    stream whose leader is meant.
    """

    after_s: float
    kind: str
    target: str
    seconds: float
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Two lanes that run beside each other."""

    instances: Sequence[Blow]
    nats: Sequence[Blow]


def plan(seed: int, seconds: float) -> Plan:
    """The blows of about so many seconds. Every kind comes once before any comes again; each comes at least once."""
    dice = random.Random(seed)
    return Plan(
        _lane(dice, seconds, AT_INSTANCES, (0.3, 2.5), _instance),
        _lane(dice, seconds, AT_NATS, (1.0, 5.0), _stream),
    )


def _lane(dice: random.Random, seconds: float, kinds: Mapping[str, Range], rest: Range, whom: Whom) -> list[Blow]:
    blows: list[Blow] = []
    left = seconds
    while left > 0 or len(blows) < len(kinds):
        for kind in dice.sample(list(kinds), len(kinds)):
            if left <= 0 and len(blows) >= len(kinds):
                break
            target, otherwise = whom(dice, len(blows) < len(kinds))
            blow = Blow(round(dice.uniform(*rest), 2), kind, target, round(dice.uniform(*kinds[kind]), 2), otherwise)
            # Half a second more than it lasts: processes take their time to start and to end.
            left -= blow.after_s + blow.seconds + 0.5
            blows.append(blow)
    return blows


def _instance(dice: random.Random, first: bool) -> tuple[str, str]:
    owners = [OWNER + source for source in SOURCES]
    return dice.choice([*INSTANCES, *owners, BOTH]), dice.choice(INSTANCES)


def _stream(dice: random.Random, first: bool) -> tuple[str, str]:
    # The ledger itself meets every kind, in the shortest plan too.
    return STREAMS[0] if first else dice.choice(STREAMS), ""
