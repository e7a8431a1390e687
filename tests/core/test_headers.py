"""The headers of a message, spelled once and read back."""

from __future__ import annotations

import pytest

from bridge.core.headers import Headers


def test_what_was_spelled_is_read_back() -> None:
    """By name, in order, with whatever colons and percent signs a value holds; and it equals such a dictionary."""
    found = Headers("A: 1\r\nce-source: /x: %25/y\r\nEmpty: \r\n", 3)
    assert list(found.items()) == [("A", "1"), ("ce-source", "/x: %25/y"), ("Empty", "")]
    assert found == {"A": "1", "ce-source": "/x: %25/y", "Empty": ""}
    assert (len(found), "A" in found, "a" in found) == (3, True, False)
    assert found.whole


def test_a_mapping_is_spelled_in_its_order() -> None:
    """One line for each header; what is spelled already stays the same object."""
    found = Headers.of({"B": "2", "A": "1"})
    assert (found.text, found.count) == ("B: 2\r\nA: 1\r\n", 2)
    assert Headers.of(found) is found


@pytest.mark.parametrize("value", ["x\r\nNats-Rollup: all", "x\n", "x\r"])
def test_a_line_break_in_a_value_shows(value: str) -> None:
    """It would be a header that nobody meant."""
    assert not Headers.of({"A": value}).whole


def test_nothing_of_them_is_shown_by_chance() -> None:
    """Ids stand in them, which may be personal."""
    assert repr(Headers("ce-subject: alice\r\n", 1)) == "<1 headers>"
