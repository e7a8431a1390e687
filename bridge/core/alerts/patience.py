"""How long to wait before an alert is tried again that a channel has not taken."""

from __future__ import annotations

FIRST_S = 1.0
LONGEST_S = 120.0
"""Between two attempts to reach a channel that is away."""
REFUSED_S = 60.0
LONGEST_REFUSED_S = 900.0
"""The same for one that says no: somebody has to do something first."""
MOST_S = 3600.0
"""No channel's own wish counts for more than this."""


def delay_s(tries: int, roll: float, *, refused: bool = False, after: float | None = None) -> float:
    """Seconds until the next attempt, after `tries` of them; `roll` is random in [0, 1). `after`: what was asked."""
    first, longest = (REFUSED_S, LONGEST_REFUSED_S) if refused else (FIRST_S, LONGEST_S)
    # Never below half of it, as full jitter would be: one alert is out at a time, and nobody crowds in.
    wait_s = min(longest, first * 2.0 ** min(tries - 1, 32)) * (0.5 + 0.5 * roll)
    return wait_s if after is None else max(wait_s, min(after, MOST_S) * (1 + 0.1 * roll))
