"""JSON in and out: what goes in comes out, and what is not JSON is named."""

from __future__ import annotations

import time
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.edge.codec import DEEPEST, decode, encode


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[" * (depth % 2) + b"]" * (depth % 2) + b"]}" * (depth // 2)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_what_goes_in_comes_out(value: Json) -> None:
    """For every JSON value, big integers included."""
    assert decode(encode(value)) == value


def test_mappings_are_objects() -> None:
    """Whatever kind of mapping a record was made of."""
    assert encode({"after": MappingProxyType({"a": (1, 2)})}) == b'{"after":{"a":[1,2]}}'


@pytest.mark.parametrize("value", [Secret("hunter2"), {"a": [Secret("hunter2")]}, object(), {1, object()}])
def test_what_is_no_json_is_a_bug(value: Json) -> None:
    """A secret most of all: it never becomes part of an event."""
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty body"),
        (b" \r\n\t", "empty body"),
        (b"\n<!DOCTYPE html><p>secret text</p>", "HTML page"),
        (b"<HTML><body>", "HTML page"),
        (b'<?xml version="1.0"?><a/>', "XML document"),
        (b'{"data": {"a": 1', "truncated JSON: it breaks off after 16 bytes"),
        (b'{"a": "\xff"}', "JSON with invalid UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "JSON with invalid UTF-8"),
        (b"[NaN]", r"not JSON: invalid character \(byte 1\)"),
        (b"[" + b"9" * 5_000 + b"]", "not JSON"),
        (b'{"a": 1} trailing', "not JSON: trailing characters"),
        (b"secret text", "not JSON: invalid character"),
        (nested(DEEPEST + 1), "nested deeper than 100 levels"),
        (nested(900), "nested deeper than 100 levels"),
        (b"[" * 100_000, "nested deeper than 100 levels"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 100 levels"),
    ],
)
def test_what_is_not_json_is_named(data: bytes, words: str) -> None:
    """In words, without quoting any of it; the data goes along for the quarantine."""
    with pytest.raises(Malformed, match=words) as caught:
        decode(data)
    assert caught.value.raw == data
    assert "secret text" not in str(caught.value)


def test_nesting_is_allowed_to_a_depth() -> None:
    """A hundred levels pass, and brackets inside text are no levels."""
    assert decode(nested(DEEPEST))
    assert decode(b'["' + b"[{" * 500 + b'"]') == ["[{" * 500]


def test_a_byte_order_mark_is_forgiven() -> None:
    """Some servers send one, though they must not."""
    assert decode(b"\xef\xbb\xbf{}") == {}


@given(st.binary())
def test_no_bytes_make_it_fail(data: bytes) -> None:
    """A value or Malformed, and nothing else."""
    try:
        decode(data)
    except Malformed:
        return


def test_one_odd_value_does_not_make_the_page_unreadable() -> None:
    """Half a surrogate pair, or a number beyond all bounds, is for the one record's quarantine to deal with."""
    assert decode(b'[{"name": "\\ud83d"}, {"name": "fine"}]') == [{"name": "\ud83d"}, {"name": "fine"}]
    assert decode(b"[1e999, 1]") == [float("inf"), 1]


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"[]," * 200_000 + b"[]]",
        b"[" + b"{}," * 2_790_000 + b"{}]",
        b'["\\ud800",' + b"[]," * 2_790_000 + b"[]]",
        b"[" + b"[]," * 2_790_000 + b"}",
    ],
)
def test_more_lists_and_objects_than_records_have_are_refused(data: bytes) -> None:
    """Eight megabytes of them would hold up every source for seconds, JSON or not."""
    began = time.process_time()
    with pytest.raises(
        Malformed, match=r"JSON of \d+ lists and objects in \d+ bytes: no record is like that"
    ) as caught:
        decode(data)
    assert caught.value.raw == data
    assert time.process_time() - began < 0.3


def test_a_long_page_of_honest_records_passes() -> None:
    """Eight megabytes of the shortest rows that pages have; and 200,000 empty ones."""
    row = b'{"cursor":"Mg","node":{"id":"%016d"}},'
    rows = 8 * 1024 * 1024 // len(row % 1)
    found = decode(b"[" + b"".join(row % number for number in range(rows)) + b"{}]")
    assert isinstance(found, list)
    assert len(found) == rows + 1
    assert decode(b"[" + b"[]," * 199_998 + b"[]]") == [[]] * 199_999
