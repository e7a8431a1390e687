"""A normalised change event: its identity, headers, data, and how it is cut down to the server's size.

The layout is the contract with consumers (`docs/events.md`): CloudEvents 1.0, NATS binding, in either content mode.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from bridge.core.content import CONTENT_TYPE, STRUCTURED, attributes_of, source_of
from bridge.core.head import DIGEST, ID, SUBJECT, VERSION
from bridge.core.headers import Headers
from bridge.core.record import Json, Key
from bridge.core.subject import MAIN, Lane, kind_tokens, token
from bridge.core.value import value

Encode = Callable[[Json], bytes]

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"

_PAIRS = {byte: f"%{byte:02X}" for byte in range(256)}
_KEEP = frozenset(range(0x21, 0x7F)) - {0x22, 0x25}
_KEPT = re.compile(r"[!#$&-~]*")

_OURS = {"ce-id": ID, "ce-subject": SUBJECT}
"""What of a structured event is a header, too, since the ledger is read back from headers alone. By names of our own:
the CloudEvents SDKs take a message with a `ce-` header for one in binary mode.
"""

# A String attribute holds none of these: control characters, halves of surrogate pairs, noncharacters.
_NEVER = "".join(map(chr, (plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF))))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NEVER}]")

_EPOCH_DAY = date(1970, 1, 1).toordinal()

_USUAL = 11
"""Headers that every event has."""

# The version line, the empty line, and Nats-Batch-Id (64 characters at most), -Sequence and -Commit.
_OTHER_HEADERS = 12 + 81 + 28 + 24


@value
class Event:
    """One event, sealed: what is published is exactly this.

    `expected` is the sequence of the entity's previous event (0: the stream must hold none).
    `headers` are complete but for the batch headers, which the ledger adds.
    """

    key: Key
    change: str
    ce_id: str
    version: str | None
    digest: str
    expected: int
    headers: Mapping[str, str] = field(repr=False)
    payload: bytes = field(repr=False)
    size: int
    """Bytes on the wire that count against the server's `max_payload`."""
    subject: str
    """Where it is published: `ingest_subject`."""
    lane: Lane = MAIN
    traceparent: str | None = None
    """As the note or draft had it; in the headers, or the payload, it stands as plain text."""


@dataclass(slots=True)
class Draft:
    """An event before it is sealed. Times are milliseconds since the Unix epoch.

    What may be personal data is kept out of the `repr`, here and in Event.
    """

    key: Key
    change: str
    ce_type: str
    via: str
    observed_ms: int
    expected: int
    previous: str
    digest: str
    after: Json = field(repr=False)
    version: str | None = None
    at_ms: int | None = None
    before: Json = field(default=None, repr=False)
    changed: tuple[str, ...] = ()
    raw: Json = field(default=None, repr=False)
    dataschema: str | None = None
    traceparent: str | None = None
    """See `bridge/core/trace.py`. Neither the event's identity nor its digest depends on it."""
    lane: Lane = MAIN


MOST_HEADERS = 60_000
"""nats-server refuses a header block above 64 KiB, whatever its `max_payload`."""


class TooLarge(Exception):
    """Even without `raw` and `before` the event, or its headers, exceed what the server takes: quarantine it."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"event of {size} bytes exceeds the NATS server's limit of {limit} bytes")
        self.size = size
        self.limit = limit


def ce_id(key: Key, change: str, version_or_digest: str, previous: str) -> str:
    """The event's identity: the same change of the same entity after the same event, and nothing else.

    `previous` is the `ce-id` of the entity's event before ("" for none). For `occurred` only the vendor's id
    counts: it happens once, whatever was seen around it.
    """
    vendor, source, entity, id_ = key
    return _identity(_framed(vendor, source, entity), id_, _frame(change), version_or_digest, previous)


def _identity(kind: bytes, id_: str, change: bytes, version_or_digest: str, previous: str) -> str:
    framed = kind + _frame(id_) + change
    if change != _OCCURRED:
        framed += _frame(version_or_digest) + _frame(previous)
    return hashlib.sha256(framed).hexdigest()[:32]


def _framed(*parts: str) -> bytes:
    return b"".join(map(_frame, parts))


def _frame(part: str) -> bytes:
    """A part as bytes, behind its length: no two lists of parts give the same."""
    data = part.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


_OCCURRED = _frame("occurred")


def data_of(
    id_: str, change: str, version: str | None, after: Json, before: Json, changed: Sequence[str], raw: Json
) -> dict[str, Json]:
    """An event's data, before anything is left out for its size."""
    return {
        "id": id_,
        "change": change,
        "version": version,
        "after": after,
        "before": before,
        "changed": list(changed),
        "raw": raw,
        "omitted": [],
    }


class Form:
    """What all events of one kind of thing have in common that tell of one change, heard of in one way.

    A source has few of these and writes each event by one of them: what is the same in all is put together once.
    """

    __slots__ = (
        "_after_id", "_after_time", "_change", "_count", "_end", "_expected", "_kind", "_place", "_schema",
        "change", "lane",
    )  # fmt: skip

    def __init__(
        self,
        vendor: str,
        source: str,
        entity: str,
        change: str,
        *, ce_type: str, via: str, dataschema: str | None = None, lane: Lane = MAIN,
    ) -> None:  # fmt: skip
        kind = kind_tokens(vendor, source, entity)
        self.change = change
        self.lane = lane
        self._kind = _framed(vendor, source, entity)
        self._change = _frame(change)
        self._place = f"{lane.ingest}.{kind}.{change}."
        self._after_id = f"\r\nce-source: {_source(vendor, source)}\r\nce-type: {_type(ce_type)}\r\nce-time: "
        self._after_time = f"\r\nce-datacontenttype: application/json\r\nce-via: {via}\r\nce-observedtime: "
        self._expected = f"{EXPECTED_SUBJECT}: {lane.events}.{kind}.*."
        self._schema = "" if dataschema is None else f"ce-dataschema: {percent_encode(dataschema)}\r\n"
        self._end = "KV-Operation: DEL\r\n" if change == "deleted" else ""
        self._count = _USUAL + (dataschema is not None) + (change == "deleted")

    def seal(
        self,
        key: Key,
        data: dict[str, Json],
        digest: str,
        *, expected: int, previous: str, observed_ms: int, at_ms: int | None, traceparent: str | None,
        encode: Encode, limit: int, structured: bool = False,
    ) -> Event:  # fmt: skip
        """Make the event; leaves out `raw`, then `before`, where it would not fit into `limit` bytes.

        `key` is of the form's kind, `data` as `data_of` gives it. `structured`: as one JSON document, and not in binary
        mode. What recovery needs are headers all the same. Raises TooLarge when even that does not help, ValueError
        for a time beyond the years 1 to 9999.
        """
        id_, version = key.id, data["version"]
        identity, name = _identity(self._kind, id_, self._change, version or digest, previous), token(id_)
        headers = self._headers(identity, id_, name, version, digest, expected, observed_ms, at_ms, traceparent)
        around: dict[str, Json] = {}
        if structured:
            around = attributes_of(headers, None)
            headers = Headers.of(_beside(headers))
        overhead = _OTHER_HEADERS + len(headers.text)
        if overhead > MOST_HEADERS:
            raise TooLarge(overhead, MOST_HEADERS)
        payload = encode({**around, "data": data} if around else data)
        if overhead + len(payload) > limit:
            payload = _cut_down(payload, around, data, encode, limit - overhead)
            if overhead + len(payload) > limit:
                raise TooLarge(overhead + len(payload), limit)
        size = overhead + len(payload)
        return Event(
            key, self.change, identity, version, digest, expected, headers, payload, size, self._place + name,
            self.lane, traceparent,
        )  # fmt: skip

    def _headers(
        self,
        identity: str, id_: str, name: str, version: str | None, digest: str,
        expected: int, observed_ms: int, at_ms: int | None, traceparent: str | None,
    ) -> Headers:  # fmt: skip
        """Written as one text. `name`: the id as a subject's token."""
        observed = timestamp(observed_ms)
        text = (
            f"ce-specversion: 1.0\r\nce-id: {identity}{self._after_id}{observed if at_ms is None else timestamp(at_ms)}"
            f"{self._after_time}{observed}\r\n{DIGEST}: {percent_encode(digest)}\r\n{EXPECTED}: {expected}\r\n"
            f"{self._expected}{name}\r\n"
        )
        # All that may hold anything is encoded, but for the trace: looking through each line costs as much as writing.
        count, whole = self._count, True
        if name == id_:
            # Nor does such an id hold anything that would have to be encoded.
            text += f"ce-subject: {id_}\r\n"
            count += 1
        elif id_:
            text += f"{SUBJECT if _FORBIDDEN.search(id_) else 'ce-subject'}: {percent_encode(id_)}\r\n"
            count += 1
        if version is not None:
            text += f"{VERSION}: {percent_encode(version)}\r\n"
            count += 1
        text += self._schema
        if traceparent is not None:
            # Not `traceparent`: a server that traces messages would take that for a request to do so.
            # What stands there is text and nothing else, whatever the engine knows of it besides.
            text += f"ce-traceparent: {traceparent!s}\r\n"
            count += 1
            whole = "\r" not in traceparent and "\n" not in traceparent
        return Headers(text + self._end, count, whole=whole)


def seal(draft: Draft, encode: Encode, limit: int, *, structured: bool = False) -> Event:
    """The event of a draft: see `Form.seal`."""
    vendor, source, entity, id_ = draft.key
    form = Form(
        vendor, source, entity, draft.change,
        ce_type=draft.ce_type, via=draft.via, dataschema=draft.dataschema, lane=draft.lane,
    )  # fmt: skip
    return form.seal(
        draft.key,
        data_of(id_, draft.change, draft.version, draft.after, draft.before, draft.changed, draft.raw),
        draft.digest,
        expected=draft.expected,
        previous=draft.previous,
        observed_ms=draft.observed_ms,
        at_ms=draft.at_ms,
        traceparent=draft.traceparent,
        encode=encode,
        limit=limit,
        structured=structured,
    )


def _cut_down(
    payload: bytes, around: Mapping[str, Json], data: Mapping[str, Json], encode: Encode, limit: int
) -> bytes:
    """The payload without `raw`, and without `before` either where that is not enough; it may still be too much."""
    for victim in ("raw", "before"):
        if len(payload) > limit and data[victim] is not None:
            data = {**data, victim: None, "omitted": [*data["omitted"], victim]}
            payload = encode({**around, "data": data} if around else data)
    return payload


def header_size(headers: Mapping[str, str]) -> int:
    """Bytes of a NATS header block, with room for the three batch headers."""
    return _OTHER_HEADERS + len(Headers.of(headers).text)


def percent_encode(value: str) -> str:
    """A header value as the CloudEvents NATS binding wants it (UTF-8, upper-case hex)."""
    if _KEPT.fullmatch(value):
        return value
    data = value.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _KEEP else _PAIRS[byte] for byte in data)


@lru_cache(maxsize=2048)
def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds. Raises ValueError beyond the years 1 to 9999."""
    days, rest = divmod(ms, 86_400_000)
    try:
        day = _day(days)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"not a point in time: {ms} ms") from error
    seconds, millis = divmod(rest, 1000)
    return f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{millis:03}Z"


def _beside(headers: Mapping[str, str]) -> dict[str, str]:
    """What stays a header where the attributes are in the payload."""
    kept = {_OURS.get(name, name): value for name, value in headers.items() if name in _OURS or name[:3] != "ce-"}
    return {CONTENT_TYPE: STRUCTURED, **kept}


def _type(ce_type: str) -> str:
    # A vendor's name for a kind of thing may hold anything; whole and exact it is in the message's subject.
    return percent_encode(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", ce_type))


def _source(vendor: str, source: str) -> str:
    # Encoded twice on purpose: once because it is a URI-reference, once because the binding says so.
    return percent_encode(source_of(vendor, source))


@lru_cache(maxsize=1024)
def _day(days: int) -> str:
    return date.fromordinal(_EPOCH_DAY + days).isoformat()
