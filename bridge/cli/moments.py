"""Points in time and spans of it, as they are given on the command line."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from bridge.core.duration import seconds

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def span(text: str) -> timedelta:
    """A span of time such as 90s, 15m, 1h, 7d. Raises ArgumentTypeError."""
    try:
        return timedelta(seconds=seconds(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def moment(text: str) -> datetime:
    """A point in time: a span back from now, or an RFC 3339 time, in UTC unless it says otherwise.

    Raises ArgumentTypeError, also for one that is yet to come.
    """
    now = datetime.now(UTC)
    try:
        return max(now - span(text), EARLIEST)
    except argparse.ArgumentTypeError:
        pass
    try:
        found = datetime.fromisoformat(text)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"neither a span nor a time: {text!r}; expected 12h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    if not EARLIEST < found <= now:
        raise argparse.ArgumentTypeError(f"not in the past, or before 1970: {text!r}")
    return found
