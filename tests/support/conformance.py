"""What an adapter's record becomes, and whether that keeps to the schema it announces."""

from __future__ import annotations

import json
from typing import Any

from bridge.adapter import Adapter, Record
from bridge.core.event import Event
from bridge.core.omit import parse
from bridge.core.own import Own
from bridge.core.secret import Masker
from bridge.core.shape import Shape
from bridge.core.subject import MAIN, TELEMETRY
from bridge.engine.scribe import Scribe
from tests.support.desk import NOW_MS, encode
from tests.support.schemas import complaints, shape_of


def conforms(event: Event) -> Shape | Own | None:
    """The schema that the event announces, and keeps to; None if it announces none."""
    found = complaints(event.headers, json.loads(event.payload))
    assert not found, f"{event.subject}: {found}"
    return shape_of(event.headers.get("ce-dataschema", ""))


def published(
    adapter: Adapter[Any], record: Record, *, omits: list[str] | None = None, structured: bool = False
) -> Event:
    """The event that a runner would publish when it sees a record for the first time."""
    paths = [parse(path) for path in (adapter.omit if omits is None else omits)]
    scribe = Scribe(
        vendor=adapter.vendor, source=adapter.settings.name, type_prefix=adapter.type_prefix,
        mapping_version=adapter.mapping_version, omits=paths, keep_raw=True, encode=encode, limit=1_048_576,
        wall=lambda: NOW_MS, masker=Masker(), schema=adapter.schema, edition=adapter.edition,
        structured=structured, lane=TELEMETRY if record.telemetry else MAIN,
    )  # fmt: skip
    note = scribe.note(record, "catchup")
    change = "occurred" if record.occurred else "deleted" if record.gone else "created"
    return scribe.seal(note, note.forced or change, None, None)[1]
