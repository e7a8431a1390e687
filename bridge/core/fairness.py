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
    """What one instance holds, and for how many more it waits. `fixed`: how many of those it holds it keeps."""

    held: int
    waiting: int
    fixed: int = 0


def shares(total: int, loads: Sequence[Load]) -> list[int]:
    """How many of `total` sources each is to hold, in the same order.

    Two differ by at most one, unless one of them could not hold more, or is to keep more. As few as can be have to give
    back: the one more that some have goes to those who hold it already, else to the first ones.
    """
    most = [load.held + load.waiting for load in loads]
    least = [min(max(0, load.fixed), load.held) for load in loads]

    def level(height: int) -> list[int]:
        return [min(max(height, low), high) for low, high in zip(least, most, strict=True)]

    # The highest level at which all have enough.
    even, above = 0, max(most, default=0) + 1
    while above - even > 1:
        height = (even + above) // 2
        even, above = (height, above) if sum(level(height)) <= total else (even, height)
    found = level(even)
    more = max(0, total - sum(found))
    rising = [one for one in range(len(loads)) if least[one] <= even < most[one]]
    for one in sorted(rising, key=lambda one: (loads[one].held <= even, one))[:more]:
        found[one] += 1
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
