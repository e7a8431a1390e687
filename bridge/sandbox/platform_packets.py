"""Telemetry of one object of the played platform, kept small: what a packet says is worked out from its place.

A packet costs nine bytes here, so that a sandbox can issue thousands a second for a long time and still answer for
each of them.
"""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

DAY_OF_SAMPLES: Final = 288
DEFAULT_RECORDING: Final[tuple[float, ...]] = tuple(
    round(20 + 6 * math.sin(2 * math.pi * n / DAY_OF_SAMPLES), 3) for n in range(DAY_OF_SAMPLES)
)
"""A day of temperatures, one every five minutes. Ours."""

HIDDEN: Final = frozenset({"_id"})


class PacketLog:
    """All packets of one object, in order of their `_ts`, which no two share.

    `oid`: the object's `_id`. `recording`: the values that packets carry as `temperature`, one after the other and
    from the beginning again; `start` is the first one's place.
    """

    def __init__(self, oid: str, topic: str, recording: Sequence[float], start: int = 0) -> None:
        self.oid = oid
        self.ts = array("q")
        """Server times in microseconds since the Unix epoch, ascending."""
        self._online = bytearray()
        self._topic = topic
        self._recording = recording
        self._start = start
        self._given: dict[int, Mapping[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.ts)

    def add(self, now_ms: int, *, online: bool = True, given: Mapping[str, Any] | None = None) -> int:
        """One packet more; its place. `given` is what it says instead of the recording's next value."""
        last = self.ts[-1] if self.ts else 0
        self.ts.append(max(now_ms * 1000, last + 1))
        self._online.append(online)
        place = len(self.ts) - 1
        if given is not None:
            self._given[place] = given
        return place

    def data(self, place: int) -> dict[str, Any]:
        """What an `object-packet` event carries as its `data`: `_ts` (µs), `time` (ms, the device's), and values."""
        ts = self.ts[place]
        head = {"_ts": ts, "time": ts // 1000 - place % 7, "online": bool(self._online[place]), "topic": self._topic}
        given = self._given.get(place)
        if given is not None:
            return {**head, **given}
        value = self._recording[(self._start + place) % len(self._recording)]
        return {**head, "temperature": value, "count": place}

    def row(self, place: int) -> dict[str, Any]:
        """The packet in `/objects/:id/packets`, which has an `_id` besides."""
        return {"_id": f"{self.oid[-10:]}{place:014x}", **self.data(place)}

    def between(self, low_us: int, high_us: int) -> range:
        """The places of the packets whose `_ts` is from `low_us` to `high_us`, both inclusive."""
        return range(bisect.bisect_left(self.ts, low_us), bisect.bisect_right(self.ts, high_us))
