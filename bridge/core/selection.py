"""Fields of a GraphQL object that an operator adds: what to ask for, and how to read what comes.

One field is `<path>`, such as `location.country.code`, where lists are gone through; after it may stand a selection
(`area { id lat lon }`) and what the value is: `startsAt as datetime`, `stay as duration`. A step may have arguments
(`name(language: "en")`); it then comes under our own name, so that it may stand beside the same without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.core import iso8601
from bridge.core.errors import Malformed
from bridge.core.fields import kind
from bridge.core.record import Json
from bridge.core.settings import BadSetting

_STEP = r'[A-Za-z_]\w*(?:\((?:[^(){}"]|"[^"\\\n]*")+\))?'
_FIELD = re.compile(rf"\s*({_STEP}(?:\.{_STEP})*)\s*(\{{[\w\s{{}}():,.\[\]-]*\}})?(?:\s+as\s+([a-z]+))?\s*", re.ASCII)
_OURS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_KINDS = ("datetime", "duration")


@dataclass(frozen=True, slots=True)
class Selected:
    """One field: our name, what to select, the keys that lead to it in an answer, and what it is ("": anything)."""

    name: str
    text: str
    keys: tuple[str, ...]
    kind: str = ""


def parse(fields: Mapping[str, str], key: str, taken: Iterable[str] = ()) -> list[Selected]:
    """The fields of the setting `key`. Raises BadSetting, also for names that are `taken` already."""
    taken, found = set(taken), []
    for name, text in fields.items():
        if not _OURS.fullmatch(name) or name in taken:
            raise BadSetting("expected a name of letters, digits and _ on the left, and none that is ours", key, name)
        match = _FIELD.fullmatch(text)
        if match is None or not _balanced(match[2] or ""):
            raise BadSetting('expected a field such as area.code, or "startsAt as datetime"', key, name)
        if match[3] and match[3] not in _KINDS:
            raise BadSetting(f"expected one of {', '.join(_KINDS)} after `as`", key, name)
        found.append(_selected(name, re.findall(_STEP, match[1], re.ASCII), match[2] or "", match[3] or ""))
    return found


def is_word(text: str) -> bool:
    """Whether this may stand for a name or a language in a document: letters, digits, `_` and `-`."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,99}", text) is not None


def read(selected: Iterable[Selected], row: Json) -> dict[str, Json]:
    """The values, by our names; None where one is absent. Raises Malformed."""
    try:
        return {one.name: _read(one, row) for one in selected}
    except RecursionError:
        raise Malformed("the record is nested too deeply") from None


def _selected(name: str, steps: list[str], inner: str, kind_: str) -> Selected:
    keys = tuple(name if "(" in step else step for step in steps)
    parts = [f"{name}: {step}" if "(" in step else step for step in steps]
    text = f"{parts[-1]} {inner}".strip()
    for part in reversed(parts[:-1]):
        text = f"{part} {{ {text} }}"
    return Selected(name, text, keys, kind_)


def _read(one: Selected, row: Json) -> Json:
    value = _at(row, one.keys, one.name)
    if one.kind == "datetime":
        return iso8601.stamps(value, one.name)
    return _durations(value, one.name) if one.kind == "duration" else value


def _durations(value: Json, name: str) -> Json:
    return [_durations(item, name) for item in value] if isinstance(value, list) else iso8601.duration_ms(value, name)


def _at(value: Json, keys: tuple[str, ...], name: str) -> Json:
    if not keys or value is None:
        return value
    if isinstance(value, list):
        return [_at(item, keys, name) for item in value]
    if not isinstance(value, dict):
        raise Malformed(f"{name}: {kind(value)} where an object with {keys[0]} was expected")
    return _at(value.get(keys[0]), keys[1:], name)


def _balanced(text: str) -> bool:
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0 and position < len(text) - 1:
            return False
    return depth == 0
