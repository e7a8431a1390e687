"""One lease that is held: renewed in time, given back, and lost before another may have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import structlog

from bridge.core.errors import Away, BridgeError
from bridge.core.lease import RENEWALS, Claim, LeaseGiven, LeaseLost, Seen, Term, holder
from bridge.core.vitals import Vitals
from bridge.engine.ports import Leases

if TYPE_CHECKING:
    from bridge.engine.place import Place
    from bridge.engine.sharing import Sharing

ANSWER_S = 3.0
"""A claim and a release are given so long, also when we are told to stop: half-done they would block others."""
AGAIN_S = 0.2
"""Between attempts to renew while NATS does not answer."""
EARLY = 0.25
"""Of those that share a place each is renewed earlier by up to this part: or all that were taken together, which may be
hundreds, would be renewed together for ever."""

Measure = Callable[[], Vitals | None]
"""What the source's live sessions have measured by now; None if it has none. Returns at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tie:
    """What ties a lease to the place of its instance: it ends with it, and lasts as long as is said there.

    `place`: None while there is none for us; then the lease stands for itself.
    """

    sharing: Sharing
    place: Place | None


class HeldLease:
    """See `Lease`."""

    def __init__(
        self,
        leases: Leases,
        source: str,
        claim: Claim,
        seq: int,
        term: Term,
        clock: Callable[[], float],
        measure: Measure | None = None,
        tie: Tie | None = None,
    ) -> None:
        self._tie = tie
        self._next: Place | None = None
        self._recalled = anyio.Event()
        self._recall = ""
        self._leases = leases
        self._source = source
        self._claim = claim
        self._seq = seq
        self._term = term
        self._clock = clock
        self._measure = measure
        self._lost = ""
        self._trouble = ""

    def check(self) -> None:
        """See `Lease.check`."""
        tie = self._tie
        if not self._lost and tie is not None and tie.place is not None and tie.place.over(self._clock()):
            self._lost = (
                f"the lease of source {self._source} ended with the place of this instance among those that share: "
                f"{tie.place.lost}{self._trouble}; it is claimed anew"
            )
        if not self._lost and self._term.over(self._clock()):
            late_s = self._clock() - self._term.due
            self._lost = (
                f"the lease of source {self._source} ran out: it was to be renewed {late_s:.1f} s ago"
                f"{self._trouble or ', and this process stood still'}; it is claimed anew"
            )
        if self._lost:
            raise LeaseLost(self._lost)

    async def keep(self) -> None:
        """See `Lease.keep`. Raises LeaseGiven where it was recalled: it is ours until it is released."""
        while True:
            early_s = 0.0 if self._tie is None else self._tie.sharing.roll() * EARLY * self._term.lease_s / RENEWALS
            with anyio.move_on_after(max(0.0, self._term.due - early_s - self._clock())):
                await self._recalled.wait()
            if self._recalled.is_set():
                self.check()
                raise LeaseGiven(f"the lease of source {self._source} is given back: {self._recall}")
            await self._renew_in_time()

    def recall(self, reason: str) -> None:
        """It is to be given back, if it is held still. Returns at once."""
        self._recall = reason
        self._recalled.set()

    def settle(self, place: Place) -> None:
        """See `Recallable.settle`. The others are told by its next renewal: until then it stands for itself."""
        if self._tie is not None and self._tie.place is None:
            self._next = place

    def forsake(self, place: Place, reason: str) -> None:
        """See `Recallable.forsake`."""
        if self._tie is not None and self._tie.place is place:
            self.recall(reason)

    async def _renew_in_time(self) -> None:
        """Returns once it was renewed. Raises LeaseLost."""
        before = self._term.sent
        while self._term.sent == before:
            self.check()
            try:
                with anyio.fail_after(max(0.0, self._term.ends - self._clock())):
                    await self._renew()
            except (Away, TimeoutError) as error:
                self._trouble = f", but NATS has not answered ({error})" if str(error) else ", but NATS is silent"
                await anyio.sleep(min(AGAIN_S, max(0.0, self._term.ends - self._clock())))

    async def release(self) -> None:
        """See `Lease.release`."""
        try:
            await self._release()
        finally:
            if self._tie is not None:
                self._tie.sharing.dropped(self._source)

    async def _release(self) -> None:
        if self._lost:
            return
        self._lost = f"the lease of source {self._source} was given back"
        with anyio.move_on_after(ANSWER_S, shield=True):
            try:
                while not await self._leases.drop(self._source, self._seq):
                    # A renewal that was on its way may have been stored.
                    seen = await self._seen()
                    if not self._is_ours(seen) or seen.seq == self._seq:
                        return
                    self._seq = seen.seq
                log.info("lease.released", source=self._source)
            except BridgeError as error:
                log.info("lease.left_to_run_out", source=self._source, reason=str(error))

    async def _renew(self) -> None:
        sent = self._clock()
        if self._tie is not None and self._next is not None and not self._next.over(sent):
            # Whether the answer comes or not, the others may go by the place from now on.
            self._tie, self._claim = Tie(self._tie.sharing, self._next), replace(self._claim, at=self._next.name)
            self._next = None
        claim = self._measured()
        if self._tie is not None and self._tie.place is not None:
            claim = replace(claim, lease_s=self._tie.sharing.lease_s)
        seq = await self._leases.put(self._source, claim, self._seq)
        if seq is not None:
            self._seq, self._term.sent, self._term.lease_s, self._trouble = seq, sent, claim.lease_s, ""
            return
        seen = await self._seen()
        if not self._is_ours(seen):
            whose = holder(seen) if seen.held else "nobody: it was removed, or has run out"
            self._lost = f"the lease of source {self._source} is no longer ours: it is held by {whose}"
            self.check()
        # An earlier renewal was stored and its answer lost. When it was sent is not known any more: renew again.
        self._seq = seen.seq
        await anyio.sleep(min(AGAIN_S, max(0.0, self._term.ends - self._clock())))

    def _measured(self) -> Claim:
        """Our claim, with what was measured."""
        if self._measure is None:
            return self._claim
        try:
            return replace(self._claim, session=self._measure())
        except Exception:
            # A source must not be lost for a number that is only shown. Told once; the renewals go on without.
            self._measure = None
            log.exception("lease.unmeasured", source=self._source)
            return self._claim

    async def _seen(self) -> Seen:
        return (await self._leases.look([self._source])).get(self._source, Seen())

    def _is_ours(self, seen: Seen) -> bool:
        return seen.claim is not None and seen.claim.tenant.boot == self._claim.tenant.boot
