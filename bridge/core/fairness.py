"""Who of several instances holds how many sources, and which: arithmetic that comes out the same at all of them.

Nobody is asked and nobody leads. Each instance sees how many the others hold and could hold, and reckons by itself how
many it is to hold; who holds more gives back, who holds fewer takes what is free. Where two see things a moment apart
they may want the same source, and the bucket of leases lets one of them have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

AT_ONCE = 1000
"""So many free sources are dealt out at once: more take long enough to keep others waiting."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one instance holds, and for how many more it waits."""

    held: int
    waiting: int


def shares(total: int, loads: Sequence[Load]) -> list[int]:
    """How many of `total` sources each is to hold, in the same order.

    Two differ by at most one, unless one of them could not hold more. As few as can be have to give back: the one more
    that some have goes to those who hold it already, else to the first ones.
    """
    most = [load.held + load.waiting for load in loads]
    found = [0] * len(loads)
    left, still = max(0, total), sorted(range(len(loads)), key=lambda one: most[one])
    while still and most[still[0]] <= left // len(still):
        one = still.pop(0)
        found[one] = most[one]
        left -= most[one]
    if still:
        even, more = divmod(left, len(still))
        fuller = sorted(still, key=lambda one: (loads[one].held <= even, one))
        for place, one in enumerate(fuller):
            found[one] = even + (place < more)
    return found


def dealt(free: Iterable[str], room: Mapping[str, int]) -> dict[str, str]:
    """Which instance takes which of the free sources, by source; `room`: how many each instance lacks.

    Two instances that see the same deal alike, so no two want the same source. One that sees some more or fewer free
    ones deals most of the rest alike. What there is no room for is not dealt.
    """
    left = {one: count for one, count in room.items() if count > 0}
    found: dict[str, str] = {}
    for source in sorted(free)[:AT_ONCE]:
        if not left:
            break
        taker = max(left, key=lambda one: (weight(source, one), one))
        found[source] = taker
        left[taker] -= 1
        if not left[taker]:
            del left[taker]
    return found


def spared(held: Iterable[str], me: str, count: int) -> list[str]:
    """Which `count` of its sources an instance gives back: those it would have been the last to be dealt."""
    return sorted(held, key=lambda source: (weight(source, me), source))[: max(0, count)]


def weight(source: str, instance: str) -> int:
    """How much a source belongs to an instance: of those that have room it goes to the one with the most."""
    return int.from_bytes(blake2b(f"{instance}\0{source}".encode(), digest_size=8).digest(), "big")


def digest(sources: Iterable[str]) -> str:
    """Instances that name the same sources say the same here, in 16 characters."""
    whole = blake2b(digest_size=8)
    for source in sorted(sources):
        whole.update(source.encode() + b"\0")
    return whole.hexdigest()
