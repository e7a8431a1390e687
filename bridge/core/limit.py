"""Quotas as data: what is configured, and what a vendor's answers say of them."""

from __future__ import annotations

from dataclasses import dataclass

FAR_OFF = 100
"""What a vendor's answers say is not believed beyond this many times the configured quota, or below its share."""
LONGEST_S = 3_600.0
"""Answers never make us wait longer, unless what is configured does: a vendor that means more refuses, and says so."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` per `seconds`, `burst` of them at once (None: a tenth, at least 1).

    `reserve`: how many of them are never used by us, in no period: they are left to the humans' other tools.
    """

    requests: int
    seconds: float
    burst: int | None = None
    reserve: int = 0

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0:
            raise ValueError(f"a limit needs at least 1 request in more than 0 s, got {self}")
        if not 0 <= self.reserve < self.requests:
            raise ValueError(f"a reserve leaves at least 1 request to us, got {self}")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a vendor says of its quota with an answer, where it counts as GCRA does: without fixed windows.

    `burst`: requests that may go at once after a long rest. `remaining`: how many may go right now. `reset_s`:
    seconds until the whole burst is there again; vendors round it to whole seconds, up or down.
    """

    burst: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Block:
    """What a vendor says of its quota with an answer, where it counts in fixed blocks of time.

    `left`: requests that may still go in this block, ours and everybody's. `reset_s`: seconds until the next begins.
    """

    left: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Gauge:
    """How a quota stands. `left`: requests that may still go (None: the vendor has not told), the reserve among them.

    `resets_s`: seconds until a new block begins, None where the vendor counts otherwise. `ours`: requests per period
    that we count on: without the reserve, and what others used lately.
    """

    limit: Limit
    ours: float
    left: int | None = None
    resets_s: float | None = None
