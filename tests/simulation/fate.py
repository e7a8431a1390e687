"""What one seed comes to: which vendor, which servers, and what happens when. Everything is drawn before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from tests.support.memory_ledger import Fault

IDS = "abcde"
VALUES = "12345"
NAMES = "ABC"
"""What processes are called."""
CALM = 0.15
"""So many stories are calm."""
FOLLOWED_S = 10.0
"""By then a calm vendor has been read once, and its pushes are followed."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something happens at `at` seconds. `who`: an entity or a process; `how`: a value, or how long.

    `where`: which source it concerns, where there are several.
    """

    at: float
    what: str
    who: str = ""
    how: float = 0.0
    value: str = ""
    where: int = 0

    def __str__(self) -> str:
        said = [self.what, self.who, self.value, f"{self.how:.2f}" if self.how else ""]
        return " ".join(part for part in said if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """See the fields of the same names in `shop.py` and `wire.py`.

    `kind`: "live", a vendor with sessions; "polled", one that is only read; "pushed", one that only sends webhooks;
    "shared", `sources` of them that the processes share evenly. `processes`: how many there are; where they do not
    share and are not pushed to, one works and the others stand by.

    `calm`: nothing bad happens, so that every single change must be told. `shuffled`: whether what is ready at once
    goes on in any order. `skew_ms`: of each process's wall clock. `offset`: things are paged by number, so pages move.
    `tagged`: answers have an ETag. `confirms`: who is absent is asked for by id. `quota`: requests in ten seconds.
    `telemetry`: the journal is. `hands_over`: sessions end with their tokens.
    """

    seed: int
    kind: str
    sources: int
    calm: bool
    live: bool
    versioned: bool
    deletes: bool
    offset: bool
    confirms: bool
    tagged: bool
    quota: int
    slow_walk: bool
    lossy: bool
    page_size: int
    every_s: float
    journal_every_s: float
    telemetry: bool
    reach_s: float
    overlap_s: float
    token_life_s: float
    hands_over: bool
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
    def pushed(self) -> bool:
        """Whether the vendor only sends webhooks."""
        return self.kind == "pushed"

    @property
    def shared(self) -> bool:
        """Whether the processes share the sources."""
        return self.kind == "shared"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources."""
        return tuple(f"acme{number}" for number in range(self.sources)) if self.shared else ("acme",)

    @property
    def longest_s(self) -> float:
        """Between two readings."""
        return max(self.every_s, self.journal_every_s)

    @property
    def ordered(self) -> bool:
        """Whether what is told of an entity must be in the vendor's order: pushes without version may be doubted."""
        return self.versioned or not self.live

    @property
    def mannerly(self) -> bool:
        """Whether each life of the one process is held to what it has asked for and been told."""
        return self.processes == 1 and all(deed.what != "still" for deed in self.deeds)


def draw(seed: int) -> Fate:
    """The fate of a seed."""
    chance = Random(f"fate {seed}")
    pick = chance.choice
    kind = pick(["live"] * 6 + ["polled"] * 5 + ["pushed"] * 4 + ["shared"])
    live = kind == "live" or (kind == "shared" and pick([True, False]))
    pushed, shared = kind == "pushed", kind == "shared"
    versioned, offset = pushed or pick([True, False]), not pushed and chance.random() < 0.4
    confirms = not pushed and pick([True, False])
    deletes = pushed or ((confirms or not offset) and pick([True, False]))
    journal_every_s = 0.0 if pushed or shared else pick([0.0, 10.0, 20.0])
    reach_s, overlap_s = pick([0.0, 0.0, 30.0]), pick([8.0, 20.0, 40.0])
    processes = pick([2, 2, 3]) if shared else pick([1, 1, 1, 2])
    lease_s = 30.0 if shared else pick([10.0, 30.0])
    troubled_s = pick([15.0, 30.0, 60.0])
    kinds = ["put"] * 6 + ["late", "tie"] + ["drop"] * (2 * deletes) + ["hang up"] * live
    kinds += ["happen"] * 4 if journal_every_s or pushed else []
    # Each story is about few kinds of misfortune.
    bad = [
        ("load", 2 * deletes),
        ("hide", 3 * (confirms and deletes)),
        ("away", 1),
        ("cut", 1),
        ("kill", 5),
        ("still", 2),
        ("stop", 1),
    ]
    bad += [] if pushed else [("revoke", 1), ("lose", 1)]
    bad += [("astray", 1), ("lapse", 1)] if processes > 1 and not pushed else []
    kinds += [what for what, weight in bad if chance.random() < 0.35 for _ in range(weight)]
    sources = pick([3, 4]) if shared else 1
    deeds = []
    at = 0.0
    count = pick([6, 10, 18])
    for _ in range(count):
        at += chance.expovariate(count / troubled_s)
        what = pick(kinds)
        who = pick(IDS) if what in ("put", "late", "tie", "drop", "hide") else pick(NAMES[:processes])
        how = 0.0
        if what == "happen":
            how = pick([0.0, 0.0, chance.random()]) * max(0.0, reach_s + overlap_s - 15.0)
        elif what in ("still", "astray"):
            how = pick([0.5, lease_s * 0.5, lease_s * 1.5, lease_s * 3])
        elif what == "load":
            how = pick([5.0, 40.0])
        elif what == "hide":
            how = pick([30.0, 90.0])
        elif what == "away":
            how = pick([0.1, 5.0, 60.0])
        elif what == "kill":
            how = pick([0, 1, 2, 3, 5, 10, 30, 100])
        deeds.append(Deed(at, what, who, float(how), pick(VALUES), chance.randrange(sources)))
    fate = Fate(
        seed=seed,
        kind=kind,
        sources=sources,
        calm=False,
        live=live,
        versioned=versioned,
        deletes=deletes,
        offset=offset,
        confirms=confirms,
        tagged=pick([True, False]),
        quota=pick([0, 4, 8]) if kind == "polled" else 0,
        slow_walk=not shared and chance.random() < 0.2,
        lossy=pick([True, False]),
        page_size=pick([3, 50]) if shared else pick([1, 2, 3, 50]),
        every_s=pick([10.0, 20.0]),
        journal_every_s=journal_every_s,
        telemetry=pick([True, False]),
        reach_s=reach_s,
        overlap_s=overlap_s,
        token_life_s=pick([20.0, 40.0, 600.0]),
        hands_over=live and pick([True, False]),
        processes=processes,
        lease_s=lease_s,
        shuffled=chance.random() < 0.8,
        skew_ms=tuple(pick([0, 0, -4000, 4000]) for _ in range(processes)),
        slow_s=pick([0.0, 0.0, 5.0, 40.0]),
        wire_slow_s=pick([0.0, 0.05, 1.0, 10.0]),
        faulty=pick([0, 0, 5, 30]),
        doubt=pick([0, 0, 5, 20]),
        faults=tuple(chance.sample(list(Fault), pick([1, 2, 5]))),
        dies=pick([0, 0, 20, 60]),
        troubled_s=troubled_s,
        deeds=tuple(deeds),
    )
    return _calm(fate) if chance.random() < CALM and kind == "live" and processes == 1 else fate


def _calm(fate: Fate) -> Fate:
    """Only the vendor does anything, and not before it is followed."""
    deeds = [
        replace(deed, at=deed.at + FOLLOWED_S) for deed in fate.deeds if deed.what in ("put", "tie", "late", "happen")
    ]
    return replace(
        fate, calm=True, versioned=True, lossy=False, deeds=tuple(deeds), slow_s=0.0, wire_slow_s=0.0, faulty=0,
        doubt=0, dies=0,
    )  # fmt: skip
