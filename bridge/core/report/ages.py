"""How long ago something was, and how long something takes, for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def age(stamp: Any, now: datetime) -> str:
    """The time from an RFC 3339 text until now; says so where it is none."""
    try:
        return span((now - datetime.fromisoformat(str(stamp))).total_seconds())
    except (ValueError, TypeError):
        return "an unknown time"


def until(stamp: Any, now: datetime) -> float | None:
    """Seconds from now to an RFC 3339 text, below 0 if it has passed; None where it is none."""
    try:
        return (datetime.fromisoformat(str(stamp)) - now).total_seconds()
    except (ValueError, TypeError):
        return None


def span(seconds: float) -> str:
    """Such as `3.3 min`; nothing is shorter than 0 s."""
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            text = f"{seconds / size:.1f}" if seconds < 10 * size else f"{seconds / size:.0f}"
            return f"{text.removesuffix('.0')} {unit}"
    return f"{seconds:.0f} s"
