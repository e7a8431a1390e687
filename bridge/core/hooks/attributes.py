"""CloudEvents 1.0 attributes as they come in: which are needed, how names are spelled, what their types may hold.

Source: https://github.com/cloudevents/spec, cloudevents/spec.md, sections "Context Attributes" and "Type System".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from bridge.core import iso8601
from bridge.core.errors import Malformed
from bridge.core.hooks.refusal import Unsupported
from bridge.core.record import Json

REQUIRED = ("specversion", "id", "source", "type")
VERSION = "1.0"

_NAME = re.compile(r"[a-z0-9]{1,256}", re.ASCII)
# Controls, halves of surrogate pairs, and what Unicode says will never be a character.
_FORBIDDEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
# RFC 3986: characters of a URI, and escapes that are whole.
_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.ASCII)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the word RFC 2045 has for it
# Nowhere two repetitions of blanks in a row: many of them would be divided in every way there is.
_MEDIA_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))*[ \t]*(?:;[ \t]*)?', re.ASCII
)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,30})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_INT32 = range(-(2**31), 2**31)


def validated(given: Mapping[str, Json]) -> dict[str, Json]:
    """The attributes that are set; JSON's null is not. Raises Malformed, and Unsupported for another version.

    Their values: text, boolean or a whole number. What extensions mean by their text is not known here.
    """
    found = {name: value for name, value in given.items() if value is not None}
    version = found.get("specversion")
    if isinstance(version, str) and version and version != VERSION:
        raise Unsupported(f"CloudEvents in another version than {VERSION}")
    for name in REQUIRED:
        if name not in found:
            raise Malformed(f"the CloudEvents attribute {name} is missing")
    for name, value in found.items():
        if not _NAME.fullmatch(name):
            raise Malformed("a CloudEvents attribute whose name is not made of lower-case letters and digits")
        if name == "data":
            raise Malformed("a CloudEvents attribute may not be named data")
        _check(name, value)
    return found


def media_type(text: str) -> tuple[str, str]:
    """A content type in lower case without parameters, and its charset ("" where it names none)."""
    kind, *parameters = text.split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return kind.strip().lower(), charset


def _check(name: str, value: Json) -> None:
    if isinstance(value, bool):
        fine = name not in _RULES
    elif isinstance(value, int):
        fine = name not in _RULES and value in _INT32
    elif isinstance(value, str):
        if _FORBIDDEN.search(value):
            raise Malformed(f"the CloudEvents attribute {name} holds a character that no attribute may hold")
        fine = _RULES.get(name, _any)(value)
    else:
        fine = False
    if not fine:
        raise Malformed(
            f"the CloudEvents attribute {name} is not {_EXPECTED.get(name, 'of a type that attributes have')}"
        )


def _any(_: str) -> bool:
    return True


def _reference(value: str) -> bool:
    return bool(_REFERENCE.fullmatch(value))


def _uri(value: str) -> bool:
    return bool(_REFERENCE.fullmatch(value) and _ABSOLUTE.fullmatch(value))


def _time(value: str) -> bool:
    if not _RFC3339.fullmatch(value):
        return False
    try:
        return iso8601.millis({"time": value}, "time") is not None
    except Malformed:
        return False


_RULES: Mapping[str, Callable[[str], bool]] = {
    "specversion": VERSION.__eq__,
    "id": bool,
    "source": _reference,
    "type": bool,
    "subject": bool,
    "time": _time,
    "dataschema": _uri,
    "datacontenttype": lambda value: bool(_MEDIA_TYPE.fullmatch(value)),
}
_EXPECTED = {
    "id": "text that is not empty",
    "source": "a URI reference",
    "type": "text that is not empty",
    "subject": "text that is not empty",
    "time": "an RFC 3339 time",
    "dataschema": "an absolute URI",
    "datacontenttype": "a media type",
}
