"""What lies in the bucket of leases of the sources we wait for, and what it means: who holds each, and who is there."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

from bridge.core.lease import Claim, Seen, Tenant, Verdict, Watch, holder, judge
from bridge.core.member import Attendance, Member

EVERY_PER_S = 100.0
"""All that is waited for is looked at anew now and then: so many in a second on average, and no more often than once in
a lease. What changes hands in between is told by those who give it."""
UNSURE_S = 1.0
"""The same while it is not known of somebody whether they are there."""
FREE_S = 2.0
"""The same while nobody holds some: others may have taken them meanwhile."""


class Ground:
    """Knows what it is told by `places` and `sources`; asks nobody. Moments are of our own clock, in seconds."""

    def __init__(self, me: Tenant, lease_s: float, alive: Callable[[Tenant], bool]) -> None:
        self._me = me
        self._lease_s = lease_s
        self._alive = alive
        self.attendance = Attendance(lease_s)
        self.members: Mapping[str, Member] = {}
        """Those who share the same sources as we, by place; ourselves among them."""
        self._there: set[tuple[str, str, str]] = set()
        self._offered: set[str] = set()
        self._watches: dict[str, Watch] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._foreign: set[str] = set()
        self._told: dict[str, str] = {}
        self._news: set[str] = set()
        self._free: dict[str, float] = {}
        self._loose: set[str] = set()
        """Those that may change hands without our being told: somebody holds them who does not tell."""
        self._own: set[str] = set()
        self._asked: set[str] = set()
        self._all_at = self._all_from = 0.0
        self._changed = True
        self._unsure = False

    # What is there to be seen.

    def ask(self, source: str) -> None:
        """It is waited for from now on."""
        self._forget(source)

    def places(self, found: Mapping[str, Seen], now: float, roster: str) -> None:
        """This lay in the places. `roster`: what those say who share the same sources as we."""
        self.attendance.look(found, now)
        claims = self.attendance.claims()
        told = {name: claim.member for name, claim in claims.items() if claim.member is not None}
        there = {(name, claims[name].tenant.boot, member.roster) for name, member in told.items()}
        if there != self._there:
            self._there, self._changed = there, True
        # Whoever is silent has stopped by now, whatever still lies there.
        silent = {name for name, _ in self.attendance.silent(now)}
        self.members = {name: one for name, one in told.items() if one.roster == roster and name not in silent}
        self._offered = {source for member in told.values() for source in member.offers}

    def wanted(self, waiting: Collection[str], also: Collection[str], now: float) -> list[str]:
        """Which of these to look at now; `also`: some that are about to change hands."""
        before, self._unsure = self._unsure, self.attendance.unsure(now)
        if before and not self._unsure:
            # Now it is known of somebody, and what their sources are was judged while it was not.
            self._changed = True
        often_s = UNSURE_S if self._unsure else FREE_S if self._free else math.inf
        if self._changed or now >= min(self._all_at, self._all_from + often_s):
            self._changed, self._all_from = False, now
            self._all_at = now + max(self._lease_s, len(waiting) / EVERY_PER_S)
            return list(waiting)
        some = self._asked.union(self._offered, self._loose, also)
        return [name for name in waiting if name in some] if some else []

    def missed(self) -> None:
        """What was wanted last was not seen: it is wanted again, with all the rest."""
        self._changed = True

    def sources(self, found: Mapping[str, Seen], now: float, here: str) -> None:
        """This lay under the names of sources. `here`: our own place."""
        for name, seen in found.items():
            self._asked.discard(name)
            watch = self._watches.setdefault(name, Watch(seen, now))
            watch.look(seen, now)
            self._verdicts[name] = verdict = self._judge(watch, now)
            taken = verdict is Verdict.TAKEN
            if taken or verdict is Verdict.OWN:
                self._free.pop(name, None)
            else:
                self._free.setdefault(name, now)
            claim = seen.claim
            _put(self._foreign, name, there=taken and not self._ours(claim, here))
            _put(self._loose, name, there=taken and (claim is None or not claim.at))
            _put(self._own, name, there=verdict is Verdict.OWN)
            if taken and self._told.get(name) != (told := holder(seen)):
                self._told[name] = told
                self._news.add(name)

    # What that means.

    @property
    def own(self) -> list[str]:
        """Sources that are ours from an earlier life."""
        return [name for name in self._own if name not in self._asked]

    def verdict(self, source: str) -> Verdict | None:
        """What may be done with what was seen last; None: it was not looked at since it is waited for."""
        return None if source in self._asked else self._verdicts.get(source)

    def found(self, source: str) -> tuple[Seen, Verdict]:
        """What was seen, and what may be done with it. It is looked at anew before it is judged again."""
        seen, verdict = self._watches[source].seen, self._verdicts[source]
        self._forget(source)
        return seen, verdict

    def free(self) -> list[str]:
        """Sources that nobody holds, as far as is known."""
        return [name for name in self._free if name not in self._asked]

    def free_s(self, source: str, now: float) -> float:
        """For how long nobody has held it."""
        return now - self._free.get(source, now)

    def foreign(self, waiting: Collection[str]) -> int:
        """How many of these somebody holds who does not share them with us."""
        return sum(name in self._foreign for name in waiting) if self._foreign else 0

    def news(self) -> list[tuple[str, str]]:
        """Sources whose holder is news, and who that is."""
        found = [(name, self._told[name]) for name in self._news if name in self._told]
        self._news.clear()
        return found

    def _forget(self, source: str) -> None:
        self._asked.add(source)
        self._told.pop(source, None)
        self._free.pop(source, None)
        self._loose.discard(source)
        self._own.discard(source)
        self._foreign.discard(source)

    def _judge(self, watch: Watch, now: float) -> Verdict:
        seen = watch.seen
        verdict = judge(seen, self._me, unchanged_s=now - watch.since, lease_s=self._lease_s, alive=self._alive)
        claim = seen.claim
        ended = verdict is Verdict.TAKEN and claim is not None and claim.at
        if ended and claim is not None and self.attendance.gone(claim.at, claim.tenant.boot, now):
            return Verdict.LAPSED
        return verdict

    def _ours(self, claim: Claim | None, here: str) -> bool:
        """Whether who holds it shares it with us."""
        return claim is not None and claim.at != here and claim.at in self.members


def _put(names: set[str], name: str, *, there: bool) -> None:
    (names.add if there else names.discard)(name)
