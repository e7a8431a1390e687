"""Identity, headers, data and size of an event."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.event import Draft, Event, TooLarge, ce_id, header_size, percent_encode, seal, timestamp
from bridge.core.headers import Headers
from bridge.core.record import Json, Key

KEY = Key("pcvisit", "acme", "session", "4711")
ROOMY = 1_000_000
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

PARTS = st.text(st.sampled_from("ab\x00\ud800ä"), max_size=3)
KEYS = st.builds(Key, PARTS, PARTS, PARTS, PARTS)


def encode(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def draft(**changes: Any) -> Draft:
    facts: dict[str, Any] = {
        "key": KEY,
        "change": "updated",
        "ce_type": "de.pcvisit.session.updated",
        "via": "catchup",
        "observed_ms": 1_700_000_000_123,
        "expected": 7,
        "previous": "before",
        "digest": "1:00ff",
        "after": {"state": "closed"},
    }
    return Draft(**(facts | changes))


def data(event: Event) -> Any:
    return json.loads(event.payload)


# Identity


def test_ce_id_is_published_and_never_changes() -> None:
    """The hash is over length-prefixed UTF-8: the same on every machine and in every release."""
    blocks = [b"pcvisit", b"acme", b"session", b"4711", b"created", b"1:00ff", b""]
    packed = b"".join(len(block).to_bytes(4, "big") + block for block in blocks)
    assert ce_id(KEY, "created", "1:00ff", "") == hashlib.sha256(packed).hexdigest()[:32]
    assert ce_id(KEY, "created", "1:00ff", "") == "e23c9f9ba999c2d04c84fc2438825c42"


@given(st.tuples(KEYS, PARTS, PARTS), st.tuples(KEYS, PARTS, PARTS))
def test_ce_id_is_unambiguous(one: tuple[Key, str, str], other: tuple[Key, str, str]) -> None:
    """Equal ids mean equal parts: text never moves from one part into the next."""
    same = ce_id(one[0], "updated", *one[1:]) == ce_id(other[0], "updated", *other[1:])
    assert same == (one == other)


def test_returning_content_is_a_new_event() -> None:
    """A, B, A again: the third event has the first one's content and still its own id."""
    first = ce_id(KEY, "created", "A", "")
    second = ce_id(KEY, "updated", "B", first)
    third = ce_id(KEY, "updated", "A", second)
    fifth = ce_id(KEY, "updated", "A", ce_id(KEY, "updated", "B", third))
    assert len({first, second, third, fifth}) == 4


def test_occurred_is_known_by_the_vendor_s_id_alone() -> None:
    """What happens once has one id, whatever version or predecessor was seen."""
    assert ce_id(KEY, "occurred", "A", "x") == ce_id(KEY, "occurred", "B", "")
    assert ce_id(KEY, "occurred", "A", "") != ce_id(KEY._replace(id="4712"), "occurred", "A", "")
    assert ce_id(KEY, "occurred", "A", "") != ce_id(KEY, "created", "A", "")


def test_the_version_identifies_before_the_digest_does() -> None:
    """With a vendor's version the id does not depend on our mapping; without one it is the content's."""
    assert seal(draft(version="9", digest="1:aa"), encode, ROOMY).ce_id == ce_id(KEY, "updated", "9", "before")
    assert seal(draft(digest="1:aa"), encode, ROOMY).ce_id == ce_id(KEY, "updated", "1:aa", "before")


# Headers


def test_the_headers_as_they_go_onto_the_wire() -> None:
    """Every byte of them, in this order, with all there may be: for a plain id, and for one that has to be encoded."""
    key, more = Key("v", "a b", "t.x", "4711"), {"version": "ü", "dataschema": "urn:x:y", "traceparent": TRACE}
    plain = seal(draft(key=key, change="deleted", ce_type="de.x%.deleted", at_ms=0, **more), encode, ROOMY).headers
    assert isinstance(plain, Headers)
    lines = [
        "ce-specversion: 1.0", f"ce-id: {ce_id(key, 'deleted', 'ü', 'before')}", "ce-source: /v/a%2520b",
        "ce-type: de.x%25.deleted", "ce-time: 1970-01-01T00:00:00.000Z", "ce-datacontenttype: application/json",
        "ce-via: catchup", "ce-observedtime: 2023-11-14T22:13:20.123Z", "Bridge-Digest: 1:00ff",
        "Nats-Expected-Last-Subject-Sequence: 7",
        "Nats-Expected-Last-Subject-Sequence-Subject: events.v.a=20b.t=2Ex.*.4711", "ce-subject: 4711",
        "Bridge-Version: %C3%BC", "ce-dataschema: urn:x:y", f"ce-traceparent: {TRACE}", "KV-Operation: DEL",
    ]  # fmt: skip
    assert plain.text == "".join(f"{line}\r\n" for line in lines)
    assert (plain.count, plain.whole) == (16, True)
    for id_, subject, name in (
        ("a b", "a=20b", "ce-subject: a%20b"),
        ("=", "=3D", "ce-subject: ="),
        ("a\r\nb", "a=0D=0Ab", "Bridge-Subject: a%0D%0Ab"),
    ):
        other = seal(draft(key=Key("v", "s", "t", id_)), encode, ROOMY).headers
        assert isinstance(other, Headers)
        assert other.text.endswith(f"-Subject: events.v.s.t.*.{subject}\r\n{name}\r\n")
        assert (other.count, other.whole) == (12, True)


def test_headers_of_an_event() -> None:
    """The complete set, name by name: attributes in lower case, ours beside them, and the expectation."""
    event = seal(draft(version="12", at_ms=1_600_000_000_000, dataschema="https://example.org/s/1"), encode, ROOMY)
    assert dict(event.headers) == {
        "ce-specversion": "1.0",
        "ce-id": event.ce_id,
        "ce-source": "/pcvisit/acme",
        "ce-type": "de.pcvisit.session.updated",
        "ce-subject": "4711",
        "ce-time": "2020-09-13T12:26:40.000Z",
        "ce-datacontenttype": "application/json",
        "ce-dataschema": "https://example.org/s/1",
        "ce-via": "catchup",
        "ce-observedtime": "2023-11-14T22:13:20.123Z",
        "Bridge-Version": "12",
        "Bridge-Digest": "1:00ff",
        "Nats-Expected-Last-Subject-Sequence": "7",
        "Nats-Expected-Last-Subject-Sequence-Subject": "events.pcvisit.acme.session.*.4711",
    }


def test_what_is_unknown_has_no_header() -> None:
    """No version, no schema and an empty id leave their headers out: CloudEvents forbids empty values."""
    event = seal(draft(key=KEY._replace(id="")), encode, ROOMY)
    assert not {"Bridge-Version", "ce-dataschema", "ce-subject"} & set(event.headers)
    assert event.headers["ce-time"] == event.headers["ce-observedtime"]
    assert event.subject == "bridge.in.pcvisit.acme.session.updated.="


def test_a_deletion_deletes_in_the_view() -> None:
    """`deleted` carries KV-Operation: DEL, and nothing else does."""
    assert seal(draft(change="deleted"), encode, ROOMY).headers["KV-Operation"] == "DEL"
    for change in ("created", "updated", "snapshot", "occurred"):
        assert "KV-Operation" not in seal(draft(change=change), encode, ROOMY).headers


def test_a_trace_is_carried_and_changes_nothing_else() -> None:
    """`ce-traceparent`, never `traceparent`, by which a server would trace; identity, digest and data stay the same."""
    plain, traced = (seal(draft(traceparent=value), encode, ROOMY) for value in (None, TRACE))
    assert dict(traced.headers) == {**plain.headers, "ce-traceparent": TRACE}
    assert (traced.ce_id, traced.digest, traced.payload) == (plain.ce_id, plain.digest, plain.payload)
    assert traced.size == plain.size + len("ce-traceparent: ") + 55 + len("\r\n")


@pytest.mark.parametrize("id_", ["\n", "\x7f", "\x9f", "\ufdd0", "\U0010ffff", "\x00"])
def test_what_no_attribute_may_hold_is_kept_apart(id_: str) -> None:
    """CloudEvents forbids control characters and noncharacters in attributes: such an id is in a header of our own, and
    in a type they are replaced."""
    binary, whole = (
        seal(draft(key=KEY._replace(id=f"a{id_}"), ce_type=f"test.{id_}.updated"), encode, ROOMY, structured=mode)
        for mode in (False, True)
    )
    assert "ce-subject" not in binary.headers
    assert "subject" not in data(whole)
    for event in (binary, whole):
        assert unquote_to_bytes(event.headers["Bridge-Subject"]).decode() == f"a{id_}"
    assert binary.headers["ce-type"] == "test.%EF%BF%BD.updated"
    assert data(whole)["type"] == "test.\ufffd.updated"


# Structured mode


def test_an_event_as_one_document() -> None:
    """Content type, what recovery needs under names of our own, and the expectation; all else is in the payload."""
    facts = {"version": "12", "at_ms": 1_600_000_000_000, "dataschema": "https://example.org/s/1", "traceparent": TRACE}
    event = seal(draft(key=KEY._replace(id="a b"), **facts), encode, ROOMY, structured=True)
    assert dict(event.headers) == {
        "Content-Type": "application/cloudevents+json; charset=UTF-8",
        "Bridge-Id": event.ce_id,
        "Bridge-Subject": "a%20b",
        "Bridge-Version": "12",
        "Bridge-Digest": "1:00ff",
        "Nats-Expected-Last-Subject-Sequence": "7",
        "Nats-Expected-Last-Subject-Sequence-Subject": "events.pcvisit.acme.session.*.a=20b",
    }
    assert data(event) == {
        "specversion": "1.0",
        "id": event.ce_id,
        "source": "/pcvisit/acme",
        "type": "de.pcvisit.session.updated",
        "subject": "a b",
        "time": "2020-09-13T12:26:40.000Z",
        "datacontenttype": "application/json",
        "dataschema": "https://example.org/s/1",
        "via": "catchup",
        "observedtime": "2023-11-14T22:13:20.123Z",
        "traceparent": TRACE,
        "data": {
            "id": "a b", "change": "updated", "version": "12", "after": {"state": "closed"}, "before": None,
            "changed": [], "raw": None, "omitted": [],
        },
    }  # fmt: skip


def test_both_modes_are_one_event() -> None:
    """Identity, digest, subject, data and what the view is told are the same: who switches doubles nothing."""
    facts = {"change": "deleted", "version": "3", "after": None, "before": {"n": 1}, "raw": {"r": 1}}
    binary, whole = (seal(draft(**facts), encode, ROOMY, structured=mode) for mode in (False, True))
    assert (binary.ce_id, binary.digest, binary.version, binary.subject) == (
        whole.ce_id, whole.digest, whole.version, whole.subject
    )  # fmt: skip
    assert data(whole)["data"] == data(binary)
    assert binary.headers["KV-Operation"] == whole.headers["KV-Operation"] == "DEL"
    assert not [name for name in whole.headers if name.startswith("ce-")]


def test_no_message_id() -> None:
    """Nats-Msg-Id is never set: the expectation does its work without a window."""
    assert "Nats-Msg-Id" not in seal(draft(), encode, ROOMY).headers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-._~!'()*;:@&=+$,/?#[]", "plain-._~!'()*;:@&=+$,/?#[]"),
        ("two words", "two%20words"),
        ('"quoted"', "%22quoted%22"),
        ("100%", "100%25"),
        ("%20", "%2520"),
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("line\r\nbreak\x7f", "line%0D%0Abreak%7F"),
        ("", ""),
    ],
)
def test_percent_encoding(value: str, expected: str) -> None:
    """As the NATS binding says: space, quote, per cent and all outside U+0021 to U+007E; UTF-8, upper-case hex."""
    assert percent_encode(value) == expected


@given(st.text(st.characters(exclude_categories=())) | st.text(st.sampled_from('a %"%25\r\nä')))
def test_decoding_exactly_once_gives_the_original(value: str) -> None:
    """Any value survives, is printable ASCII on the way, and cannot break out of its header line."""
    encoded = percent_encode(value)
    assert re.fullmatch(r"[!#-~]*", encoded)
    assert unquote_to_bytes(encoded).decode("utf-8", "surrogatepass") == value


@given(st.text(min_size=1), st.text(min_size=1))
def test_ids_and_versions_come_back_from_the_headers(id_: str, version: str) -> None:
    """A consumer who decodes once has the vendor's id and version, whatever they look like."""
    event = seal(draft(key=KEY._replace(id=id_), version=version), encode, ROOMY)
    subject = event.headers.get("ce-subject") or event.headers["Bridge-Subject"]
    assert unquote_to_bytes(subject).decode() == id_
    assert unquote_to_bytes(event.headers["Bridge-Version"]).decode() == version


def test_ce_source_is_a_uri_reference() -> None:
    """A source name with other letters is URI-encoded first, so what a consumer decodes is a valid URI-reference."""
    event = seal(draft(key=KEY._replace(source="Müller/Süd")), encode, ROOMY)
    decoded = unquote_to_bytes(event.headers["ce-source"]).decode()
    assert decoded == "/pcvisit/M%C3%BCller%2FS%C3%BCd"
    assert unquote_to_bytes(decoded).decode() == "/pcvisit/Müller/Süd"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_709_164_800_007, "2024-02-29T00:00:00.007Z"),
        (2**31 * 1000, "2038-01-19T03:14:08.000Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_timestamps(ms: int, text: str) -> None:
    """RFC 3339 in UTC, always with milliseconds and four digits of the year."""
    assert timestamp(ms) == text


@pytest.mark.parametrize("ms", [253_402_300_800_000, -62_135_596_800_001, 10**30, -(10**30)])
def test_impossible_times(ms: int) -> None:
    """A time beyond the years 1 to 9999 cannot be written and raises ValueError."""
    with pytest.raises(ValueError, match="not a point in time"):
        timestamp(ms)


# Data and size


def test_data_of_an_event() -> None:
    """Always the same eight fields, empty ones included."""
    event = seal(draft(version="12", before={"state": "open"}, changed=("state",), raw={"S": 2}), encode, ROOMY)
    assert data(event) == {
        "id": "4711",
        "change": "updated",
        "version": "12",
        "after": {"state": "closed"},
        "before": {"state": "open"},
        "changed": ["state"],
        "raw": {"S": 2},
        "omitted": [],
    }
    assert set(data(seal(draft(), encode, ROOMY))) == set(data(event))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(500, 1800), st.booleans())
def test_an_event_fits_or_is_refused(after: int, before: int, raw: int, limit: int, structured: bool) -> None:
    """raw goes first, then before, never more than needed; what is left out is named; else TooLarge."""
    whole = draft(
        after={"x": "a" * after},
        before={"x": "b" * before} if before else None,
        raw={"x": "c" * raw} if raw else None,
    )
    room = seal(whole, encode, ROOMY, structured=structured)
    bare = seal(draft(after=whole.after), encode, ROOMY, structured=structured)
    if bare.size > limit:
        with pytest.raises(TooLarge):
            seal(whole, encode, limit, structured=structured)
        return
    # Naming what is left out takes a few bytes itself.
    limit = max(limit, bare.size + len('"raw", "before"'))
    event = seal(whole, encode, limit, structured=structured)
    assert event.size <= limit
    assert event.size == header_size(event.headers) + len(event.payload)
    body = data(event)["data"] if structured else data(event)
    assert body["after"] == whole.after
    # Leaving out comes in this order, and only what was there can be left out.
    assert body["omitted"] in ([], ["raw"], ["raw", "before"], ["before"])
    assert all(body[name] is None and getattr(whole, name) is not None for name in body["omitted"])
    if "before" in body["omitted"]:
        assert body["raw"] is None
    if not body["omitted"]:
        assert event.payload == room.payload
    assert event.headers == room.headers


def test_trimming_stops_as_soon_as_it_fits() -> None:
    """raw alone is dropped where that is enough, before is kept."""
    whole = draft(before={"b": "b" * 100}, raw={"r": "r" * 100})
    size = seal(whole, encode, ROOMY).size
    assert data(seal(whole, encode, size))["omitted"] == []
    slim = data(seal(whole, encode, size - 1))
    assert slim["omitted"] == ["raw"]
    assert slim["before"] == {"b": "b" * 100}
    assert data(seal(whole, encode, size - 130))["omitted"] == ["raw", "before"]


def test_too_large_says_how_large() -> None:
    """The text names both sizes and quotes nothing of the event."""
    with pytest.raises(TooLarge, match=r"event of \d+ bytes exceeds .* limit of 1000 bytes") as caught:
        seal(draft(after={"name": "Erika Mustermann" * 100}), encode, 1000)
    assert caught.value.limit == 1000
    assert "Erika" not in str(caught.value)


def test_header_size_covers_the_wire() -> None:
    """The estimate is never below the header block really sent, the longest batch headers included."""
    headers = dict(seal(draft(version="ä" * 50), encode, ROOMY).headers)
    batch = {"Nats-Batch-Id": "b" * 64, "Nats-Batch-Sequence": "1000", "Nats-Batch-Commit": "eob"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | batch).items())
    assert header_size(headers) >= len(f"NATS/1.0\r\n{lines}\r\n".encode("ascii"))


def test_personal_data_is_not_in_a_repr() -> None:
    """Drafts and events may be printed while debugging: their contents are not."""
    secretive = draft(after={"n": "Erika"}, before={"n": "Erika"}, raw={"n": "Erika"})
    event = seal(secretive, encode, ROOMY)
    assert "Erika" not in repr(secretive) + repr(event)
    assert "4711" in repr(event)


def test_headers_that_no_server_takes_are_too_large() -> None:
    """nats-server refuses more than 64 KiB of headers, whatever its `max_payload`: an id of 61 000 bytes is too long,
    one of 55 000 is not, and what percent-encoding makes of it counts."""
    assert seal(draft(key=KEY._replace(id="x" * 55_000)), encode, 100 * ROOMY).size > 55_000
    for id_ in ("x" * 61_000, "ä" * 11_000):
        with pytest.raises(TooLarge, match=r"limit of 60000 bytes"):
            seal(draft(key=KEY._replace(id=id_)), encode, 100 * ROOMY)
