"""Example events of the AsyncAPI document, sealed as real ones are, so that they cannot say anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.core.asyncapi_topic import Topic
from bridge.core.content import attributes_of
from bridge.core.event import Draft, seal
from bridge.core.record import Json, Key
from bridge.core.shape import Field, uri
from bridge.core.shapes import SHAPES

NOON_MS: Final = 1_709_208_000_000
"""2024-02-29T12:00:00Z."""
TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_PREVIOUS = "3" * 32
_DIGEST = "1:6f1ed002ab5595859014ebf0951522d9"
_ID = {"gap": "9f86d081884c7d659a2feaa0", "quarantine": "ef2d127de37b942baad06145e54b0c61"}
_FIRST = ("updated", "connected")
_ROOM = 1 << 20
_VALUES: Mapping[str, Json] = {
    "text": "text", "id": "17", "number": 1.5, "whole": 3, "truth": True, "date": "2024-02-29", "time": "12:00:00",
    "datetime": "2024-02-29T12:00:00.000Z", "ms": 125_000, "texts": ["text"],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One event: its `attributes` as CloudEvents calls them, and as a message of either content mode."""

    headers: Mapping[str, str]
    payload: Json
    attributes: Mapping[str, str]

    def example(self) -> dict[str, Json]:
        """As a message's example, without what is for the server alone."""
        headers = {name: value for name, value in self.headers.items() if not name.startswith("Nats-")}
        return {"headers": headers, "payload": self.payload}


def sample(topic: Topic, change: str, *, structured: bool, source: str | None = None) -> Sample:
    """An event of this topic. `source`: where the topic's varies; the first by default."""
    name = source or topic.source or topic.names[0]
    entity = topic.entity or "thing"
    after = None if change == "deleted" else _after(topic)
    before = _after(topic) if change in ("updated", "deleted") else None
    # What a source is called is its id, too.
    id_ = name if topic.own and entity == "source" else _ID.get(entity if topic.own else "", "4711")
    draft = Draft(
        key=Key(topic.vendor, name, entity, id_),
        change=change,
        ce_type=f"{topic.type_prefix}.{entity}.{change}",
        via="live",
        observed_ms=NOON_MS + 40,
        expected=0 if before is None else 9240,
        previous="" if before is None else _PREVIOUS,
        digest=_DIGEST,
        after=after,
        at_ms=NOON_MS,
        before=before,
        dataschema=None if topic.schema is None else uri(topic.schema),
        traceparent=TRACE,
        lane=topic.lane,
    )
    event = seal(draft, _encode, _ROOM, structured=structured)
    payload = json.loads(event.payload)
    return Sample(event.headers, payload, attributes_of(event.headers, payload))


def first(topic: Topic) -> str:
    """The change that an example shows."""
    return next((change for change in _FIRST if change in topic.changes), topic.changes[0])


def _after(topic: Topic) -> Json:
    if topic.own is not None:
        return dict(topic.own.example)
    if topic.schema is None:
        return {"name": "text"}
    return _filled(SHAPES[topic.schema].fields)


def _filled(fields: Mapping[str, Field]) -> dict[str, Json]:
    return {name: _value(one) for name, one in fields.items() if one.about != "private"}


def _value(one: Field) -> Json:
    if one.kind == "object":
        return _filled(one.fields)
    return [_filled(one.fields)] if one.kind == "objects" else _VALUES[one.kind]


def _encode(value: Json) -> bytes:
    return json.dumps(value).encode()
