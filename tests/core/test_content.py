"""Where a message holds its attributes and its data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.content import attributes_of, data_of, is_structured, source_of, strictly
from bridge.core.event import percent_encode


@pytest.mark.parametrize(
    ("headers", "structured"),
    [
        ({}, False),
        ({"Content-Type": "application/json"}, False),
        ({"Content-Type": "application/cloudevents+json; charset=UTF-8"}, True),
        ({"content-type": "Application/CloudEvents+JSON"}, True),
        ({"ce-datacontenttype": "application/cloudevents+json"}, False),
    ],
)
def test_each_message_says_how_it_is_written(headers: dict[str, str], structured: bool) -> None:
    """By the beginning of its content type, whatever the case; the data's own type is another thing."""
    assert is_structured(headers) is structured


def test_attributes_and_data_are_found_in_either_mode() -> None:
    """Headers without their prefix, decoded; or members of the document beside `data`."""
    binary = {"ce-id": "1", "ce-subject": "a%20b", "Bridge-Id": "2", "Content-Type": "application/json"}
    assert attributes_of(binary, {"id": "x"}) == {"id": "1", "subject": "a b"}
    assert data_of(binary, {"id": "x"}) == {"id": "x"}
    whole = {"Content-Type": "application/cloudevents+json", "ce-id": "none of it"}
    body = {"id": "1", "subject": "a b", "sequence": 7, "data": {"id": "x"}}
    assert attributes_of(whole, body) == {"id": "1", "subject": "a b"}
    assert data_of(whole, body) == {"id": "x"}


@pytest.mark.parametrize("body", [None, [], "text", 1])
def test_a_document_that_is_none_holds_nothing(body: object) -> None:
    """No attributes and no data, and no error."""
    headers = {"Content-Type": "application/cloudevents+json"}
    assert (attributes_of(headers, body), data_of(headers, body)) == ({}, None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41bc", "Abc"),
        ("%2520", "%20"),
        ('"two words"', "two words"),
        (r'"a \"b\" \\ %20"', 'a "b" \\  '),
        ("", ""),
        ("100%", "100%"),
    ],
)
def test_a_header_is_read_by_the_letter(written: str, read: str) -> None:
    """Quotes undone first, then one round of percent-decoding, in either case of hexadecimal digits."""
    assert strictly(written) == read


@pytest.mark.parametrize("written", ["%C0%A0", "%FF", "a%E2%82", "%ED%A0%80"])
def test_what_is_no_utf_8_is_refused(written: str) -> None:
    """The binding says so, of overlong forms and halves of surrogate pairs, too."""
    with pytest.raises(ValueError, match="utf-8"):
        strictly(written)


@given(st.text())
def test_reading_by_the_letter_undoes_what_we_write(value: str) -> None:
    """Any text comes back."""
    assert strictly(percent_encode(value)) == value


def test_a_source_is_a_uri_reference() -> None:
    """Its parts are encoded, so that none of them makes another path."""
    assert source_of("pcvisit", "Müller/Süd") == "/pcvisit/M%C3%BCller%2FS%C3%BCd"
