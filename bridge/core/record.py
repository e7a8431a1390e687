"""What a vendor told us, in our words, and what the stream already knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Json = Any
"""A decoded JSON value: dict, list, str, int, float, bool or None."""

Change = Literal["created", "updated", "deleted", "snapshot", "occurred"]
Via = Literal["live", "catchup", "snapshot"]


class Key(NamedTuple):
    """Names one entity of one source, everywhere. All four are the plain values, not subject tokens."""

    vendor: str
    source: str
    entity: str
    id: str


@dataclass(frozen=True, slots=True)
class Record:
    """One vendor record after the adapter's mapping.

    `after`: the normalised fields (JSON values), what consumers see and what is compared.
    `version`: the vendor's own, if it has one that can be ordered (see `version_order`).
    `at_ms`: when it happened at the vendor, in milliseconds since the Unix epoch; None if unknown.
    `raw`: the vendor's record as received, published only where the source says `raw = true`.
    `gone`: the vendor says the entity was deleted. `occurred`: it happens once and never changes.
    `position_ms`: where the record lies in the walk's window (ms), for feeds that report absence.
    """

    entity: str
    id: str
    after: Mapping[str, Json]
    version: str | None = None
    at_ms: int | None = None
    raw: Json = None
    gone: bool = False
    occurred: bool = False
    position_ms: int | None = None


@dataclass(slots=True)
class Head:
    """The last event of an entity, as far as its headers tell: all the differ needs to know.

    `seq` is its sequence in `BRIDGE`; 0 when the stream no longer holds it (aged out or purged), while
    `digest` still says what the entity looked like.
    """

    seq: int
    ce_id: str
    change: str
    version: str | None
    digest: str


def version_order(version: str) -> tuple[int, int, str]:
    """A sort key for versions: whole numbers by value, everything else (RFC 3339 UTC stamps) as text."""
    if version.isascii() and version.isdigit():
        return (0, int(version), "")
    return (1, 0, version)
