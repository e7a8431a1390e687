"""What a source measures, as a renewal of its lease tells it: numbers, moments, and names of walks; no other text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from bridge.core.record import Json

MOST = 2**53
"""Numbers above are nobody's measurements; JSON readers would round them."""
LAST_MS = 253_402_300_799_999
"""The end of the year 9999: no stamp has a text above."""
MOST_WALKS = 100
"""Of more walks than this the rest is left out: a claim is renewed every few seconds."""
MOST_NAME = 200
"""A walk with a longer name is left out, too."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """How often one walk is read. Times are seconds, but `next_ms` is milliseconds since the Unix epoch.

    `wish_s`: as is configured; `every_s`: as the quota leaves it. `cost`: requests that a pass is reckoned to take.
    `next_ms`: when it is due, or was. `rows` of `total`: how far the pass under way has come; None: there is none, and
    the vendor does not say how many there are.
    """

    name: str
    wish_s: float
    every_s: float
    cost: float = 1.0
    next_ms: int | None = None
    rows: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserves:
    """How the quota stands that the source reads with. See `Gauge`.

    `limit` requests per `period_s`, of which `reserve` are never ours and `ours` are counted on. `left`: how many may
    still go, by anybody, until `resets_ms`. `refused`: how often the vendor has refused for quota. `walks`: how many
    share it, of all sources.
    """

    limit: int
    period_s: float
    ours: float
    reserve: int = 0
    left: int | None = None
    resets_ms: int | None = None
    refused: int = 0
    walks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What one source has measured by `at_ms`. Moments are milliseconds since the Unix epoch.

    `polled`: it has no live sessions, and nothing is told of any. `live`: whether a session was open then. The counts
    are over all sessions of the process: `odd` frames that were ignored, `unreadable` packets, `filtered` events that
    nobody wanted, `acks` that were sent. `last_beat_ms`: the peer's last sign of life that is repeated;
    `round_trip_ms`: from our last ping that was answered to its answer. `beat_interval_ms`, `beat_timeout_ms`: the
    heartbeat agreed last. `shut_ms`: since when no session is open. None: not measured, or not by this protocol.
    `walks`: those of the source, as far as it reads any; `quota`: what they read with.
    """

    at_ms: int
    polled: bool = False
    live: bool = False
    sessions: int = 0
    frames: int = 0
    odd: int = 0
    unreadable: int = 0
    filtered: int = 0
    acks: int = 0
    last_frame_ms: int | None = None
    last_beat_ms: int | None = None
    round_trip_ms: float | None = None
    beat_interval_ms: int | None = None
    beat_timeout_ms: int | None = None
    shut_ms: int | None = None
    walks: Sequence[Tempo] = ()
    quota: Reserves | None = None

    def to_json(self) -> dict[str, Json]:
        """As it is stored: what was not measured is left out, and so are walks beyond `MOST_WALKS`."""
        told = {name: getattr(self, name) for name in ("at_ms", *(() if self.polled else _SESSION))}
        if self.polled:
            told["polled"] = True
        kept = [walk for walk in self.walks if len(walk.name) <= MOST_NAME][:MOST_WALKS]
        told["walks"] = [_row(walk) for walk in kept] or None
        told["quota"] = None if self.quota is None else _stated(asdict(self.quota))
        return _stated(told)


_SESSION = tuple(one.name for one in fields(Vitals) if one.name not in ("at_ms", "polled", "walks", "quota"))
_STAMPS = ("last_frame_ms", "last_beat_ms", "shut_ms")
_BROKEN = ("round_trip_ms",)


def read_vitals(value: Json) -> Vitals | None:
    """What `to_json` of this build or another made; None if there is none, or no telling of when it is.

    Never raises. A part that cannot be read counts as not measured; what we do not know is passed over.
    """
    if not isinstance(value, Mapping) or not _is_number(value.get("at_ms"), LAST_MS, whole=True):
        return None
    found: dict[str, Json] = {"at_ms": value["at_ms"], "live": value.get("live") is True}
    found["polled"] = value.get("polled") is True
    for name in _SESSION[1:]:
        most = LAST_MS if name in _STAMPS else MOST
        if _is_number(value.get(name), most, whole=name not in _BROKEN):
            found[name] = value[name]
    rows = value.get("walks")
    walks = [_tempo(row) for row in rows[:MOST_WALKS]] if isinstance(rows, list) else []
    return Vitals(**found, walks=tuple(walk for walk in walks if walk is not None), quota=_reserves(value.get("quota")))


def _row(walk: Tempo) -> list[Json]:
    """Short, for there may be a hundred: what is missing at the end is left out."""
    row: list[Json] = [
        walk.name, round(walk.wish_s, 3), round(walk.every_s, 3), round(walk.cost, 1), walk.next_ms, walk.rows,
        walk.total,
    ]  # fmt: skip
    while row[-1] is None:
        row.pop()
    return row


def _tempo(row: Json) -> Tempo | None:
    if not isinstance(row, list) or len(row) < 4 or not isinstance(row[0], str) or len(row[0]) > MOST_NAME:
        return None
    if not all(_is_number(value, MOST, whole=False) for value in row[1:4]):
        return None
    more = [
        value if _is_number(value, most, whole=True) else None
        for value, most in zip(row[4:7], (LAST_MS, MOST, MOST), strict=False)
    ]
    return Tempo(*row[:4], *more)


def _reserves(value: Json) -> Reserves | None:
    if not isinstance(value, Mapping):
        return None
    found: dict[str, Json] = {}
    for one in fields(Reserves):
        broken, most = one.name in ("period_s", "ours"), LAST_MS if one.name == "resets_ms" else MOST
        if _is_number(value.get(one.name), most, whole=not broken):
            found[one.name] = value[one.name]
    return Reserves(**found) if {"limit", "period_s", "ours"} <= found.keys() else None


def _stated(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}


def _is_number(value: Json, most: int, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return math.isfinite(value) and 0 <= value <= most if isinstance(value, float) else 0 <= value <= most
