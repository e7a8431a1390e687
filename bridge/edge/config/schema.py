"""The JSON Schema of the configuration (draft 2020-12), made from the declarations the loader reads by."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.core.alerts.settings import AlertSettings
from bridge.core.config import DaemonSettings, IngressSettings, NatsSettings, StatusSettings, TracingSettings
from bridge.core.secret import Secret
from bridge.edge.config.convert import at_least, fields_of, is_required, without_none
from bridge.edge.discovery import AdapterClass, summary

_SECRET = {
    "description": "Where the secret is found. It is never written into the file itself.",
    "oneOf": [
        {
            "type": "object",
            "properties": {form: {"type": "string", "minLength": 1, "description": text}},
            "required": [form],
            "additionalProperties": False,
        }
        for form, text in (
            ("env", "an environment variable"),
            ("file", "a file that holds nothing else"),
            ("credential", "a systemd credential"),
        )
    ],
}


def schema(adapters: Mapping[str, AdapterClass]) -> dict[str, Any]:
    """The schema for these adapters, by name."""
    variants = {
        name: {"title": summary(cls) or name, **_table(cls.Settings, {"adapter": {"const": name}})}
        for name, cls in sorted(adapters.items())
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bridged configuration",
        "type": "object",
        "properties": {
            "nats": {"description": _text(NatsSettings), **_table(NatsSettings)},
            "daemon": {"description": _text(DaemonSettings), **_table(DaemonSettings)},
            "ingress": {"description": _text(IngressSettings), **_table(IngressSettings)},
            "status": {"description": _text(StatusSettings), **_table(StatusSettings)},
            "tracing": {"description": _text(TracingSettings), **_table(TracingSettings)},
            "source": {
                "description": "What to read: one table for each source.",
                "type": "array",
                "items": {"oneOf": [{"$ref": f"#/$defs/source.{name}"} for name in variants]} if variants else False,
            },
            "alert": {
                "description": "What to tell people at once: one table for each alert.",
                "type": "array",
                "items": _table(AlertSettings),
            },
        },
        "additionalProperties": False,
        "$defs": {"secret": _SECRET, **{f"source.{name}": variant for name, variant in variants.items()}},
    }


def default_of(field: dataclasses.Field[Any]) -> Any:
    """A key's default as a JSON value; None when it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _table(cls: type, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    fields = fields_of(cls)
    properties = {name: _key(field, hint) for name, (field, hint) in fields.items()}
    for name, extra in (known or {}).items():
        properties[name] = {**properties[name], **extra}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, (field, _) in fields.items() if is_required(field)],
        "additionalProperties": False,
    }


def _key(field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    result = _type(hint)
    text = field.metadata.get("doc", "")
    if field.metadata.get("inferred"):
        text += " (inferred: the vendor does not document it)"
        result["x-inferred"] = True
    if text:
        result["description"] = text
    if (default := default_of(field)) is not None:
        result["default"] = default
    if (least := at_least(field)) is not None:
        result["minimum"] = least
    if field.name == "name":
        result["minLength"] = 1
    return result


def _type(hint: Any) -> dict[str, Any]:
    hint = without_none(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Secret:
        return {"$ref": "#/$defs/secret"}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _table(hint)
    if origin is list:
        return {"type": "array", "items": _type(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(inner[1])}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(part) for part in inner]}
    return dict(msgspec.json.schema(hint))


def _text(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0]
