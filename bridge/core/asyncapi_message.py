"""Messages of the AsyncAPI document: one for each topic, shared by the channel that is stored and the live one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.core.asyncapi_sample import first, sample
from bridge.core.asyncapi_schemas import ATTRIBUTES, DATA, HEADERS, reference
from bridge.core.asyncapi_topic import Topic
from bridge.core.own import OWN
from bridge.core.record import Json
from bridge.core.shape import uri
from bridge.core.shapes import SHAPES

CONTENT = {"binary": "application/json", "structured": "application/cloudevents+json"}
"""What the payload is, by content mode."""
CORRELATION = "event"

_SPECIAL = re.compile(r"[.^$*+?()\[\]{}|\\/]")


def message(topic: Topic, mode: str) -> dict[str, Json]:
    """The message of a topic: headers, payload, and one example."""
    structured = mode == "structured"
    shown = sample(topic, first(topic), structured=structured)
    said: dict[str, Json] = {
        "name": f"{topic.type_prefix}.{topic.entity or 'any'}",
        "title": _title(topic),
        "summary": _summary(topic),
        "contentType": CONTENT[mode],
    }
    fixed = _fixed(topic, encoded=not structured)
    required = ["dataschema"] if topic.schema is not None else []
    payload = reference(topic.schema or DATA)
    if structured:
        said["headers"] = reference(HEADERS[mode])
        said["payload"] = {
            "type": "object",
            "allOf": [reference(ATTRIBUTES)],
            "properties": {**fixed, "data": payload},
            **({"required": required} if required else {}),
        }
    else:
        said["headers"] = {
            "type": "object",
            "allOf": [reference(HEADERS[mode])],
            "properties": {f"ce-{name}": value for name, value in fixed.items()},
            **({"required": [f"ce-{name}" for name in required]} if required else {}),
        }
        said["payload"] = payload
    said["correlationId"] = {"$ref": f"#/components/correlationIds/{CORRELATION}"}
    said["examples"] = [{"name": first(topic), **shown.example()}]
    return said


def correlation(mode: str) -> dict[str, Json]:
    """By what repeated deliveries of an event are known."""
    at = "payload#/id" if mode == "structured" else "header#/ce-id"
    return {"description": "Names the change for good, however often it is delivered.", "location": f"$message.{at}"}


def _fixed(topic: Topic, *, encoded: bool) -> dict[str, Json]:
    """The attributes that are the same in all events of a topic, or one of a few. `encoded`: as headers have them."""

    def told(change: str, source: str | None = None) -> Mapping[str, str]:
        made = sample(topic, change, structured=not encoded, source=source)
        if not encoded:
            return made.attributes
        return {name[len("ce-") :]: value for name, value in made.headers.items() if name.startswith("ce-")}

    source = _one_of([told(topic.changes[0], name)["source"] for name in topic.names or (topic.source,)])
    if topic.entity is None:
        prefix, changes = _SPECIAL.sub(r"\\\g<0>", topic.type_prefix), "|".join(topic.changes)
        type_: Json = {"type": "string", "pattern": f"^{prefix}\\..+\\.({changes})$"}
    else:
        type_ = _one_of([told(change)["type"] for change in topic.changes])
    found: dict[str, Json] = {"source": source, "type": type_}
    if topic.schema is not None:
        found["dataschema"] = {"const": uri(topic.schema)}
    return found


def _one_of(values: Sequence[str]) -> dict[str, Json]:
    return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}


def _title(topic: Topic) -> str:
    entity = topic.entity or "any other entity"
    return f"{topic.vendor}: {entity}" if topic.source is None else f"{topic.vendor}, {topic.source}: {entity}"


def _summary(topic: Topic) -> str:
    if topic.schema is not None:
        return (SHAPES.get(topic.schema) or OWN[topic.schema]).doc
    if topic.entity is None:
        return "Entities whose names only the vendor's data tells."
    return "An entity as its vendor has it, or as the configuration maps it."
