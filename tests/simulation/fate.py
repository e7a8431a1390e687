"""What one seed comes to: which vendor, which servers, and what happens when. Everything is drawn before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from tests.support.memory_ledger import Fault

IDS = "abcdefg"
VALUES = "12345"
CALM = 0.15
"""So many stories are calm."""
FOLLOWED_S = 10.0
"""By then a calm vendor has been read once, and its pushes are followed."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something happens at `at` seconds. `who`: an entity or a process; `how`: a value, or how long."""

    at: float
    what: str
    who: str = ""
    how: float = 0.0
    value: str = ""

    def __str__(self) -> str:
        said = [self.what, self.who, self.value, f"{self.how:.2f}" if self.how else ""]
        return " ".join(part for part in said if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """See the fields of the same names in `shop.py` and `wire.py`. `processes`: one, or two that share by leases.

    `calm`: nothing bad happens, so that every single change must be told. `shuffled`: whether what is ready at once
    goes on in any order. `skew_ms`: of each process's wall clock.
    """

    seed: int
    calm: bool
    live: bool
    versioned: bool
    deletes: bool
    offset: bool
    slow_walk: bool
    lossy: bool
    page_size: int
    every_s: float
    journal_every_s: float
    reach_s: float
    overlap_s: float
    token_life_s: float
    processes: int
    lease_s: float
    shuffled: bool
    skew_ms: tuple[int, ...]
    slow_s: float
    wire_slow_s: float
    faulty: int
    doubt: int
    faults: tuple[Fault, ...]
    dies: int
    troubled_s: float
    deeds: tuple[Deed, ...]

    @property
    def ordered(self) -> bool:
        """Whether what is told of an entity must be in the vendor's order: pushes without version may be doubted."""
        return self.versioned or not self.live


def draw(seed: int) -> Fate:
    """The fate of a seed."""
    chance = Random(f"fate {seed}")
    pick = chance.choice
    live, versioned, offset = pick([True, False]), pick([True, False]), chance.random() < 0.3
    deletes = not offset and pick([True, False])
    journal_every_s = pick([0.0, 30.0, 60.0])
    reach_s, overlap_s = pick([0.0, 30.0]), pick([10.0, 20.0, 40.0])
    processes = pick([1, 1, 2])
    lease_s = pick([10.0, 30.0])
    troubled_s = pick([60.0, 150.0, 300.0]) if processes == 1 else pick([60.0, 120.0])
    kinds = ["put"] * 6 + ["late", "tie"] + ["drop"] * (2 * deletes) + ["hang up"] * live
    kinds += ["happen"] * 4 if journal_every_s else []
    # Each story is about few kinds of misfortune.
    bad = [("revoke", 1), ("load", 2 * deletes), ("away", 1), ("cut", 1), ("lose", 1), ("kill", 2), ("still", 2)]
    bad += [("astray", 1), ("lapse", 1), ("stop", 1)] if processes > 1 else [("stop", 1)]
    kinds += [what for what, weight in bad if chance.random() < 0.35 for _ in range(weight)]
    deeds = []
    at = 0.0
    count = pick([6, 12, 25])
    for _ in range(count):
        at += chance.expovariate(count / troubled_s)
        what = pick(kinds)
        who = pick(IDS) if what in ("put", "late", "tie", "drop") else pick("AB"[:processes])
        how = 0.0
        if what == "happen":
            how = pick([0.0, 0.0, chance.random()]) * max(0.0, reach_s + overlap_s - 15.0)
        elif what in ("still", "astray"):
            how = pick([0.5, lease_s * 0.5, lease_s * 1.5, lease_s * 3])
        elif what == "load":
            how = pick([10.0, 100.0])
        elif what == "away":
            how = pick([0.1, 5.0, lease_s, 60.0])
        elif what == "kill":
            how = pick([0, 1, 2, 3, 5, 10, 30, 100, 300])
        deeds.append(Deed(at, what, who, float(how), pick(VALUES)))
    fate = Fate(
        seed=seed,
        calm=False,
        live=live,
        versioned=versioned,
        deletes=deletes,
        offset=offset,
        slow_walk=chance.random() < 0.3,
        lossy=pick([True, False]),
        page_size=pick([1, 2, 3, 5, 50]),
        every_s=pick([15.0, 30.0, 60.0]),
        journal_every_s=journal_every_s,
        reach_s=reach_s,
        overlap_s=overlap_s,
        token_life_s=pick([40.0, 600.0]),
        processes=processes,
        lease_s=lease_s,
        shuffled=chance.random() < 0.8,
        skew_ms=tuple(pick([0, 0, -4000, 4000]) for _ in range(processes)),
        slow_s=pick([0.0, 0.0, 5.0, 20.0]),
        wire_slow_s=pick([0.0, 0.05, 1.0, 10.0]),
        faulty=pick([0, 0, 5, 30]),
        doubt=pick([0, 0, 5, 20]),
        faults=tuple(chance.sample(list(Fault), pick([1, 2, 5]))),
        dies=pick([0, 0, 5, 20]),
        troubled_s=troubled_s,
        deeds=tuple(deeds),
    )
    return _calm(fate) if chance.random() < CALM and processes == 1 else fate


def _calm(fate: Fate) -> Fate:
    """Only the vendor does anything, and not before it is followed."""
    deeds = [
        replace(deed, at=deed.at + FOLLOWED_S) for deed in fate.deeds if deed.what in ("put", "tie", "late", "happen")
    ]
    return replace(
        fate, calm=True, live=True, versioned=True, lossy=False, deeds=tuple(deeds), slow_s=0.0, wire_slow_s=0.0,
        faulty=0, doubt=0, dies=0,
    )  # fmt: skip
