"""JSON in and out: what goes in comes out, and what is not JSON is named."""

from __future__ import annotations

import copy
import math
import struct
import time
from collections.abc import Callable
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.canonical import Exact, canonical, commonplace
from bridge.core.canonical import exact as slowly_exact
from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.edge.codec import DEEPEST, decode, encode, exact, spell


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


def outcome(spelling: Callable[[Json], bytes], value: Json) -> bytes | str:
    try:
        return spelling(value)
    except (TypeError, ValueError) as error:
        return type(error).__name__


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.floats(1e-5, 1e17)
    | st.integers(-1000, 1000).map(float) | st.text(st.characters(codec=None)) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner, max_size=4)
    | st.lists(inner, max_size=2).map(tuple) | st.dictionaries(st.text(), inner, max_size=2).map(MappingProxyType),
)  # fmt: skip


@given(anything)
def test_the_quick_spelling_is_the_canonical_one(value: Json) -> None:
    """Whatever the value, one that is no JSON included: what digests are made over must never be spelled otherwise."""
    assert outcome(spell, value) == outcome(canonical, value)


@given(st.lists(st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0]), max_size=50))
def test_any_float_is_spelled_canonically(numbers: list[float]) -> None:
    """Of all there are, of whatever size; those that would be spelled with an exponent included."""
    for number in numbers:
        assert outcome(spell, {"n": number}) == outcome(canonical, {"n": number})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 20.5, "a": 20.0}, '{"a":20,"b":20.5}'),
        ({"n": 0.0001, "m": -0.0001}, '{"m":-0.0001,"n":0.0001}'),
        ([0.00001, -0.00001], "[1e-05,-1e-05]"),
        ([1.5e-7, -0.0], "[1.5e-07,0]"),
        ([123456789012345680.0, 1e22], "[123456789012345680,10000000000000000000000]"),
        ([9007199254740991.5 / 2], "[4503599627370496]"),
        ({"ä": 2**64, "a": "\x1f\x7f\u2028/"}, '{"a":"\\u001f\x7f\u2028/","ä":18446744073709551616}'),
        ({"\U0001f600": 1, "\uffff": 2}, '{"\uffff":2,"\U0001f600":1}'),
    ],
)
def test_the_quick_spelling_by_example(value: Json, text: str) -> None:
    """Where writers of JSON differ: exponents, whole floats, big integers, control characters, the order of names."""
    assert spell(value) == text.encode()


def test_measurements_take_the_quick_way() -> None:
    """Texts, whole numbers and usual fractions, however deep; not what writers of JSON spell each in its own way."""
    assert commonplace({"a": [1, "x", None, True, {"t": 20.5, "h": -1013.25}], "b": {}})
    for odd in (0.00001, 1e16, 2.0, math.nan, math.inf, b"", {1: 2}, (1,), {"a": {"b": [1e-9]}}):
        assert not commonplace({"a": odd})


@pytest.mark.parametrize("spelled", [exact, slowly_exact])
def test_only_the_same_is_spelled_alike(spelled: Exact) -> None:
    """Types, order and depth count, and so does what JSON cannot say; equal values that lie elsewhere are the same."""
    inner = [1, True, 1.0, "1", None, -0.0, 0.0, math.inf, 2**64, -(2**70), "\ud800", "\udc00", [], {}, [1], [[1]], ""]
    values = [{"a": one} for one in inner] + [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"b": 1}, {"a": {"b": 1}}]
    deep: Json = 1
    for _ in range(300):
        deep = [deep]
    values.append({"a": deep})
    assert len({spelled(value) for value in values}) == len(values)
    for value in values:
        assert spelled(copy.deepcopy(value)) == spelled(value)
