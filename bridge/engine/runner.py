"""Runs one source for ever: open the book, connect, catch up, live, reconcile; and what happens after each error."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import structlog

from bridge.adapter import Token, Walk
from bridge.core.backoff import Backoff
from bridge.core.errors import Away, Refused, Retry, Unauthorized
from bridge.core.event import timestamp
from bridge.core.lease import LeaseLost
from bridge.core.lifecycle import Signal, State
from bridge.core.omit import fingerprint, parse
from bridge.core.record import Json
from bridge.core.schedule import Schedule
from bridge.core.vitals import Vitals
from bridge.engine.groups import task_group
from bridge.engine.handover import Handover
from bridge.engine.herald import announce_doubt
from bridge.engine.lanes import Lanes
from bridge.engine.live import Live
from bridge.engine.ports import Book
from bridge.engine.reader import Reader
from bridge.engine.reading import Reading
from bridge.engine.refusals import BLOCKED_RETRY_S, MOST_NAMED, Refusals
from bridge.engine.scribe import Scribe
from bridge.engine.sequencer import Sequencer
from bridge.engine.source import Source, Status, World
from bridge.engine.tenancy import Lease, LeasedBook
from bridge.engine.vitals import take_vitals
from bridge.engine.walker import Walker

LOST_AFTER_S = 30.0
"""A vendor that fails for less is not worth an event: consumers would hear of every hiccup."""
SETTLED_S = 60.0
"""A live session has proved itself after this long, and the back-off starts over."""

_ATTEMPT = (Signal.FAILED, Signal.NATS_LOST, Signal.RETRY, Signal.OPENED, Signal.CONNECTED)
"""What a source goes through again and again while its vendor or NATS fails."""

log = structlog.get_logger()


class Runner:
    """`run` never returns; it is cancelled. Conditions are handled here, bugs are raised."""

    def __init__(self, source: Source, world: World) -> None:
        adapter = source.adapter
        self._source = source
        self._world = world
        self._log = log.bind(source=source.name)
        self._reader = Reader(
            adapter, world.http, world.quotas.of(adapter.budget_key, adapter.limit), world.wall, world.masker.add
        )
        self._vendor_backoff = Backoff(world.roll)
        self._nats_backoff = Backoff(world.roll, first=0.1, longest=5.0)
        self._read_backoff = Backoff(world.roll)
        self._unread_because = ""
        self._failing_since: float | None = None
        self._announced = self._half = ""
        self._refusals = Refusals(source.name, world.wall, world.masker)
        self._now: Reading | None = None
        self._complaint: tuple[Signal, str] | None = None
        self._renewed = False
        self._failed: dict[str, None] = {}
        self._woken = anyio.Event()
        self.status = Status(source.name, adapter.vendor, since_ms=world.wall(), session=source.session)
        self._live = Live(source, world, self.status)

    async def run(self) -> None:
        """Hold the source until cancelled, for as long as its lease is ours, and stand by otherwise."""
        while True:
            try:
                lease = await self._world.tenancies.take(self._source.name, self._held, self._measure)
                self._signal(Signal.GRANTED)
                try:
                    async with task_group() as group:
                        group.start_soon(lease.keep)
                        await self._own(lease)
                finally:
                    await lease.release()
            except Away as error:
                if isinstance(error, LeaseLost):
                    # Another may have gone on from here: what it published decides what is news now.
                    self._announced, self._failing_since = "", None
                    self._refusals.forget()
                    if self.status.state is not State.AWAY:
                        self._signal(Signal.LEASE_LOST, str(error))
                        continue
                await self._away(error)

    def _held(self, holder: str) -> None:
        self._signal(Signal.HELD, f"held by {holder}")

    def _measure(self) -> Vitals | None:
        return take_vitals(self.status, self._world.wall())

    async def _own(self, lease: Lease) -> None:
        """Work for the source, through every absence of NATS that is shorter than the lease. Raises LeaseLost."""
        owner = {**self._world.owner, "since_ms": self._world.wall()}
        while True:
            try:
                lease.check()
                book = await self._world.ledger.open(self._source.adapter.vendor, self._source.name, owner)
                self._signal(Signal.OPENED)
                await self._hold(LeasedBook(book, lease))
            except LeaseLost:
                raise
            except Away as error:
                await self._away(error)

    async def _away(self, error: Away) -> None:
        # Whatever was under way is forgotten; the stream says what is stored.
        self._signal(Signal.NATS_LOST, str(error))
        self._announced = ""
        await anyio.sleep(self._nats_backoff.next())
        await self._world.ledger.wait_ready()
        self._signal(Signal.RETRY)

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
        walker = Walker(adapter, self._reader, lanes, world.wall, world.ledger)
        await announce_doubt(sequencer, book.memory, world.wall())
        self._announced, self._half = await self._refusals.recall(sequencer, book)
        while True:
            try:
                await self._session(walker)
            except Retry as error:
                self._signal(Signal.FAILED, str(error))
                if self._failing_for() >= LOST_AFTER_S:
                    await self._announce(sequencer, "lost", str(error), half="live" if self._live.failed else "")
                await self._meanwhile(walker, self._vendor_backoff.next(at_least=error.after))
            except Refused as error:
                after = error.after or BLOCKED_RETRY_S
                self._signal(Signal.REFUSED, f"{error}; tried again in {after / 60:g} min, or at a restart")
                self._failing_for()
                half = "live" if self._live.failed else ""
                await self._announce(sequencer, "blocked", str(error), half=half, again_s=after)
                await self._meanwhile(walker, after)
                if not self._live.failed:
                    self._refusals.ask_anew()
            self._signal(Signal.RETRY)

    async def _session(self, walker: Walker) -> None:
        world = self._world
        self._live.failed = False
        token = await self._reader.keeper.token()
        walks = await self._walks(walker, token)
        now = anyio.current_time()
        ages = walker.ages(walks)
        if self._source.feed is None:
            self._signal(Signal.CONNECTED)

            async def well() -> None:
                self._vendor_backoff.reset()
                await self._well(walker)

            await self._reading(walker, Schedule(walks, now, ages)).for_ever(well)
            return
        # What was pushed while no session was open is found only by reading everything once.
        schedule = Schedule(walks, now, {walk.name: ages.get(walk.name, 0.0) for walk in walks if not walk.on_connect})
        schedule.all_due(now, walker.under_way)
        handover = (
            Handover(self._source.feed, self._reader.keeper, roll=world.roll) if self._source.hands_over else None
        )
        feed = handover or self._source.feed(token)
        try:
            async with task_group() as group:

                def connected() -> None:
                    self._renewed = False
                    self._signal(Signal.CONNECTED)
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
            await self._reader.keeper.renew((handover and handover.token) or token)
            raise Retry(f"live: the token was refused, and has been renewed: {error}") from error

    async def _walks(self, walker: Walker, token: Token) -> list[Walk]:
        # Of equal walks the one that failed last comes last, or it would keep the others from being read at all.
        failed = list(self._failed)
        walks = sorted(
            self._source.adapter.walks(token), key=lambda walk: failed.index(walk.name) if walk.name in failed else -1
        )
        await walker.prepare(walks)
        self._refusals.keep(walk.name for walk in walks)
        return walks

    def _reading(self, walker: Walker, schedule: Schedule, *, alone: bool = True) -> Reading:
        self._now = Reading(
            walker, schedule, self._failed, self._note_progress, self._read_backoff, self._refusals, alone=alone
        )
        return self._now

    async def _unread(self, walker: Walker, error: Retry) -> None:
        """A page beside a live session failed: the session goes on, and the page is asked for again."""
        failing_s = self._failing_for()
        self._complain("reading.failed", str(error))
        if failing_s >= LOST_AFTER_S:
            await self._announce(walker.lanes.main, "lost", str(error), half="reading")

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
                        reading = self._reading(walker, Schedule(walks, anyio.current_time(), walker.ages(walks)))
                        await reading.for_ever(anyio.lowlevel.checkpoint)
                    except (Retry, Refused) as error:
                        self._complain("source.unread", str(error))
                        # Whoever refuses is not asked again before the session is.
                        await anyio.sleep(
                            seconds if isinstance(error, Refused) else self._read_backoff.next(at_least=error.after)
                        )
                await anyio.sleep_forever()

    def _failing_for(self) -> float:
        """One more failure; returns since how many seconds there have been nothing but failures."""
        self.status.failures += 1
        if self._failing_since is None:
            self._failing_since = anyio.current_time()
        return anyio.current_time() - self._failing_since

    def _note_progress(self, walker: Walker) -> None:
        self.status.completed_ms = walker.completed_ms
        self.status.requests, self.status.renewals = self._reader.requests, self._reader.keeper.renewals

    async def _prove(self) -> None:
        await anyio.sleep(SETTLED_S)
        self._vendor_backoff.reset()

    async def _well(self, walker: Walker) -> None:
        """Everything that is not refused was read once since the session began, or since something was missed."""
        sequencer = walker.lanes.main
        self._failing_since, self.status.failures, self._unread_because = None, 0, ""
        self._nats_backoff.reset()
        if self.status.state is State.CATCHING_UP:
            self._signal(Signal.CAUGHT_UP)
        if self._refusals.names:
            if self._refusals.sure:
                reason, wait_s = self._refusals.reason(), self._refusals.wait_s()
                await self._announce(sequencer, "blocked", reason, half="reading", again_s=wait_s)
        elif self._announced not in ("connected", "recovered"):
            # The stream remembers it, also where another process wrote it, and may have forgotten it, too.
            before = await sequencer.announced("source", self._source.name)
            if before in ("connected", "recovered"):
                self._announced = before
            else:
                await self._announce(sequencer, "recovered" if before in ("lost", "blocked") else "connected", "")

    def _complain(self, event: str, reason: str) -> None:
        """Log what keeps happening, once for each reason in a row."""
        reason = self._world.masker.mask(reason)
        if reason != self._unread_because:
            self._unread_because = reason
            self._log.warning(event, reason=reason, advice="it is tried again, and said again when the reason changes")

    async def _announce(
        self, sequencer: Sequencer, change: str, reason: str, *, half: str = "", again_s: float | None = None
    ) -> None:
        walks = change == "blocked" and "reading" in (half, self._half)
        # That all of it is refused now and not only some walks, or the other way round, is news.
        if self._announced == change and not (walks and half != self._half):
            return
        now_ms = self._world.wall()
        after: dict[str, Json] = {
            "vendor": self.status.vendor,
            "state": str(self.status.state),
            "reason": self._world.masker.mask(reason),
            "half": half,
        }
        since = self._refusals.since if half == "reading" and walks else self._failing_since
        if since is not None:
            after["failing_since"] = timestamp(now_ms - round((anyio.current_time() - since) * 1000))
        if again_s is not None:
            after["again"] = timestamp(now_ms + round(again_s * 1000))
        if names := self._refusals.names[:MOST_NAMED]:
            after["walks"] = names
        await sequencer.announce("source", change, self._source.name, after)
        if change in ("lost", "blocked"):
            self._log.warning(f"source.{change}", half=half or "all", reason=after["reason"])
        self._announced, self._half = change, half

    def _signal(self, signal: Signal, reason: str = "") -> None:
        reason = self._world.masker.mask(reason)
        if not self.status.signal(signal, self._world.wall(), reason):
            return
        said = (signal, reason)
        again = signal in _ATTEMPT and (self._complaint is not None and (not reason or said == self._complaint))
        if signal in (Signal.FAILED, Signal.NATS_LOST):
            self._complaint = said
        elif signal not in _ATTEMPT:
            self._complaint = None
        # Said once when it breaks and once when it heals: the attempts in between are for whoever looks closely.
        level = "debug" if again else "warning" if reason and signal is not Signal.HELD else "info"
        getattr(self._log, level)(f"source.{self.status.state}", **({"reason": reason} if reason else {}))

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
        )
