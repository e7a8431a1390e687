"""The shared shapes: valid schemas, frozen once published, documented, and what mappings keep to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from bridge.core.kinds import KINDS
from bridge.core.record import Json
from bridge.core.shape import Field, Shape
from bridge.core.shapes import SHAPES, announced, newest
from tests.support.schemas import complaints, validator
from tests.support.shape_pages import FROZEN, PAGE, frozen, page, text

IDS = sorted(SHAPES)


def data(after: Json, **changes: Json) -> Json:
    """An event's data."""
    return {
        "id": "1", "change": "created", "version": None, "after": after, "before": None, "changed": [], "raw": None,
        "omitted": [], **changes,
    }  # fmt: skip


def wrong(name: str, after: Json, **changes: Json) -> list[str]:
    return complaints({"ce-dataschema": f"urn:bridged:schema:{name}:1"}, data(after, **changes))


def test_these_are_the_shapes() -> None:
    """Their names are a contract."""
    assert IDS == [
        "company/1", "contact/1", "person/1", "project/1", "session/1", "shift/1", "task/1", "time-entry/1",
    ]  # fmt: skip


@pytest.mark.parametrize("id_", IDS)
def test_a_schema_is_valid_and_says_who_it_is(id_: str) -> None:
    """Draft 2020-12, by its own meta-schema."""
    schema = SHAPES[id_].schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:bridged:schema:{id_.replace('/', ':')}"
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("id_", IDS)
def test_a_published_version_never_changes(id_: str) -> None:
    """Its text is frozen here. What differs needs a new version: add one, and leave this one alone."""
    path = frozen(SHAPES[id_])
    assert path.exists(), f"{id_} is not frozen: python -m tests.support.shape_pages"
    assert text(SHAPES[id_]) == path.read_text("utf-8"), f"{id_} was published: make a new version of it"


def test_no_published_version_is_dropped() -> None:
    """What is frozen is still there."""
    assert {path.stem for path in FROZEN.iterdir()} == {id_.replace("/", "-") for id_ in IDS}


def test_the_page_is_made_from_the_declarations() -> None:
    """`docs/shapes.md` says what the schemas say: python -m tests.support.shape_pages writes it."""
    assert page(PAGE.read_text("utf-8")) == PAGE.read_text("utf-8")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.id)
def test_names_tell_the_kind(shape: Shape) -> None:
    """`…_at` is a moment, `…_on` a date, `…_ms` a length of time, `…_id` another entity; and the reverse."""
    endings = {"_at": "datetime", "_on": "date", "_ms": "ms"}
    for name, one in every(shape):
        for ending, kind in endings.items():
            assert name.endswith(ending) == (one.kind == kind) or name == "date"
        assert not name.endswith("_id") or one.kind == "id" or name == "tax_id"
        assert one.doc


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.id)
def test_what_is_private_can_be_left_out_by_one_path(shape: Shape) -> None:
    """It is gathered in one object; `session` is older and has its one path."""
    expected = {"session/1": ["participants.*.email"], "task/1": [], "project/1": []}
    assert shape.paths("private") == expected.get(shape.id, ["private"])


def test_who_somebody_is_is_marked() -> None:
    """So that an operator can find the names."""
    assert SHAPES["person/1"].paths("person") == ["name", "first_name", "last_name"]
    assert SHAPES["time-entry/1"].paths("person") == ["person_name"]
    assert SHAPES["company/1"].paths("person") == []


@pytest.mark.parametrize("id_", IDS)
def test_null_and_missing_and_further_fields_conform(id_: str) -> None:
    """An entity without anything, one with nulls only, one with more; one that is deleted."""
    shape = SHAPES[id_]
    for after in ({}, dict.fromkeys(shape.fields), {"of_their_own": {"any": 1}}):
        assert wrong(shape.name, after) == []
    assert wrong(shape.name, None, change="deleted", before={"older": 1}) == []


@pytest.mark.parametrize(
    ("name", "after", "path"),
    [
        ("person", {"name": 5}, "$.after.name"),
        ("person", {"active": "1"}, "$.after.active"),
        ("person", {"started_at": "2024-01-01"}, "$.after.started_at"),
        ("person", {"started_at": "2024-01-01T00:00:00Z"}, "$.after.started_at"),
        ("person", {"private": {"born_on": "1.1.1990"}}, "$.after.private.born_on"),
        ("person", {"private": []}, "$.after.private"),
        ("time-entry", {"duration_ms": 1.5}, "$.after.duration_ms"),
        ("time-entry", {"date": "2024-13-01T"}, "$.after.date"),
        ("project", {"tags": [1]}, "$.after.tags[0]"),
        ("session", {"participants": [{"is_creator": 1}]}, "$.after.participants[0].is_creator"),
        ("session", {"computer": {"id": 1}}, "$.after.computer.id"),
        ("task", [], "$.after"),
    ],
)
def test_a_wrong_kind_is_found(name: str, after: Json, path: str) -> None:
    """The schema is not empty talk."""
    assert {found.partition(": ")[0] for found in wrong(name, after)} == {path}


def test_data_that_is_no_event_is_found() -> None:
    """The schema describes the whole data."""
    assert wrong("person", {}, change="renamed")
    assert wrong("person", {}, omitted=["after"])
    assert complaints({"ce-dataschema": "urn:bridged:schema:person:1"}, {"name": "A"})
    assert complaints({"ce-dataschema": "urn:bridged:schema:robot:1"}, {}) == [
        "there is no schema urn:bridged:schema:robot:1"
    ]
    assert complaints({}, {"anything": 1}) == []
    assert validator("person/1").is_valid(data({"name": "A"}))


@pytest.mark.parametrize(
    ("entity", "kinds", "shape"),
    [
        ("person", {"name": "text"}, "person/1"),
        ("person", {"name": "text", "shoe_size": "number"}, "person/1"),
        ("person", {"role": "words 0=admin 1=user", "private.email": "text", "team_id": "id"}, "person/1"),
        ("person", {"started_at": "epoch_ms", "private.born_on": "date"}, "person/1"),
        ("time-entry", {"duration_ms": "hours"}, "time-entry/1"),
        ("project", {"tags": "set of text", "people": "list of id"}, "project/1"),
        ("session", {"computer.id": "id", "state": "text"}, "session/1"),
        ("person", {"name": ""}, None),
        ("person", {"name": "number"}, None),
        ("person", {"private.born_on": "text"}, None),
        ("person", {"private": ""}, None),
        ("person", {"name.first": "text"}, None),
        ("person", {"shoe_size": "number"}, None),
        ("time-entry", {"duration_ms": "number"}, None),
        ("project", {"tags": "text"}, None),
        ("project", {"tags": "list of number"}, None),
        ("session", {"participants": "list of id"}, None),
        ("robot", {"name": "text"}, None),
    ],
)
def test_which_mappings_keep_to_a_shape(entity: str, kinds: dict[str, str], shape: str | None) -> None:
    """What they share is of the right kind, and they share something."""
    assert announced(entity, kinds) == shape


EVERY_KIND = [*KINDS[:-1], "words 0=a", "list of id", "set of words 0=a", "list of number", "set of whole", ""]
VALUES: dict[str, Any] = {
    "text": "x", "id": "1", "number": 1.5, "whole": 1, "truth": True, "date": "2024-01-01", "time": "10:00:00",
    "datetime": "2024-01-01T10:00:00.000Z", "epoch_s": "2024-01-01T10:00:00.000Z",
    "epoch_ms": "2024-01-01T10:00:00.000Z", "hours": 3_600_000, "minutes": 60_000, "seconds": 1000, "words 0=a": "a",
    "list of id": ["1"], "set of words 0=a": ["a"], "list of number": [1.5], "set of whole": [1], "": {"any": 1},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.id)
def test_what_suits_conforms(shape: Shape) -> None:
    """For every field and every kind: a mapping that is said to suit yields data that the validator accepts."""
    for name, one in shape.fields.items():
        for kind in EVERY_KIND:
            if shape.suits({name: kind}):
                assert wrong(shape.name, {name: VALUES[kind]}) == [], (name, kind)
        for inner in one.fields:
            for kind in EVERY_KIND:
                if one.kind == "object" and shape.suits({f"{name}.{inner}": kind}):
                    assert wrong(shape.name, {name: {inner: VALUES[kind]}}) == [], (name, inner, kind)


def test_the_newest_version_counts() -> None:
    """Of a name, the highest version."""
    assert newest("person") == SHAPES["person/1"]
    assert newest("robot") is None


def every(shape: Shape) -> list[tuple[str, Field]]:
    """All fields, also those inside others."""
    found = list(shape.fields.items())
    for _, one in found:
        found += one.fields.items()
    return found
