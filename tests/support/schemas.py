"""The schemas that events announce, with a real validator: `ce-dataschema` is a promise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from bridge.core.own import OWN, Own
from bridge.core.record import Json
from bridge.core.shape import PREFIX, Shape
from bridge.core.shapes import SHAPES

_ALL: Mapping[str, Shape | Own] = {**SHAPES, **OWN}


def complaints(headers: Mapping[str, str], data: Json) -> list[str]:
    """What is wrong with an event's data, by its headers; nothing where they announce no schema."""
    announced = headers.get("ce-dataschema")
    if announced is None:
        return []
    shape = shape_of(announced)
    if shape is None:
        return [f"there is no schema {announced}"]
    return [f"{error.json_path}: {error.message}" for error in validator(shape.id).iter_errors(data)]


def shape_of(announced: str) -> Shape | Own | None:
    """The schema that a `ce-dataschema` names."""
    return next((one for one in _ALL.values() if one.uri == announced), None)


@cache
def validator(id_: str) -> Any:
    """The validator of a shape, or of events of our own, whose schema is itself valid."""
    schema = _ALL[id_].schema()
    assert schema["$id"].startswith(PREFIX)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())
