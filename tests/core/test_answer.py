"""What HTTP statuses, waiting times and vendors' prose mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.answer import (
    LONGEST_PAUSE_S,
    allowance,
    body,
    check,
    harmless,
    not_too_complex,
    quota,
    retry_after,
    seconds_in,
    server_ms,
)
from bridge.core.budget import Allowance, Limit
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, TooComplex, Unauthorized
from bridge.core.facts import Response
from tests.support.answers import answer

DATE = "Mon, 01 Jan 2024 12:00:00 GMT"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((401, 403), Unauthorized),
        ((429,), Throttled),
        ((408, 425, 500, 502, 503, 504, 599), Retry),
        ((304, 400, 404, 405, 410, 418, 422), Refused),
    ],
)
def test_statuses_say_what_happens_next(statuses: tuple[int, ...], expected: type[BridgeError]) -> None:
    """Exactly one reaction each; the text names the request and the status."""
    for status in statuses:
        with pytest.raises(BridgeError, match=rf"users: .* {status}\b") as caught:
            check(Response(status, {}, b""), "users")
        assert type(caught.value) is expected
    for status in (200, 201, 204):
        check(Response(status, {}, b""), "users")


def test_a_body_that_is_not_json_is_tried_again() -> None:
    """With the reason; a status that says more goes first."""
    assert body(Response(200, {}, b"[1]", [1]), "users") == [1]
    with pytest.raises(Retry, match="HTML page"):
        body(Response(200, {}, b"<html>", None, "HTML page"), "users")
    with pytest.raises(Unauthorized):
        body(Response(401, {}, b"<html>", None, "HTML page"), "users")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 17 "}, 17),
        ({"retry-after": "999999999"}, LONGEST_PAUSE_S),
        ({"retry-after": "9" * 50}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon", "date": DATE}, None),
        ({"retry-after": "Mon, 01 Jan 2024 12:01:30 GMT", "date": DATE}, 90),
        ({"retry-after": "Mon, 01 Jan 2024 11:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Mon, 01 Jan 2024 12:01:30 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 12:01:30 -0000", "date": DATE}, None),
    ],
)
def test_waits_are_seconds_or_dates(headers: dict[str, str], expected: float | None) -> None:
    """A date is measured against the vendor's own clock; what says nothing is None; a day is the longest."""
    assert retry_after(headers) == expected


def test_the_vendors_clock() -> None:
    """`Date` in milliseconds, or None."""
    assert server_ms({"date": DATE}) == 1_704_110_400_000
    assert server_ms({}) is None
    assert server_ms({"date": "Mon, 99 Foo 2024"}) is None


@given(st.text())
def test_no_header_makes_it_fail(text: str) -> None:
    """Headers are foreign text."""
    retry_after({"retry-after": text, "date": text})
    server_ms({"date": text})


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("Retry-After: 5 seconds (until Mon, 01 Jan 2024 12:00:00 GMT)", (5, None)),
        ("retry-after:1 second", (1, None)),
        ("Retry-After: 99999999 seconds", (LONGEST_PAUSE_S, None)),
        ("Rate limit: 100 requests per minute", (None, Limit(100, 60))),
        ("Rate limit: 1 request per hour. Retry-After: 30 seconds", (30, Limit(1, 3600))),
        ("Rate limit: 0 requests per day", (None, None)),
        ("Rate limit: 5 requests per fortnight", (None, None)),
        ("x" * 5_000 + "Retry-After: 5 seconds", (None, None)),
        (None, (None, None)),
        (["Retry-After: 5 seconds"], (None, None)),
    ],
)
def test_prose_names_wait_and_limit(prose: Any, expected: tuple[float | None, Limit | None]) -> None:
    """In any order, anywhere in the first 2,000 characters; nonsense names nothing."""
    assert quota(prose) == expected


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("Limit erreicht. Zugriff in 240 Sekunden wieder möglich.", 240),
        ("Das Limit von 50 Aufrufen in 900 Sekunden ist erreicht, bitte in 12 Sekunden erneut versuchen", 12),
        ("API-Limit überschritten (50 Anfragen je 900 Sekunden). Nächste Anfrage in 1 Sekunde.", 1),
        ("Bitte 30 Sek. warten", 30),
        ("Nächster Zugriff nach 4 Minuten", 240),
        ("100 requests in 15 minutes exceeded; try again in 240 seconds", 240),
        ("Too many calls. Wait 3 min", 180),
        ("try again in 7s", 7),
        ("in 999999999 seconds", LONGEST_PAUSE_S),
        ("50 Aufrufe pro 15 Minuten", None),
        ("at most 50 requests within 15 minutes", None),
        ("in 1.200 Sekunden", None),
        ("in -5 seconds", None),
        ("Fehler 429", None),
        ("", None),
        ("x" * 5_000 + "in 5 seconds", None),
        (None, None),
        ({"in": "5 seconds"}, None),
    ],
)
def test_prose_names_seconds(prose: Any, expected: float | None) -> None:
    """In German and English; the period of the quota beside them is none, and what is ambiguous names nothing."""
    assert seconds_in(prose) == expected


@given(st.text())
def test_no_prose_makes_it_fail(prose: str) -> None:
    """It is foreign text."""
    found = seconds_in(prose)
    assert found is None or 0 <= found <= LONGEST_PAUSE_S


@pytest.mark.parametrize("plain", ["no matching allowed relationships found", "The page, as asked for; is gone.", "no"])
def test_a_plain_sentence_is_quoted(plain: str) -> None:
    """It explains, and nothing private can hide in it."""
    assert harmless(plain) == f": {plain}"


@pytest.mark.parametrize(
    "comment",
    ["", "user Erika lacks it", "a@b.de", "id 4711", 'value "hunter"', "eyjhbgcioijsuzi1niisinr5cci6ikpxvcj9",
     "line\nbreak", "word " * 60, None, 5, ["no"]],
)  # fmt: skip
def test_what_may_be_private_is_not_quoted(comment: Any) -> None:
    """Capitals, digits, signs and long words are what names, ids and tokens are made of."""
    assert harmless(comment) == ""


def test_an_empty_retry_after_means_too_complex() -> None:
    """Not absent, and not a number; with another status it says nothing."""
    for value in ("", "  "):
        with pytest.raises(TooComplex, match="walk x: the request is too complex"):
            not_too_complex(answer({}, 429, {"retry-after": value}), "walk x")
    not_too_complex(answer({}, 429), "walk x")
    not_too_complex(answer({}, 429, {"retry-after": "7"}), "walk x")
    not_too_complex(answer({}, 200, {"retry-after": ""}), "walk x")


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "found"),
    [
        ("26", "25", "4", Allowance(26, 25, 4.0)),
        (" 26", "0 ", "93.6", Allowance(26, 0, 93.6)),
        ("26", "26", "0", Allowance(26, 26, 0.0)),
        ("0", "0", "0", None),
        ("26", "27", "0", None),
        ("26", "-1", "0", None),
        ("26", "1", "-1", None),
        ("26", "1", "soon", None),
        ("26, 26", "1", "1", None),
        ("26", "", "1", None),
        ("26", "1", "nan", None),
        ("26", "1", "1e9", None),
    ],
)
def test_what_rate_limit_headers_say(limit: str, remaining: str, reset: str, found: Allowance | None) -> None:
    """All three or nothing, and only what can be."""
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}
    assert allowance(headers) == found
    assert allowance({name: value for name, value in headers.items() if name != "x-ratelimit-reset"}) is None
