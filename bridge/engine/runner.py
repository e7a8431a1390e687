"""Runs one source for ever: open the book, connect, catch up, live, reconcile; and what happens after each error."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus

from bridge.core.backoff import Backoff
from bridge.core.errors import Away, Malformed, Overrun, Refused, Retry, Unauthorized
from bridge.core.gap import Gap
from bridge.core.lease import LeaseLost
from bridge.core.lifecycle import Signal, State
from bridge.core.omit import fingerprint, parse
from bridge.core.record import Record
from bridge.core.schedule import Schedule
from bridge.core.subject import token as token_of
from bridge.core.subject import untoken
from bridge.engine.groups import task_group
from bridge.engine.herald import announce_doubt, announce_gap
from bridge.engine.inbox import Inbox
from bridge.engine.lanes import Lanes
from bridge.engine.ports import Book, Feed
from bridge.engine.reader import Reader
from bridge.engine.scribe import Scribe
from bridge.engine.sequencer import Sequencer
from bridge.engine.source import Source, Status, World
from bridge.engine.tenancy import Lease, LeasedBook
from bridge.engine.walker import Step, Walker

LOST_AFTER_S = 30.0
"""A vendor that fails for less is not worth an event: consumers would hear of every hiccup."""
BLOCKED_RETRY_S = 3600.0
"""A refused source is tried again this often: somebody may have put it right at the vendor."""
CONNECT_DEADLINE_S = 60.0
"""A live session that is not subscribed by then is given up."""
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
        self._failing_since: float | None = None
        self._announced = ""
        self._complaint: tuple[Signal, str] | None = None
        self._blind_since_ms: int | None = None
        self._unstored_since_ms: int | None = None
        self._renewed = False
        self._failed: dict[str, None] = {}
        self._woken = anyio.Event()
        self._behind = anyio.Event()
        self.status = Status(source.name, adapter.vendor, since_ms=world.wall())

    async def run(self) -> None:
        """Hold the source until cancelled, for as long as its lease is ours, and stand by otherwise."""
        while True:
            try:
                lease = await self._world.tenancies.take(self._source.name, self._held)
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
                    if self.status.state is not State.AWAY:
                        self._signal(Signal.LEASE_LOST, str(error))
                        continue
                await self._away(error)

    def _held(self, holder: str) -> None:
        self._signal(Signal.HELD, f"held by {holder}")

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
        """Do not wait any longer for a vendor that failed or refused: try again now."""
        self._woken.set()

    async def _hold(self, book: Book) -> None:
        adapter, world = self._source.adapter, self._world
        scribe = self._scribe()
        sequencer = Sequencer(book, scribe, self.status.counts)
        lanes = Lanes(sequencer, book, scribe, self.status.counts)
        walker = Walker(adapter, self._reader, lanes, world.wall, world.ledger)
        await announce_doubt(sequencer, book.memory, world.wall())
        while True:
            try:
                await self._session(sequencer, walker)
            except Retry as error:
                self._signal(Signal.FAILED, str(error))
                if self._failing_for() >= LOST_AFTER_S:
                    await self._announce(sequencer, "lost", str(error))
                await self._pause(self._vendor_backoff.next(at_least=error.after))
            except Refused as error:
                self._signal(Signal.REFUSED, f"{error}; tried again in {BLOCKED_RETRY_S / 3600:g} h, or at a restart")
                self._failing_for()
                await self._announce(sequencer, "blocked", str(error))
                await self._pause(BLOCKED_RETRY_S)
            self._signal(Signal.RETRY)

    async def _session(self, sequencer: Sequencer, walker: Walker) -> None:
        token = await self._reader.keeper.token()
        # Of equal walks the one that failed last comes last, or it would keep the others from being read at all.
        failed = list(self._failed)
        walks = sorted(
            self._source.adapter.walks(token), key=lambda walk: failed.index(walk.name) if walk.name in failed else -1
        )
        await walker.lanes.prepare(walks)
        for walk in walks:
            if untoken(token_of(walk.name)) is None:
                raise Refused(
                    f"walk {walk.name[:60]}…: the name is too long to be a cursor's; check what it is made from"
                )
        now = anyio.current_time()
        if self._source.feed is None:
            self._signal(Signal.CONNECTED)
            await self._read_for_ever(sequencer, walker, Schedule(walks, now, walker.ages(walks)))
        else:
            # What was pushed while no session was open is found only by reading everything once.
            schedule = Schedule(walks, now)
            schedule.all_due(now, walker.under_way)
            try:
                await self._live(self._source.feed(token), sequencer, walker, schedule)
            except Unauthorized as error:
                if self._renewed:
                    raise Refused(
                        f"live: refused again with a new token, so it has not merely expired: {error}; "
                        "check what the credentials may do at the vendor"
                    ) from error
                self._renewed = True
                await self._reader.keeper.renew(token)
                raise Retry(f"live: the token was refused, and has been renewed: {error}") from error

    async def _live(self, feed: Feed, sequencer: Sequencer, walker: Walker, schedule: Schedule) -> None:
        """Subscribe first, let messages wait, catch up, then let them through."""
        inbox = Inbox()
        caught_up = anyio.Event()
        try:
            async with task_group() as group:
                try:
                    with anyio.fail_after(CONNECT_DEADLINE_S):
                        await group.start(self._listen, feed, inbox)
                except TimeoutError:
                    raise Retry(f"the live session was not subscribed within {CONNECT_DEADLINE_S:.0f} s") from None
                self._renewed = False
                self._signal(Signal.CONNECTED)
                await self._close_blind_gap(sequencer)
                group.start_soon(self._pump, inbox, sequencer, walker, schedule, caught_up)
                group.start_soon(self._prove)
                await self._read_for_ever(sequencer, walker, schedule, caught_up)
        finally:
            self.status.inbox = inbox.statistics()
            if not schedule.walks and self._blind_since_ms is None:
                self._blind_since_ms = self._unstored_since_ms or self._world.wall()
            self._unstored_since_ms = None

    async def _listen(self, feed: Feed, inbox: Inbox, *, task_status: TaskStatus[None]) -> None:
        await feed.hold(inbox, task_status=task_status)
        raise Retry("the live session ended without a reason")

    async def _read_for_ever(
        self, sequencer: Sequencer, walker: Walker, schedule: Schedule, caught_up: anyio.Event | None = None
    ) -> None:
        if schedule.caught_up:
            await self._well(sequencer, caught_up)
        while True:
            now = anyio.current_time()
            walk = schedule.next(now)
            if walk is None:
                with anyio.move_on_after(schedule.wait(now)):
                    await self._behind.wait()
                continue
            try:
                step = await walker.step(walk)
            except Retry:
                self._failed.pop(walk.name, None)
                self._failed[walk.name] = None
                raise
            finally:
                self._note_progress(walker)
            if step is Step.DONE:
                self._failed.pop(walk.name, None)
                schedule.finished(walk, anyio.current_time())
            elif step is Step.LOADING:
                schedule.postpone(walk, anyio.current_time(), walk.incomplete_retry_s)
            if schedule.caught_up:
                if caught_up is None:
                    self._vendor_backoff.reset()
                await self._well(sequencer, caught_up)

    async def _pump(
        self, inbox: Inbox, sequencer: Sequencer, walker: Walker, schedule: Schedule, caught_up: anyio.Event
    ) -> None:
        adapter, name = self._source.adapter, "live"
        await caught_up.wait()
        taken_ms = self._world.wall()
        while True:
            try:
                frames = await inbox.take()
            except Overrun as error:
                self._log.warning("inbox.overrun", reason=str(error))
                self.status.inbox = inbox.statistics()
                schedule.all_due(anyio.current_time(), walker.under_way)
                self._behind.set()
                self._behind = anyio.Event()
                if not schedule.walks:
                    # What is forgotten arrived after what was taken last.
                    await announce_gap(sequencer, Gap(name, "the inbox overran", taken_ms, self._world.wall()))
                continue
            taken_ms = self._world.wall()
            self._unstored_since_ms = self._unstored_since_ms or taken_ms
            records: list[Record] = []
            unreadable: list[Malformed] = []
            for frame in frames:
                try:
                    records += adapter.live(frame)
                except Malformed as error:
                    unreadable.append(error)
            await walker.lanes.live(records, unreadable, feed=name)
            self.status.inbox = inbox.statistics()
            self._unstored_since_ms = taken_ms if self.status.inbox.frames else None
            # Lets a page that waits for one of these entities have its turn.
            await anyio.lowlevel.checkpoint()

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

    async def _well(self, sequencer: Sequencer, caught_up: anyio.Event | None) -> None:
        """Everything was read once since the session began, or since something was missed."""
        self._failing_since, self.status.failures = None, 0
        self._nats_backoff.reset()
        if self.status.state is State.CATCHING_UP:
            self._signal(Signal.CAUGHT_UP)
        if caught_up is not None:
            caught_up.set()
        if self._announced not in ("connected", "recovered"):
            # The stream remembers it, also where another process wrote it, and may have forgotten it, too.
            before = await sequencer.announced("source", self._source.name)
            if before in ("connected", "recovered"):
                self._announced = before
            else:
                await self._announce(sequencer, "recovered" if before in ("lost", "blocked") else "connected", "")

    async def _announce(self, sequencer: Sequencer, change: str, reason: str) -> None:
        if self._announced == change:
            return
        after = {
            "vendor": self.status.vendor,
            "state": str(self.status.state),
            "reason": self._world.masker.mask(reason),
        }
        await sequencer.announce("source", change, self._source.name, after)
        self._announced = change

    async def _close_blind_gap(self, sequencer: Sequencer) -> None:
        """A vendor that cannot be asked again told us nothing while the session was down."""
        if self._blind_since_ms is None:
            return
        reason = "the live session was down and the vendor cannot be asked again"
        await announce_gap(sequencer, Gap("live", reason, self._blind_since_ms, self._world.wall()))
        self._blind_since_ms = None

    async def _pause(self, seconds: float) -> None:
        self._woken = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._woken.wait()

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
