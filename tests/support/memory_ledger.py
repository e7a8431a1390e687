"""An in-memory twin of the ledger: the same ports and promises, without a server.

It passes the contract suite of the real ledger (`tests/edge/ledger/test_contract.py`), runs on any anyio backend
and under a virtual clock, and can be told to fail: see `Fault`, `go_away`, `lose_tail`, `age_out`, `inject`,
`latency_s` and `on_step`.
"""

from __future__ import annotations

import enum
import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio
import anyio.lowlevel

from bridge.core.content import attributes_of, data_of
from bridge.core.errors import Away
from bridge.core.event import EXPECTED, EXPECTED_SUBJECT, Event, header_size
from bridge.core.head import ce_id_of, head_of, id_of
from bridge.core.record import Head, Json, Key
from bridge.core.subject import (
    MAIN,
    TELEMETRY,
    Lane,
    cursor_subject,
    entity_filter,
    event_subject,
    owner_subject,
    state_key,
    token,
    untoken,
)
from bridge.engine.ports import BatchStale, Cursor, Memory, Outcome, Receipt, Stale, Stored, Unknown
from tests.support.schemas import complaints

ENTITY_CHANGES = frozenset({"created", "updated", "deleted", "snapshot"})
MOST_EVENTS = 999


class Fault(enum.Enum):
    """What may happen to the next write.

    `append` reports the first two as Unknown; `commit` settles them by itself, as the real one does. `STALE`
    refuses the write as if another were in flight. The last two cut the connection: Away, and the book is void.
    """

    UNKNOWN_STORED = "the acknowledgement is lost"
    UNKNOWN_LOST = "the message is lost"
    STALE = "another write is in flight"
    AWAY_STORED = "stored, then the connection is lost"
    AWAY_LOST = "the connection is lost before it was stored"


class Entry(NamedTuple):
    """One stored message. `at` is the anyio clock's time when it was stored, in seconds."""

    seq: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes
    at: float

    @property
    def change(self) -> str:
        """The change an event tells of, from its subject."""
        return self.subject.split(".")[4]

    @property
    def ce_id(self) -> str:
        """The event's identity."""
        return ce_id_of(self.headers)

    @property
    def data(self) -> Json:
        """The payload, decoded; of an event its data, in either content mode."""
        return data_of(self.headers, json.loads(self.payload))


@dataclass(slots=True)
class _Write:
    """One message on its way. `scope` is the subject its expectation looks at."""

    subject: str
    scope: str
    expected: int | None
    headers: Mapping[str, str]
    payload: bytes
    rollup: bool = False


class MemoryLedger:
    """The stream, its view and its cursors in three dictionaries.

    `on_step` is called with the name of every step (`open`, `append`, `append.stored`, `commit`,
    `commit.stored`, `head`, `after`, `stored`): raise in it, or cancel a scope, to crash there. `latency_s` is
    slept before and after each write.
    """

    def __init__(self, max_payload: int = 1_048_576, lane: Lane = MAIN) -> None:
        self._max_payload = max_payload
        self._lane = lane
        self.aside: MemoryLedger | None = None
        """The telemetry stream, once a source has asked for it."""
        self._last_seq = 0
        self._messages: dict[int, Entry] = {}
        self._rolled_up: list[tuple[Entry, int]] = []
        """What a later message of its subject has replaced, and at which sequence: a lost end has replaced nothing."""
        self._last: dict[str, int] = {}
        self._view: dict[str, Entry] = {}
        self._back: anyio.Event | None = None
        self._watchers: set[anyio.Event] = set()
        self._doubt = ""
        self._made_at = 0
        self._aged = self._short = False
        self.keeps_s = self.telemetry_keeps_s = math.inf
        self.epoch = 0
        self.append_faults: deque[Fault | None] = deque()
        """One per event appended, in order; None lets an event pass. Empty: no faults."""
        self.commit_faults: deque[Fault | None] = deque()
        """One per commit."""
        self.latency_s = 0.0
        self.on_step: Callable[[str], None] = lambda _: None
        self.opened = 0
        """How often a source was opened."""
        self.refused = 0
        """How many writes were refused as stale: proof that a fault happened."""

    # What the engine sees.

    @property
    def max_payload(self) -> int:
        """See `Ledger.max_payload`."""
        return self._max_payload

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> MemoryBook:
        """See `Ledger.open`."""
        epoch = self.epoch
        await self._pause("open", epoch)
        subject = owner_subject(source)
        owner_seq = self._store([_Write(subject, subject, None, {}, _encode(owner), rollup=True)])[0]
        memory = Memory(owner_seq=owner_seq)
        self._recall(memory, vendor, source)
        self.opened += 1
        await anyio.lowlevel.checkpoint()
        return MemoryBook(self, epoch, source, memory)

    async def wait_ready(self) -> None:
        """See `Ledger.wait_ready`."""
        while self._back is not None:
            await self._back.wait()
        await anyio.lowlevel.checkpoint()

    def retention_s(self, *, telemetry: bool = False) -> float:
        """See `Ledger.retention_s`."""
        return self.telemetry_keeps_s if telemetry else self.keeps_s

    # What tests look at.

    @property
    def events(self) -> list[Entry]:
        """Every event the stream holds, in order."""
        return [entry for entry in self._messages.values() if entry.subject.startswith(f"{self._lane.events}.")]

    @property
    def last_seq(self) -> int:
        """The stream's last sequence."""
        return self._last_seq

    def events_after(self, seq: int) -> list[Entry]:
        """Every event behind that sequence, in order."""
        found = []
        for entry in reversed(self._messages.values()):
            if entry.seq <= seq:
                break
            if entry.subject.startswith(f"{self._lane.events}."):
                found.append(entry)
        return found[::-1]

    async def changed(self, within_s: float) -> None:
        """Returns when something is stored or lost, or the connection is, and after so long in any case."""
        watcher = anyio.Event()
        self._watchers.add(watcher)
        with anyio.move_on_after(within_s):
            await watcher.wait()
        self._watchers.discard(watcher)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    def state(self) -> dict[str, tuple[str, Json]]:
        """The KV view: state key → (change, after)."""
        return {key: (entry.change, entry.data["after"]) for key, entry in self._view.items()}

    def cursor(self, source: str, walk: str) -> Json:
        """A walk's cursor as it lies in the stream; None if there is none."""
        seq = self._last.get(cursor_subject(source, walk))
        return None if seq is None else self._messages[seq].data

    # What tests do to it.

    def go_away(self) -> None:
        """Cut the connection: every open book is void, and nothing works until `come_back`."""
        self.epoch += 1
        self._tell()
        if self.aside is not None:
            self.aside.epoch += 1
        if self._back is None:
            self._back = anyio.Event()

    def come_back(self) -> None:
        """Restore the connection."""
        if self._back is not None:
            self._back.set()
            self._back = None

    def drop_connection(self) -> None:
        """A short loss: open books are void, new ones work."""
        self.epoch += 1

    def inject(self, event: Event) -> int:
        """Another writer stores an event, whatever it expects of it. Returns its sequence."""
        write = _write(event)
        write.expected = None
        return self._store([write])[0]

    def overwrite_cursor(self, source: str, walk: str, value: Mapping[str, Json]) -> None:
        """An operator writes a cursor."""
        subject = cursor_subject(source, walk)
        self._store([_Write(subject, subject, None, {}, _encode(value), rollup=True)])

    def lose_tail(self, last_seq: int, *, as_it_was: bool = False) -> None:
        """The broker loses everything after `last_seq`, and the view is made anew; open books are void.

        `as_it_was`: what was replaced by what is lost lies there again.
        """
        if as_it_was:
            again = [entry for entry, by in self._rolled_up if entry.seq <= last_seq < by]
            self._messages = {entry.seq: entry for entry in sorted([*self._messages.values(), *again], key=_seq)}
            self._rolled_up = [(entry, by) for entry, by in self._rolled_up if by <= last_seq]
        self._doubt = f"the stream has lost its end: it ends at {last_seq}, and the view knows of {self._last_seq}"
        self._remake(last_seq)

    def drop_view(self) -> None:
        """Somebody deletes the view, and it is made anew from what the stream still holds; open books are void."""
        self._doubt = ""
        self._remake(self._last_seq)

    def _remake(self, last_seq: int) -> None:
        self.epoch += 1
        self._made_at, self._short = last_seq, self._aged
        kept = [entry for seq, entry in self._messages.items() if seq <= last_seq]
        self._last_seq, self._messages, self._last, self._view = last_seq, {}, {}, {}
        self._tell()
        for entry in kept:
            self._keep(entry)

    def age_out(self, first_seq: int) -> None:
        """Events before `first_seq` have reached the stream's `max_age`. The view keeps what it has."""
        self._aged = True
        for seq in [s for s, e in self._messages.items() if s < first_seq and e.subject.startswith("events.")]:
            entry = self._messages.pop(seq)
            for name in (entry.subject, _scope(entry.subject)):
                if self._last.get(name) == seq:
                    del self._last[name]

    # What the book uses.

    async def _pause(self, step: str, epoch: int) -> None:
        self.on_step(step)
        if self.latency_s:
            await anyio.sleep(self.latency_s)
        else:
            await anyio.lowlevel.checkpoint()
        self._check(epoch)

    @property
    def away(self) -> bool:
        """Whether the connection is cut."""
        return self._back is not None

    def check_connected(self) -> None:
        """Raises Away while the connection is cut."""
        if self._back is not None:
            raise Away("NATS is away (the in-memory ledger was told so)")

    def _check(self, epoch: int) -> None:
        self.check_connected()
        if epoch != self.epoch:
            raise Away("the connection was lost since this book was opened: open the source again")

    def _takes(self, event: Event) -> None:
        if event.lane is not self._lane:
            raise ValueError(f"an event for {event.lane.events}.> does not belong here")
        self._fits("an event", event.size)

    def _fits(self, what: str, size: int) -> None:
        if size > self._max_payload:
            raise ValueError(f"{what} of {size} bytes exceeds max_payload ({self._max_payload} bytes)")

    def _stale(self, writes: Sequence[_Write]) -> bool:
        stale = any(w.expected is not None and self._last.get(w.scope, 0) != w.expected for w in writes)
        self.refused += stale
        return stale

    def _store(self, writes: Sequence[_Write]) -> list[int]:
        seqs = []
        for write in writes:
            self._last_seq += 1
            if write.rollup and (former := self._last.get(write.subject)) is not None:
                self._rolled_up.append((self._messages.pop(former), self._last_seq))
            entry = Entry(self._last_seq, write.subject, dict(write.headers), write.payload, anyio.current_time())
            self._keep(entry)
            seqs.append(entry.seq)
        return seqs

    def _keep(self, entry: Entry) -> None:
        self._tell()
        self._messages[entry.seq] = entry
        self._last[entry.subject] = entry.seq
        if not entry.subject.startswith(f"{self._lane.events}."):
            return
        _keep_to_contract(entry)
        self._last[_scope(entry.subject)] = entry.seq
        if entry.change in ENTITY_CHANGES and self._lane is MAIN:
            _, vendor, source, entity, _, id_ = entry.subject.split(".")
            self._view[f"{vendor}.{source}.{entity}.{id_}"] = entry

    def _recall(self, memory: Memory, vendor: str, source: str) -> None:
        prefix = f"{token(vendor)}.{token(source)}."
        for key, entry in self._view.items():
            if key.startswith(prefix):
                entity = untoken(entry.subject.split(".")[3]) or ""
                seq = entry.seq if entry.seq in self._messages else 0
                memory.heads[entity, id_of(entry.headers)] = head_of(seq, entry.change, entry.headers)
        walks = cursor_subject(source, "", self._lane)[:-1]
        for entry in self._messages.values():
            if entry.subject.startswith(walks):
                memory.cursors[untoken(entry.subject.removeprefix(walks)) or ""] = Cursor(entry.data, entry.seq)
        former = {walk for walk, cursor in memory.cursors.items() if cursor.seq <= self._made_at}
        memory.forgotten = former if self._short else set()
        if len(former) == len(memory.cursors):
            memory.doubt = self._doubt or ("the view was made anew" if self._short else "")


def _keep_to_contract(entry: Entry) -> None:
    """The bridge's own events hold what their schema says, whichever test makes them."""
    if entry.subject.split(".")[1] == "bridge":
        attributes = attributes_of(entry.headers, entry.data)
        said = {"ce-dataschema": attributes["dataschema"]} if "dataschema" in attributes else {}
        wrong = complaints(said, data_of(entry.headers, entry.data))
        assert not wrong, f"{entry.subject}: {wrong}"


class MemoryBook:
    """See `Book`."""

    def __init__(self, ledger: MemoryLedger, epoch: int, source: str, memory: Memory) -> None:
        self._ledger = ledger
        self._epoch = epoch
        self._source = source
        self.memory = memory

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """See `Book.append`."""
        for event in events:
            self._ledger._takes(event)
        await self._ledger._pause("append", self._epoch)
        outcomes: list[Outcome] = []
        for event in events:
            outcomes.append(self._append(event))
            await anyio.lowlevel.checkpoint()
        await self._ledger._pause("append.stored", self._epoch)
        return outcomes

    def _append(self, event: Event) -> Outcome:
        ledger = self._ledger
        ledger._check(self._epoch)
        fault = ledger.append_faults.popleft() if ledger.append_faults else None
        if fault is Fault.AWAY_LOST:
            ledger.drop_connection()
            ledger._check(self._epoch)
        if fault is Fault.UNKNOWN_LOST:
            return Unknown()
        write = _write(event)
        if fault is Fault.STALE or ledger._stale([write]):
            return Stale()
        seq = ledger._store([write])[0]
        if fault is Fault.AWAY_STORED:
            ledger.drop_connection()
            ledger._check(self._epoch)
        return Unknown() if fault is Fault.UNKNOWN_STORED else Stored(seq)

    async def commit(self, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
        """See `Book.commit`."""
        ledger = self._ledger
        if len(events) > MOST_EVENTS:
            raise ValueError(f"a batch holds at most {MOST_EVENTS} events, got {len(events)}")
        if len({event.key for event in events}) != len(events):
            raise ValueError("an entity may appear once in a batch")
        for event in events:
            ledger._takes(event)
        await ledger._pause("commit", self._epoch)
        fault = ledger.commit_faults.popleft() if ledger.commit_faults else None
        if fault is Fault.AWAY_LOST:
            ledger.drop_connection()
            ledger._check(self._epoch)
        writes = [_write(event) for event in events]
        if cursor is not None:
            subject = cursor_subject(self._source, walk, self._ledger._lane)
            headers = {"Nats-Rollup": "sub", "Nats-TTL": "never", EXPECTED: str(cursor.seq)}
            ledger._fits("a cursor", len(_encode(cursor.value)) + header_size(headers))
            writes.append(_Write(subject, subject, cursor.seq, headers, _encode(cursor.value), rollup=True))
        if fault is Fault.STALE or ledger._stale(writes):
            raise BatchStale("the stream refused the batch: an entity or the cursor has moved on")
        seqs = ledger._store(writes)
        if fault is Fault.AWAY_STORED:
            ledger.drop_connection()
        await ledger._pause("commit.stored", self._epoch)
        return Receipt(seqs[: len(events)], seqs[-1] if cursor is not None else 0)

    async def head(self, key: Key) -> Head | None:
        """See `Book.head`."""
        await self._ledger._pause("head", self._epoch)
        seq = self._ledger._last.get(entity_filter(key, self._ledger._lane))
        if seq is None:
            return None
        entry = self._ledger._messages[seq]
        return head_of(seq, entry.change, entry.headers)

    async def cursor(self, walk: str) -> Cursor | None:
        """See `Book.cursor`."""
        await self._ledger._pause("cursor", self._epoch)
        seq = self._ledger._last.get(cursor_subject(self._source, walk, self._ledger._lane))
        return None if seq is None else Cursor(self._ledger._messages[seq].data, seq)

    async def after(self, key: Key, head: Head) -> Json:
        """See `Book.after`."""
        await self._ledger._pause("after", self._epoch)
        for entry in (self._ledger._messages.get(head.seq), self._ledger._view.get(state_key(key))):
            if entry is not None and entry.ce_id == head.ce_id:
                return entry.data["after"]
        return None

    async def afters(self, wanted: Sequence[tuple[Key, Head]]) -> Mapping[Key, Json]:
        """See `Book.afters`. What has left the stream is not to be had this way."""
        await self._ledger._pause("after", self._epoch)
        entries = {key: self._ledger._messages.get(head.seq) for key, head in wanted}
        return {
            key: entry.data["after"]
            for key, head in wanted
            if (entry := entries[key]) is not None and entry.ce_id == head.ce_id
        }

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """See `Book.stored`."""
        await self._ledger._pause("stored", self._epoch)
        return {key for key in keys if event_subject(key, "occurred", self._ledger._lane) in self._ledger._last}

    async def telemetry(self) -> MemoryBook:
        """See `Book.telemetry`."""
        ledger = self._ledger
        await ledger._pause("telemetry", self._epoch)
        if ledger.aside is None:
            ledger.aside = MemoryLedger(ledger._max_payload, TELEMETRY)
        memory = Memory()
        ledger.aside._recall(memory, "", self._source)
        return MemoryBook(ledger.aside, ledger.aside.epoch, self._source, memory)


def _write(event: Event) -> _Write:
    """What the server would make of the event: its own headers decide, not our fields."""
    return _Write(
        subject=event_subject(event.key, event.change, event.lane),
        scope=event.headers[EXPECTED_SUBJECT],
        expected=int(event.headers[EXPECTED]),
        headers=event.headers,
        payload=event.payload,
    )


def _seq(entry: Entry) -> int:
    return entry.seq


def _scope(subject: str) -> str:
    """The expectation subject that covers an event subject."""
    tokens = subject.split(".")
    tokens[4] = "*"
    return ".".join(tokens)


def _encode(value: Mapping[str, Json]) -> bytes:
    return json.dumps(dict(value)).encode()
