"""CloudEvents by the letter: the CloudEvents SDK reads our messages in both modes; each attribute is what it must be.

The SDK has no NATS binding. Its HTTP binding reads the same headers and bodies: `ce-` headers in binary mode, and in
structured mode what the content type says, provided that no header begins with `ce-`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.event import Draft, Event, seal
from bridge.core.gap import Gap
from bridge.core.record import Head, Key, Record
from bridge.core.subject import TELEMETRY
from bridge.engine.scribe import Note, Scribe
from tests.support.desk import NOW_MS, encode, gone, once, scribe, thing

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BEFORE = Head(7, "0123", "created", "4", "1:x")
MODES = pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
URI_SIGNS = re.compile(r"(%[0-9A-Fa-f]{2}|[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=])*")
NEVER = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
SMALL = 64 * 1024
"""What every intermediary forwards."""


def read(event: Event) -> CloudEvent:
    """The SDK's reading; which mode a message is in it finds out by itself."""
    found = from_http(HTTPMessage(dict(event.headers), event.payload), JSONFormat())
    assert isinstance(found, CloudEvent)
    return found


def must_keep_to_the_letter(found: CloudEvent) -> None:
    """Names, types and forms of all attributes, ours included."""
    attributes = found.get_attributes()
    for name, value in attributes.items():
        assert re.fullmatch("[a-z][a-z0-9]{0,19}", name)
        assert name != "data"
        if name != "time":
            assert isinstance(value, str)
            assert value
            assert not NEVER.search(value)
    assert attributes["specversion"] == "1.0"
    for name in ("source", "dataschema"):
        assert URI_SIGNS.fullmatch(attributes.get(name, ""))
        urlsplit(attributes.get(name, ""))
    assert ":" in attributes.get("dataschema", ":"), "a URI, not a mere reference"
    assert isinstance(attributes["time"], datetime)
    assert attributes["time"].tzinfo
    assert RFC3339.fullmatch(attributes["observedtime"])
    assert attributes["datacontenttype"] == "application/json"


def sealed(note: Note, change: str, head: Head | None = None, before: Any = None) -> Callable[[Scribe], Event]:
    return lambda writer: writer.seal(note, change, head, before)[1]


def _shapes() -> dict[str, Callable[[Scribe], Event]]:
    writer = scribe()
    after = {"text": 'Ünï\u2028 "%41" \\ \x00 😀', "number": 1.5, "list": [None, True, {}]}
    gap = Gap("live", "the session was down", 1_000, 2_000)
    own = {
        f"{entity}.{change}": sealed(writer.own(entity, change, id_, data), change)
        for entity, change, id_, data in (
            ("gap", "opened", gap.id, Gap("live", "the session was down", 1_000).data()),
            ("gap", "closed", gap.id, gap.data()),
            ("source", "lost", "main", {"vendor": "acme", "state": "backoff", "reason": "it hung up", "half": ""}),
            ("alert", "occurred", "0123456789abcdef", {"title": "T", "events": []}),
        )
    }
    return own | {
        "created": sealed(writer.note(thing("a", 1), "live"), "created"),
        "with everything in it": sealed(writer.note(Record("thing", "a", after), "live"), "created"),
        "updated": sealed(writer.note(thing("a", 2, 5), "catchup"), "updated", BEFORE, {"value": 1}),
        "deleted": sealed(writer.note(gone("a"), "catchup"), "deleted", BEFORE, {"value": 1}),
        "snapshot": sealed(writer.note(thing("a", 1), "snapshot"), "snapshot"),
        "occurred": sealed(writer.note(once("a"), "live"), "occurred"),
        "quarantined": sealed(writer.quarantine(Malformed("no JSON", raw=b"\xff\x00<html>"), "live"), "occurred"),
        "too large": sealed(writer.note(thing("a", "x" * 2_000_000), "live"), "created"),
        **{f"id {id_!r}": sealed(writer.note(thing(id_, 1), "live"), "created") for id_ in IDS},
    }


IDS = ["", "Grüße 日本", 'a "b" 100 %', "x" * 400, "a\r\nb\x00", "%41%", "\ufdd0", "a.b.*.>", "\u0085"]
SHAPES = _shapes()


@MODES
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sdk_reads_every_shape_of_event(shape: str, structured: bool) -> None:
    """It finds the mode by itself, raises nothing, and attributes and data are what was written."""
    event = SHAPES[shape](scribe(structured=structured))
    found = read(event)
    must_keep_to_the_letter(found)
    vendor, source, entity, id_ = event.key
    assert found.get_id() == event.ce_id
    assert found.get_source() == f"/{vendor}/{source}"
    assert found.get_type() == f"{'bridged' if vendor == 'bridge' else 'test.acme'}.{entity}.{event.change}"
    assert found.get_subject() == (None if not id_ or NEVER.search(id_) else id_)
    data = found.get_data()
    assert isinstance(data, dict)
    assert (data["id"], data["change"]) == (id_, event.change)
    assert data == (json.loads(event.payload)["data"] if structured else json.loads(event.payload))


@MODES
def test_what_is_optional_is_read_as_well(structured: bool) -> None:
    """Schema, trace, time and our extensions, of a measurement as of everything else."""
    draft = Draft(
        key=Key("acme", "Müller & Söhne/Süd", "Überhitzung Zone 3", "7"),
        change="occurred",
        ce_type="iot.platform.Überhitzung Zone 3.occurred",
        via="live",
        observed_ms=NOW_MS,
        expected=0,
        previous="",
        digest="1:00",
        after={"n": 1},
        at_ms=951_782_400_007,
        dataschema="urn:bridged:schema:person:1",
        traceparent=TRACE,
        lane=TELEMETRY,
    )
    found = read(seal(draft, encode, 1_000_000, structured=structured))
    must_keep_to_the_letter(found)
    assert found.get_attributes() == {
        "specversion": "1.0",
        "id": found.get_id(),
        "source": "/acme/M%C3%BCller%20%26%20S%C3%B6hne%2FS%C3%BCd",
        "type": "iot.platform.Überhitzung Zone 3.occurred",
        "subject": "7",
        "time": datetime.fromisoformat("2000-02-29T00:00:00.007+00:00"),
        "datacontenttype": "application/json",
        "dataschema": "urn:bridged:schema:person:1",
        "via": "live",
        "observedtime": "2023-11-14T22:13:20.000Z",
        "traceparent": TRACE,
    }


@MODES
@given(name=st.text(min_size=1), at_ms=st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_whatever_a_vendor_calls_things(structured: bool, name: str, at_ms: int) -> None:
    """Any entity, any id, any time that can be written: the message can be read, and keeps to the letter."""
    writer = scribe(structured=structured)
    note = writer.note(Record(name, name, {"value": name}, at_ms=at_ms), "live")
    event = writer.seal(note, "created", None, None)[1]
    found = read(event)
    must_keep_to_the_letter(found)
    assert re.fullmatch(r"[!#-~]*", "".join(event.headers[n] for n in event.headers if n.startswith("ce-")))
    time = found.get_time()
    assert time is not None
    assert round((time - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds() * 1000) == at_ms


@MODES
def test_all_that_is_not_the_vendor_s_own_is_small(structured: bool) -> None:
    """Headers and attributes of an event with a schema, a trace and a version stay below two kilobytes: what makes a
    message larger than 64 KiB, which no intermediary need forward, is the vendor's record alone."""
    note = scribe().note(Record("thing", "x" * 200, {}, version="7"), "live", traceparent=TRACE)
    event = scribe(structured=structured, schema={"thing": "person/1"}.get).seal(note, "updated", BEFORE, {})[1]
    assert event.size < 2_000 < SMALL
