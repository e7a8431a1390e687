"""How many sources an instance begins with at once: few at first, more while it keeps up, fewer while it does not."""

from __future__ import annotations

FIRST_TAKES, MORE_TAKES, MOST_TAKES = 10, 2, 50
"""Sources that are taken at first, by how many more a moment later, and at most: each has much to do when it begins,
and whoever has begun too many does not get to say that it lives."""
EVERY_S = 0.25
"""Between two times that some are taken."""
SLOW_S = 0.25
"""A look that takes longer tells that there is too much to do: half as many are taken next."""


class Ramp:
    """One per process. Moments are of our own clock, in seconds."""

    def __init__(self) -> None:
        self._next = 0.0
        self.count = FIRST_TAKES
        """So many may be taken next."""

    def rests(self, now: float) -> bool:
        """Whether some were taken just now: the next ones a moment later."""
        return now < self._next

    def looked(self, took_s: float, *, alone: bool) -> None:
        """A look took so long; infinitely long where there was no answer.

        `alone`: nobody else is there to take what we do not, so that to take fewer would only leave them waiting.
        """
        if took_s > SLOW_S:
            self.count = max(min(self.count, FIRST_TAKES) if alone else 1, self.count // 2)

    def took(self, now: float) -> None:
        """Some were taken."""
        self._next = now + EVERY_S
        self.count = min(MOST_TAKES, self.count + MORE_TAKES)
