"""Canonical JSON and digests."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.canonical import canonical, digest, mapping_of

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"ä": "ß", "z": "😀"}, '{"z":"😀","ä":"ß"}'),
        (1.6094592e12, "1609459200000"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (2**63, "9223372036854775808"),
        ([1, 1.0, "1", True], '[1,1,"1",true]'),
        ({"n": {"m": [1.0]}}, '{"n":{"m":[1]}}'),
        ((1.0, {"a": (2.0,)}), '[1,{"a":[2]}]'),
        ('tab\tquote"back\\', '"tab\\tquote\\"back\\\\"'),
        ({}, "{}"),
    ],
)
def test_one_spelling(value: Any, text: str) -> None:
    """Keys sorted, no white space, whole floats as integers, text as it is."""
    assert canonical(value) == text.encode()


@given(VALUES, st.randoms(use_true_random=False))
def test_key_order_does_not_matter(value: Any, order: random.Random) -> None:
    """The same object with its keys in another order has the same bytes."""
    assert canonical(_shuffled(value, order)) == canonical(value)


@given(VALUES)
def test_canonical_is_json_and_stable(value: Any) -> None:
    """It reads back as an equal value, whose canonical form is the same."""
    text = canonical(value).decode("utf-8", "surrogatepass")
    back = json.loads(text)
    assert back == value
    assert canonical(back) == canonical(value)


@given(VALUES, VALUES)
def test_equal_digests_mean_equal_content(one: Any, other: Any) -> None:
    """Digests agree exactly when the contents do; true and 1 differ, 1 and 1.0 do not."""
    assert (digest(one, "1") == digest(other, "1")) == (canonical(one) == canonical(other))


@pytest.mark.parametrize("value", [math.nan, math.inf, {"deep": [-math.inf]}])
def test_not_json(value: Any) -> None:
    """NaN and infinities are refused: no consumer could read them."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(value)


def test_too_deep() -> None:
    """A value nested beyond all reason is refused with a sentence instead of a crash."""
    value: Any = []
    for _ in range(5_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(value)


def test_half_a_surrogate_pair_has_a_digest() -> None:
    """Text that is not valid Unicode is compared like any other."""
    assert digest("\ud800", "1") != digest("\ud801", "1")


def test_a_digest_names_its_mapping() -> None:
    """The mapping's version stands before the hash, also where it holds a colon."""
    made = digest({"state": "open"}, "pcvisit:2")
    assert mapping_of(made) == "pcvisit:2"
    assert len(made) == len("pcvisit:2:") + 32
    assert made == "pcvisit:2:" + digest({"state": "open"}, "x").partition(":")[2]


def test_digests_are_the_same_on_every_machine() -> None:
    """A digest stored years ago still compares: BLAKE2b, 16 bytes, over the canonical form."""
    assert digest({"b": 1.0, "a": "ü"}, "1") == "1:e5c3356c10ea21d005ee7056f7921e5f"


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: _shuffled(value[name], order) for name in names}
    if isinstance(value, list):
        return [_shuffled(item, order) for item in value]
    return value
