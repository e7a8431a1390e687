"""Fields an operator adds: what is asked for, how answers are read, what is refused at once."""

from __future__ import annotations

import pytest
from graphql import parse as graphql_parse
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import selection
from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.settings import BadSetting


def read(spec: str, row: Json) -> Json:
    return selection.read(selection.parse({"ours": spec}, "event_fields"), row)["ours"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("severity", "severity"),
        ("area.country.code", "area { country { code } }"),
        ("area { id lat lon }", "area { id lat lon }"),
        ("trip.stops { at { lat } }", "trip { stops { at { lat } } }"),
        ('name(language: "en")', 'ours: name(language: "en")'),
        ('area.name(language: "e{n", short: true)', 'area { ours: name(language: "e{n", short: true) }'),
        ("  startsAt as datetime ", "startsAt"),
        ("stay { lower upper } as datetime", "stay { lower upper }"),
    ],
)
def test_what_is_asked_for(spec: str, text: str) -> None:
    """A path becomes nested selections; a step with arguments comes under our name. It is GraphQL."""
    (found,) = selection.parse({"ours": spec}, "event_fields")
    assert found.text == text
    graphql_parse(f"{{ {found.text} }}")


@pytest.mark.parametrize(
    ("spec", "row", "value"),
    [
        ("severity", {"severity": 3}, 3),
        ("severity", {}, None),
        ("area.country.code", {"area": {"country": {"code": "DE"}}}, "DE"),
        ("area.country.code", {"area": {"country": None}}, None),
        ("area.code", {"area": [{"code": "A"}, None, {"code": "B"}]}, ["A", None, "B"]),
        ("point", {"point": {"type": "Point", "at": [13.4, 52.5]}}, {"type": "Point", "at": [13.4, 52.5]}),
        ('name(language: "en")', {"ours": "Strike", "name": "Streik"}, "Strike"),
        ("startsAt as datetime", {"startsAt": "2021-01-01T01:00:00+01:00"}, "2021-01-01T00:00:00.000Z"),
        ("stay { lower upper } as datetime", {"stay": {"lower": "2021-01-01T00:00:00", "upper": None}},
         {"lower": "2021-01-01T00:00:00.000Z", "upper": None}),
        ("length as duration", {"length": "PT2M"}, 120_000),
        ("legs.length as duration", {"legs": [{"length": 5}, {"length": None}]}, [5_000, None]),
    ],
)  # fmt: skip
def test_how_it_is_read(spec: str, row: Json, value: Json) -> None:
    """By the same path; lists are gone through; what is not declared to be a time or duration stays as it is."""
    assert read(spec, row) == value


@pytest.mark.parametrize(
    ("spec", "row"),
    [("area.code", {"area": 5}), ("a.b.c", {"a": {"b": "x"}}), ("at as datetime", {"at": 7}),
     ("at as duration", {"at": {}}), ("a", "x"), ("a", 7)],
)  # fmt: skip
def test_what_cannot_be_read_is_malformed(spec: str, row: Json) -> None:
    """Named by our name for it, or by what stands in its place; never by its value."""
    with pytest.raises(Malformed, match=r"^ours"):
        read(spec, row)


@pytest.mark.parametrize(
    "spec",
    ["", ".", "a.", ".a", "a b", "a {", "a }", "a { b } }", "a { b } { c }", "a } {", "a as", "a as date time", "a; b",
     "a(", "a()", 'a("', "a as time", "1a", "a { b } c", "a\x00", "@skip", "é"],
)  # fmt: skip
def test_what_is_no_field(spec: str) -> None:
    """It is refused by its place in the configuration, before anything is sent."""
    with pytest.raises(BadSetting) as caught:
        selection.parse({"ours": spec}, "event_fields")
    assert caught.value.key == ("event_fields", "ours")


@pytest.mark.parametrize("name", ["", "1", "a-b", "a b", "id", "x" * 61])
def test_what_is_no_name(name: str) -> None:
    """Ours are letters, digits and _; those we have already are taken."""
    with pytest.raises(BadSetting, match="on the left"):
        selection.parse({name: "a"}, "event_fields", taken=("id",))


@given(st.text(max_size=40))
def test_any_text_is_a_field_or_refused(spec: str) -> None:
    """Nothing else happens, and what is accepted does not break out of the selection it is put into."""
    try:
        (found,) = selection.parse({"ours": spec}, "event_fields")
    except BadSetting:
        return
    assert found.text.count("{") == found.text.count("}")


def test_a_value_that_is_nested_too_deeply() -> None:
    """It is set aside like any other record that cannot be read."""
    deep: Json = "2021-01-01T00:00:00Z"
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(Malformed, match="nested too deeply"):
        read("at as datetime", {"at": deep})
