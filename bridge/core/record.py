"""What a vendor told us, in our words, and what the stream already knows of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from bridge.core.value import value

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


@value
class Record:
    """One vendor record after the adapter's mapping.

    `after`: the normalised fields (JSON values), what consumers see and what is compared; None when `gone`.
    `version`: the vendor's own, if it has one that can be ordered (see `version_order`).
    `at_ms`: when it happened at the vendor, in milliseconds since the Unix epoch; None if unknown.
    `raw`: the vendor's record as received, published only where the source says `raw = true`.
    `gone`: the vendor says the entity was deleted. `occurred`: it happens once and never changes.
    `telemetry`: a measurement, pushed live, for the telemetry stream; it must have `occurred`.
    `unordered`: its states come in any order and cannot be asked for, so versions alone tell: each newer one is news,
    even one that says the same, and so is the end of what was never seen. Else an older one that came late would count.
    """

    entity: str
    id: str
    after: Mapping[str, Json] | None = field(repr=False)
    version: str | None = None
    at_ms: int | None = None
    raw: Json = field(default=None, repr=False)
    gone: bool = False
    occurred: bool = False
    telemetry: bool = False
    unordered: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """In place of a record: a push that says only that something of this entity has changed. The vendor is asked."""

    entity: str


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


_STAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_START = datetime(1, 1, 1)


def version_order(version: str) -> tuple[int, int, str]:
    """A sort key for versions: whole numbers by value, RFC 3339 stamps by time, everything else as text.

    Stamps are compared by what they mean, since vendors drop zero fractions (`…:00Z` comes before `…:00.5Z`, but
    sorts after it) and change offsets; one without an offset counts as UTC, and all digits of a fraction count.
    """
    if version.isascii() and version.isdigit():
        digits = version.lstrip("0")
        return (0, len(digits), digits)
    if stamp := _STAMP.fullmatch(version):
        day, minute, second, fraction, offset = stamp.groups()
        try:
            since = datetime.fromisoformat(f"{day}T{minute}") - _START
        except ValueError:
            return (2, 0, version)
        seconds = since // timedelta(seconds=1) + int(second) - _offset_s(offset)
        return (1, seconds, (fraction or "").rstrip("0"))
    return (2, 0, version)


def _offset_s(offset: str | None) -> int:
    if offset is None or offset in "Zz":
        return 0
    seconds = int(offset[1:3]) * 3600 + int(offset[4:6]) * 60
    return -seconds if offset[0] == "-" else seconds
