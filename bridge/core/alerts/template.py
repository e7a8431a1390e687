"""Texts with fields of an event in them: `{after.name}`, `{after.name | unknown}`, and `{{`, `}}` for the signs.

A path goes through objects by name and through lists by number (`changed.0`). Text appears as it is, a number as in
JSON, an object or a list as compact JSON. What comes out has no control characters but line feeds, so no value can
forge another line of a header, of a log, or of a terminal.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.core.record import Json

NAMES = (
    "vendor", "source", "entity", "change", "id", "ce_id", "type", "time", "observed", "via", "version", "after",
    "before", "changed",
)  # fmt: skip
"""The fields of an event: `Event.variables()`."""

LONGEST_TITLE = 250
"""Characters."""
LONGEST_BODY = 8192
"""Bytes of UTF-8."""
LONGEST_TEMPLATE = 8192
"""Characters."""
MOST_FIELDS = 100
LONGEST_VALUE = 4096
"""Characters of one value; more of it is not shown."""

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[^\s.{}|]+)*")
_ABSENT = object()
_MORE = "…"


class BadTemplate(ValueError):
    """The template cannot be used. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Field:
    """One `{path | otherwise}`; `otherwise` is None where nothing was given."""

    path: str
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and fields, in their order."""

    parts: tuple[str | Field, ...]

    def render(self, variables: Mapping[str, Json]) -> tuple[str, tuple[str, ...]]:
        """The text, as long as it comes, and the paths without a default that the event lacks. Never raises.

        A field that is null is shown as one that is missing, but is not reported as one: vendors say null for "none".
        """
        pieces: list[str] = []
        missing: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            value = _walk(variables, part.path)
            if value is None or value is _ABSENT:
                pieces.append(f"(no {part.path})" if part.otherwise is None else part.otherwise)
                if value is _ABSENT and part.otherwise is None and part.path not in missing:
                    missing.append(part.path)
            else:
                pieces.append(shown(value))
        return "".join(pieces), tuple(missing)


def compiled(text: str) -> Template:
    """The template. Raises BadTemplate."""
    if len(text) > LONGEST_TEMPLATE:
        raise BadTemplate(f"longer than {LONGEST_TEMPLATE} characters", 1, 1)
    parts: list[str | Field] = []
    plain: list[str] = []
    place = 0
    while place < len(text):
        sign = text[place]
        if sign in "{}" and text[place : place + 2] == sign * 2:
            plain.append(sign)
            place += 2
        elif sign == "{":
            end = text.find("}", place)
            if end < 0:
                raise _bad(text, place, "this { is never closed; a { that is meant as such is written {{")
            if plain:
                parts.append("".join(plain))
                plain = []
            parts.append(_field(text, place, end))
            place = end + 1
        elif sign == "}":
            raise _bad(text, place, "this } closes nothing; a } that is meant as such is written }}")
        else:
            plain.append(sign)
            place += 1
    if plain:
        parts.append("".join(plain))
    if sum(isinstance(part, Field) for part in parts) > MOST_FIELDS:
        raise BadTemplate(f"names more than {MOST_FIELDS} fields", 1, 1)
    return Template(tuple(parts))


def path_problem(path: str) -> str | None:
    """What is wrong with a path, as a sentence; None: nothing."""
    if not _PATH.fullmatch(path):
        return "expected a path such as after.name"
    if path.partition(".")[0] not in NAMES:
        return f"an event has no field {path.partition('.')[0]}; it has: {', '.join(NAMES)}"
    return None


def field_text(variables: Mapping[str, Json], path: str) -> str | None:
    """A field as text on one line; None where it is missing or null."""
    value = _walk(variables, path)
    return None if value is None or value is _ABSENT else one_line(shown(value))


def shown(value: Json) -> str:
    """A value as people read it, not longer than LONGEST_VALUE."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + _MORE


def one_line(text: str, longest: int = LONGEST_TITLE) -> str:
    """One clean line of at most `longest` characters."""
    line = " ".join(clean(text[: 8 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + _MORE


def bounded(text: str) -> str:
    """Clean lines of at most LONGEST_BODY bytes."""
    text = clean(text[: 2 * LONGEST_BODY]).strip()
    data = text.encode()
    if len(data) <= LONGEST_BODY:
        return text
    return data[: LONGEST_BODY - len(_MORE.encode())].decode("utf-8", "ignore").rstrip() + _MORE


def clean(text: str) -> str:
    """Without control characters but line feeds, without signs that turn the reading direction, and valid Unicode."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(_cleaned(sign) for sign in text)


def _cleaned(sign: str) -> str:
    if sign == "\n" or sign.isprintable():
        return sign
    kind = unicodedata.category(sign)
    if kind in ("Zl", "Zp"):
        return "\n"
    if kind == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    if kind == "Zs" or sign == "\t":
        return " "
    # Joiners belong to words and to pictograms of several signs.
    return sign if sign in "\u200c\u200d" or kind in ("Cn", "Co") else ""


def _walk(variables: Mapping[str, Json], path: str) -> Json:
    value: Json = variables
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step, _ABSENT)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 9:
            value = value[int(step)] if int(step) < len(value) else _ABSENT
        else:
            return _ABSENT
    return value


def _field(text: str, begin: int, end: int) -> Field:
    inside = text[begin + 1 : end]
    if "{" in inside:
        raise _bad(text, begin, "this { is never closed; a { that is meant as such is written {{")
    path, bar, otherwise = inside.partition("|")
    if problem := path_problem(path.strip()):
        raise _bad(text, begin, problem)
    return Field(path.strip(), otherwise.strip() if bar else None)


def _bad(text: str, place: int, message: str) -> BadTemplate:
    line = text.count("\n", 0, place) + 1
    return BadTemplate(message, line, place - text.rfind("\n", 0, place))
