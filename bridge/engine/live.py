"""A source's live half: subscribe first, let messages wait, catch up, then let them through."""

from __future__ import annotations

import math
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from bridge.adapter import Look, Record
from bridge.core.ending import Ending, ending_of, marked
from bridge.core.errors import Away, Malformed, Overrun, Retry
from bridge.core.event import timestamp
from bridge.core.gap import Gap
from bridge.core.subscription import observed, subscription_of
from bridge.core.trace import parse
from bridge.engine.belt import Belt, Turn
from bridge.engine.groups import task_group
from bridge.engine.herald import announce_gap
from bridge.engine.inbox import Arrived, Inbox
from bridge.engine.ports import Feed
from bridge.engine.pulse import SLACK_S, STORE_S
from bridge.engine.reading import Reading
from bridge.engine.source import Source, Status, World
from bridge.engine.walker import Walker

CONNECT_DEADLINE_S = 60.0
"""A live session that is not subscribed by then is given up."""

FEED = "live"
FAILURES_EVERY_S = 60.0
"""Failures that the vendor pushes are logged so often at most."""
AHEAD_S = 0.2
"""The first reading ahead does not wait longer for a session: most wait for `ws_settle_s` after they have opened."""

log = structlog.get_logger()


class Live:
    """Over all sessions of a source. `failed`: whether it was the session, and not the reading, that ended last."""

    def __init__(self, source: Source, world: World, status: Status) -> None:
        self._adapter = source.adapter
        self._world = world
        self._status = status
        self._meter = source.meter
        self._tracer = world.tracer(source)
        self._meter.blind_since_ms = None
        self._log = log.bind(source=source.name)
        self._beat = world.pulse.of(f"source {source.name}")
        self._unstored: list[int] = []
        """When what is under way arrived, the first of each: milliseconds since the Unix epoch."""
        self._arrived_ms = 0
        """When what was taken last had arrived, or the session began: all that waits came after that."""
        self._first = True
        self._seen: Callable[[], Walker | None] = lambda: None
        self._failures = 0
        self._quiet_until = self._held_quiet_until = 0.0
        self.failed = False

    async def session(
        self,
        feed: Feed,
        reading: Reading,
        connected: Callable[[], None],
        well: Callable[[], Awaitable[None]],
        failing: Callable[[Retry], Awaitable[None]],
    ) -> None:
        """Hold one session and read beside it. Never returns; raises what ends the session, or the reading for good.

        `connected` is called once subscribed, `well` awaited when everything was read since then. A page that failed
        is told to `failing` and asked for again: what is pushed is not held up by it for longer than must be.
        """
        inbox = Inbox(held=self._note_held)
        self._meter.depth = inbox.depth
        if self._only_pushed(reading):
            self._meter.unstored_ms = partial(self._unstored_since_ms, inbox)
        self._arrived_ms = self._world.wall()
        reading.walker.lanes.main.arrivals.waiting_since = lambda: inbox.oldest_at
        caught_up = anyio.Event()
        # What a former walker knows is not kept for this.
        fresh, self._seen = reading.walker is not self._seen(), weakref.ref(reading.walker)
        if self._first and self._only_pushed(reading):
            # Asked before anything is read: a pass moves it.
            self._meter.blind_since_ms = reading.walker.last_heard_ms()
        self._first = False
        self.failed = False

        async def all_read() -> None:
            caught_up.set()
            await well()

        try:
            async with task_group() as group:
                try:
                    opening = self._beat.busy("opening its live session", CONNECT_DEADLINE_S + SLACK_S)
                    with opening, anyio.fail_after(CONNECT_DEADLINE_S):
                        async with task_group() as early:
                            if fresh:
                                early.start_soon(self._read_ahead, reading)
                            await group.start(self._listen, feed, inbox)
                            early.cancel_scope.cancel()
                except TimeoutError:
                    self.failed = True
                    error = Retry(f"the live session was not subscribed within {CONNECT_DEADLINE_S:.0f} s")
                    raise marked(error, Ending.UNANSWERED) from None
                connected()
                if fresh:
                    reading.forget_ahead()
                await self._close_blind_gap(reading.walker)
                await self._note_refused(reading.walker)
                for entity in reading.walker.lanes.main.arrivals.doubt_again():
                    reading.look(entity)
                group.start_soon(self._pump, inbox, reading, caught_up)
                group.start_soon(reading.walker.lanes.main.relent)
                await reading.for_ever(all_read, failing)
        except Exception as error:
            self._meter.ended(ending_of(error) if self.failed or isinstance(error, Away) else Ending.READING)
            raise
        finally:
            self._meter.at_rest()
            if self._tracer is not None:
                self._tracer.abandon()
            self._status.inbox = inbox.statistics()
            if self._only_pushed(reading) and self._meter.blind_since_ms is None:
                self._meter.blind_since_ms = self._unstored_since_ms(inbox)
            self._unstored = []

    async def _read_ahead(self, reading: Reading) -> None:
        # What has changed since the last life need not wait until a session is held and has settled. It is read once
        # more then: what changes meanwhile may be neither in these pages nor pushed.
        await anyio.sleep(AHEAD_S)
        await reading.ahead()

    def _only_pushed(self, reading: Reading) -> bool:
        """Whether something is pushed that no reading would find, nor the vendor repeat until we have confirmed it."""
        return self._adapter.hook is None and (not reading.schedule.walks or self._adapter.live_only)

    def _unstored_since_ms(self, inbox: Inbox) -> int:
        """Since when something was pushed that may wait to be read, taken or stored, or was forgotten; else now."""
        waiting = [at for at in (inbox.oldest_at, inbox.behind_since) if at is not None]
        since_ms = self._wall_at(min(waiting, default=anyio.current_time()))
        return min([*self._unstored, since_ms, *([self._arrived_ms] if inbox.forgot else [])])

    def _wall_at(self, moment: float) -> int:
        """A moment of the event loop's clock by the wall's: in milliseconds since the Unix epoch, never later."""
        return self._world.wall() - math.ceil((anyio.current_time() - moment) * 1000)

    def _note_held(self, seconds: float) -> None:
        """The vendor was made to wait for so long."""
        self._meter.held_s += seconds
        now = anyio.current_time()
        if now >= self._held_quiet_until:
            self._held_quiet_until = now + FAILURES_EVERY_S
            reason = "more is pushed than is stored in that time: the vendor is made to wait"
            self._log.warning("live.held_back", reason=reason, held_s=round(self._meter.held_s, 1))

    async def _listen(self, feed: Feed, inbox: Inbox, *, task_status: TaskStatus[None]) -> None:
        # Whatever ends it, unless it is the reading beside it: then this task is cancelled.
        try:
            await feed.hold(inbox, task_status=task_status)
        except Exception:
            self.failed = True
            raise
        self.failed = True
        raise Retry("the live session ended without a reason")

    async def _pump(self, inbox: Inbox, reading: Reading, caught_up: anyio.Event) -> None:
        await caught_up.wait()
        async with task_group() as group:
            belt = Belt(group)
            while True:
                try:
                    frames = await inbox.take()
                except Overrun as error:
                    self._log.warning("live.missed", reason=str(error))
                    self._meter.overruns += 1
                    self._status.inbox = inbox.statistics()
                    reading.missed()
                    if self._only_pushed(reading):
                        # What is forgotten arrived after what was taken last, and more may lie unread.
                        behind_at = inbox.behind_since
                        since_ms = self._arrived_ms
                        if behind_at is not None:
                            since_ms = min(since_ms, self._wall_at(behind_at))
                        # Should the ledger be away now, the gap until the next session covers it.
                        self._unstored.append(since_ms)
                        gap = Gap(FEED, str(error), since_ms, self._world.wall())
                        await announce_gap(reading.walker.lanes.main, gap)
                        self._unstored.remove(since_ms)
                    continue
                first_ms, self._arrived_ms = self._wall_at(frames[0].at), self._wall_at(frames[-1].at)
                self._unstored.append(first_ms)
                self._meter.taken([frame.at for frame in frames], anyio.current_time())
                with self._beat.busy("storing what was pushed", STORE_S):
                    await self._store(frames, reading, belt, first_ms)
                self._status.inbox = inbox.statistics()
                # Lets a page that waits for one of these entities have its turn.
                await anyio.lowlevel.checkpoint()

    async def _store(self, frames: Sequence[Arrived], reading: Reading, belt: Belt, first_ms: int) -> None:
        """Returns when all is stored but for telemetry, which goes on the belt."""
        walker = reading.walker
        main = walker.lanes.main
        records: list[Record] = []
        strangers: list[Record] = []
        unreadable: list[Malformed] = []
        failures: list[Retry] = []
        told: dict[str, None] = {}
        hints: list[str] = []
        owed: list[tuple[Callable[[], None], Sequence[Record]]] = []
        traces: dict[int, str | None] = {}
        idle = walker.aliases.idle
        for frame, arrived_at, stored, context in frames:
            spoilt: list[Malformed] = []
            mapping_ns = 0 if self._tracer is None else self._tracer.now_ns
            try:
                if isinstance(frame, Malformed):
                    raise frame
                found = self._adapter.live(frame)
            except Malformed as error:
                spoilt.append(error)
                found = ()
            except Retry as error:
                # The vendor had something to tell and could not: the session is well, and catch-up will find it.
                failures.append(error)
                continue
            given_records = [one for one in found if isinstance(one, Record)]
            looks = [] if len(given_records) == len(found) else [one.entity for one in found if isinstance(one, Look)]
            familiar, strange = (given_records, []) if idle else walker.aliases.familiar(given_records)
            # What occurs once is never outdated, and there may be thousands of it.
            fresh = [record for record in familiar if record.occurred or not main.outdated(record, arrived_at)]
            records += fresh
            unreadable += spoilt
            if fresh or spoilt:
                given = None if context is None else parse(context)
                traceparent = given or self._world.trace()
                if self._tracer is not None:
                    traceparent = self._tracer.frame(
                        traceparent,
                        foreign=given is not None,
                        webhook=self._adapter.hook is not None,
                        at=arrived_at,
                        taken_ns=mapping_ns,
                    )
                for one in (*fresh, *spoilt):
                    traces[id(one)] = traceparent
            strangers += strange
            hints += looks
            # Where a page has said something newer, that may not be stored yet: nothing is acknowledged.
            if stored is not None and not looks and not strange and len(fresh) == len(familiar):
                owed.append((stored, fresh))
            if found and isinstance(frame, dict) and isinstance(name := frame.get("operation"), str):
                told[name] = None
        if failures:
            self._note_failures(failures)
            reading.missed()
        measured = [record for record in records if record.telemetry]
        news = [record for record in records if not record.telemetry] if measured else records
        doubtful = await walker.lanes.live(news, unreadable, feed=FEED, arrived_at=frames[0].at, traces=traces)
        for entity in dict.fromkeys([*hints, *(record.entity for record in [*strangers, *doubtful])]):
            reading.look(entity)
        unsure = {id(record) for record in doubtful}
        # What is doubted may yet turn out otherwise: only what lies in the ledger is acknowledged.
        tell = [tell for tell, told_of in owed if not any(id(record) in unsure for record in told_of)]
        for name in told:
            await self._note_observed(name, walker)

        async def finish(turn: Turn) -> None:
            if measured:
                await walker.lanes.measured(measured, feed=FEED, traces=traces, turn=turn)
            for stored in tell:
                stored()
            self._unstored.remove(first_ms)
            self._meter.stored([frame.at for frame in frames], anyio.current_time())
            if self._tracer is not None:
                self._tracer.settled(traces.values())

        await (belt.put(finish) if measured else finish(checkpoint))

    def _note_failures(self, failures: Sequence[Retry]) -> None:
        """Log what the vendor pushed in place of news: at most once a minute, with how many there were."""
        self._failures += len(failures)
        now = anyio.current_time()
        if now >= self._quiet_until:
            reason = self._world.masker.mask(str(failures[0]))
            self._log.warning("live.failure", reason=reason, failures=self._failures)
            self._failures, self._quiet_until = 0, now + FAILURES_EVERY_S

    async def _note_observed(self, name: str, walker: Walker) -> None:
        """The stream remembers that the vendor has told us something by this subscription."""
        walk, cursor = observed(name, self._world.wall())
        known = walker.lanes.main.cursor(walk).value
        if "first_ms" not in known:
            await walker.lanes.main.mark(walk, {**known, **cursor})

    async def _note_refused(self, walker: Walker) -> None:
        """The stream remembers which subscriptions the vendor refuses, until it takes them again."""
        statistics = self._status.session
        if statistics is None:
            return
        main = walker.lanes.main
        # One subscription may be several operations, one for each company; what is refused of one is said of it.
        refused = {observed(name, 0)[0]: reason for name, reason in statistics.off.items()}
        known = [name for name in walker.lanes.cursors() if subscription_of(name) is not None]
        for walk in dict.fromkeys([*refused, *known]):
            value = main.cursor(walk).value
            kept = {key: value[key] for key in ("first_ms", "first") if key in value}
            if walk in refused and "off" not in value:
                now_ms = self._world.wall()
                reason = self._world.masker.mask(refused[walk])
                await main.mark(walk, {**kept, "off_ms": now_ms, "off": timestamp(now_ms), "reason": reason})
            elif walk not in refused and "off" in value:
                await main.mark(walk, kept)

    async def _close_blind_gap(self, walker: Walker) -> None:
        """A vendor that cannot be asked again told us nothing while the session was down."""
        if self._meter.blind_since_ms is None:
            return
        reason = "the live session was down and the vendor cannot be asked again"
        await announce_gap(walker.lanes.main, Gap(FEED, reason, self._meter.blind_since_ms, self._world.wall()))
        self._meter.blind_since_ms = None
