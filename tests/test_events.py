"""Messages as typed events: what a real server hands to nats-py, whatever else may come, and what the import costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

import bridge
from bridge.core.event import Draft, Event, seal
from bridge.core.record import Json, Key
from bridge.core.subject import MAIN, TELEMETRY, Lane, event_subject, token
from bridge.edge.codec import encode
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Stored
from bridge.events import Event as Read
from bridge.events import NotAnEvent, event_of, parse
from tests.support.asking import DEADLINE_S, plain_client, plain_jetstream
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SEEN_MS = 1_700_000_000_123
HAPPENED_MS = 1_600_000_000_000
LONG = "ä" * 200
"""As a subject token it is a hash."""
MODES = pytest.mark.parametrize("structured", [False, True], ids=["binary", "structured"])


def draft(key: Key, change: str, **facts: Any) -> Draft:
    given: dict[str, Any] = {
        "key": key,
        "change": change,
        "ce_type": f"test.{key.entity}.{change}",
        "via": "live",
        "observed_ms": SEEN_MS,
        "expected": 0,
        "previous": "",
        "digest": "1:00",
        "after": {"n": 1},
        "traceparent": TRACE,
    }
    return Draft(**(given | facts))


def stored(event: Event) -> tuple[str, dict[str, str], bytes]:
    """A message as the stream holds it."""
    return event_subject(event.key, event.change, event.lane), dict(event.headers), event.payload


def facts_of(event: Event) -> Read:
    """What must be read of an event that was sealed by `draft`."""
    vendor, source, entity, id_ = event.key
    data = json.loads(event.payload)
    data = data.get("data", data)
    return Read(
        vendor=vendor,
        source=source,
        entity=entity,
        change=event.change,
        id=id_,
        ce_id=event.ce_id,
        type=f"test.{entity}.{event.change}",
        time=datetime.fromtimestamp(SEEN_MS / 1000, UTC),
        observed=datetime.fromtimestamp(SEEN_MS / 1000, UTC),
        via="live",
        traceparent=TRACE,
        version=event.version,
        after=data["after"],
        before=data["before"],
        changed=tuple(data["changed"]),
        raw=data["raw"],
        omitted=tuple(data["omitted"]),
        telemetry=event.lane is TELEMETRY,
    )


class Scene:
    """A real ledger that writes in one mode, and a plain client beside it."""

    def __init__(self, ledger: JetStreamLedger, url: str, structured: bool) -> None:
        self.ledger = ledger
        self.url = url
        self.structured = structured

    async def store(self, *drafts: Draft) -> list[Event]:
        """Written as the bridge writes."""
        book = await self.ledger.open("acme", "main", {})
        lanes: dict[Lane, Any] = {MAIN: book}
        events = []
        for one in drafts:
            if one.lane not in lanes:
                lanes[one.lane] = await book.telemetry()
            event = seal(one, encode, 100_000, structured=self.structured)
            (outcome,) = await lanes[one.lane].append([event])
            assert isinstance(outcome, Stored)
            events.append(event)
        return events


@pytest.fixture(params=[False, True], ids=["binary", "structured"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with nats_server(tmp_path) as server, connect(NatsOptions(urls=(server.url,))) as connection:
        ledger = JetStreamLedger(connection.client)
        await ledger.prepare()
        yield Scene(ledger, server.url, request.param)


@pytest.mark.anyio
async def test_whatever_nats_hands_over_is_the_event_that_was_stored(scene: Scene) -> None:
    """From the stream, to plain subscribers, from the view's stream and as telemetry: hashed ids and the bridge's own
    events, too. Only what the view has forgotten by then, and what it never holds, is not there."""
    everything = [
        draft(Key("acme", "main", "thing", "7"), "created", after={"text": "Grüße", "n": 1.5}, raw={"r": [1]}),
        draft(Key("acme", "main", "thing", LONG), "snapshot"),
        draft(Key("acme", "main", "Überhitzung Zone 3", "a b.c"), "deleted", after=None, before={"n": 1}, version="4"),
        draft(Key("acme", "main", "beep", ""), "occurred"),
        draft(Key("bridge", "main", "gap", "12"), "opened"),
        draft(Key("acme", "main", "packet", "1-2"), "occurred", lane=TELEMETRY),
    ]
    async with plain_client(scene.url) as client:
        heard: list[Msg] = []

        async def hear(message: Msg) -> None:
            heard.append(message)

        await client.subscribe("live.>", cb=hear)
        await client.flush()
        events = await scene.store(*everything)
        await wait_until(lambda: len(heard) == len(events), what="every event on its live subject")
        # Two streams republish, each in its own order.
        heard.sort(key=lambda message: message.subject.startswith("live.telemetry."))
        expected = [facts_of(event) for event in events]
        assert [event_of(message) for message in heard] == expected
        assert [message.subject.startswith("live.telemetry.") for message in heard] == [False] * 5 + [True]

        js = plain_jetstream(client)
        found: list[Read] = []
        for stream, subjects, count in (("BRIDGE", "events.>", 5), ("BRIDGE_TELEMETRY", "telemetry.>", 1)):
            consumer = await js.pull_subscribe(
                subjects, stream=stream, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
            )
            found += [event_of(message) for message in await consumer.fetch(count, timeout=DEADLINE_S)]
        assert found == expected

        consumer = await js.pull_subscribe(
            "$KV.bridge-state.>", stream="KV_bridge-state", config=ConsumerConfig(ack_policy=AckPolicy.NONE)
        )
        entries = [event_of(message) for message in await consumer.fetch(3, timeout=DEADLINE_S)]
        assert entries == expected[:3]
        assert [entry.change for entry in entries] == ["created", "snapshot", "deleted"]


@MODES
def test_every_field_of_an_event(structured: bool) -> None:
    """Times as moments in UTC, lists as tuples, schema, trace and version where there are any."""
    event = seal(
        draft(
            Key("acme", "main", "thing", "7"),
            "updated",
            ce_type="test.thing.updated",
            at_ms=HAPPENED_MS,
            version="12",
            before={"n": 0},
            changed=("n",),
            raw={"N": "1"},
            dataschema="urn:bridged:schema:person:1",
        ),
        encode,
        100_000,
        structured=structured,
    )
    assert parse(*stored(event)) == Read(
        vendor="acme",
        source="main",
        entity="thing",
        change="updated",
        id="7",
        ce_id=event.ce_id,
        type="test.thing.updated",
        time=datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC),
        observed=datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
        via="live",
        schema="urn:bridged:schema:person:1",
        traceparent=TRACE,
        version="12",
        after={"n": 1},
        before={"n": 0},
        changed=("n",),
        raw={"N": "1"},
        omitted=(),
        telemetry=False,
    )


@MODES
def test_what_was_left_out_is_named(structured: bool) -> None:
    """Too large a record of the vendor's is not there, and `omitted` says so."""
    event = seal(
        draft(Key("acme", "main", "thing", "7"), "created", raw="x" * 9000), encode, 5_000, structured=structured
    )
    found = parse(*stored(event))
    assert (found.raw, found.omitted) == (None, ("raw",))


def test_variables_are_plain_json() -> None:
    """What expressions name: times are text again, and nothing of what the vendor sent raw is among it."""
    event = seal(draft(Key("acme", "main", "thing", "7"), "created", at_ms=HAPPENED_MS), encode, 100_000)
    assert parse(*stored(event)).variables() == {
        "vendor": "acme",
        "source": "main",
        "entity": "thing",
        "change": "created",
        "id": "7",
        "ce_id": event.ce_id,
        "type": "test.thing.created",
        "time": "2020-09-13T12:26:40.000Z",
        "observed": "2023-11-14T22:13:20.123Z",
        "via": "live",
        "version": None,
        "after": {"n": 1},
        "before": None,
        "changed": [],
    }


TEXTS = st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@MODES
@given(
    key=st.builds(Key, TEXTS, TEXTS, TEXTS, TEXTS),
    change=st.sampled_from(["created", "updated", "deleted", "snapshot", "occurred"]),
    version=st.none() | TEXTS,
    after=VALUES,
    before=VALUES,
    lane=st.sampled_from([MAIN, TELEMETRY]),
)
def test_what_is_sealed_can_be_read(
    structured: bool, key: Key, change: str, version: str | None, after: Json, before: Json, lane: Lane
) -> None:
    """Whatever things are called, and whatever they hold: as it was. Names that are hashes in a subject stay hashes."""
    made = draft(key, change, version=version, after=after, before=before, changed=(key.id,), lane=lane)
    event = seal(made, encode, 100_000, structured=structured)
    subject, headers, payload = stored(event)
    found = parse(subject, headers, payload)
    names = [token(name) if token(name).startswith("=h") else name for name in key[:3]]
    assert (found.vendor, found.source, found.entity, found.id) == (*names, key.id)
    assert (found.change, found.version, found.ce_id) == (change, version, event.ce_id)
    assert (found.after, found.before, found.changed) == (after, before, (key.id,))
    assert found.telemetry is (lane is TELEMETRY)


PLAIN = seal(draft(Key("acme", "main", "thing", "7"), "created"), encode, 100_000)
WHOLE = seal(draft(Key("acme", "main", "thing", "7"), "created"), encode, 100_000, structured=True)


@pytest.mark.parametrize(
    "subject",
    [
        "events.acme.main.thing.created.7",
        "live.acme.main.thing.created.7",
        "imported.events.acme.main.thing.created.7",
        "$KV.some-bucket.acme.main.thing.7",
        "copies.for.billing.acme.main.thing.created.7",
        "acme.main.thing.created.7",
    ],
)
@pytest.mark.parametrize("event", [PLAIN, WHOLE], ids=["binary", "structured"])
def test_it_does_not_matter_where_a_message_was_met(event: Event, subject: str) -> None:
    """Behind an account's prefix, in the view's stream, or copied to a subject of somebody's own: the same event."""
    assert parse(subject, event.headers, event.payload) == facts_of(event)


def test_a_vendor_may_be_called_like_one_of_our_prefixes() -> None:
    """Five tokens follow a prefix: what stands before them decides."""
    for vendor in ("events", "live", "telemetry", "$KV"):
        for lane in (MAIN, TELEMETRY):
            event = seal(draft(Key(vendor, vendor, vendor, "7"), "occurred", lane=lane), encode, 100_000)
            for prefix in (lane.events, lane.live):
                subject = f"{prefix}.{event.subject.removeprefix(f'{lane.ingest}.')}"
                found = parse(subject, event.headers, event.payload)
                assert (found.vendor, found.telemetry) == (vendor, lane is TELEMETRY)


def test_header_names_are_read_in_any_case() -> None:
    """As the binding says; ours, in lower case, come first."""
    capitals = {name.upper(): value for name, value in PLAIN.headers.items()}
    assert parse("events.acme.main.thing.created.7", capitals, PLAIN.payload) == facts_of(PLAIN)
    both = {**{name.upper(): "another" for name in PLAIN.headers if name.startswith("ce-")}, **PLAIN.headers}
    assert parse("events.acme.main.thing.created.7", both, PLAIN.payload) == facts_of(PLAIN)


DATA = json.loads(PLAIN.payload)
DOCUMENT = json.loads(WHOLE.payload)


def binary(**changes: Any) -> tuple[str, dict[str, str], bytes]:
    """The message with other headers; None: without."""
    headers = {name: value for name, value in {**PLAIN.headers, **changes}.items() if value is not None}
    return "events.acme.main.thing.created.7", headers, PLAIN.payload


def holding(data: Any) -> tuple[str, dict[str, str], bytes]:
    """The message with other data."""
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    return "events.acme.main.thing.created.7", dict(PLAIN.headers), payload


def document(body: Any) -> tuple[str, dict[str, str], bytes]:
    """The message in structured mode with another document."""
    return "events.acme.main.thing.created.7", dict(WHOLE.headers), json.dumps(body).encode()


HOSTILE = {
    "of somebody else": ("orders.created.7", {}, b"{}"),
    "with too few tokens": ("events.acme.main.thing.created", dict(PLAIN.headers), PLAIN.payload),
    "of another vendor's kind": ("billing.a.b.c.created.7", dict(PLAIN.headers), PLAIN.payload),
    "with tokens we never spell so": ("events.acme.main.thi=6Eg.created.7", dict(PLAIN.headers), PLAIN.payload),
    "with half a token": ("events.acme.main.thing.created.=C3", dict(PLAIN.headers), PLAIN.payload),
    "of another entity": ("events.acme.main.thing.created.8", dict(PLAIN.headers), PLAIN.payload),
    "of another change": ("events.acme.main.thing.updated.7", dict(PLAIN.headers), PLAIN.payload),
    "without headers": ("events.acme.main.thing.created.7", None, PLAIN.payload),
    "without a name": binary(**{"ce-id": None}),
    "with an empty name": binary(**{"ce-id": ""}),
    "without a type": binary(**{"ce-type": None}),
    "of another CloudEvents": binary(**{"ce-specversion": "0.3"}),
    "without a time": binary(**{"ce-time": None}),
    "with a time of no day": binary(**{"ce-time": "2026-02-30T00:00:00.000Z"}),
    "with a time of no zone": binary(**{"ce-time": "2026-02-01T00:00:00.000"}),
    "with a time before all time": binary(**{"ce-time": "0001-01-01T00:00:00.000+14:00"}),
    "with a time seen by nobody": binary(**{"ce-observedtime": "yesterday"}),
    "with a header that is no UTF-8": binary(**{"ce-type": "%FF"}),
    "with a header that is no text": binary(**{"ce-type": 7}),
    "with no payload": holding(b""),
    "with bytes": holding(b"\xff\xfe\x00"),
    "with a list": holding([]),
    "with a number without an end": holding(b'{"id": ' + b"1" * 100_000 + b"}"),
    "with what is no number": holding(b'{"id": "7", "after": NaN}'),
    "without a bottom": holding(b"[" * 200_000),
    "without an id": holding({**DATA, "id": None}),
    "with an id that is no text": holding({**DATA, "id": 7}),
    "with a version that is no text": holding({**DATA, "version": 7}),
    "with a list that is a number": holding({**DATA, "changed": 7}),
    "with a list of numbers": holding({**DATA, "omitted": [7]}),
    "without a list": holding({name: value for name, value in DATA.items() if name != "changed"}),
    "a document that is a list": document([]),
    "a document without data": document({**DOCUMENT, "data": None}),
    "a document with a number for a name": document({**DOCUMENT, "id": 7}),
    "a batch": (
        "events.acme.main.thing.created.7", {"Content-Type": "application/cloudevents-batch+json"},
        json.dumps([DOCUMENT]).encode(),
    ),
    "a purged entry of the view": ("$KV.bridge-state.acme.main.thing.7", {"KV-Operation": "PURGE"}, b""),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_none_of_ours_is_said_to_be_none(what: str) -> None:
    """One error for everything, whose text shows nothing of the content."""
    subject, headers, payload = HOSTILE[what]
    with pytest.raises(NotAnEvent) as caught:
        parse(subject, headers, payload)
    assert "acme" not in str(caught.value)
    assert "thing" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(
    subject=st.text(st.sampled_from("abc.=C3h7$KV*>ä")) | st.sampled_from(["events.acme.main.thing.created.7"]),
    headers=st.dictionaries(
        st.sampled_from(["ce-id", "CE-ID", "ce-type", "ce-time", "ce-specversion", "Content-Type", "ce-source"]),
        st.sampled_from(["", "1.0", "%", "%FF", '"', "application/cloudevents+json", "2026-01-01T00:00:00Z"])
        | st.text(),
    ),
    payload=st.binary() | st.builds(lambda value: json.dumps(value).encode(), VALUES),
)
def test_nothing_else_is_ever_raised(subject: str, headers: dict[str, str], payload: bytes) -> None:
    """An event, or NotAnEvent."""
    with suppress(NotAnEvent):
        parse(subject, headers, payload)


def test_content_is_not_shown_by_chance() -> None:
    """What may be personal data is not in the `repr`."""
    found = replace(parse(*stored(PLAIN)), after={"name": "Erika"}, before={"name": "Erika"}, raw="Erika")
    assert "Erika" not in repr(found)


def test_a_consumer_loads_nothing_but_the_standard_library() -> None:
    """And little of that and of ours: no event loop, no client, no settings."""
    code = (
        "import sys; before = set(sys.modules); import bridge.events; new = set(sys.modules) - before; "
        "print(*sorted(name for name in new if name.split('.')[0] not in sys.stdlib_module_names)); "
        "print('asyncio' in new)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert found[0].split() == [
        "bridge", "bridge.core", "bridge.core.content", "bridge.core.head", "bridge.core.record", "bridge.core.subject",
        "bridge.core.value", "bridge.events",
    ]  # fmt: skip
    assert found[1] == "False"


def test_types_are_delivered() -> None:
    """A consumer's type checker reads ours."""
    assert Path(bridge.__file__).with_name("py.typed").is_file()
