"""When something was signed, and whether that is near enough to now: what is older may be a recording, replayed."""

from __future__ import annotations

import re
from typing import Literal

from bridge.core import iso8601
from bridge.core.errors import Malformed
from bridge.core.hooks.refusal import Unverified

TOLERANCE_S = 300.0
"""Standard Webhooks and its libraries: five minutes, both ways."""

Unit = Literal["s", "ms", "rfc3339"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)


def signed_ms(text: str, unit: Unit = "s", name: str = "the timestamp") -> int:
    """The instant a header tells, in milliseconds since the Unix epoch. Raises Unverified for anything else."""
    if unit == "rfc3339":
        try:
            found = iso8601.millis({"value": text}, "value")
        except Malformed:
            found = None
        if found is None:
            raise Unverified(f"{name} is no RFC 3339 time")
        return found
    if not _NUMBER.fullmatch(text):
        raise Unverified(f"{name} is no whole number of {'seconds' if unit == 's' else 'milliseconds'} since 1970")
    return int(text) * (1000 if unit == "s" else 1)


def check(at_ms: int, now_ms: int, tolerance_s: float) -> None:
    """Raises Unverified if the two are further apart than `tolerance_s`, saying which clock may be wrong."""
    apart_s = (at_ms - now_ms) / 1000
    if abs(apart_s) <= tolerance_s:
        return
    where = f"{_number(abs(apart_s))} s {'ahead of' if apart_s > 0 else 'behind'} this machine's clock"
    raise Unverified(
        f"signed at a time {where}, and {tolerance_s:g} s are allowed: a replay, or one of the two clocks is wrong"
    )


def _number(seconds: float) -> str:
    return str(round(seconds)) if seconds < 1e12 else "very many"
