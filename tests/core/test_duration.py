"""Lengths of time as people write them."""

from __future__ import annotations

import pytest

from bridge.core.duration import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0s", 0), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("36500d", 3_153_600_000), ("007s", 7)],
)
def test_a_number_and_a_unit(text: str, expected: int) -> None:
    """Seconds, minutes, hours, days."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "m", "-1s", "1.5h", "1 h", "1H", "1w", "1h30m", "36501d", "9" * 30 + "s", "٣s", "1s\n"]
)
def test_anything_else_is_refused(text: str) -> None:
    """With what is expected."""
    with pytest.raises(ValueError, match="expected a whole number and s, m, h or d, such as 1h, at most a century"):
        seconds(text)
