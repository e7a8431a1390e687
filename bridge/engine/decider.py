"""Reads every event once and decides which alerts follow. What was stored is never decided again.

What a rule decides by what it remembers is stored in one write with the place read to and with its memory: whoever goes
on after a crash begins there, and may decide otherwise about the events behind it, since time has passed. What follows
from an event alone is stored at once and singly, which is much quicker, and the place later: decided again it has the
same name, and the stream holds it already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.lowlevel
import structlog

from bridge.core import own
from bridge.core.alerts.alert import ENTITY
from bridge.core.alerts.decision import Decision, Machine, State
from bridge.core.alerts.notes import Notes, read_notes
from bridge.core.alerts.routes import Routes
from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.record import Key
from bridge.engine.alert_ports import Passing, Trail, Trails
from bridge.engine.ports import BatchStale, Book, Cursor, Stored
from bridge.engine.pulse import SLACK_S
from bridge.engine.scribe import OWN_MAPPING, Scribe
from bridge.engine.source import World
from bridge.engine.tracing import Tracer

WALK = "decisions"
"""The cursor's name; its value are the notes."""
MOST_EVENTS = 400
MOST_BYTES = 2 * 1024 * 1024
"""Of one write."""
EVERY_EVENTS = 1_000
EVERY_S = 5.0
"""Where nothing is decided, the cursor follows at least this often: so much is read again after a crash."""
BREATH_BYTES = 64 * 1024
BREATH_EACH = 4 * 1024
"""After so many bytes of events, each counted as so much more, others have their turn."""
IDLE_S = 60.0
"""How long one question for the next events waits, at most."""
REFUSALS = 3
ROOM = 0.9
"""The part of the largest message that the cursor may take."""
AGES_MS = 10**13
"""By then everything has come to its end."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Desk:
    """What is decided and not yet stored, by one opened book.

    `loose`: what follows from an event alone; `bound`: what is stored with the cursor or not at all. `again`: what is
    read may have been decided before, by a process that did not come to write its cursor.
    """

    book: Book
    notes: Notes
    cursor_seq: int
    loose: dict[Key, Event] = field(default_factory=dict)
    bound: dict[Key, Event] = field(default_factory=dict)
    again: bool = True
    read: int = 0
    since: float | None = None

    @property
    def full(self) -> bool:
        events = [*self.loose.values(), *self.bound.values()]
        return len(events) >= MOST_EVENTS or sum(event.size for event in events) >= MOST_BYTES

    @property
    def due(self) -> bool:
        """Whether the cursor is to be written."""
        return bool(self.bound) or self.read >= EVERY_EVENTS or self.left_s() <= 0

    def left_s(self) -> float:
        """Seconds until the cursor is to follow."""
        return IDLE_S if self.since is None else self.since + EVERY_S - anyio.current_time()

    def touch(self) -> None:
        """There is something that the cursor does not say."""
        if self.since is None:
            self.since = anyio.current_time()


class Decider:
    """One per process. `run` is called anew with each opened book."""

    def __init__(
        self,
        machines: Sequence[Machine],
        trails: Trails,
        world: World,
        tracer: Tracer | None = None,
        *,
        alone: Collection[str] = (),
    ) -> None:
        """`alone`: rules of which every decision of the kind `event` follows from that event alone."""
        self._tracer = tracer
        self._alone = frozenset(alone)
        self._machines = {machine.name: machine for machine in machines}
        self._subjects = sorted({subject for machine in machines for subject in machine.subjects})
        self._routes = Routes({machine.name: machine.subjects for machine in machines})
        self._trails = trails
        self._world = world
        self._beat = world.pulse.of("alerts")
        self.begun = False
        """Whether it has: what is stored from now on is told."""
        self._complained: set[tuple[str, str]] = set()
        self.decided = 0
        """How many alerts this process has stored."""
        self.missing: dict[str, int] = {}
        """By alert, how often its templates named a field that an event lacked."""

    async def run(self, book: Book) -> None:
        """Decide for ever. Raises Away."""
        cursor = book.memory.cursors.get(WALK)
        notes = None if cursor is None else read_notes(cursor.value)
        async with self._trails.begin(self._subjects, None if notes is None else notes.seq) as trail:
            desk = _Desk(book, notes or Notes(trail.seq), 0 if cursor is None else cursor.seq)
            # New rules begin with now, and the cursor says so before anything is read.
            changed = desk.notes.enrol(self._machines, trail.end)
            if notes is None:
                what = log.warning if self.begun else log.info
                what("alerts.begin", reason="there is no cursor: what comes from now on is told", after=trail.seq)
            if changed or notes is None:
                await self._settle(desk)
            self.begun = True
            # Before anything new is read: what is due is told as the process before would have told it.
            self._tick(desk)
            while True:
                self._look_behind(trail, desk)
                await self._write(desk)
                seen = 0
                with self._beat.busy("reading the stream", (wait_s := self._wait_s(desk)) + SLACK_S):
                    passed = await trail.take(wait_s=wait_s)
                for passing in passed:
                    self._see(passing, desk)
                    seen += BREATH_EACH + len(passing.payload)
                    if desk.full:
                        await self._write(desk)
                    elif seen >= BREATH_BYTES:
                        await anyio.lowlevel.checkpoint()
                        seen = 0
                self._tick(desk)

    def _look_behind(self, trail: Trail, desk: _Desk) -> None:
        if trail.lost:
            log.warning("alerts.stream_lost", reason=f"{trail.lost}: alerts go on at its end", after=trail.seq)
            desk.notes.restart(trail.seq)
            desk.touch()
            trail.lost = ""

    def _wait_s(self, desk: _Desk) -> float:
        """How long nothing has to be done, if no event comes."""
        now_ms = self._world.wall()
        ends = [
            at
            for name, machine in self._machines.items()
            if (at := machine.next_ms(desk.notes.rules[name].state, now_ms)) is not None
        ]
        until_due_s = max(0, min(ends, default=now_ms + AGES_MS) - now_ms) / 1000
        return max(0.0, min(desk.left_s(), until_due_s))

    # --- deciding ---

    def _see(self, passing: Passing, desk: _Desk) -> None:
        desk.notes.seq = passing.seq
        desk.read += 1
        desk.touch()
        names = self._routes.of(passing.subject)
        event = passing.event() if names else None
        if event is None:
            return
        now_ms, seq = self._world.wall(), passing.seq
        for name in names:
            if seq > desk.notes.rules[name].after:
                ask = partial(self._machines[name].seen, event=event, seq=seq, now_ms=now_ms)
                self._decide(desk, name, ask)

    def _tick(self, desk: _Desk) -> None:
        """What time alone has brought."""
        now_ms = self._world.wall()
        for name, machine in self._machines.items():
            at = machine.next_ms(desk.notes.rules[name].state, now_ms)
            if at is not None and at <= now_ms:
                self._decide(desk, name, partial(machine.due, now_ms=now_ms))

    def _decide(self, desk: _Desk, name: str, ask: Callable[[State], list[Decision]]) -> None:
        rule = desk.notes.rules[name]
        desk.touch()
        try:
            told = ask(rule.state)
        except Exception:
            # One rule's trouble is no other's. If it is with what it remembers, it goes on without.
            if self._first(name, "bug"):
                log.exception("alert.bug", alert=name, advice="please report this; the rule goes on")
            fresh: State = {}
            try:
                told, rule.state = ask(fresh), fresh
            except Exception:  # noqa: BLE001 - it is the event, then, and that was said
                return
        self._put(desk, told)

    def _put(self, desk: _Desk, told: Sequence[Decision]) -> None:
        for decision in told:
            scribe = self._scribe(decision.alert)
            traceparent = decision.traceparent
            if self._tracer is not None:
                traceparent = self._tracer.adopt(traceparent)
            note = scribe.own(ENTITY, "occurred", decision.id, decision.data(), traceparent)
            event = scribe.seal(note, "occurred", None, None)[1]
            loose = decision.kind == "event" and decision.alert in self._alone
            (desk.loose if loose else desk.bound)[event.key] = event
            for path in decision.missing:
                self.missing[decision.alert] = self.missing.get(decision.alert, 0) + 1
                if self._first(decision.alert, path):
                    log.warning("alert.field_missing", alert=decision.alert, field=path, seq=decision.events[-1].seq)

    def _first(self, *what: str) -> bool:
        """Whether this is said for the first time."""
        name, about = what
        if (name, about) in self._complained:
            return False
        self._complained.add((name, about))
        return True

    # --- storing ---

    async def _write(self, desk: _Desk) -> None:
        if desk.loose:
            await self._append(desk.book, list(desk.loose.values()), again=desk.again)
            self.decided += len(desk.loose)
            desk.loose = {}
        if desk.due:
            await self._settle(desk)

    async def _append(self, book: Book, events: list[Event], *, again: bool) -> None:
        for _ in range(REFUSALS):
            if again:
                there = await book.stored([event.key for event in events])
                events = [event for event in events if event.key not in there]
            if not events:
                return
            outcomes = await book.append(events)
            events = [one for one, outcome in zip(events, outcomes, strict=True) if not isinstance(outcome, Stored)]
            again = True
            if not events:
                return
        raise Away(f"the stream has refused {len(events)} alerts {REFUSALS} times: what it holds is read again")

    async def _settle(self, desk: _Desk) -> None:
        """Store the cursor, and with it what is bound to it. What it covers is stored by then."""
        self._lighten(desk)
        events = list(desk.bound.values())
        while len(events) > MOST_EVENTS:
            # More at once than one write takes: should we die in between, the same is due again, by the same names.
            await self._commit(desk, events[:MOST_EVENTS], None)
            events = events[MOST_EVENTS:]
        await self._commit(desk, events, Cursor(desk.notes.value(), desk.cursor_seq))
        self.decided += len(desk.bound)
        desk.bound, desk.again, desk.read, desk.since = {}, False, 0, None

    async def _commit(self, desk: _Desk, events: Sequence[Event], cursor: Cursor | None) -> None:
        for _ in range(REFUSALS):
            try:
                receipt = await desk.book.commit(events, WALK, cursor)
            except BatchStale:
                lies = await desk.book.cursor(WALK)
                if (0 if lies is None else lies.seq) != desk.cursor_seq:
                    raise Away("the cursor of the alerts has moved on: what it says now is read again") from None
                there = await desk.book.stored([event.key for event in events])
                events = [event for event in events if event.key not in there]
                if events or cursor is not None:
                    continue
                return
            if cursor is not None:
                desk.cursor_seq = receipt.cursor_seq
            return
        raise Away(f"the stream has refused {len(events)} alerts {REFUSALS} times: what it holds is read again")

    def _lighten(self, desk: _Desk) -> None:
        """A cursor that would be too large: the rule that remembers most tells now what it was going to tell."""
        encode, limit = self._world.encode, self._world.ledger.max_payload * ROOM
        for _ in desk.notes.rules:
            if len(encode(desk.notes.value())) <= limit:
                return
            name = max(desk.notes.rules, key=lambda one: len(encode(desk.notes.rules[one].state)))
            log.warning("alert.crowded", alert=name, reason="it remembers more than NATS takes; it tells all of it now")
            self._decide(desk, name, self._machines[name].flush)

    def _scribe(self, alert: str) -> Scribe:
        world = self._world
        return Scribe(
            vendor=own.VENDOR,
            source=alert,
            type_prefix=own.PREFIX,
            mapping_version=OWN_MAPPING,
            omits=(),
            keep_raw=False,
            encode=world.encode,
            limit=world.ledger.max_payload,
            wall=world.wall,
            masker=world.masker,
            structured=world.structured,
            spell=world.spell,
            trace=world.trace if self._tracer is None else self._tracer.notice,
        )
