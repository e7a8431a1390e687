"""Runs one source for ever: open the book, connect, catch up, live, reconcile; and what happens after each error."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from bridge.adapter import Token, Walk
from bridge.core.backoff import Backoff
from bridge.core.errors import Away, Refused, Retry, Unauthorized
from bridge.core.lease import LeaseGiven, LeaseLost
from bridge.core.lifecycle import Signal, State
from bridge.core.omit import fingerprint, parse
from bridge.core.report.facts import SourceFacts
from bridge.core.schedule import Schedule
from bridge.core.vitals import Vitals
from bridge.engine.allotment import Allotment
from bridge.engine.bulletin import Bulletin
from bridge.engine.census import take_facts
from bridge.engine.counts import Counts
from bridge.engine.groups import task_group
from bridge.engine.handover import Handover
from bridge.engine.herald import announce_doubt
from bridge.engine.lanes import Lanes
from bridge.engine.live import Live
from bridge.engine.outage import Outage
from bridge.engine.ports import Book
from bridge.engine.pulse import OPEN_S
from bridge.engine.reader import Reader
from bridge.engine.reading import Reading
from bridge.engine.recent import Tape
from bridge.engine.refusals import BLOCKED_RETRY_S, Refusals
from bridge.engine.scribe import Scribe
from bridge.engine.sequencer import Sequencer
from bridge.engine.source import Source, Status, World
from bridge.engine.tenancy import Freehold, Lease, LeasedBook
from bridge.engine.vitals import take_vitals
from bridge.engine.walker import Walker

SETTLED_S = 60.0
"""A live session has proved itself after this long, and the back-off starts over."""


class Runner:
    """`run` never returns; it is cancelled. Conditions are handled here, bugs are raised."""

    def __init__(self, source: Source, world: World) -> None:
        adapter = source.adapter
        self._source = source
        self._world = world
        quota = world.quotas.of(adapter.budget_key, adapter.limit)
        beat = world.pulse.of(f"source {source.name}")
        tracer = world.tracer(source)
        self._reader = Reader(adapter, world.http, quota, world.wall, world.masker.add, source.meter, beat, tracer)
        self._allotment = Allotment(source.name, self._reader)
        self._vendor_backoff = Backoff(world.roll)
        self._nats_backoff = Backoff(world.roll, first=0.1, longest=5.0)
        self._read_backoff = Backoff(world.roll)
        self._outage = Outage(live=source.feed is not None)
        self._refusals = Refusals(source.name, world.wall, world.masker)
        self._now: Reading | None = None
        self._renewed = False
        self._failed: dict[str, None] = {}
        self._warned: set[str] = set()
        self._woken = anyio.Event()
        counts = Counts(tape=Tape(world.wall, world.recent))
        self.status = Status(source.name, adapter.vendor, since_ms=world.wall(), counts=counts, session=source.session)
        self._live = Live(source, world, self.status)
        self._bulletin = Bulletin(self.status, world.wall, world.masker, self._refusals, self._outage)

    def facts(self) -> SourceFacts:
        """What can be seen of it now."""
        return take_facts(self._source, self.status, self._reader, self._measure())

    async def run(self) -> None:
        """Hold the source until cancelled, for as long as its lease is ours, and stand by otherwise."""
        while True:
            try:
                tenancies = Freehold() if self._source.shared else self._world.tenancies
                lease = await tenancies.take(self._source.name, self._held, self._measure)
                self._bulletin.signal(Signal.GRANTED)
                try:
                    async with task_group() as group:
                        group.start_soon(lease.keep)
                        await self._own(lease)
                finally:
                    self._allotment.leave()
                    await lease.release()
            except Away as error:
                if isinstance(error, LeaseLost):
                    # Another may have gone on from here: what it published decides what is news now.
                    self._bulletin.forget()
                    self._outage.over()
                    self._refusals.forget()
                    if self.status.state is not State.AWAY:
                        self._bulletin.signal(Signal.LEASE_LOST, "" if isinstance(error, LeaseGiven) else str(error))
                        continue
                await self._away(error)

    def _held(self, holder: str) -> None:
        self._bulletin.signal(Signal.HELD, f"held by {holder}")

    def _measure(self) -> Vitals | None:
        schedule = None if self._now is None else self._now.schedule
        return take_vitals(self.status, self._world.wall(), schedule, self._reader.quota)

    async def _own(self, lease: Lease) -> None:
        """Work for the source, through every absence of NATS that is shorter than the lease. Raises LeaseLost."""
        owner = {**self._world.owner, "since_ms": self._world.wall()}
        while True:
            try:
                lease.check()
                with self._reader.beat.busy("reading what the stream knows", OPEN_S):
                    book = await self._world.ledger.open(self._source.adapter.vendor, self._source.name, owner)
                self._bulletin.signal(Signal.OPENED)
                await self._hold(LeasedBook(book, lease, self._source.meter, self._reader.beat, self._reader.tracer))
            except LeaseLost:
                raise
            except Away as error:
                await self._away(error)

    async def _away(self, error: Away) -> None:
        # Whatever was under way is forgotten; the stream says what is stored.
        self._bulletin.signal(Signal.NATS_LOST, str(error))
        self._bulletin.forget()
        self._outage.pause()
        await anyio.sleep(self._nats_backoff.next())
        await self._world.ledger.wait_ready()
        self._bulletin.signal(Signal.RETRY)

    def wake(self) -> None:
        """Do not wait any longer for a vendor that failed or refused, be it one walk: try again now."""
        self._refusals.ask_anew()
        if self._now is not None:
            self._now.ask_refused()
        self._woken.set()

    async def _hold(self, book: Book) -> None:
        adapter, world = self._source.adapter, self._world
        scribe = self._scribe()
        sequencer = Sequencer(book, scribe, self.status.counts)
        lanes = Lanes(sequencer, book, scribe, self.status.counts)
        walker = Walker(
            adapter, self._reader, lanes, world.wall, world.ledger,
            resumes=self._source.feed is None, warned=self._warned, spelled=world.exact,
        )  # fmt: skip
        await announce_doubt(sequencer, book.memory, world.wall())
        await self._bulletin.recall(sequencer, book)
        async with task_group() as group:
            group.start_soon(self._bulletin.watch, sequencer)
            await self._attempts(walker)

    async def _attempts(self, walker: Walker) -> None:
        sequencer = walker.lanes.main
        while True:
            try:
                await self._session(walker)
            except Retry as error:
                self._bulletin.signal(Signal.FAILED, str(error))
                self._failed_for(str(error))
                await self._bulletin.judge(sequencer, ended=True)
                await self._meanwhile(walker, self._vendor_backoff.next(at_least=error.after))
            except Refused as error:
                after = error.after or BLOCKED_RETRY_S
                self._bulletin.signal(Signal.REFUSED, f"{error}; tried again in {after / 60:g} min, or at a restart")
                await self._refused(sequencer, error, after)
                await self._meanwhile(walker, after)
                if not self._live.failed:
                    self._refusals.ask_anew()
            self._bulletin.signal(Signal.RETRY)

    async def _session(self, walker: Walker) -> None:
        world = self._world
        self._live.failed = False
        self.status.shut_ms = self.status.shut_ms or world.wall()
        token = await self._reader.keeper.token()
        walks = await self._walks(walker, token)
        now = anyio.current_time()
        ages = walker.ages(walks)
        if self._source.feed is None:
            self._bulletin.signal(Signal.CONNECTED)

            async def well() -> None:
                self._vendor_backoff.reset()
                await self._well(walker)

            await self._reading(walker, self._allotment.schedule(walks, now, ages)).for_ever(well)
            return
        # What was pushed while no session was open is found only by reading everything once.
        beside = {walk.name: ages.get(walk.name, 0.0) for walk in walks if not walk.on_connect}
        schedule = self._allotment.schedule(walks, now, beside)
        schedule.all_due(now, walker.under_way)
        handover = Handover(self._source.feed, self._reader.keeper, roll=world.roll, meter=self._source.meter)
        feed = handover if self._source.hands_over else self._source.feed(token)
        try:
            async with task_group() as group:

                def connected() -> None:
                    self._renewed, self.status.shut_ms = False, None
                    self._outage.opened()
                    self._bulletin.signal(Signal.CONNECTED)
                    group.start_soon(self._prove)

                reading = self._reading(walker, schedule, alone=False)
                await self._live.session(
                    feed, reading, connected, lambda: self._well(walker), lambda error: self._unread(walker, error)
                )
        except Unauthorized as error:
            if self._renewed:
                raise Refused(
                    f"live: refused again with a new token, so it has not merely expired: {error}; "
                    "check what the credentials may do at the vendor"
                ) from error
            self._renewed = True
            await self._reader.keeper.renew(handover.token or token)
            raise Retry(f"live: the token was refused, and has been renewed: {error}") from error

    async def _walks(self, walker: Walker, token: Token) -> list[Walk]:
        # Of equal walks the one that failed last comes last, or it would keep the others from being read at all.
        failed = list(self._failed)
        walks = sorted(
            self._source.adapter.walks(token), key=lambda walk: failed.index(walk.name) if walk.name in failed else -1
        )
        await walker.prepare(walks)
        self._refusals.keep(walk.name for walk in walks)
        self._allotment.enter(walks)
        return walks

    def _reading(self, walker: Walker, schedule: Schedule, *, alone: bool = True) -> Reading:
        self._now = Reading(
            walker, schedule, self._failed, self._note_progress, self._read_backoff, self._refusals, self._allotment,
            alone=alone, answered=self._outage.answered,
        )  # fmt: skip
        return self._now

    async def _unread(self, walker: Walker, error: Retry) -> None:
        """A page beside a live session failed: the session goes on, and the page is asked for again."""
        self.status.failures += 1
        self._outage.unread(str(error))
        self._bulletin.complain("reading.failed", str(error))
        await self._bulletin.judge(walker.lanes.main, ended=True)

    async def _meanwhile(self, walker: Walker, seconds: float) -> None:
        """Wait before the next attempt. A source whose live session failed is polled meanwhile, as if it had none."""
        self._woken = anyio.Event()
        with anyio.move_on_after(seconds) as waiting:
            async with task_group() as group:

                async def woken() -> None:
                    await self._woken.wait()
                    waiting.cancel()

                group.start_soon(woken)
                while self._live.failed:
                    try:
                        walks = await self._walks(walker, await self._reader.keeper.token())
                        schedule = self._allotment.schedule(walks, anyio.current_time(), walker.ages(walks))
                        reading = self._reading(walker, schedule)
                        if not reading.schedule.caught_up:
                            self._outage.asked()
                        await reading.for_ever(self._polled)
                    except Retry as error:
                        self._outage.unread(str(error))
                        self._bulletin.complain("source.unread", str(error))
                        await self._bulletin.judge(walker.lanes.main, ended=True)
                        await anyio.sleep(self._read_backoff.next(at_least=error.after))
                    except Refused as error:
                        self._outage.forbid(str(error))
                        await self._bulletin.announce(walker.lanes.main, "blocked", str(error), again_s=seconds)
                        # Whoever refuses is not asked again before the session is.
                        await anyio.sleep(seconds)
                await anyio.sleep_forever()

    async def _polled(self) -> None:
        """All was read that was due beside a live session that failed."""
        walks = [] if self._now is None else self._now.schedule.walks
        if not (walks and self._refusals.every(walk.name for walk in walks)):
            self._outage.read()
            self._heal()
        await anyio.lowlevel.checkpoint()

    def _heal(self) -> None:
        # A walk that fails after it was read once holds up nothing, so all counts as well meanwhile: it is not.
        if self._now is None or not any(walk.name in self._failed for walk in self._now.schedule.walks):
            self._bulletin.recovered()

    def _failed_for(self, reason: str) -> None:
        """One more attempt has failed."""
        self.status.failures += 1
        self.status.shut_ms = self.status.shut_ms or self._world.wall()
        self._outage.shut(reason)
        if not self._live.failed:
            self._outage.unread(reason)

    async def _refused(self, sequencer: Sequencer, error: Refused, after: float) -> None:
        """The session is refused, or all that could be read."""
        self.status.failures += 1
        self.status.shut_ms = self.status.shut_ms or self._world.wall()
        self._outage.shut(str(error), after)
        if not self._live.failed:
            self._outage.forbid(str(error))
        elif self._outage.forbidden or self._outage.half(self._bulletin.failing, ended=True) == "":
            # Polling, which is all that is left, fails as well: that was announced.
            await self._bulletin.judge(sequencer, ended=True)
            return
        half = "live" if self._live.failed else ""
        await self._bulletin.announce(sequencer, "blocked", str(error), half=half, again_s=after)

    def _note_progress(self, walker: Walker) -> None:
        self.status.completed_ms, self.status.progress = walker.completed_ms, walker.progress
        self.status.requests, self.status.renewals = self._reader.requests, self._reader.keeper.renewals
        self._allotment.expect(self.status.progress)

    async def _prove(self) -> None:
        await anyio.sleep(SETTLED_S)
        self._vendor_backoff.reset()

    async def _well(self, walker: Walker) -> None:
        """Everything that is not refused was read once since the session began, or since something was missed."""
        sequencer = walker.lanes.main
        self.status.failures = 0
        self._outage.over()
        self._heal()
        self._nats_backoff.reset()
        if self.status.state is State.CATCHING_UP:
            self._bulletin.signal(Signal.CAUGHT_UP)
        await self._bulletin.well(sequencer, walker.held_back())

    def _scribe(self) -> Scribe:
        adapter, world, settings = self._source.adapter, self._world, self._source.adapter.settings
        omits = [parse(path) for path in (adapter.omit if settings.omit is None else settings.omit)]
        return Scribe(
            vendor=adapter.vendor,
            source=self._source.name,
            type_prefix=adapter.type_prefix,
            mapping_version=f"{adapter.mapping_version}-{fingerprint(omits)}".rstrip("-"),
            omits=omits,
            keep_raw=settings.raw,
            encode=world.encode,
            limit=world.ledger.max_payload,
            wall=world.wall,
            masker=world.masker,
            schema=adapter.schema,
            edition=adapter.edition,
            structured=world.structured,
            trace=world.trace if self._reader.tracer is None else self._reader.tracer.notice,
            whole=adapter.hook is not None,
            spell=world.spell,
        )
