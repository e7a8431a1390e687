"""The bridge's own events: what each of them holds, as versioned schemas. `ce-dataschema` announces them.

What was published under a version stays valid under it, and the other way round: a field may join that need not be
there; everything else makes a new version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.record import Json
from bridge.core.shape import DATETIME, data_schema, uri

VENDOR = "bridge"
"""The vendor of their subjects."""
PREFIX = "bridged"
"""What their `ce-type` begins with."""


def _text(doc: str, **more: Json) -> dict[str, Json]:
    return {"type": "string", **more, "description": doc}


def _moment(doc: str) -> dict[str, Json]:
    return {"type": "string", "pattern": DATETIME, "format": "date-time", "description": doc}


def _whole(doc: str) -> dict[str, Json]:
    return {"type": "integer", "minimum": 0, "description": doc}


def _list(most: int, doc: str, **fields: Mapping[str, Json]) -> dict[str, Json]:
    items = {"type": "object", "properties": dict(fields), "required": list(fields)}
    return {"type": "array", "maxItems": most, "items": items, "description": doc}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """One entity of the bridge's own. `fields` are those of `after`; those not `optional` are always there.

    `about`: what stands where others have the source. `example`: an `after` as it may be.
    """

    entity: str
    version: int
    changes: Sequence[str]
    doc: str
    about: str
    fields: Mapping[str, Json]
    optional: Sequence[str] = ()
    example: Mapping[str, Json] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Such as `bridge-gap/1`."""
        return f"{VENDOR}-{self.entity}/{self.version}"

    @property
    def uri(self) -> str:
        """Its `$id`, which is also `ce-dataschema`."""
        return uri(self.id)

    def schema(self) -> dict[str, Json]:
        """The JSON Schema (draft 2020-12) of its events' data; `after` is in its `$defs`."""
        after = {
            "type": "object",
            "properties": dict(self.fields),
            "required": [name for name in self.fields if name not in self.optional],
        }
        return data_schema(self.id, self.doc, f"{VENDOR}-{self.entity}", after, self.changes)


GAP = Own(
    entity="gap", version=1, changes=("opened", "closed"),
    doc="From when to when changes may have been missed that cannot be asked for again.",
    about="the source that they were missed of",
    fields={
        "feed": _text("what was not heard: a walk, `live`, or `stream`"),
        "reason": _text("why"),
        "from": _moment("when it began"),
        "to": {**_moment("when it ended; null while it is open"), "type": ["string", "null"]},
    },
    example={
        "feed": "live", "reason": "the live session was down", "from": "2024-02-29T12:00:00.000Z", "to": None,
    },
)  # fmt: skip

SOURCE = Own(
    entity="source", version=1, changes=("connected", "lost", "blocked", "recovered"),
    doc="How a source is: connected and recovered when it reads its vendor, lost when it does not reach it, blocked "
    "when a human is needed.",
    about="the source",
    fields={
        "vendor": _text("whom it reads"),
        "state": _text("where in its life it is, such as live or waiting"),
        "reason": _text("why; empty where all is well"),
        "half": _text("what this is about; empty: all of it", enum=["", "live", "reading", "deletes"]),
        "failing_since": _moment("since when"),
        "again": _moment("when it is tried again"),
        "walks": {
            "type": "array", "maxItems": 100, "items": {"type": "string"}, "description": "walks that are refused",
        },
        "held": _list(
            100, "deletes that wait for an operator", walk=_text("the walk that found them"),
            entity=_text("of which entity"), count=_whole("how many"),
        ),
    },
    optional=("failing_since", "again", "walks", "held"),
    example={
        "vendor": "pcvisit", "state": "waiting", "reason": "HTTP status 503", "half": "",
        "failing_since": "2024-02-29T12:00:00.000Z",
    },
)  # fmt: skip

QUARANTINE = Own(
    entity="quarantine", version=1, changes=("occurred",),
    doc="What could not be read, or was too large to be stored, kept as it came.",
    about="the source that it came from, or the alert that it was to be",
    fields={
        "vendor": _text("whose it is"),
        "feed": _text("where it came from: a walk, `live`, or the entity that it was to become"),
        "reason": _text("why it could not be published"),
        "bytes": _whole("how long it is"),
        "truncated": {"type": "boolean", "description": "whether less of it is kept than came"},
        "raw": _text("what came, if that is text"),
        "raw_base64": _text("what came, if that is no text", contentEncoding="base64"),
    },
    optional=("raw", "raw_base64"),
    example={
        "vendor": "pcvisit", "feed": "sessions-fast-1", "reason": "id is missing", "bytes": 12, "truncated": False,
        "raw": '{"id": null}',
    },
)  # fmt: skip

ALERT = Own(
    entity="alert", version=1, changes=("occurred",),
    doc="An alert of the configuration has decided to tell of something.",
    about="the alert",
    fields={
        "alert": _text("its name"),
        "group": _text("the values of what it groups by; empty without"),
        "title": _text("the first line"),
        "body": _text("the text; may be empty"),
        "severity": _text("how channels present it", enum=["info", "success", "warning", "failure"]),
        "count": _whole("how many events it tells of"),
        "held": _whole("how many of the group were held back since the last one"),
        "events": _list(
            20, "the first of those events", subject=_text("where it is stored"), ce_id=_text("its identity"),
            seq=_whole("its place in the stream"),
        ),
        "first": _moment("when the first of them happened"),
        "last": _moment("when the last of them happened"),
    },
    example={
        "alert": "new-session", "group": "", "title": "Printer", "body": "a session has begun", "severity": "info",
        "count": 1, "held": 0,
        "events": [
            {
                "subject": "events.pcvisit.acme.session.created.4711", "ce_id": "0123456789abcdef0123456789abcdef",
                "seq": 9241,
            }
        ],
        "first": "2024-02-29T12:00:00.000Z", "last": "2024-02-29T12:00:00.000Z",
    },
)  # fmt: skip

OWN: Mapping[str, Own] = {one.id: one for one in (GAP, SOURCE, QUARANTINE, ALERT)}
"""Every version there is, as `bridge-gap/1`."""


def announced(entity: str) -> str | None:
    """The schema that events of this entity of ours keep to, as `bridge-gap/1`; None: there is none."""
    found = [one for one in OWN.values() if one.entity == entity]
    return max(found, key=lambda one: one.version).id if found else None
