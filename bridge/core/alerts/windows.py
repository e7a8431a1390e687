"""Spans of time that begin with a group's first event: a throttle's, which follows an alert, and a digest's.

    {"<key>": {"until": ms, "group": "…", "held": batch or None, "weight": bytes}, …}

Kept as JSON in a rule's state, and bounded: beyond MOST_GROUPS, or LARGEST bytes, the group whose span ends first is
let go: what it holds is told at once, and its next event is its first. The clock may be put back: no span ever ends
later than its length from now, so an alert comes later by that at most, and none is lost or told twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.alerts.batch import Batch, Sight, Voice, grown, weight
from bridge.core.alerts.decision import Decision, Kind
from bridge.core.record import Json

MOST_GROUPS = 1000
LARGEST = 50_000
"""Bytes of all groups together. Beyond half of it events are counted only."""

Groups = dict[str, Json]

Elsewhere = Callable[[str, Batch], None]
"""Takes a group's key and what would be told of it, were it not quiet."""


@dataclass(frozen=True, slots=True)
class Windows:
    """`length_ms`: 0 where every event is told by itself. `digest`: the first event waits for the end, too.

    `first` is what an event that is told at once is, `rest` what is told together.
    """

    voice: Voice
    length_ms: int
    digest: bool = False
    first: Kind = "event"
    rest: Kind = "held"
    largest: int = LARGEST

    def seen(self, groups: Groups, sight: Sight, now_ms: int) -> list[Decision]:
        """One more event of its group."""
        if not self.length_ms:
            return [self.voice.at_once(self.first, sight)]
        self._clamp(groups, now_ms)
        found = groups.get(sight.key)
        told: list[Decision] = []
        if found is not None and found["until"] <= now_ms:
            del groups[sight.key]
            if self.digest and found["held"]:
                told = [self._told(sight.key, found)]
            elif not self.digest:
                told = [self.voice.at_once(self.first, sight, found["held"])]
            found = None
        elif found is None and not self.digest:
            told = [self.voice.at_once(self.first, sight)]
        if found is None:
            found = {"until": now_ms + self.length_ms, "group": sight.group, "held": None, "weight": 0}
            begins = not self.digest
        else:
            begins = False
        if not begins:
            roomy = sum(group["weight"] for group in groups.values()) < self.largest // 2
            found["held"] = grown(found["held"], sight, roomy=roomy)
        found["weight"] = weight(found) + weight(sight.key)
        groups[sight.key] = found
        return told + self._let_go(groups)

    def due(self, groups: Groups, now_ms: int, elsewhere: Elsewhere | None = None) -> list[Decision]:
        """What ends now. With `elsewhere` it is told there."""
        self._clamp(groups, now_ms)
        ended = [(group["until"], key) for key, group in groups.items() if group["until"] <= now_ms]
        told: list[Decision] = []
        for _, key in sorted(ended):
            group = groups.pop(key)
            if not group["held"]:
                continue
            if elsewhere is not None:
                elsewhere(key, group["held"])
                continue
            told.append(self._told(key, group))
            if self.length_ms and not self.digest:
                # It was an alert like any other: the next one keeps its distance from it.
                groups[key] = {**group, "until": now_ms + self.length_ms, "held": None}
                groups[key]["weight"] = weight(groups[key]) + weight(key)
        return told

    def next_ms(self, groups: Groups, now_ms: int) -> int | None:
        """When the first of them ends that has something to tell."""
        latest = now_ms + self.length_ms
        return min((min(group["until"], latest) for group in groups.values() if group["held"]), default=None)

    def flush(self, groups: Groups) -> list[Decision]:
        """What is held, told now; nothing is remembered of it."""
        told = [self._told(key, group) for key, group in groups.items() if group["held"]]
        groups.clear()
        return told

    def _clamp(self, groups: Groups, now_ms: int) -> None:
        latest = now_ms + self.length_ms
        for key, group in list(groups.items()):
            if group["until"] > latest:
                group["until"] = latest
            elif group["until"] <= now_ms and not group["held"]:
                del groups[key]

    def _told(self, key: str, group: Json) -> Decision:
        return self.voice.together("digest" if self.digest else self.rest, group["held"], key=key, group=group["group"])

    def _let_go(self, groups: Groups) -> list[Decision]:
        told: list[Decision] = []
        total = sum(group["weight"] for group in groups.values())
        while len(groups) > MOST_GROUPS or (total > self.largest and len(groups) > 1):
            key = min(groups, key=lambda one: (groups[one]["until"], one))
            group = groups.pop(key)
            total -= group["weight"]
            if group["held"]:
                told.append(self._told(key, group))
        return told
