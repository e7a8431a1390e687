"""What a shared shape is: fields with their kinds, the JSON Schema made of them, and which mappings keep to it.

A record of a shape has any of its fields, each of the declared kind or null, and may have others of the vendor's own
beside them. A field may be missing: not every vendor knows it, and `omit` takes fields away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from bridge.core.record import Change, Json

Kind = Literal["text", "id", "number", "whole", "truth", "date", "time", "datetime", "ms", "texts", "object", "objects"]
"""`ms`: a length of time in whole milliseconds; `texts`: a list of texts; `objects`: a list of objects."""

PREFIX = "urn:bridged:schema:"
PRIVATE = "private"
"""The object that holds what is left out unless the operator asks for it: `omit = ["private"]` is every default."""

_TEXT = frozenset({"text", "id", "words"})
_WHOLE = frozenset({"whole", "hours", "minutes", "seconds"})
_SUITS: Mapping[str, frozenset[str]] = {
    "text": _TEXT, "id": frozenset({"id", "text"}), "number": _WHOLE | {"number"}, "whole": frozenset({"whole"}),
    "truth": frozenset({"truth"}), "date": frozenset({"date"}), "time": frozenset({"time"}),
    "datetime": frozenset({"datetime", "epoch_s", "epoch_ms"}), "ms": _WHOLE,
    "texts": frozenset(f"{many} of {one}" for many in ("list", "set") for one in _TEXT),
}  # fmt: skip
"""Which kinds of `bridge/core/kinds.py` yield a field of a shape."""

_NUMBERS: Mapping[str, str] = {"number": "number", "whole": "integer", "ms": "integer", "truth": "boolean"}
DATETIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
"""How every moment is spelled: RFC 3339 in UTC with milliseconds."""
CHANGES: tuple[Change, ...] = get_args(Change)
"""What may happen to an entity of a vendor."""
_PATTERNS: Mapping[str, tuple[str, str]] = {
    "date": (r"^\d{4}-\d{2}-\d{2}$", "date"),
    "time": (r"^\d{2}:\d{2}:\d{2}$", ""),
    "datetime": (DATETIME, "date-time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. `about`: "person" if it says who somebody is; "private" if it is left out unless asked for."""

    kind: Kind
    doc: str
    about: Literal["", "person", "private"] = ""
    fields: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One version of a shape. `name` is what its entities are called in events."""

    name: str
    version: int
    doc: str
    fields: Mapping[str, Field]

    @property
    def id(self) -> str:
        """Such as `person/1`: how an adapter names it."""
        return f"{self.name}/{self.version}"

    @property
    def uri(self) -> str:
        """Its `$id`, which is also `ce-dataschema`."""
        return uri(self.id)

    def schema(self) -> dict[str, Json]:
        """The JSON Schema (draft 2020-12) of an event's data, as `ce-dataschema` promises; `after` is in its `$defs`.

        `before` may have been stored by an older version, so nothing is said of its fields.
        """
        after = {**_object(self.fields), "type": ["object", "null"]}
        return data_schema(self.id, self.doc, self.name, after, CHANGES)

    def suits(self, kinds: Mapping[str, str]) -> bool:
        """Whether a mapping by these kinds (our name: kind) yields the shape: what it shares is of the right kind."""
        shared = 0
        for name, kind in kinds.items():
            declared = self._field(name)
            if declared is None:
                continue
            shared += 1
            if re.sub(r"words .*", "words", kind) not in _SUITS.get(declared.kind, ()):
                return False
        return shared > 0

    def paths(self, about: str) -> list[str]:
        """The paths of all fields that are `about` that, as `omit` spells them."""
        return list(_paths(self.fields, about, ""))

    def _field(self, name: str) -> Field | None:
        """The field a mapping writes: a plain one, or one of an object (the whole of what is none: no kind suits)."""
        group, _, last = name.rpartition(".")
        outer = self.fields.get(group or name)
        if outer is None or not group:
            return outer
        return outer.fields.get(last) if outer.kind == "object" else _NO_OBJECT


_NO_OBJECT = Field(kind="objects", doc="stands for what an object cannot be")


def uri(id_: str) -> str:
    """`urn:bridged:schema:person:1` for `person/1`."""
    return PREFIX + id_.replace("/", ":")


def data_schema(id_: str, doc: str, name: str, after: Json, changes: Iterable[str]) -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) called `id_` of an event's data; that of `after` is in its `$defs` by `name`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": uri(id_),
        "title": id_,
        "description": doc,
        "type": "object",
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "change": {"enum": list(changes)},
            "version": {"type": ["string", "null"]},
            "after": {"$ref": f"#/$defs/{name}"},
            "before": {"type": ["object", "null"]},
            "changed": {"type": "array", "items": {"type": "string"}},
            "raw": True,
            "omitted": {"type": "array", "items": {"enum": ["raw", "before"]}},
        },
        "required": ["id", "change", "version", "after", "before", "changed", "raw", "omitted"],
        "$defs": {name: after},
    }


def _object(fields: Mapping[str, Field]) -> dict[str, Json]:
    return {"type": "object", "properties": {name: _schema(one) for name, one in fields.items()}}


def _schema(one: Field) -> dict[str, Json]:
    said: dict[str, Json] = {"description": one.doc}
    if one.about:
        said["x-about"] = one.about
    if one.kind == "ms":
        said["x-unit"] = "ms"
    if one.kind in _NUMBERS:
        return {"type": [_NUMBERS[one.kind], "null"], **said}
    if one.kind == "object":
        return {**_object(one.fields), "type": ["object", "null"], **said}
    if one.kind == "objects":
        return {"type": ["array", "null"], "items": _object(one.fields), **said}
    if one.kind == "texts":
        return {"type": ["array", "null"], "items": {"type": "string"}, **said}
    found: dict[str, Json] = {"type": ["string", "null"]}
    if one.kind in _PATTERNS:
        pattern, form = _PATTERNS[one.kind]
        found |= {"pattern": pattern} | ({"format": form} if form else {})
    return found | said


def _paths(fields: Mapping[str, Field], about: str, before: str) -> Iterator[str]:
    for name, one in fields.items():
        path = f"{before}{name}"
        if one.about == about:
            yield path
        else:
            yield from _paths(one.fields, about, f"{path}.*." if one.kind == "objects" else f"{path}.")


def confides(fields: Iterable[str]) -> bool:
    """Whether some of these fields are in `private`: then what cannot be read of such a row is not kept."""
    return any(name.startswith(f"{PRIVATE}.") for name in fields)
