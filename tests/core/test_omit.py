"""Fields that are never published."""

from __future__ import annotations

import copy
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.omit import Path, fingerprint, omit, parse
from bridge.core.record import Json

names = st.sampled_from(["a", "b", "*", "c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
paths = st.lists(names, min_size=1, max_size=4).map(tuple)


def reached(value: Json, path: Path) -> list[Json]:
    """What a path leads to, found in another way than the code does."""
    found = [value]
    for step in path:
        nexts: list[Json] = []
        for item in found:
            if isinstance(item, dict):
                nexts += item.values() if step == "*" else [item[step]] if step in item else []
            elif isinstance(item, list) and step == "*":
                nexts += item
        found = nexts
    return found


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a", {"a": 1, "b": 2}, {"b": 2}),
        ("a.b", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("p.*.email", {"p": [{"email": "x", "id": 1}, {"id": 2}, 3]}, {"p": [{"id": 1}, {"id": 2}, 3]}),
        ("*.name", {"a": {"name": 1}, "b": {"name": 2, "c": 3}}, {"a": {}, "b": {"c": 3}}),
        ("p.*", {"p": [1, 2]}, {"p": []}),
        ("p.*", {"p": {"a": 1}}, {"p": {}}),
        ("a.b.c", {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("a", [{"a": 1}], [{"a": 1}]),
        ("*", "text", "text"),
    ],
)
def test_table(path: str, before: Json, after: Json) -> None:
    """Names and stars, present and absent."""
    assert omit(before, [parse(path)]) == after


def test_any_mapping_is_seen_through() -> None:
    """An adapter may hand over a mapping that is no dict: its fields are left out all the same."""
    person = MappingProxyType({"email": "x", "id": 1})
    assert omit(MappingProxyType({"p": (person,)}), [parse("p.*.email")]) == {"p": [{"id": 1}]}


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """With a text that shows what one looks like."""
    with pytest.raises(ValueError, match=r"participants\.\*\.email"):
        parse(path)


@given(values, st.lists(paths, max_size=3))
def test_nothing_named_remains_and_nothing_else_is_missing(value: Json, named: list[Path]) -> None:
    """No path leads anywhere afterwards, doing it twice changes nothing, and the original is as it was."""
    before = copy.deepcopy(value)
    after = omit(value, named)
    assert value == before
    assert all(not reached(after, path) for path in named)
    assert omit(after, named) == after
    if not any(reached(value, path) for path in named):
        assert after == before


def test_fingerprint_names_a_set_of_paths() -> None:
    """Order does not matter; other paths have other names; no path has none."""
    one, two = parse("a.b"), parse("c")
    assert fingerprint([one, two]) == fingerprint([two, one]) != fingerprint([one])
    assert fingerprint([]) == ""
