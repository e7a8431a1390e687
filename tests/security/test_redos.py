"""No text makes a regular expression, a condition or a reader of headers take long: none of them goes back over it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

from tests.support.patterns import Found, hostile, patterns

TINY, SHORT, LONG = 18, 250, 2_000
SUSPICIOUS_S = 0.0012
"""What takes less than this for `LONG` characters is not worth a second look: half a microsecond for each."""
STEEPEST = 24.0
"""Eight times the text takes eight times as long, and 64 times where it is gone over again and again."""

OURS_ALONE = {
    "bridge.core.alerts.pattern": "an operator's own regular expression, of at most a condition's length",
    "bridge.core.selection": "one key of the operator's own configuration",
    "bridge.edge.config.document": "what the TOML reader says of the operator's own file",
    "bridge.edge.config.reference": "our own documentation",
    "bridge.core.micro": "our own version",
}
"""Nobody but the operator, or ourselves, writes what these read: by module, and who does."""
EVERY = list(patterns())


def took(ask: Callable[[], object], times: int = 1) -> float:
    """Seconds of the processor, the least of so many times."""
    best = float("inf")
    for _ in range(times):
        begun = time.process_time()
        ask()
        best = min(best, time.process_time() - begun)
    return best


def steep(found: Found) -> str:
    """The beginning of a text that it takes too long for; "" where there is none."""
    for make in hostile(found.pattern):
        # What doubles with each letter must not be met with hundreds.
        for size in (TINY, LONG):
            text = make(size)
            if took(partial(found.ask, text)) > SUSPICIOUS_S and took(partial(found.ask, text), 3) > SUSPICIOUS_S:
                if size == TINY or took(partial(found.ask, text)) > STEEPEST * took(partial(found.ask, make(SHORT)), 3):
                    return str(text[:60])
                break
    return ""


def test_the_search_finds_them_all_and_knows_a_bad_one() -> None:
    """There are more than a hundred; of patterns that are known to be slow each is found out."""
    assert len(EVERY) > 120
    assert sum(found.module.startswith("adapters") for found in EVERY) == 0, "adapters have none of their own"
    for bad in (r"eyJ[\w-]{5,}\.[\w-]{5,}\.", r"\s*\(at", r"(\w+\s*)+$", r"[a-z][a-z0-9+.-]*://"):
        assert steep(Found("bad", 1, re.compile(bad), frozenset({"search"}))), bad


def test_no_pattern_goes_back_over_a_text() -> None:
    """Each is tried, as the product tries it, with texts made of what it repeats, ending in what it does not take."""
    slow = {f"{found.module}:{found.line}": text for found in EVERY
            if found.module not in OURS_ALONE and (text := steep(found))}  # fmt: skip
    assert slow == {}
    assert {found.module for found in EVERY} >= OURS_ALONE.keys(), "an exception is needed no more"
