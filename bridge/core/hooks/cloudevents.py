"""CloudEvents that come in over HTTP: the binary, the structured and the batched content mode.

Sources: https://github.com/cloudevents/spec, cloudevents/bindings/http-protocol-binding.md and
cloudevents/formats/json-format.md, both 1.0.2. JSON is the one event format that is read.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bridge.core.errors import Malformed
from bridge.core.hooks import strict
from bridge.core.hooks.attributes import REQUIRED, media_type, validated
from bridge.core.hooks.refusal import Unsupported
from bridge.core.record import Json

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PREFIX = "ce-"

Mode = Literal["binary", "structured", "batch"]

_FAMILY = "application/cloudevents"
_NEEDED = frozenset(PREFIX + name for name in REQUIRED)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event. `attributes` are valid, those that are not set are absent; `datacontenttype` is one of them.

    `data`: the JSON value where the content type says JSON (or nothing), text where it says text or XML, otherwise
    base64 text, and then `binary` is true. None where there is none (`empty`), or where it is JSON's null.
    """

    attributes: Mapping[str, Json]
    data: Json = field(default=None, repr=False)
    binary: bool = False
    empty: bool = False

    @property
    def id(self) -> tuple[str, str]:
        """`source` and `id`: equal for the same event, however often it is delivered."""
        return str(self.attributes["source"]), str(self.attributes["id"])


def mode(headers: Mapping[str, str]) -> Mode | None:
    """How a request carries CloudEvents; None if it carries none. Header names are lower case.

    Raises Unsupported for an event format that is not JSON.
    """
    kind, charset = media_type(headers.get("content-type", ""))
    if kind.startswith(_FAMILY):
        if kind not in (STRUCTURED, BATCH):
            raise Unsupported(f"CloudEvents in another format than {STRUCTURED} and {BATCH}")
        if charset not in ("", "utf-8", "utf8", "us-ascii"):
            raise Unsupported("CloudEvents in JSON are UTF-8, whatever charset is named")
        return "structured" if kind == STRUCTURED else "batch"
    return None if _NEEDED.isdisjoint(headers) else "binary"


def read(headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """The events of one request; a batch may be empty. Header names are lower case.

    Raises Malformed for what breaks the specification, with the whole body for the quarantine, and Unsupported for
    other formats and versions, also where there is no CloudEvent at all. One bad event spoils its batch.
    """
    try:
        found = mode(headers)
        if found == "binary":
            return [_binary(headers, body)]
        if found == "structured":
            return [_structured(strict.decode(body))]
        if found == "batch":
            return _batch(strict.decode(body))
    except Malformed as error:
        raise Malformed(str(error), raw=body) from None
    raise Unsupported("no CloudEvent: the attributes are neither in headers nor in the body")


def _binary(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    given: dict[str, Json] = {
        name.removeprefix(PREFIX): _header(value) for name, value in headers.items() if name.startswith(PREFIX)
    }
    content_type = headers.get("content-type", "").strip()
    if given.pop("datacontenttype", content_type) != content_type:
        raise Malformed("the CloudEvents attribute datacontenttype is told by Content-Type alone")
    if content_type:
        given["datacontenttype"] = content_type
    return _event(validated(given), body)


def _structured(value: Json) -> CloudEvent:
    if not isinstance(value, dict):
        raise Malformed("a CloudEvent in JSON is an object")
    given = dict(value)
    has_data, data = "data" in given, given.pop("data", None)
    encoded = given.pop("data_base64", None)
    attributes = validated(given)
    if encoded is not None:
        if has_data:
            raise Malformed("data and data_base64 exclude each other")
        return _event(attributes, _decoded(encoded))
    if has_data and not _is_json(attributes) and not isinstance(data, str):
        raise Malformed("data is not JSON by its content type: expected text, or data_base64")
    return CloudEvent(attributes, data, empty=not has_data)


def _batch(value: Json) -> list[CloudEvent]:
    if not isinstance(value, list):
        raise Malformed("a batch of CloudEvents is a list")
    found = []
    for number, item in enumerate(value, 1):
        try:
            found.append(_structured(item))
        except Malformed as error:
            raise Malformed(f"event {number} of {len(value)}: {error}") from None
    return found


def _event(attributes: Mapping[str, Json], data: bytes) -> CloudEvent:
    """Bytes as what their content type says."""
    if not data:
        return CloudEvent(attributes, empty=True)
    kind, charset = media_type(str(attributes.get("datacontenttype", "")))
    if _is_json(attributes):
        return CloudEvent(attributes, strict.decode(data))
    if (kind.startswith("text/") or kind.endswith(("/xml", "+xml"))) and charset in ("", "utf-8", "utf8", "us-ascii"):
        try:
            return CloudEvent(attributes, data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise Malformed(f"invalid UTF-8 at byte {error.start}") from None
    return CloudEvent(attributes, base64.b64encode(data).decode("ascii"), binary=True)


def _is_json(attributes: Mapping[str, Json]) -> bool:
    kind, _ = media_type(str(attributes.get("datacontenttype", "")))
    return not kind or kind.endswith(("/json", "+json"))


def _decoded(encoded: Json) -> bytes:
    if not isinstance(encoded, str):
        raise Malformed("data_base64 is not text")
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise Malformed("data_base64 is not base64") from None


def _header(value: str) -> str:
    """What a header's value tells: quotes undone (older senders), then escapes, once."""
    value = value.strip()
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            raise Malformed("a header of CloudEvents has a quote without its other half")
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    if "%" not in value:
        return value
    if _BAD_ESCAPE.search(value):
        raise Malformed("a header of CloudEvents has a % that is no escape; write %25")
    try:
        return urllib.parse.unquote_to_bytes(value.encode("utf-8", "surrogatepass")).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a header of CloudEvents is no UTF-8 once its escapes are undone") from None
