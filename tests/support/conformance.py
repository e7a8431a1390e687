"""Holds events against the schema they announce, with a real validator: `ce-dataschema` is a promise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from bridge.adapter import Adapter, Record
from bridge.core.event import Event
from bridge.core.omit import parse
from bridge.core.record import Json
from bridge.core.secret import Masker
from bridge.core.shape import PREFIX, Shape
from bridge.core.shapes import SHAPES
from bridge.engine.scribe import Scribe
from tests.support.desk import NOW_MS, encode


def complaints(headers: Mapping[str, str], data: Json) -> list[str]:
    """What is wrong with an event's data, by its headers; nothing where they announce no schema."""
    announced = headers.get("ce-dataschema")
    if announced is None:
        return []
    shape = shape_of(announced)
    if shape is None:
        return [f"there is no schema {announced}"]
    return [f"{error.json_path}: {error.message}" for error in validator(shape.id).iter_errors(data)]


def conforms(event: Event) -> Shape | None:
    """The shape that the event announces, and keeps to; None if it announces none."""
    found = complaints(event.headers, json.loads(event.payload))
    assert not found, f"{event.subject}: {found}"
    return shape_of(event.headers.get("ce-dataschema", ""))


def shape_of(announced: str) -> Shape | None:
    """The shape that a `ce-dataschema` names."""
    return next((shape for shape in SHAPES.values() if shape.uri == announced), None)


@cache
def validator(id_: str) -> Any:
    """The validator of a shape, whose schema is itself valid."""
    schema = SHAPES[id_].schema()
    assert schema["$id"].startswith(PREFIX)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def published(adapter: Adapter[Any], record: Record, *, omits: list[str] | None = None) -> Event:
    """The event that a runner would publish when it sees a record for the first time."""
    paths = [parse(path) for path in (adapter.omit if omits is None else omits)]
    scribe = Scribe(
        vendor=adapter.vendor, source=adapter.settings.name, type_prefix=adapter.type_prefix,
        mapping_version=adapter.mapping_version, omits=paths, keep_raw=True, encode=encode, limit=1_048_576,
        wall=lambda: NOW_MS, masker=Masker(), schema=adapter.schema, edition=adapter.edition,
    )  # fmt: skip
    note = scribe.note(record, "catchup")
    change = "occurred" if record.occurred else "deleted" if record.gone else "created"
    return scribe.seal(note, change, None, None)[1]
