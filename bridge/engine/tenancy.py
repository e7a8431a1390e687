"""Holds a source's lease around its runner: waits for it, renews it, gives it back, and refuses writes after it.

All sources that wait share one look at the bucket; there is no task of its own behind this. Where the instances share
their sources (`bridge/engine/sharing.py`), it is said there whose turn it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import anyio
import structlog

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.lease import Claim, Seen, Tenant, Term, Verdict, Watch, holder, judge, patience
from bridge.core.meter import Meter
from bridge.core.record import Head, Json, Key
from bridge.engine.held import ANSWER_S, HeldLease, Tie
from bridge.engine.held import Measure as Measure
from bridge.engine.ports import Book, Cursor, Leases, Outcome, Receipt, Wall
from bridge.engine.pulse import SILENT, STORE_S, Beat
from bridge.engine.tracing import Tracer

POLL_S = 0.25
"""Between two looks at the claims of others: a release is noticed after half of it on average."""
JITTER_S = 0.2
"""Before a free lease is claimed, at most: instances that start together then share the sources."""

if TYPE_CHECKING:
    from bridge.engine.sharing import Sharing

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
        sharing: Sharing | None = None,
    ) -> None:
        self._sharing = sharing
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
        sharing = self._sharing
        while True:
            if sharing is not None and sharing.shares(source):
                lease = await self._take_in_turn(sharing, source, held, measure)
            else:
                lease = await self._take_alone(source, held, measure)
            if lease is not None:
                return lease

    async def _take_alone(self, source: str, held: Callable[[str], None], measure: Measure | None) -> HeldLease | None:
        """None: from now on it is taken by turns."""
        sharing = self._sharing
        self._waiting[source] = None
        try:
            while sharing is None or not sharing.shares(source):
                watch = await self._look(source)
                unchanged_s = self._clock() - watch.since
                verdict = judge(watch.seen, self._me, unchanged_s=unchanged_s, lease_s=self._lease_s, alive=self._alive)
                if verdict is Verdict.TAKEN:
                    held(holder(watch.seen))
                    await anyio.sleep(min(POLL_S, patience(watch.seen, self._lease_s) - unchanged_s))
                    continue
                if verdict is Verdict.FREE:
                    await anyio.sleep(self._roll() * JITTER_S)
                listed = sharing if sharing is not None and sharing.lists(source) else None
                lease = await self._claim(source, watch.seen, verdict, measure, listed)
                if lease is not None:
                    if listed is not None:
                        listed.claimed(source, lease)
                    return lease
                # Somebody was faster. What is known of the claim is old.
                self._looked.pop(source, None)
                await anyio.sleep(POLL_S)
            return None
        finally:
            del self._waiting[source]

    async def _take_in_turn(
        self, sharing: Sharing, source: str, held: Callable[[str], None], measure: Measure | None
    ) -> Lease | None:
        """None: somebody was faster, or nobody shares any more."""
        turn = await sharing.turn(source, held)
        if turn is None:
            return None
        lease: HeldLease | None = None
        try:
            lease = await self._claim(source, *turn, measure, sharing)
        finally:
            sharing.claimed(source, lease)
        return lease

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

    async def _claim(
        self, source: str, seen: Seen, verdict: Verdict, measure: Measure | None, sharing: Sharing | None = None
    ) -> HeldLease | None:
        tie = None if sharing is None else Tie(sharing, sharing.place)
        at = "" if tie is None or tie.place is None else tie.place.name
        claim = Claim(self._me, self._wall(), self._lease_s, at=at)
        sent = self._clock()
        # Told to stop meanwhile, we still learn whether we hold it, and can give it back.
        with anyio.move_on_after(ANSWER_S, shield=True):
            seq = await self._leases.put(source, claim, seen.seq)
            if seq is None:
                return None
            log.info("lease.taken", source=source, was=str(verdict), before=holder(seen) if seen.held else "")
            return HeldLease(self._leases, source, claim, seq, Term(self._lease_s, sent), self._clock, measure, tie)
        raise Away(f"the lease of source {source} was claimed, and NATS has not answered within {ANSWER_S:g} s")


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

    async def afters(self, wanted: Sequence[tuple[Key, Head]]) -> Mapping[Key, Json]:
        """See `Book.afters`."""
        return await self._book.afters(wanted)

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """See `Book.stored`."""
        return await self._book.stored(keys)

    async def telemetry(self) -> Book:
        """See `Book.telemetry`."""
        return LeasedBook(await self._book.telemetry(), self._lease, self._meter, self._beat, self._tracer)
