"""What an instance gives back where it has too many: which sources, how many at a time, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bridge.core import fairness

GIVES = 2
"""Sources that are given back at one look, at most."""
ON_THE_WAY = 8
"""Sources between two holders at a time, of those that we give back."""
GIVEN_S = 60.0
"""One that nobody was seen to take counts as such no longer than this."""
KEPT_S = 600.0
"""One that nobody took in turn is not given back for so long."""
OFFERED_S = 3.0
MOST_OFFERS = 200


class Surplus:
    """One per process. Moments are of our own clock, in seconds."""

    def __init__(self) -> None:
        self.fixed: frozenset[str] = frozenset()
        """Those that are never given back merely so that others have as many."""
        self.given: dict[str, float] = {}
        """Those that are on their way to another, and since when."""
        self._kept: dict[str, float] = {}
        self._offers: dict[str, float] = {}

    def keep(self, sources: Iterable[str], now: float) -> None:
        """Nobody took these when it was their turn: we do, and have them for a while."""
        self._kept |= dict.fromkeys(sources, now)

    def dropped(self, source: str, now: float) -> None:
        """We have it no more: the others are told, so that they look at it."""
        self._offers[source] = now

    def offers(self, now: float) -> tuple[str, ...]:
        """Those that were dropped a moment ago, the latest of them if there are many."""
        self._offers = {name: at for name, at in self._offers.items() if now - at < OFFERED_S}
        return tuple(list(self._offers)[-MOST_OFFERS:])

    def arrived(self, taken: Callable[[str], bool], held: Collection[str], now: float) -> None:
        """Whatever somebody else has `taken` is on its way no more, nor is what nobody takes for long."""
        on_the_way = self.given.items()
        self.given = {name: at for name, at in on_the_way if name in held or not (taken(name) or now - at > GIVEN_S)}

    def give(self, held: Collection[str], surplus: int, me: str, now: float) -> list[str]:
        """Which of what we hold to give back now, where we have so many too many."""
        going = sum(name in held for name in self.given)
        count = min(surplus - going, GIVES, ON_THE_WAY - len(self.given))
        self._kept = {name: at for name, at in self._kept.items() if now - at < KEPT_S}
        stay = self._kept.keys() | self.given.keys() | self.fixed
        found = fairness.spared((name for name in held if name not in stay), me, count)
        self.given |= dict.fromkeys(found, now)
        return found
