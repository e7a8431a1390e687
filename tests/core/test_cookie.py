"""Session cookies: their value as it is sent back, and how long they live."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.cookie import LONGEST, cookie

DATE = "Mon, 01 Jan 2024 12:00:00 GMT"


def found(*lines: str, date: str = DATE) -> tuple[str, float | None] | None:
    """Value and life of `sid`, if these headers set it."""
    got = cookie({"set-cookie": "\n".join(lines), "date": date}, "sid")
    return None if got is None else (got.value.reveal(), got.lasts_s)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["sid=a1; Path=/; Expires=Mon, 01 Jan 2024 18:00:00 GMT; HttpOnly"], ("sid=a1", 21_600.0)),
        (["sid=a1; expires=Mon, 01-Jan-2024 18:00:00 GMT"], ("sid=a1", 21_600.0)),
        (["sid=a1; Max-Age=60; Expires=Mon, 01 Jan 2024 18:00:00 GMT"], ("sid=a1", 60.0)),
        (["sid=a1; Max-Age=soon; Expires=Mon, 01 Jan 2024 18:00:00 GMT"], ("sid=a1", 21_600.0)),
        (["sid=a1; Max-Age=60; max-age=70"], ("sid=a1", 70.0)),
        (["sid=a1"], ("sid=a1", None)),
        (["sid=a1; Expires=whenever"], ("sid=a1", None)),
        (["other=b; Max-Age=5", "sid=a1; Max-Age=60", "third=c"], ("sid=a1", 60.0)),
        (["sid=a1; Max-Age=60", "sid=a2; Max-Age=70"], ("sid=a2", 70.0)),
        ([" sid = a=1== ; Secure"], ("sid=a=1==", None)),
        (["sid=a1; Max-Age=999999999999"], ("sid=a1", 315_360_000.0)),
    ],
)
def test_what_is_set(lines: list[str], expected: tuple[str, float | None]) -> None:
    """`Max-Age` before `Expires`, the last of its name, the value untouched."""
    assert found(*lines) == expected


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["SID=a1"],
        ["sid"],
        ["sid="],
        ["sid=a b"],
        ["sid=ä"],
        [f"sid={'a' * (LONGEST + 1)}"],
        ["sid=a1; Max-Age=0"],
        ["sid=a1; Max-Age=-1"],
        ["sid=a1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        ["sid=a1; Max-Age=60", "sid=gone; Max-Age=0"],
    ],
)
def test_what_is_none(lines: list[str]) -> None:
    """Another's, removed, empty, or not fit for a header."""
    assert found(*lines) is None


def test_only_the_vendors_clock_counts() -> None:
    """Without a `Date` to measure against, `Expires` says nothing; `Max-Age` still does."""
    expires = "sid=a1; Expires=Mon, 01 Jan 2024 18:00:00 GMT"
    assert found(expires, date="") == ("sid=a1", None)
    assert found(expires, date="Mon, 01 Jan 2024 17:59:00 GMT") == ("sid=a1", 60.0)
    assert found("sid=a1; Max-Age=7", date="") == ("sid=a1", 7.0)


def test_the_value_is_a_secret() -> None:
    """Printing it shows neither value nor header."""
    got = cookie({"set-cookie": "sid=very-secret-1"}, "sid")
    assert got is not None
    assert "very-secret-1" not in f"{got} {got!r} {got.value}"
    assert got.value.bare() == "very-secret-1"


@given(st.text(), st.text())
def test_any_text_is_a_cookie_or_none(line: str, date: str) -> None:
    """Nothing a server says raises."""
    cookie({"set-cookie": f"sid={line}", "date": date}, "sid")
    cookie({"set-cookie": f"sid=a; Expires={line}", "date": date}, "sid")
