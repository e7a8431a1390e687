"""Sealed events for tests of the ledger, made as the engine makes them."""

from __future__ import annotations

from bridge.core.canonical import digest
from bridge.core.event import Draft, Event, seal
from bridge.core.record import Head, Json, Key
from bridge.core.subject import MAIN, Lane
from bridge.edge.codec import encode


def structured(change: str) -> bool:
    """Whether an event of this change is sealed in structured mode. Tests put another in its place."""
    return False


VENDOR = "acme"
SOURCE = "main"


def key(id_: str, entity: str = "session", *, vendor: str = VENDOR, source: str = SOURCE) -> Key:
    """The key of one of the test source's entities."""
    return Key(vendor, source, entity, id_)


def sealed(
    of: Key,
    change: str = "created",
    after: Json = None,
    *,
    follows: Head | Event | None = None,
    at: int = 0,
    version: str | None = None,
    limit: int = 1_048_576,
    lane: Lane = MAIN,
) -> Event:
    """An event. `follows` is what it comes after: a head, or an event that lies at sequence `at`."""
    expected = follows.seq if isinstance(follows, Head) else at
    draft = Draft(
        key=of,
        change=change,
        ce_type=f"test.{of.entity}.{change}",
        via="catchup",
        observed_ms=1_700_000_000_000,
        expected=expected,
        previous="" if follows is None else follows.ce_id,
        digest=digest(after, "1"),
        after=after,
        version=version,
        lane=lane,
    )
    return seal(draft, encode, limit, structured=structured(change))


def head_at(event: Event, seq: int) -> Head:
    """What is known of the entity once `event` lies at `seq`."""
    return Head(seq, event.ce_id, event.change, event.version, event.digest)
