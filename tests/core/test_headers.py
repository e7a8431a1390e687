"""The headers of a message, spelled once and read back."""

from __future__ import annotations

import pytest

from bridge.core.event import Draft, Event, seal
from bridge.core.headers import Headers
from bridge.core.record import Key


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


NASTY = "a\r\nNats-Rollup: all\n\x85\u2028%é"


@pytest.mark.parametrize("where", ["id_", "entity", "source", "ce_type", "version", "digest", "dataschema"])
def test_nothing_in_an_event_breaks_a_line(where: str) -> None:
    """Whatever an event's parts hold, its headers are as many lines as they say, which nobody counts again."""
    parts = {"id_": "1", "entity": "session", "source": "main", "ce_type": "x", "version": "1", "digest": "1:a"}
    parts |= {"dataschema": "urn:x", where: NASTY}
    headers = Headers.of(_sealed(parts, traceparent="00-1-2-01").headers)
    assert headers.whole
    assert headers.text.count("\r") == headers.text.count("\n") == len(headers) == len(dict(headers))


def test_a_trace_is_looked_at() -> None:
    """The one header that is written as it is given is looked through: a line break in it is not overlooked."""
    for broken in ("00-1\r\nNats-Rollup: all", "00-1\n", "\r00-1"):
        assert not Headers.of(_sealed({}, traceparent=broken).headers).whole


def _sealed(parts: dict[str, str], traceparent: str) -> Event:
    given = {"id_": "1", "entity": "session", "source": "main", "ce_type": "x", "digest": "1:a"} | parts
    draft = Draft(
        key=Key("acme", given["source"], given["entity"], given["id_"]),
        change="updated",
        ce_type=given["ce_type"],
        via="live",
        observed_ms=0,
        expected=7,
        previous="",
        digest=given["digest"],
        after=None,
        version=given.get("version"),
        dataschema=given.get("dataschema"),
        traceparent=traceparent,
    )
    return seal(draft, lambda _: b"{}", 1 << 20)
