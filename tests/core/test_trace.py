"""What names a trace: how one begins, and which of those that are received are gone on with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.trace import begin, parse

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_begins_with_what_chance_gives() -> None:
    """Sixteen bytes name the trace, eight its first step; it counts as sampled."""
    assert begin(bytes(range(24))) == "00-000102030405060708090a0b0c0d0e0f-1011121314151617-01"
    with pytest.raises(ValueError, match="24 bytes, not by 16"):
        begin(bytes(16))


@given(st.binary(min_size=24, max_size=24).filter(lambda given: any(given[:16]) and any(given[16:])))
def test_what_begins_here_can_be_gone_on_with(random: bytes) -> None:
    """Our own are valid, and stay as they are."""
    assert parse(begin(random)) == begin(random)


@pytest.mark.parametrize(
    ("received", "goes_on"),
    [
        (GIVEN, GIVEN),
        (f"  {GIVEN}\t", GIVEN),
        (GIVEN[:-1] + "0", GIVEN[:-1] + "0"),
        # A later version may add parts, and flags of which nothing is known here.
        ("cc" + GIVEN[2:], GIVEN),
        ("01" + GIVEN[2:-2] + "ff-what-the-future-will-be-like", GIVEN),
    ],
)
def test_a_valid_one_is_gone_on_with(received: str, goes_on: str) -> None:
    """Unchanged; a later version's is written as version 00."""
    assert parse(received) == goes_on


@pytest.mark.parametrize(
    "received",
    [
        None,
        "",
        "ff" + GIVEN[2:],
        GIVEN.upper(),
        GIVEN + "-",
        GIVEN + "-01",
        GIVEN[:-1],
        "01" + GIVEN[2:] + ".01",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        GIVEN + ", " + GIVEN,
        GIVEN.replace("-01", "-0g"),
        GIVEN.replace("4", "\u0664"),
        GIVEN + "\n",
    ],
)
def test_an_invalid_one_counts_as_none(received: str | None) -> None:
    """Missing, of a version that cannot be, all zeros, in capitals, too long or too short, or two at once."""
    assert parse(received) is None


@given(st.text(st.sampled_from("0123456789abcdefg-\r\n ,"), max_size=80))
def test_whatever_comes_what_goes_on_is_one_line_of_55_characters(received: str) -> None:
    """A header's value that was taken over can break out of nothing."""
    found = parse(received)
    assert found is None or (len(found) == 55 and set(found) <= set("0123456789abcdef-"))
