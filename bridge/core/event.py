"""A normalised change event: its identity, headers, data, and how it is cut down to the server's size.

The layout is the contract with consumers (`docs/events.md`): CloudEvents 1.0, NATS binding, in either content mode.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from bridge.core.content import CONTENT_TYPE, STRUCTURED, attributes_of, source_of
from bridge.core.head import DIGEST, ID, SUBJECT, VERSION
from bridge.core.record import Json, Key
from bridge.core.subject import MAIN, Lane, entity_filter, ingest_subject

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

# The version line, the empty line, and Nats-Batch-Id (64 characters at most), -Sequence and -Commit.
_OTHER_HEADERS = 12 + 81 + 28 + 24


@dataclass(frozen=True, slots=True)
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
    lane: Lane = MAIN
    traceparent: str | None = None
    """As the draft had it; in the headers, or the payload, it stands as plain text."""

    @property
    def subject(self) -> str:
        """Where it is published."""
        return ingest_subject(self.key, self.change, self.lane)


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
    parts = (id_, change) if change == "occurred" else (id_, change, version_or_digest, previous)
    return hashlib.sha256(_framed(vendor, source, entity) + _frames(parts)).hexdigest()[:32]


@lru_cache(maxsize=4096)
def _framed(*parts: str) -> bytes:
    return _frames(parts)


def _frames(parts: Iterable[str]) -> bytes:
    """The parts as bytes, each behind its length: no two lists give the same."""
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        pieces += (len(data).to_bytes(4, "big"), data)
    return b"".join(pieces)


def seal(draft: Draft, encode: Encode, limit: int, *, structured: bool = False) -> Event:
    """Make the event; leaves out `raw`, then `before`, where it would not fit into `limit` bytes.

    `structured`: as one JSON document, and not in binary mode. What recovery needs are headers all the same.
    Raises TooLarge when even that does not help, ValueError for a time beyond the years 1 to 9999.
    """
    identity = ce_id(draft.key, draft.change, draft.version or draft.digest, draft.previous)
    headers = _headers(draft, identity)
    around: dict[str, Json] = {}
    if structured:
        around = attributes_of(headers, None)
        headers = _beside(headers)
    overhead = header_size(headers)
    data: dict[str, Json] = {
        "id": draft.key.id,
        "change": draft.change,
        "version": draft.version,
        "after": draft.after,
        "before": draft.before,
        "changed": list(draft.changed),
        "raw": draft.raw,
        "omitted": [],
    }
    if overhead > MOST_HEADERS:
        raise TooLarge(overhead, MOST_HEADERS)
    payload = encode({**around, "data": data} if around else data)
    for victim in ("raw", "before"):
        if overhead + len(payload) <= limit:
            break
        if data[victim] is not None:
            data[victim] = None
            data["omitted"] = [*data["omitted"], victim]
            payload = encode({**around, "data": data} if around else data)
    if overhead + len(payload) > limit:
        raise TooLarge(overhead + len(payload), limit)
    return Event(
        key=draft.key,
        change=draft.change,
        ce_id=identity,
        version=draft.version,
        digest=draft.digest,
        expected=draft.expected,
        headers=headers,
        payload=payload,
        size=overhead + len(payload),
        lane=draft.lane,
        traceparent=draft.traceparent,
    )


def header_size(headers: Mapping[str, str]) -> int:
    """Bytes of a NATS header block, with room for the three batch headers."""
    return _OTHER_HEADERS + 4 * len(headers) + sum(map(len, headers)) + sum(map(len, headers.values()))


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


def _headers(draft: Draft, identity: str) -> dict[str, str]:
    key = draft.key
    headers = {
        "ce-specversion": "1.0",
        "ce-id": identity,
        "ce-source": _source(key.vendor, key.source),
        "ce-type": _type(draft.ce_type),
        "ce-time": timestamp(draft.observed_ms if draft.at_ms is None else draft.at_ms),
        "ce-datacontenttype": "application/json",
        "ce-via": draft.via,
        "ce-observedtime": timestamp(draft.observed_ms),
        DIGEST: percent_encode(draft.digest),
        EXPECTED: str(draft.expected),
        EXPECTED_SUBJECT: entity_filter(key, draft.lane),
    }
    if key.id:
        headers[SUBJECT if _FORBIDDEN.search(key.id) else "ce-subject"] = percent_encode(key.id)
    if draft.version is not None:
        headers[VERSION] = percent_encode(draft.version)
    if draft.dataschema is not None:
        headers["ce-dataschema"] = percent_encode(draft.dataschema)
    if draft.traceparent is not None:
        # Not `traceparent`: a server that traces messages would take that for a request to do so.
        # What stands there is text and nothing else, whatever the engine knows of it besides.
        headers["ce-traceparent"] = str(draft.traceparent)
    if draft.change == "deleted":
        headers["KV-Operation"] = "DEL"
    return headers


def _beside(headers: Mapping[str, str]) -> dict[str, str]:
    """What stays a header where the attributes are in the payload."""
    kept = {_OURS.get(name, name): value for name, value in headers.items() if name in _OURS or name[:3] != "ce-"}
    return {CONTENT_TYPE: STRUCTURED, **kept}


@lru_cache(maxsize=1024)
def _type(ce_type: str) -> str:
    # A vendor's name for a kind of thing may hold anything; whole and exact it is in the message's subject.
    return percent_encode(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", ce_type))


@lru_cache(maxsize=1024)
def _source(vendor: str, source: str) -> str:
    # Encoded twice on purpose: once because it is a URI-reference, once because the binding says so.
    return percent_encode(source_of(vendor, source))


@lru_cache(maxsize=1024)
def _day(days: int) -> str:
    return date.fromordinal(_EPOCH_DAY + days).isoformat()
