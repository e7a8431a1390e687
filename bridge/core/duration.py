"""Lengths of time as people write them: `90s`, `10m`, `2h`, `7d`."""

from __future__ import annotations

import re

LONGEST_S = 36_500 * 86_400
"""A century, in seconds."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"([0-9]{1,12})([smhd])")


def seconds(text: str) -> int:
    """How many seconds `text` means. Raises ValueError with a sentence for people."""
    match = _LENGTH.fullmatch(text)
    if match and (found := int(match[1]) * _UNITS[match[2]]) <= LONGEST_S:
        return found
    raise ValueError(
        f"not a span of time: {text!r}; expected a whole number and s, m, h or d, such as 1h, at most a century"
    )
