"""How large a regular expression becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.alerts.pattern import LARGEST_PATTERN, pattern_size


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("abc", 3),
        ("a{10}", 10),
        ("a{2,10}b", 11),
        ("a{3,}", 3),
        ("(ab){5}", 10),
        ("(a{100}){100}", 10_000),
        ("((a{10}){10}){10}", 1000),
        ("(a|bc){2}", 8),
        (r"\w", 5),
        (r"\\w{4}", 20),
        (r"[a-z{9}]{3}", 15),
        (r"\{3\}", 3),
        ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", 164),
        (r"(?i)(\pL|\pN){200}", 2602),
        ("a{999999999999}", 999_999),
    ],
)
def test_sizes(pattern: str, size: int) -> None:
    """What is repeated counts as often; a class counts more than a sign. A UUID's is far from the limit."""
    assert pattern_size(pattern) == size
    assert LARGEST_PATTERN == 500


@given(st.text(alphabet="ab(){}[]\\w,0129|.*+?^$", max_size=40))
def test_any_text_has_a_size(pattern: str) -> None:
    """Also what is no pattern."""
    assert pattern_size(pattern) >= 0
