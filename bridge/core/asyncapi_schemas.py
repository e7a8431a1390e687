"""Schemas of the AsyncAPI document: headers, attributes and data of messages, in JSON Schema that draft 07 knows, too.

AsyncAPI 3 takes its schemas for draft 07 with more keywords, and resolves every `$ref` from the document's root. So
each of ours stands there as it is printed by `bridged schema`, but with its `$defs` put in their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from bridge.core.content import CONTENT_TYPE
from bridge.core.event import EXPECTED, EXPECTED_SUBJECT
from bridge.core.head import DIGEST, ID, SUBJECT, VERSION
from bridge.core.own import OWN
from bridge.core.record import Json
from bridge.core.shape import CHANGES, DATETIME, data_schema, uri
from bridge.core.shapes import SHAPES

HEADERS: Final = {"binary": "headers-binary/1", "structured": "headers-structured/1"}
"""By content mode."""
ATTRIBUTES: Final = "cloudevent/1"
DATA: Final = "data/1"
"""Of data whose entity has no shape that vendors share."""

_STAMP: Final[Mapping[str, Json]] = {"type": "string", "pattern": DATETIME, "format": "date-time"}
_NAME: Final[Mapping[str, Json]] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TRACE: Final = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"

_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "datacontenttype", "via", "observedtime")
_KNOWN: Final[Mapping[str, Mapping[str, Json]]] = {
    "specversion": {"const": "1.0", "description": "of CloudEvents"},
    "id": {**_NAME, "description": "names this change for good: know repeated deliveries by it"},
    "source": {"type": "string", "pattern": "^/", "description": "`/<vendor>/<source>`, a URI-reference"},
    "type": {"type": "string", "minLength": 1, "description": "whose event it is, of which entity, which change"},
    "subject": {"type": "string", "minLength": 1, "description": "the vendor's id of the entity, whole"},
    "time": {**_STAMP, "description": "when it happened at the vendor; where it does not say, when we saw it"},
    "observedtime": {**_STAMP, "description": "when we saw it"},
    "datacontenttype": {"const": "application/json", "description": "of the data"},
    "via": {"enum": ["live", "catchup", "snapshot"], "description": "how we came to know"},
    "dataschema": {"type": "string", "pattern": "^urn:bridged:schema:", "description": "what the data keeps to"},
    "traceparent": {"type": "string", "pattern": _TRACE, "description": "W3C trace context of what brought it"},
}
_BESIDE: Final[Mapping[str, Mapping[str, Json]]] = {
    VERSION: {"type": "string", "minLength": 1, "description": "the vendor's version, if it has one"},
    DIGEST: {"type": "string", "minLength": 1, "description": "`<mapping version>:<hash of after>`"},
    SUBJECT: {"type": "string", "minLength": 1, "description": "the vendor's id, where ce-subject cannot hold it"},
    "KV-Operation": {"const": "DEL", "description": "on `deleted` only"},
    EXPECTED: {"type": "string", "pattern": "^[0-9]+$", "description": "for the server; of no use to consumers"},
    EXPECTED_SUBJECT: {"type": "string", "description": "for the server; of no use to consumers"},
}


def binary_headers() -> dict[str, Json]:
    """Headers of a message in binary mode. Values are percent-encoded, as the NATS binding says."""
    properties = {f"ce-{name}": dict(said) for name, said in _KNOWN.items()}
    required = [*(f"ce-{name}" for name in _REQUIRED), DIGEST]
    return _headers("binary", properties | _copied(_BESIDE), required)


def structured_headers() -> dict[str, Json]:
    """Headers of a message in structured mode: what the bridge's own memory needs."""
    first: dict[str, Json] = {
        CONTENT_TYPE: {"type": "string", "pattern": "^application/cloudevents\\+json", "description": "of the payload"},
        ID: {**_NAME, "description": "the event's id"},
    }
    return _headers("structured", first | _copied(_BESIDE), [*first, DIGEST])


def attributes() -> dict[str, Json]:
    """The payload of a message in structured mode, but for its data: a CloudEvent in JSON."""
    return {
        "$id": uri(ATTRIBUTES),
        "title": ATTRIBUTES,
        "description": "A CloudEvent in JSON. Expect further attributes, and ignore those you do not know.",
        "type": "object",
        "properties": {**_copied(_KNOWN), "data": {"type": "object"}},
        "required": [*_REQUIRED, "data"],
    }


def data() -> dict[str, Json]:
    """The data of an entity that is a vendor's own, or an operator's: nothing is said of the fields of `after`."""
    after = {"type": ["object", "null"]}
    doc = "What every event's data holds; `after` is the entity as its vendor has it, or as it is mapped."
    return embedded(data_schema(DATA, doc, "any", after, CHANGES))


def schemas(ids: Iterable[str], mode: str) -> dict[str, Json]:
    """`components.schemas`: what every document has, and the data schemas `ids`, such as `person/1`; sorted."""
    made: dict[str, Json] = {DATA: data()}
    if mode == "structured":
        made |= {HEADERS[mode]: structured_headers(), ATTRIBUTES: attributes()}
    else:
        made[HEADERS["binary"]] = binary_headers()
    for id_ in ids:
        made[id_] = embedded((SHAPES.get(id_) or OWN[id_]).schema()) if id_ != DATA else made[DATA]
    return {component(id_): made[id_] for id_ in sorted(made)}


def component(id_: str) -> str:
    """What a schema is called among the components: `person-1` for `person/1`."""
    return id_.replace("/", "-")


def reference(id_: str) -> dict[str, Json]:
    """A `$ref` to a schema among the components."""
    return {"$ref": f"#/components/schemas/{component(id_)}"}


def embedded(schema: Mapping[str, Json]) -> dict[str, Json]:
    """A schema of ours as a part of another document."""
    found = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
    parts = {f"#/$defs/{name}": part for name, part in schema.get("$defs", {}).items()}
    found["properties"] = {
        name: parts.get(said.get("$ref", ""), said) if isinstance(said, Mapping) else said
        for name, said in schema["properties"].items()
    }
    return found


def _headers(mode: str, properties: Mapping[str, Json], required: Iterable[str]) -> dict[str, Json]:
    return {
        "$id": uri(HEADERS[mode]),
        "title": HEADERS[mode],
        "description": "Values are percent-encoded: decode each exactly once. Expect further headers, and ignore those "
        "you do not know.",
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
    }


def _copied(said: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    return {name: dict(one) for name, one in said.items()}
