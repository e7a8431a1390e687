"""What an instance tells the others of itself, and which of them are there, from what lies in the bucket of leases.

Each instance that shares its sources has a place there, which it renews like a lease. The leases it holds name that
place: they end with it, so who watches over the sources of a thousand leases watches a handful of places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.core.record import Json

if TYPE_CHECKING:
    from bridge.core.lease import Claim, Seen

PLACES = tuple(f"@{number:02d}" for number in range(32))
"""Names that no source can have. So many instances share at most; further ones only take what nobody holds."""


@dataclass(frozen=True, slots=True)
class Member:
    """`roster`: a digest of the sources it is configured with. `holds`, `waits`: how many of them it has and wants.

    `offers`: some that it gave back a moment ago. `fixed`: how many of those that it has it keeps, however few others
    have; 0 of a build that does not tell.
    """

    roster: str
    holds: int = 0
    waits: int = 0
    offers: tuple[str, ...] = ()
    fixed: int = 0

    def to_json(self) -> dict[str, Json]:
        """As it is stored."""
        told: dict[str, Json] = {"fixed": self.fixed} if self.fixed else {}
        return {"roster": self.roster, "holds": self.holds, "waits": self.waits, "offers": list(self.offers), **told}


def read_member(value: Json) -> Member | None:
    """What `to_json` made `value` of; None if that is something else."""
    if not isinstance(value, Mapping):
        return None
    roster, holds, waits, offers = (value.get(key) for key in ("roster", "holds", "waits", "offers"))
    if not (isinstance(roster, str) and isinstance(holds, int) and isinstance(waits, int) and isinstance(offers, list)):
        return None
    fixed = value.get("fixed", 0)
    if holds < 0 or waits < 0 or not isinstance(fixed, int):
        return None
    return Member(roster, holds, waits, tuple(one for one in offers if isinstance(one, str)), max(0, fixed))


@dataclass(slots=True)
class _Place:
    seen: Seen
    since: float


class Attendance:
    """Who is there. Moments are of our own monotonic clock, in seconds, and `look` is told all of them.

    That an instance is gone is never concluded from an answer that may be an old one, as of a replica that lags: either
    something newer than its last sign of life was seen in its place, or it is written there first (`silent`), which the
    server refuses where the sign of life was not the last.
    """

    def __init__(self, lease_s: float) -> None:
        """`lease_s` counts for a place whose claim cannot be read, and for one that was never seen."""
        self._lease_s = lease_s
        self._places: dict[str, _Place] = {}
        self._last: dict[tuple[str, str], int] = {}
        self._missed: dict[tuple[str, str], tuple[float, int]] = {}

    def look(self, found: Mapping[str, Seen], now: float) -> None:
        """This lay in the places at `now`; a name that is missing is free."""
        for name, seen in found.items():
            before = self._places.get(name)
            if before is None or seen.seq > before.seen.seq:
                self._places[name] = _Place(seen, now)
                if seen.claim is not None:
                    self._last[name, seen.claim.tenant.boot] = seen.seq
                    self._missed.pop((name, seen.claim.tenant.boot), None)

    def seq(self, name: str) -> int:
        """Where the last that was seen in a place lies; 0: nothing."""
        place = self._places.get(name)
        return 0 if place is None else place.seen.seq

    def taken(self, name: str) -> bool:
        """Whether somebody has the place, or had it when last seen."""
        place = self._places.get(name)
        return place is not None and place.seen.held

    def claims(self) -> dict[str, Claim]:
        """What whoever is there says, by place, in order."""
        found = ((name, self._places[name].seen.claim) for name in PLACES if name in self._places)
        return {name: claim for name, claim in found if claim is not None and claim.member is not None}

    def silent(self, now: float, but: str = "") -> list[tuple[str, int]]:
        """Places to be cleared, and where what is there lies: nobody has renewed them for as long as they last.

        Where somebody else's place is said to be another's, who is there now counts, and how long it lasts for them.
        """
        found = {
            name: place.seen.seq
            for name, place in self._places.items()
            if place.seen.held and name != but and now - place.since >= self._patience(place)
        }
        for (name, boot), (since, seq) in self._missed.items():
            place = self._places.get(name)
            lasts_s = self._lease_s if place is None else max(self._lease_s, self._patience(place))
            if now - since >= lasts_s and self.seq(name) == seq and not self._is(name, boot):
                found.setdefault(name, seq)
        return [(name, seq) for name, seq in found.items() if name != but]

    def gone(self, name: str, boot: str, now: float) -> bool:
        """Whether that life of an instance has lost the place it said it has, for certain."""
        key = name, boot
        if self._is(name, boot):
            self._missed.pop(key, None)
            return False
        if (last := self._last.get(key)) is not None:
            return self.seq(name) > last
        since, seq = self._missed.setdefault(key, (now, self.seq(name)))
        return now - since >= self._lease_s and self.seq(name) > seq

    def unsure(self, now: float) -> bool:
        """Whether there is somebody of whom it is not known yet."""
        return any(
            now - since < self._lease_s or self.seq(name) == seq for (name, _), (since, seq) in self._missed.items()
        )

    def _is(self, name: str, boot: str) -> bool:
        place = self._places.get(name)
        return place is not None and place.seen.claim is not None and place.seen.claim.tenant.boot == boot

    def _patience(self, place: _Place) -> float:
        return self._lease_s if place.seen.claim is None else place.seen.claim.lease_s
