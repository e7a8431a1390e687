"""Judges whether what is promised under a name may be changed as it was: schemas of one version, and whole documents.

A stream holds for months what was published under a schema, and consumers keep the schema that they were built with.
So old events must keep to the new text, and new events to the old one: nothing may be narrowed, nothing widened. What
is left is a field that joins and need not be there, and words for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bridge.core.record import Json

WORDS = frozenset({"title", "description", "summary", "examples", "$comment"})
"""For people."""
_VERSIONED = re.compile(r"(?P<name>.*[/:-])(?P<version>[0-9]+)")


def schema_breaks(old: Json, new: Json, at: str = "") -> list[str]:
    """What a consumer, or an old event, would stumble over; nothing if the change is none or harmless."""
    return list(_schema(old, new, at or "the schema"))


def document_breaks(old: Json, new: Json) -> list[str]:
    """The same of two AsyncAPI documents of one configuration."""
    return list(_document(old, new))


def _schema(old: Json, new: Json, at: str) -> Iterator[str]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        if old != new:
            yield f"{at}: was {old}, is {new}"
        return
    for key in dict.fromkeys((*old, *new)):
        if key in WORDS or key.startswith("x-"):
            continue
        if key == "required":
            yield from _required(set(old.get(key, ())), set(new.get(key, ())), at)
        elif key in ("properties", "$defs"):
            yield from _properties(old.get(key, {}), new.get(key, {}), at)
        elif key == "items":
            yield from _schema(old.get(key, True), new.get(key, True), f"{at}[]")
        elif old.get(key) != new.get(key):
            yield f"{at}: {key} was {old.get(key)}, is {new.get(key)}"


def _required(old: set[str], new: set[str], at: str) -> Iterator[str]:
    for name in sorted(old - new):
        yield f"{at}.{name} need not be there any more"
    for name in sorted(new - old):
        yield f"{at}.{name} must be there now"


def _properties(old: Mapping[str, Json], new: Mapping[str, Json], at: str) -> Iterator[str]:
    for name, said in old.items():
        if name in new:
            yield from _schema(said, new[name], f"{at}.{name}")
        else:
            yield f"{at}.{name} is gone"


def _document(old: Json, new: Json) -> Iterator[str]:
    if old["asyncapi"].partition(".")[0] != new["asyncapi"].partition(".")[0]:
        yield f"asyncapi: was {old['asyncapi']}, is {new['asyncapi']}"
    for name, channel in old["channels"].items():
        if name not in new["channels"]:
            yield f"channel {name} is gone"
            continue
        yield from _channel(channel, new["channels"][name], f"channel {name}")
    for name, message in old["components"]["messages"].items():
        if name in new["components"]["messages"]:
            yield from _message(message, new["components"]["messages"][name], f"message {name}")
        else:
            yield f"message {name} is gone"
    for name, schema in old["components"]["schemas"].items():
        there = new["components"]["schemas"].get(name)
        # A version that nothing is published under any more is still printed by the program, and frozen by itself.
        yield from _schema(schema, schema if there is None else there, f"schema {name}")


def _channel(old: Json, new: Json, at: str) -> Iterator[str]:
    for key in ("address", "messages"):
        if old[key] != new[key]:
            yield f"{at}: {key} was {old[key]}, is {new[key]}"
    for key in dict.fromkeys((*old["parameters"], *new["parameters"])):
        was, is_ = (set(one["parameters"].get(key, {}).get("enum", ())) for one in (old, new))
        # Sources come and go by the configuration.
        if was != is_ and key != "source":
            yield f"{at}: {key} was one of {sorted(was)}, is one of {sorted(is_)}"
    for key, said in old["x-bridged"].items():
        if new["x-bridged"].get(key) != said:
            yield f"{at}: x-bridged.{key} was {said}, is {new['x-bridged'].get(key)}"


def _message(old: Json, new: Json, at: str) -> Iterator[str]:
    for key in ("name", "contentType", "correlationId"):
        if old[key] != new[key]:
            yield f"{at}: {key} was {old[key]}, is {new[key]}"
    yield from _raised(old["payload"], new["payload"], f"{at}, payload")
    yield from _raised(old["headers"], new["headers"], f"{at}, headers")


def _raised(old: Json, new: Json, at: str) -> Iterator[str]:
    """As `_schema`, but for what is announced and referred to: that may be a newer version of the same."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = dict.fromkeys((*old, *new))
        for key in keys:
            if key in ("properties", "allOf"):
                yield from _raised(old.get(key, {}), new.get(key, {}), at)
            elif key == "required":
                yield from _required(set(old.get(key, ())), set(new.get(key, ())), at)
            elif (key not in old and _is_name(key)) or _lists_sources(key, old.get(key), new.get(key)):
                continue
            else:
                yield from _raised(old.get(key), new.get(key), f"{at}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, pair in enumerate(zip(old, new, strict=True)):
            yield from _raised(*pair, f"{at}[{place}]")
    elif old != new and not _is_newer(old, new):
        yield f"{at}: was {old}, is {new}"


def _lists_sources(key: str, old: Json, new: Json) -> bool:
    """Whether it says whose events of our own there are: sources come and go by the configuration."""
    return key in ("ce-source", "source") and "enum" in (old or ()) and "enum" in (new or ())


def _is_name(key: str) -> bool:
    """Whether it is a field's and no keyword of JSON Schema."""
    return key.startswith("ce-") or key == "dataschema"


def _is_newer(old: Json, new: Json) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    was, is_ = _VERSIONED.fullmatch(old), _VERSIONED.fullmatch(new)
    return bool(was and is_ and was["name"] == is_["name"] and int(is_["version"]) > int(was["version"]))
