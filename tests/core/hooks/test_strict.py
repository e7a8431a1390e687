"""JSON from strangers: one meaning or none, and in a time that is bounded."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.hooks.strict import decode

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def reason(data: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        decode(data)
    assert caught.value.raw == data
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "one name twice"),
        (b'{"a": 1, "\\u0061": 2}', "one name twice"),
        (b'{"a": "\xff"}', "invalid UTF-8 at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "invalid UTF-8"),
        ('{"a": "ä"}'.encode("utf-16"), "invalid UTF-8"),
        (b'{"a": "\xc0\xaf"}', "invalid UTF-8"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "beyond what a double"),
        (b"1" * 5000, "too many digits"),
        (b"", "empty body"),
        (b" \n", "empty body"),
        (b"{", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"[1] x", "not JSON"),
        (b'["a\nb"]', "not JSON"),
        (b"secret", "not JSON"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested deeper than 100"),
        (b"[" * 100_000, "nested deeper than 100"),
        (b'{"a":' * 100_000, "nested deeper than 100"),
        (b"[" + b"[]," * 300_000 + b"0]", "lists and objects"),
    ],
)
def test_what_is_refused(data: bytes, expected: str) -> None:
    """With the reason, which quotes nothing, and the bytes for the quarantine."""
    said = reason(data)
    assert expected in said
    assert "secret" not in said


def test_what_is_taken() -> None:
    """A hundred levels, a byte order mark, any text."""
    assert decode(b"[" * 100 + b"]" * 100)
    assert decode(b'\xef\xbb\xbf {"a": "\xc3\xa4 \\ud83d\\ude00"} ') == {"a": "ä 😀"}
    assert decode(b"0") == 0


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"1e5," * 1_000_000 + b"0]",
        b'"' + b"\\u0041" * 1_000_000 + b'"',
        b"0." + b"1" * 8_000_000,
        b"[" + (b"9" * 4000 + b",") * 1500 + b"0]",
        b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}",
        b" " * 8_000_000 + b"1",
    ],
)
def test_megabytes_that_are_made_to_cost_time(data: bytes) -> None:
    """A body of some megabytes takes seconds at most, whatever it is made of."""
    begun = time.process_time()
    decode(data)
    assert time.process_time() - begun < 10


@given(JSONS)
def test_like_the_standard_library(value: object) -> None:
    """What it writes is read back as what it was."""
    assert decode(json.dumps(value).encode()) == value


@given(st.binary() | st.text('[]{}",:0e.-+ntf\\u ').map(str.encode))
def test_nothing_else_is_ever_raised(data: bytes) -> None:
    """Whatever the bytes are: a value or Malformed."""
    try:
        decode(data)
    except Malformed:
        return
