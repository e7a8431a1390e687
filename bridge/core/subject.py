"""Subject names: how vendor ids become NATS tokens, and every subject and key of the contract.

Tokens are also valid KV keys and reversible up to 180 bytes. Test vectors: `tests/core/token_vectors.json`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from bridge.core.record import Key

INGEST = "bridge.in"
EVENTS = "events"
CURSOR = "bridge.cursor"
OWNER = "bridge.owner"
LIVE = "live"


@dataclass(frozen=True, slots=True)
class Lane:
    """The prefixes of one stream: where it takes events and cursors, what it makes of events, where it repeats them."""

    ingest: str
    events: str
    cursor: str
    live: str


MAIN = Lane(INGEST, EVENTS, CURSOR, LIVE)
TELEMETRY = Lane("bridge.tin", "telemetry", "bridge.tcursor", "live.telemetry")
"""For feeds of measurements: own cursor, own retention, no state."""

LONGEST = 180

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,180}\Z")
_PAIR = re.compile(rb"=([0-9A-F]{2})")
_HASHED = re.compile(r"=h[0-9a-f]{64}")
_FILTERED = re.compile(r"[A-Za-z0-9_=-]+")


def token(value: str) -> str:
    """One subject token for any text: `=XX` for unsafe bytes, `=` for empty, `=h` + SHA-256 when too long."""
    if _PLAIN.match(value):
        return value
    if not value:
        return "="
    data = value.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in data)
    if len(encoded) > LONGEST:
        return "=h" + hashlib.sha256(data).hexdigest()
    return encoded


def untoken(text: str) -> str | None:
    """The text a token stands for; None for a hashed one (the full id is in the event's data).

    Raises ValueError for what `token` cannot have produced.
    """
    if _HASHED.fullmatch(text):
        return None
    value = ""
    if text != "=":
        data = _PAIR.sub(lambda pair: bytes([int(pair[1], 16)]), text.encode("utf-8", "surrogatepass"))
        value = data.decode("utf-8", "surrogatepass")
    # Two tokens for one text would be two histories of one entity: only the spelling `token` gives counts.
    if token(value) != text:
        raise ValueError(f"not a subject token: {text!r}")
    return value


def ingest_subject(key: Key, change: str, lane: Lane = MAIN) -> str:
    """Where the bridge publishes an event."""
    return f"{lane.ingest}.{_tail(key, change)}"


def event_subject(key: Key, change: str, lane: Lane = MAIN) -> str:
    """Where the stream stores it and consumers read it."""
    return f"{lane.events}.{_tail(key, change)}"


def entity_filter(key: Key, lane: Lane = MAIN) -> str:
    """Every event of one entity: its history, and the subject of its expectation."""
    return f"{lane.events}.{_tail(key, '*')}"


def state_key(key: Key) -> str:
    """The entity's key in the KV bucket of current state."""
    return ".".join((token(key.vendor), token(key.source), token(key.entity), token(key.id)))


def cursor_subject(source: str, walk: str, lane: Lane = MAIN) -> str:
    """Where a walk's cursor lies."""
    return f"{lane.cursor}.{token(source)}.{token(walk)}"


def owner_subject(source: str) -> str:
    """Where a source's owner record lies."""
    return f"{OWNER}.{token(source)}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a NATS filter selects: `*` is any one token, a last `>` one or more."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
    elif len(given) != len(wanted):
        return False
    return all(one in ("*", other) for one, other in zip(wanted, given, strict=False))


def filter_problem(pattern: str) -> str | None:
    """What is wrong with a NATS filter, as a sentence; None: nothing."""
    tokens = pattern.split(".")
    for place, part in enumerate(tokens, 1):
        if part == ">" and place < len(tokens):
            return "> stands for all that follows, so it comes last"
        if not part:
            return "there is nothing between two dots, or at an end"
        if part not in ("*", ">") and not _FILTERED.fullmatch(part):
            wild = "*" in part or ">" in part
            hint = "* and > stand alone between dots" if wild else f"in subjects it is {token(part)}"
            return f"{part!r} cannot stand in a subject; {hint}"
    return None


def _tail(key: Key, change: str) -> str:
    vendor, source, entity, id_ = key
    return f"{kind_tokens(vendor, source, entity)}.{change}.{token(id_)}"


@lru_cache(maxsize=4096)
def kind_tokens(vendor: str, source: str, entity: str) -> str:
    """What the subjects of all entities of a kind share."""
    return f"{token(vendor)}.{token(source)}.{token(entity)}"
