"""The world behind the X-Assist sandbox: events, how they change, and what a replica knew some time ago.

All names, and how often what happens, are ours. Every version is kept: queries may be answered by a replica that
lags behind, subscriptions never are.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.sandbox.ledger import Change, Clock, Ledger
from bridge.sandbox.x_assist_ids import key

Event = Mapping[str, Any]
"""`number`, `name` in the original language, `createdAt` in milliseconds, whole seconds. Never altered."""

SCOPE: Final = "x_assist"
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000

# How often what happens, in parts of a hundred. Deletes come on top, if they are switched on.
WEIGHTS: Final = {"new": 40, "renamed": 40, "flip": 10, "revert": 10}

_WHAT = ("Demonstration", "Flood", "Strike", "Storm", "Roadblock", "Power outage", "Wildfire", "Earthquake")
_WHERE = ("Paris", "Lagos", "Lima", "Manila", "Nairobi", "Athens", "Karachi", "Santiago", "Naples", "Jakarta")


@dataclass(frozen=True, slots=True)
class Version:
    """What an event was from `at_ms` on; None: deleted. `seq`: the ledger's change."""

    at_ms: int
    seq: int
    event: Event | None


class World:
    """All events. `history`: how many of the last 30 days there are at the start. `deletes`: whether any ever go."""

    def __init__(self, rng: random.Random, clock: Clock, *, history: int, deletes: bool = False) -> None:
        self._rng = rng
        self._clock = clock
        self._deletes = deletes
        self.ledger = Ledger(clock)
        self.order: list[tuple[int, int]] = []
        self._versions: dict[int, list[Version]] = {}
        self._reverts: list[tuple[int, str]] = []
        started = clock()
        for _ in range(history):
            age = rng.randrange(HOUR, DAY) if rng.random() < 0.5 else rng.randrange(DAY, 30 * DAY)
            self._create(started - age, "initial", at_ms=started - age)

    def change(self, kind: str = "") -> Change:
        """Make one change: of this kind, or of one the seed decides. What cannot happen now becomes `new`.

        `kind`: a key of `WEIGHTS`, `late` (a new event, created within the last day), or `deleted`. Raises ValueError
        for another.
        """
        if not kind:
            weights = {**WEIGHTS, "deleted": 2} if self._deletes else WEIGHTS
            kind = self._rng.choices(list(weights), list(weights.values()))[0]
        match kind:
            case "new":
                return self._create(self._clock(), kind)
            case "late":
                return self._create(self._clock() - self._rng.randrange(HOUR, DAY), kind)
            case "renamed" | "flip" | "deleted":
                event = self._pick()
                if event is not None and kind == "deleted":
                    return self._write(event["number"], None, "deleted", kind)
                if event is not None:
                    if kind == "flip":  # edited, and edited back by a later change: A → B → A
                        self._reverts.append((event["number"], event["name"]))
                    name = self._name(event["number"])
                    return self._write(event["number"], {**event, "name": name}, "updated", kind)
            case "revert":
                while self._reverts:
                    number, name = self._reverts.pop(0)
                    event = self._versions[number][-1].event
                    if event is not None and event["name"] != name:
                        return self._write(number, {**event, "name": name}, "updated", kind)
            case _:
                there_are = ", ".join((*WEIGHTS, "late", "deleted"))
                raise ValueError(f"no change is called {kind!r}; there are: {there_are}")
        return self._create(self._clock(), "new")

    def at(self, number: int, as_of_ms: float) -> Version | None:
        """An event as a replica knew it at some moment; None if it did not know it, or knew that it was deleted."""
        for version in reversed(self._versions.get(number, ())):
            if version.at_ms <= as_of_ms:
                return version if version.event is not None else None
        return None

    def from_(self, mark: tuple[int, int] | None, as_of_ms: float, *, descending: bool) -> Iterator[Version]:
        """Events by creation, as of some moment, from behind a place in that order (None: all)."""
        if descending:
            end = len(self.order) if mark is None else bisect.bisect_left(self.order, mark)
            places = range(end - 1, -1, -1)
        else:
            places = range(0 if mark is None else bisect.bisect_right(self.order, mark), len(self.order))
        for place in places:
            version = self.at(self.order[place][1], as_of_ms)
            if version is not None:
                yield version

    def count(self, as_of_ms: float) -> int:
        """How many events a replica knew at some moment."""
        return sum(self.at(number, as_of_ms) is not None for _, number in self.order)

    def state(self) -> dict[str, dict[str, Event]]:
        """What the vendor holds now: events by the ledger's key."""
        latest = {key(number): versions[-1].event for number, versions in self._versions.items()}
        return {SCOPE: {id_: event for id_, event in latest.items() if event is not None}}

    def _create(self, created_ms: int, kind: str, at_ms: int | None = None) -> Change:
        number = len(self._versions) + 1
        created = created_ms // SECOND * SECOND
        bisect.insort(self.order, (created, number))
        event = {"number": number, "name": self._name(number), "createdAt": created}
        return self._write(number, event, "created", kind, at_ms)

    def _write(self, number: int, event: Event | None, operation: str, kind: str, at_ms: int | None = None) -> Change:
        change = self.ledger.append(SCOPE, key(number), operation, kind, event)
        version = Version(change.at_ms if at_ms is None else at_ms, change.seq, event)
        self._versions.setdefault(number, []).append(version)
        return change

    def _pick(self) -> Event | None:
        """An event: half of the time one of the twenty newest, else any, however old."""
        if not self.order:
            return None
        newest = self._rng.random() < 0.5
        low = max(0, len(self.order) - 20) if newest else 0
        for _ in range(20):
            _, number = self.order[self._rng.randrange(low, len(self.order))]
            event = self._versions[number][-1].event
            if event is not None:
                return event
        return None

    def _name(self, number: int) -> str:
        rng = self._rng
        return f"{rng.choice(_WHAT)} in {rng.choice(_WHERE)}, update {rng.randrange(10_000)} on {number}"
