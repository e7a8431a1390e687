"""What a webhook's delivery means, by `[[source.event]]` tables."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.errors import Malformed
from bridge.core.hooks.event_table import EventTable
from bridge.core.hooks.tables import Tables, entity_of
from bridge.core.record import Json, Record
from bridge.core.settings import BadSetting


def frame(body: Json, **more: Json) -> dict[str, Json]:
    return {"delivery": "d-1", "body": body, "headers": {}, "query": {}, "event": None, **more}


def made(tables: list[EventTable], body: Json, **more: Json) -> list[Record]:
    return Tables(tables).records(frame(body, **more))


def test_without_a_table_each_delivery_is_published_as_it_is() -> None:
    """Its id is the delivery's; what is no object becomes one."""
    (one,) = made([], {"a": 1})
    assert (one.entity, one.id, one.after, one.occurred, one.at_ms) == ("delivery", "d-1", {"a": 1}, True, None)
    assert made([], [1])[0].after == {"body": [1]}
    assert made([], None)[0].after == {"body": None}


def test_a_cloudevent_without_a_table_is_called_by_its_type() -> None:
    """With its time; one that cannot be read spoils nothing."""
    event = {"type": "com.Example.Order_Paid", "time": "2024-01-01T00:00:00.5Z"}
    (one,) = made([], {}, event=event)
    assert (one.entity, one.at_ms) == ("com-example-order_paid", 1_704_067_200_500)
    assert made([], {}, event={**event, "time": "soon"})[0].at_ms is None


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Order", "order"),
        ("Order.Created", "order-created"),
        ("--order//created--", "order-created"),
        ("a_b-c9", "a_b-c9"),
        ("Ärger.x", "rger-x"),
        ("x" * 80, "x" * 60),
    ],
)
def test_a_senders_word_becomes_a_name_of_ours(word: str, name: str) -> None:
    """Lower case, with a hyphen for everything that is no letter, digit or _."""
    assert entity_of(word, "body.type") == name


@pytest.mark.parametrize("word", ["", "9lives", "...", "日本", 7, None, ["order"]])
def test_what_makes_no_name_is_malformed(word: Json) -> None:
    """And says where it stands, not what."""
    with pytest.raises(Malformed, match=r"body\.type is") as caught:
        entity_of(word, "body.type")
    assert "9lives" not in str(caught.value)


def test_the_first_table_that_fits_is_taken() -> None:
    """All paths of `when` must have one of their values, of the same type."""
    tables = [
        EventTable(when={"body.a": 1, "headers.X-Kind": ["x", "y"]}, entity="first"),
        EventTable(when={"body.a": [True, "1"]}, entity="second"),
        EventTable(when={"body.b.c": 2.0}, entity="third"),
        EventTable(entity="last"),
    ]
    cases = [
        ({"a": 1}, "y", "first"), ({"a": 1}, "z", "last"), ({"a": 1.0}, "x", "first"), ({"a": True}, "x", "second"),
        ({"a": "1"}, "x", "second"), ({"b": {"c": 2}}, "x", "third"), ({"b": [2]}, "x", "last"), ("a", "x", "last"),
        ({"a": [1]}, "x", "last"), ({"a": None}, "x", "last"),
    ]  # fmt: skip
    for body, kind, entity in cases:
        (one,) = made(tables, body, headers={"x-kind": kind})
        assert one.entity == entity, (body, kind)


def test_what_fits_no_table_is_set_aside_dropped_or_published() -> None:
    """As the source says; what is set aside is kept with its body."""
    tables = [EventTable(when={"body.a": 1})]
    with pytest.raises(Malformed, match=r"no \[\[source.event\]\] fits") as caught:
        Tables(tables).records(frame({"b": 2}))
    assert caught.value.raw == b'{"b":2}'
    assert Tables(tables, unmatched="drop").records(frame({"b": 2})) == []
    assert [one.entity for one in Tables(tables, unmatched="publish").records(frame({"b": 2}))] == ["delivery"]


ORDER: dict[str, Any] = {"entity": "order", "id": "body.id", "change": "changed", "version": "body.v"}


def test_an_entity_has_id_and_version() -> None:
    """Whether it is created or updated is told by what is known of it; `gone`, or the word for it, ends it."""
    table = EventTable(**ORDER, gone="body.gone", fields={"state": "body.s", "total": "body.t as number"})
    (one,) = made([table], {"id": 7, "v": 3, "s": "new", "t": "1.50", "x": 9})
    assert one == Record("order", "7", one.after, version="3", raw=one.raw, unordered=True)
    assert one.after == {"state": "new", "total": 1.5}
    (gone,) = made([table], {"id": 7, "v": 4, "gone": True})
    assert (gone.gone, gone.after, gone.version) == (True, None, "4")
    assert made([table], {"id": 7, "v": 4, "gone": False})[0].gone is False
    (ended,) = made([EventTable(**{**ORDER, "change": "deleted"})], {"id": 7, "v": 5})
    assert ended.gone


@pytest.mark.parametrize(
    "body", [{"v": 1}, {"id": "", "v": 1}, {"id": 7}, {"id": 7, "v": None}, {"id": 7, "v": ""}, []]
)
def test_an_entity_without_them_is_malformed(body: Json) -> None:
    """It might be an older state, or another's."""
    with pytest.raises(Malformed):
        made([EventTable(**ORDER)], body)


def test_the_word_at_a_path_tells_the_change() -> None:
    """A word that nobody has explained is malformed, and not shown; one may be dropped."""
    words = {"opened": "created", "edited": "changed", "removed": "deleted", "ping": "drop", "note": "occurred"}
    table = EventTable(**{**ORDER, "change": "body.action", "changes": words})

    def of(action: Json) -> list[tuple[bool, bool]]:
        return [(one.occurred, one.gone) for one in made([table], {"id": 7, "v": 1, "action": action})]

    assert (of("opened"), of("edited"), of("removed")) == ([(False, False)], [(False, False)], [(False, True)])
    assert (of("ping"), of("note")) == ([], [(True, False)])
    for action in ("hunter2", None, {"a": 1}):
        with pytest.raises(Malformed, match=r"body\.action") as caught:
            of(action)
        assert "hunter2" not in str(caught.value)


def test_each_item_of_a_list_is_an_event() -> None:
    """Paths may name the item and the whole; without an id it is the delivery's with a number. One spoils all."""
    table = EventTable(each="body.items", entity="item.kind", at="item.at", fields={"n": "item.n", "by": "body.by"})
    items = [{"kind": "A", "n": 1, "at": "2024-01-01T00:00:00Z"}, {"kind": "B", "n": 2}]
    one, two = made([table], {"by": "x", "items": items})
    assert (one.entity, one.id, one.after, one.at_ms) == ("a", "d-1-1", {"n": 1, "by": "x"}, 1_704_067_200_000)
    assert (two.entity, two.id, two.raw) == ("b", "d-1-2", items[1])
    assert made([EventTable(each="body.items")], {"items": [7]})[0].after == {"body": 7}
    unreadable: list[Json] = [None, {}, [{"kind": 1}], [*items, 7]]
    for wrong in unreadable:
        with pytest.raises(Malformed):
            made([table], {"by": "x", "items": wrong})


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({**ORDER, "version": None}, (), "the key version is missing"),
        ({**ORDER, "id": None}, (), "the key id is missing"),
        ({"change": "body.action"}, ("change",), "set `changes`, too"),
        ({"change": "exploded"}, ("change",), "expected occurred, changed, deleted"),
        ({"change": "drop"}, ("change",), "expected occurred, changed, deleted"),
        ({"changes": {"a": "changed"}}, ("changes",), "goes with the path of a word"),
        ({"change": "body.a", "changes": {"a": "boom"}}, ("changes", "a"), "expected one of occurred"),
        ({"entity": "Order"}, ("entity",), "lower-case name"),
        ({"gone": "body.gone"}, ("gone",), "never deleted"),
        ({"drop": True, "id": "body.id"}, ("id",), "are dropped"),
        ({"when": {"body.a": {"b": 1}}}, ("when", "body.a"), "expected a text, a number"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(given: dict[str, Any], key: tuple[str, ...], says: str) -> None:
    """When it is made, with the key at fault."""
    with pytest.raises(BadSetting, match=says) as caught:
        EventTable(**given)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({"id": "order.id"}, ("id",), "begins with one of body, headers"),
        ({"id": "item.id"}, ("id",), "begins with one of body, headers"),
        ({"each": "item.x"}, ("each",), "begins with one of body, headers"),
        ({"when": {"order.type": "a"}}, ("when", "order.type"), "begins with one of"),
        ({"fields": {"a": "body.a as colour"}}, ("fields", "a"), "expected one of text"),
        ({"fields": {"a": "headers.Authorization"}}, ("fields", "a"), "may carry a credential"),
        ({"fields": {"a": "body.a or query.access_token"}}, ("fields", "a"), "may carry a credential"),
        ({"when": {"headers.X-Gitlab-Token": "a"}}, ("when", "headers.X-Gitlab-Token"), "may carry a credential"),
        ({"at": "body.at as number"}, ("at",), "expected a moment"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(given: dict[str, Any], key: tuple[str, ...], says: str) -> None:
    """When the tables are compiled, with the position of the table."""
    with pytest.raises(BadSetting, match=says) as caught:
        Tables([EventTable(), EventTable(**given)])
    assert caught.value.key == ("event", 1, *key)


def test_tables_that_map_differently_have_different_editions() -> None:
    """What is known is then taken for a snapshot, not for news; another table's change does not matter."""
    plain, more = EventTable(**ORDER, fields={"a": "body.a"}), EventTable(**ORDER, fields={"a": "body.b"})
    other = EventTable(when={"body.t": "x"}, entity="other", fields={"a": "body.a"})
    assert Tables([plain]).edition("order") == Tables([other, plain]).edition("order")
    assert Tables([plain]).edition("order") != Tables([more]).edition("order")
    assert Tables([other]).edition("order") == ""


def test_how_many_events_a_delivery_may_make_is_known_beforehand() -> None:
    """By the table that is for it: as many as its list has items."""
    tables = Tables(
        [EventTable(when={"body.drop": True}, drop=True), EventTable(each="body.items", when={"body.a": 1})]
    )
    assert tables.count(frame({"a": 1, "items": [1] * 700})) == 700
    for body in ({"a": 2, "items": [1] * 700}, {"drop": True, "items": [1] * 700}, {"a": 1, "items": 7}, {"a": 1}, [1]):
        assert tables.count(frame(body)) == 1
