"""Our place among the instances that share: got, renewed like a lease, and given up.

Every lease whose claim names it ends with it, however long it lasts by itself: once the place is cleared the others
take what went by it without waiting, so a holder that kept some would be one of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio

from bridge.core.errors import BridgeError
from bridge.core.lease import Claim, Seen, Tenant, Term, Verdict, judge
from bridge.core.member import PLACES, Attendance, Member
from bridge.engine.ports import Leases, Wall

ANSWER_S = 3.0
"""Giving it up takes no longer."""


class Place:
    """One place, from when it was got until it is lost; then another object takes its place, or nobody does."""

    def __init__(self, leases: Leases, name: str, claim: Claim, seq: int, term: Term) -> None:
        self._leases = leases
        self.name = name
        self._claim = claim
        self._seq = seq
        self.term = term
        self.lost = ""
        """Why; "" while it may still be ours."""

    def over(self, now: float) -> bool:
        """Whether it is lost, or has run out: nothing may be written by its leases, from then on for ever."""
        if not self.lost and self.term.over(now):
            self.lost = "it ran out"
        return bool(self.lost)

    async def renew(self, member: Member, clock: Callable[[], float]) -> None:
        """Say that we are there, and how we are. Raises Away; `lost` is set where it is no longer ours."""
        sent = clock()
        if self.over(sent):
            return
        seq = await self._leases.put(self.name, replace(self._claim, member=member), self._seq)
        if seq is not None:
            self._seq, self.term.sent = seq, sent
            return
        seen = await self._seen()
        if not self._is_ours(seen):
            self.lost = "it was cleared, or is another's"
        # Else an earlier renewal was stored and its answer lost. When it was sent is not known: it is renewed again.
        self._seq = seen.seq

    async def leave(self) -> None:
        """Give it up: whoever waits sees at once that we are gone. Never raises."""
        if self.lost:
            return
        self.lost = "it was given up"
        with anyio.move_on_after(ANSWER_S, shield=True):
            try:
                while not await self._leases.drop(self.name, self._seq):
                    # A renewal that was on its way may have been stored.
                    seen = await self._seen()
                    if not self._is_ours(seen) or seen.seq == self._seq:
                        return
                    self._seq = seen.seq
            except BridgeError:
                # It runs out.
                return

    async def _seen(self) -> Seen:
        return (await self._leases.look([self.name])).get(self.name, Seen())

    def _is_ours(self, seen: Seen) -> bool:
        return seen.claim is not None and seen.claim.tenant.boot == self._claim.tenant.boot


async def join(
    leases: Leases,
    me: Tenant,
    attendance: Attendance,
    member: Member,
    *,
    lease_s: float,
    wall: Wall,
    clock: Callable[[], float],
    alive: Callable[[Tenant], bool],
) -> Place | None:
    """Get a place: that of an earlier life of ours if there is one, else the first free one. None: all are taken.

    Raises what `Leases` raises.
    """
    found = await leases.look(PLACES)
    now = clock()
    attendance.look(found, now)
    claim = Claim(me, wall(), lease_s, member=member)
    verdicts = {
        name: judge(found.get(name, Seen()), me, unchanged_s=0.0, lease_s=lease_s, alive=alive) for name in PLACES
    }
    free = [name for name in PLACES if verdicts[name] is Verdict.FREE]
    for name in [*(name for name in PLACES if verdicts[name] is Verdict.OWN), *free]:
        sent = clock()
        seq = await leases.put(name, claim, found.get(name, Seen()).seq)
        if seq is not None:
            return Place(leases, name, claim, seq, Term(lease_s, sent))
    return None
