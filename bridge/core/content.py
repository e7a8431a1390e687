"""Where a message of ours holds its attributes and its data: the two content modes of CloudEvents on NATS.

NATS binding of CloudEvents 1.0, section 3: a message whose `Content-Type` begins with `application/cloudevents` is in
structured mode, its payload one JSON document with everything in it; any other is in binary mode, with a `ce-` header
for each attribute, and the data as its payload. Both may lie in one stream: whoever reads asks each message.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping

from bridge.core.head import percent_decode
from bridge.core.record import Json

CONTENT_TYPE = "Content-Type"
PREFIX = "ce-"
STRUCTURED = "application/cloudevents+json; charset=UTF-8"

_FAMILY = "application/cloudevents"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def is_structured(headers: Mapping[str, str]) -> bool:
    """Whether the message is one JSON document. Header names as we write them, or all in lower case."""
    found = headers.get(CONTENT_TYPE) or headers.get("content-type")
    return found is not None and found.lower().startswith(_FAMILY)


def data_of(headers: Mapping[str, str], body: Json) -> Json:
    """The event's data. `body`: the payload, decoded."""
    if not is_structured(headers):
        return body
    return body.get("data") if isinstance(body, dict) else None


def attributes_of(
    headers: Mapping[str, str], body: Json, decode: Callable[[str], str] = percent_decode
) -> dict[str, str]:
    """The event's attributes by their names, without those that are no text. `decode` reads a header's value.

    `body`: the payload, decoded. Raises what `decode` raises.
    """
    if not is_structured(headers):
        return {name[len(PREFIX) :]: decode(value) for name, value in headers.items() if name.startswith(PREFIX)}
    if not isinstance(body, dict):
        return {}
    return {name: value for name, value in body.items() if name != "data" and isinstance(value, str)}


def source_of(vendor: str, source: str) -> str:
    """The `source` attribute of a source's events: a URI-reference."""
    return "".join(f"/{urllib.parse.quote(part, safe='', errors='surrogatepass')}" for part in (vendor, source))


def strictly(value: str) -> str:
    """A header's value by the letter: quotes undone (RFC 7230, 3.2.6), then percent-decoded once.

    Raises ValueError where that gives no UTF-8.
    """
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    return urllib.parse.unquote_to_bytes(value).decode() if "%" in value else value
