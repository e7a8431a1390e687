"""How much a run tries: what suffices while one works, or what takes an hour.

With `BRIDGED_THOROUGH=1`, as `make thorough` sets it, the same sentences are tried over many more examples, seeds and
virtual days. What they say is the same in both.
"""

from __future__ import annotations

import os
from typing import TypeVar

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("BRIDGED_THOROUGH", "") not in ("", "0")
EXAMPLES = 100 if THOROUGH else 25
"""Of a property whose test does not say otherwise."""

Amount = TypeVar("Amount", int, float)


def tries(quick: Amount, thorough: Amount) -> Amount:
    """`thorough` in a thorough run, else `quick`."""
    return thorough if THOROUGH else quick


def load_profile() -> None:
    """Properties are tried with the same examples on every run and every machine.

    No example has a deadline, and none is ever too slow: a machine that is busy, or stands still for some seconds,
    says nothing about a property.
    """
    settings.register_profile(
        "bridged",
        deadline=None,
        derandomize=True,
        max_examples=EXAMPLES,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("bridged")
