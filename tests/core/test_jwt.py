"""Reading a JWT's claims: what is there, and nothing but absence for everything else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Retry
from bridge.core.facts import Response
from bridge.core.jwt import LONGEST, claims, times, token

DATE = {"date": "Mon, 01 Jan 2024 12:00:00 GMT"}
DATE_MS = 1_704_110_400_000


def jwt(payload: Any, *, text: str | None = None) -> str:
    body = (text if text is not None else json.dumps(payload)).encode()
    return f"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.c2ln"


def test_claims_are_read_without_the_key() -> None:
    """Every length of payload is read, whatever padding base64 left off."""
    for length in range(8):
        assert claims(jwt({"sub": "x" * length})) == {"sub": "x" * length}


@pytest.mark.parametrize(
    "text",
    ["", "opaque", "a.b", "a.b.c.d", "a.!!!!.c", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9...", "a.é.c", jwt([1]), jwt(7),
     jwt(None), jwt({}, text="{"), jwt({}, text="[" * 20_000), jwt({}, text="9" * 5_000), jwt({"a": "x" * LONGEST})],
)  # fmt: skip
def test_what_is_no_jwt_has_no_claims(text: str) -> None:
    """An opaque, cut, nested or endless token is no error; the sample of one vendor's manual is no JWT either."""
    assert claims(text) == {}
    assert times(text) == (None, None)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    """The token is the vendor's text."""
    claims(text)
    claims(f"a.{text}.c")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [(1_700_000_000, 1_700_000_000_000), (1_700_000_000.5, 1_700_000_000_500), (None, None), ("1700000000", None),
     (True, None), (0, None), (-5, None), (1e300, None), (253_402_300_800, None), ([], None)],
)  # fmt: skip
def test_times_are_points_in_time_or_absent(claim: Any, expected: int | None) -> None:
    """Seconds become milliseconds, fractions are kept, nonsense is absence."""
    assert times(jwt({"iat": claim, "exp": claim})) == (expected, expected)


@pytest.mark.parametrize("text", ['{"exp": NaN}', '{"exp": Infinity}', '{"exp": -Infinity}'])
def test_numbers_that_are_none(text: str) -> None:
    """Python's decoder takes them; they are no times."""
    assert times(jwt(None, text=text)) == (None, None)


@pytest.mark.parametrize(
    ("payload", "headers", "expected"),
    [
        ({"iat": 1_700_000_000, "exp": 1_700_003_600}, DATE, (1_700_000_000_000, 1_700_003_600_000)),
        ({"exp": 1_704_114_000}, DATE, (DATE_MS, 1_704_114_000_000)),
        ({"exp": 1_704_114_000}, {}, (None, 1_704_114_000_000)),
        ({"iat": 1_700_000_000}, DATE, (1_700_000_000_000, 1_700_000_600_000)),
        ({}, DATE, (DATE_MS, DATE_MS + 600_000)),
        ({}, {}, (None, None)),
        ({}, {"date": "yesterday"}, (None, None)),
    ],
)
def test_a_token_expires_by_claims_then_by_the_vendors_clock(
    payload: Any, headers: dict[str, str], expected: tuple[int | None, int | None]
) -> None:
    """Without `exp` the fallback counts from `iat`, else from the answer's `Date`; without either nothing is known."""
    found = token(jwt(payload), Response(200, headers, b""), 600, tenant="t", empty="", other=5)
    assert (found.issued_ms, found.expires_ms) == expected
    assert found.facts == {"tenant": "t"}
    assert found.value.reveal() == jwt(payload)


@pytest.mark.parametrize("value", [None, "", 5, {}, []])
def test_no_token_is_tried_again(value: Any) -> None:
    """A login that succeeds without one is a fault at the vendor."""
    with pytest.raises(Retry):
        token(value, Response(200, {}, b""), 600)
