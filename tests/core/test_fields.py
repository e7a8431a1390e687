"""Reading a record's fields, beyond what the adapters' own tests prove."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import fields
from bridge.core.errors import Malformed
from bridge.core.record import Json

READERS: list[Callable[[Json, str], Json]] = [
    fields.text, fields.whole, fields.millis, fields.stamp, fields.truth, fields.known_millis,
]  # fmt: skip


@pytest.mark.parametrize("read", READERS)
def test_absence_is_none_at_every_step(read: Callable[[Json, str], Json]) -> None:
    """Missing or null, the field itself or any object on the way to it."""
    rows: list[Json] = [{}, {"a": None}, {"a": {}}, {"a": {"b": None}}, {"a": {"b": {}}}, {"a": {"b": {"c": None}}}]
    for row in rows:
        assert read(row, "a.b.c") is None


@pytest.mark.parametrize("row", [None, 5, "x", [], {"a": 5}, {"a": []}, {"a": {"b": "x"}}])
def test_no_object_on_the_way_is_malformed(row: Json) -> None:
    """The text names the path and the kind that was found."""
    with pytest.raises(Malformed, match=r"where an object with a\.b\.c was expected"):
        fields.text(row, "a.b.c")


def test_ids_may_come_as_numbers() -> None:
    """Their digits are the text; a number that is no whole one, or beyond exactness, is not."""
    assert fields.text({"id": 4711}, "id") == "4711"
    for wrong in (1.5, True, 2**60):
        with pytest.raises(Malformed):
            fields.text({"id": wrong}, "id")


@given(st.integers() | st.floats() | st.booleans() | st.text())
def test_numbers_are_whole_and_exact_or_malformed(value: Json) -> None:
    """Nothing else comes out, NaN and infinities included in what is refused."""
    try:
        found = fields.whole({"n": value}, "n")
    except Malformed:
        return
    assert isinstance(found, int)
    assert abs(found) <= fields.EXACT
    assert abs(found - value) <= 0.5


def test_a_key_is_text_and_not_empty() -> None:
    """There is no entity without an id."""
    assert fields.key({"id": "x"}, "id") == "x"
    for wrong in ({}, {"id": ""}, {"id": None}):
        with pytest.raises(Malformed, match="expected the record's id"):
            fields.key(wrong, "id")


def test_texts_that_are_all_absent_are_no_object() -> None:
    """An object full of nulls and null itself would be two spellings of one thing."""
    assert fields.texts({}, id="a.id", name="a.name") is None
    assert fields.texts({"a": {"id": "1"}}, id="a.id", name="a.name") == {"id": "1", "name": None}


@given(st.permutations([{"k": 1}, {"k": 2}, {"k": None}, {}, None]))
def test_equal_sets_share_one_order(value: list[Json]) -> None:
    """However the vendor orders them; nulls are left out."""
    found = fields.unordered({"list": value}, "list", k=(fields.whole, "k"))
    assert found == [{"k": 1}, {"k": 2}, {"k": None}, {"k": None}]


def test_a_side_remark_may_be_nonsense() -> None:
    """What can be ignored is ignored."""
    assert fields.known_millis({"t": "x"}, "t") is None
    assert fields.known_millis({"t": 5.0}, "t") == 5
    assert fields.stamp({"t": fields.LAST_MS}, "t") == "9999-12-31T23:59:59.999Z"


def test_an_id_too_long_for_the_headers_of_its_own_events_is_refused() -> None:
    """Such a record is set aside; were it let through, the server would refuse its page for ever."""
    assert fields.key({"id": "x" * 1024}, "id")
    with pytest.raises(Malformed, match="expected an id of at most 1024"):
        fields.key({"id": "x" * 1025}, "id")
