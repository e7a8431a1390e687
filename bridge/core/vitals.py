"""What a live session measures, as a renewal of its source's lease tells it: numbers and moments, and no text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from bridge.core.record import Json

MOST = 2**53
"""Numbers above are nobody's measurements; JSON readers would round them."""
LAST_MS = 253_402_300_799_999
"""The end of the year 9999: no stamp has a text above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What one source's live sessions have measured by `at_ms`. Moments are milliseconds since the Unix epoch.

    `live`: whether a session was open then. The counts are over all sessions of the process: `odd` frames that were
    ignored, `unreadable` packets, `filtered` events that nobody wanted, `acks` that were sent. `last_beat_ms`: the
    peer's last sign of life that is repeated; `round_trip_ms`: from our last ping that was answered to its answer.
    `beat_interval_ms`, `beat_timeout_ms`: the heartbeat agreed last. `shut_ms`: since when no session is open.
    None: not measured, or not by this protocol.
    """

    at_ms: int
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

    def to_json(self) -> dict[str, Json]:
        """As it is stored: what was not measured is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_STAMPS = ("last_frame_ms", "last_beat_ms", "shut_ms")


def read_vitals(value: Json) -> Vitals | None:
    """What `to_json` of this build or another made; None if there is none, or no telling of when it is.

    Never raises. A part that cannot be read counts as not measured; what we do not know is passed over.
    """
    if not isinstance(value, Mapping) or not _is_number(value.get("at_ms"), LAST_MS, whole=True):
        return None
    found: dict[str, Json] = {"live": value.get("live") is True}
    for name in (one.name for one in fields(Vitals) if one.name != "live"):
        most = LAST_MS if name in _STAMPS else MOST
        if _is_number(value.get(name), most, whole=name != "round_trip_ms"):
            found[name] = value[name]
    return Vitals(**found)


def _is_number(value: Json, most: int, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return 0 <= value <= most
