"""Texts with fields of an event in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.alerts.template import NAMES, BadTemplate, bounded, clean, compiled, field_text, one_line, path_problem
from tests.support.happenings import happening

EVENT: dict[str, Any] = {
    **happening(7, changed=("name", "state")).variables(),
    "after": {"name": "Drucker", "count": 3, "price": 2.50, "on": True, "none": None, "site": {"id": 9, "tags": ["ä"]}},
}


@pytest.mark.parametrize(
    ("template", "text", "missing"),
    [
        ("{source}: {after.name}", "acme: Drucker", ()),
        ("{after.count} {after.price} {after.on}", "3 2.5 true", ()),
        ("{after.site}", '{"id":9,"tags":["ä"]}', ()),
        ("{ after.site.tags.0 }", "ä", ()),
        ("{changed}", '["name","state"]', ()),
        ("{changed.1} {changed.2}", "state (no changed.2)", ("changed.2",)),
        ("{after.colour}", "(no after.colour)", ("after.colour",)),
        ("{after.colour | unknown}", "unknown", ()),
        ("{after.colour|}!", "!", ()),
        ("{after.none}", "(no after.none)", ()),
        ("{after.none | none at all}", "none at all", ()),
        ("{after.name.first}", "(no after.name.first)", ("after.name.first",)),
        ("{before.name} {before.name}", "(no before.name) (no before.name)", ("before.name",)),
        ("{{after.name}} {{{after.name}}}", "{after.name} {Drucker}", ()),
        ("", "", ()),
    ],
)
def test_what_comes_out(template: str, text: str, missing: tuple[str, ...]) -> None:
    """Text as it is, numbers as in JSON, objects as compact JSON; what is missing says so, and is reported."""
    assert compiled(template).render(EVENT) == (text, missing)


@pytest.mark.parametrize(
    ("template", "line", "column", "text"),
    [
        ("a {after.name", 1, 3, "this { is never closed"),
        ("a\nbc {after.name and {b}", 2, 4, "this { is never closed"),
        ("a }", 1, 3, "this } closes nothing"),
        ("{}", 1, 1, "expected a path such as after.name"),
        ("{after..name}", 1, 1, "expected a path"),
        ("x {name}", 1, 3, "an event has no field name; it has: vendor, source"),
        ("{after.name!r}{0}", 1, 15, "expected a path"),
        ("{type}" * 101, 1, 1, "names more than 100 fields"),
        ("x" * 8193, 1, 1, "longer than 8192 characters"),
    ],
)
def test_a_template_that_cannot_be_used(template: str, line: int, column: int, text: str) -> None:
    """Says where, and what to write."""
    with pytest.raises(BadTemplate) as caught:
        compiled(template)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.message.startswith(text)
    assert f"{caught.value}".startswith(f"line {line}, column {column}: ")


def test_the_names_are_those_of_an_event() -> None:
    """What may be named is what there is."""
    assert set(NAMES) == set(happening().variables())
    assert path_problem("after.name.x") is None
    assert path_problem("raw.name") is not None


def test_no_value_forges_a_line() -> None:
    """Titles are one line; nothing moves a terminal's cursor, ends a header, or turns the reading direction."""
    evil = "a\r\nBcc: x\x1b[2J\x00\u202eb\u2028c\t\x85d\ud800\ufeff\N{FAMILY}"
    assert one_line(evil) == "a Bcc: x[2Jb c d\N{REPLACEMENT CHARACTER}\N{FAMILY}"
    assert bounded(evil).splitlines() == ["a", "Bcc: x[2Jb", "c d\N{REPLACEMENT CHARACTER}\N{FAMILY}"]
    assert field_text({"after": {"a": "x\ny"}}, "after.a") == "x y"


def test_lengths() -> None:
    """250 characters for a title, 8 KiB for a body, 4096 characters for one value; a cut shows."""
    assert len(one_line("ab " * 1000)) <= 250
    assert one_line("x" * 300) == "x" * 249 + "…"
    assert one_line("x" * 250) == "x" * 250
    body = bounded("ä" * 10_000)
    assert body == "ä" * 4094 + "…"
    assert len(body.encode()) <= 8192
    assert compiled("{after.a}").render({"after": {"a": "y" * 5000}})[0] == "y" * 4095 + "…"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.text(alphabet="{}|. aäafter.name\n\x00\ud800", max_size=40))
def test_rendering_never_fails(after: Any, text: str) -> None:
    """Whatever the template, if it compiles, and whatever the event."""
    try:
        template = compiled(text)
    except BadTemplate:
        return
    shown, _ = template.render({"after": after})
    one_line(shown).encode()
    assert len(bounded(shown).encode()) <= 8192


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_what_is_clean_stays(text: str) -> None:
    """Cleaning is done once, has no control characters but line feeds, and can be encoded."""
    once = clean(text)
    assert clean(once) == once
    assert not any((ord(sign) < 32 and sign != "\n") or 127 <= ord(sign) < 160 for sign in once)
    once.encode()
