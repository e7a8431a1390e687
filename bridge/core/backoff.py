"""How long to wait after a failure: exponential with full jitter, so that many sources do not return at once.

Source of the scheme: full jitter spreads retries evenly over the whole interval.
"""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Delays in seconds. `roll` returns a random number in [0, 1): randomness comes from outside.

    The ceiling doubles from `first` to `longest` with every `next`; `reset` starts over, and is to be called only
    when the thing retried has proved itself.
    """

    def __init__(self, roll: Callable[[], float], *, first: float = 1.0, longest: float = 300.0) -> None:
        self._roll = roll
        self._first = first
        self._longest = longest
        self.failures = 0

    def next(self, *, at_least: float | None = None) -> float:
        """The next delay. `at_least` is what the other side asked for; up to 10 % jitter is added to it."""
        ceiling = min(self._longest, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        delay = ceiling * self._roll() if at_least is None else at_least * (1 + 0.1 * self._roll())
        # Never quite zero, even if asked for: a failure at once must not become a busy loop.
        return max(self._first * 0.1, delay)

    def reset(self) -> None:
        """The thing works again."""
        self.failures = 0
