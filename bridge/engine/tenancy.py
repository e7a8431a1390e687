"""Holds a source's lease around its runner: waits for it, renews it, gives it back, and refuses writes after it.

All sources that wait share one look at the bucket; there is no task of its own behind this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import anyio
import structlog

from bridge.core.errors import Away, BridgeError
from bridge.core.event import Event
from bridge.core.lease import Claim, LeaseLost, Seen, Tenant, Term, Verdict, Watch, judge, patience
from bridge.core.meter import Meter
from bridge.core.record import Head, Json, Key
from bridge.core.vitals import Vitals
from bridge.engine.ports import Book, Cursor, Leases, Outcome, Receipt, Wall
from bridge.engine.pulse import SILENT, STORE_S, Beat
from bridge.engine.tracing import Tracer

POLL_S = 0.25
"""Between two looks at the claims of others: a release is noticed after half of it on average."""
JITTER_S = 0.2
"""Before a free lease is claimed, at most: instances that start together then share the sources."""
ANSWER_S = 3.0
"""A claim and a release are given so long, also when we are told to stop: half-done they would block others."""
AGAIN_S = 0.2
"""Between attempts to renew while NATS does not answer."""

Measure = Callable[[], Vitals | None]
"""What the source's live sessions have measured by now; None if it has none. Returns at once."""

log = structlog.get_logger()


class Lease(Protocol):
    """The right to work for one source."""

    def check(self) -> None:
        """Returns while it is held. Raises LeaseLost."""
        ...

    async def keep(self) -> None:
        """Renew it for as long as it can be. Never returns: raises LeaseLost, and not before it is."""
        ...

    async def release(self) -> None:
        """Give it up, so that another may take it at once. Does nothing when it is lost. Never raises."""
        ...


class Tenancies(Protocol):
    """Where sources get their leases from."""

    async def take(self, source: str, held: Callable[[str], None], measure: Measure | None = None) -> Lease:
        """Wait until we hold the source's lease. `held` is told, again and again, who has it. Raises Away.

        `measure` is asked at every renewal, which carries the answer for people to read.
        """
        ...


class Freehold:
    """No leases: every source is ours for ever. For a lone process, and for tests of other things."""

    async def take(
        self,
        source: str,  # noqa: ARG002 - nobody else is there
        held: Callable[[str], None],  # noqa: ARG002
        measure: Measure | None = None,  # noqa: ARG002
    ) -> Lease:
        """See `Tenancies.take`."""
        return _Owned()


class _Owned:
    def check(self) -> None:
        return

    async def keep(self) -> None:
        await anyio.sleep_forever()

    async def release(self) -> None:
        return


class LeaseOffice:
    """See `Tenancies`. One per process.

    `alive` tells whether a process in our own place is there. `clock` is monotonic, in seconds, and not the event
    loop's: that one may stand still while a callback runs.
    """

    def __init__(
        self,
        leases: Leases,
        me: Tenant,
        *,
        lease_s: float,
        wall: Wall,
        roll: Callable[[], float],
        alive: Callable[[Tenant], bool],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._leases = leases
        self._me = me
        self._lease_s = lease_s
        self._wall = wall
        self._roll = roll
        self._alive = alive
        self._clock = clock
        self._waiting: dict[str, None] = {}
        self._watches: dict[str, Watch] = {}
        self._looking = anyio.Lock()
        self._looked: dict[str, float] = {}

    async def take(self, source: str, held: Callable[[str], None], measure: Measure | None = None) -> Lease:
        """See `Tenancies.take`."""
        self._waiting[source] = None
        try:
            while True:
                watch = await self._look(source)
                unchanged_s = self._clock() - watch.since
                verdict = judge(watch.seen, self._me, unchanged_s=unchanged_s, lease_s=self._lease_s, alive=self._alive)
                if verdict is Verdict.TAKEN:
                    held(_holder(watch.seen))
                    await anyio.sleep(min(POLL_S, patience(watch.seen, self._lease_s) - unchanged_s))
                    continue
                if verdict is Verdict.FREE:
                    await anyio.sleep(self._roll() * JITTER_S)
                lease = await self._claim(source, watch.seen, verdict, measure)
                if lease is not None:
                    return lease
                # Somebody was faster. What is known of the claim is old.
                self._looked.pop(source, None)
                await anyio.sleep(POLL_S)
        finally:
            del self._waiting[source]

    async def _look(self, source: str) -> Watch:
        """What lies under the source's name, not older than `POLL_S`. Whoever asks first asks for all who wait."""
        async with self._looking:
            if self._clock() >= self._looked.get(source, 0.0) + POLL_S or source not in self._looked:
                names = list(self._waiting)
                found = await self._leases.look(names)
                now = self._clock()
                for name in names:
                    seen = found.get(name, Seen())
                    self._watches.setdefault(name, Watch(seen, now)).look(seen, now)
                    self._looked[name] = now
            return self._watches[source]

    async def _claim(self, source: str, seen: Seen, verdict: Verdict, measure: Measure | None) -> Lease | None:
        claim = Claim(self._me, self._wall(), self._lease_s)
        sent = self._clock()
        # Told to stop meanwhile, we still learn whether we hold it, and can give it back.
        with anyio.move_on_after(ANSWER_S, shield=True):
            seq = await self._leases.put(source, claim, seen.seq)
            if seq is None:
                return None
            log.info("lease.taken", source=source, was=str(verdict), before=_holder(seen) if seen.held else "")
            return HeldLease(self._leases, source, claim, seq, Term(self._lease_s, sent), self._clock, measure)
        raise Away(f"the lease of source {source} was claimed, and NATS has not answered within {ANSWER_S:g} s")


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
    ) -> None:
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
        if not self._lost and self._term.over(self._clock()):
            late_s = self._clock() - self._term.due
            self._lost = (
                f"the lease of source {self._source} ran out: it was to be renewed {late_s:.1f} s ago"
                f"{self._trouble or ', and this process stood still'}; it is claimed anew"
            )
        if self._lost:
            raise LeaseLost(self._lost)

    async def keep(self) -> None:
        """See `Lease.keep`."""
        while True:
            await anyio.sleep(max(0.0, self._term.due - self._clock()))
            while self._clock() >= self._term.due:
                self.check()
                try:
                    with anyio.fail_after(max(0.0, self._term.ends - self._clock())):
                        await self._renew()
                except (Away, TimeoutError) as error:
                    self._trouble = f", but NATS has not answered ({error})" if str(error) else ", but NATS is silent"
                    await anyio.sleep(min(AGAIN_S, max(0.0, self._term.ends - self._clock())))

    async def release(self) -> None:
        """See `Lease.release`."""
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
        seq = await self._leases.put(self._source, self._measured(), self._seq)
        if seq is not None:
            self._seq, self._term.sent, self._trouble = seq, sent, ""
            return
        seen = await self._seen()
        if not self._is_ours(seen):
            holder = _holder(seen) if seen.held else "nobody: it was removed, or has run out"
            self._lost = f"the lease of source {self._source} is no longer ours: it is held by {holder}"
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


class LeasedBook:
    """See `Book`. Both writes check the lease first: a process that stood still must not go on where it was."""

    def __init__(
        self, book: Book, lease: Lease, meter: Meter | None = None, beat: Beat = SILENT, tracer: Tracer | None = None
    ) -> None:
        """`meter`: told how long the writes take; `beat`: that each of them must end; `tracer`: of each."""
        self._book = book
        self._lease = lease
        self._meter = Meter() if meter is None else meter
        self._beat = beat
        self._tracer = tracer
        self.memory = book.memory

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """See `Book.append`. Raises LeaseLost."""
        self._lease.check()
        begun, begun_ns = anyio.current_time(), self._now_ns()
        try:
            with self._beat.busy("storing events", STORE_S):
                outcomes = await self._book.append(events)
        except Exception as error:
            self._failed(events, begun_ns, error, batch=False)
            raise
        self._meter.singles.observe(anyio.current_time() - begun)
        if self._tracer is not None:
            self._tracer.appended(events, outcomes, begun_ns)
        return outcomes

    async def commit(self, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
        """See `Book.commit`. Raises LeaseLost."""
        self._lease.check()
        begun, begun_ns = anyio.current_time(), self._now_ns()
        try:
            with self._beat.busy("storing a batch", STORE_S):
                receipt = await self._book.commit(events, walk, cursor)
        except Exception as error:
            self._failed(events, begun_ns, error, batch=True)
            raise
        self._meter.batches.observe(anyio.current_time() - begun)
        if self._tracer is not None:
            self._tracer.committed(events, begun_ns)
        return receipt

    def _now_ns(self) -> int:
        return 0 if self._tracer is None else self._tracer.now_ns

    def _failed(self, events: Sequence[Event], begun_ns: int, error: Exception, *, batch: bool) -> None:
        if self._tracer is not None:
            self._tracer.committed(events, begun_ns, batch=batch, error=type(error).__name__)

    async def head(self, key: Key) -> Head | None:
        """See `Book.head`."""
        return await self._book.head(key)

    async def cursor(self, walk: str) -> Cursor | None:
        """See `Book.cursor`."""
        return await self._book.cursor(walk)

    async def after(self, key: Key, head: Head) -> Json:
        """See `Book.after`."""
        return await self._book.after(key, head)

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """See `Book.stored`."""
        return await self._book.stored(keys)

    async def telemetry(self) -> Book:
        """See `Book.telemetry`."""
        return LeasedBook(await self._book.telemetry(), self._lease, self._meter, self._beat, self._tracer)


def _holder(seen: Seen) -> str:
    if seen.claim is None:
        return "somebody whose claim cannot be read"
    tenant = seen.claim.tenant
    return f"instance {tenant.instance} (process {tenant.pid} on {tenant.host})"
