"""In-memory twins of what alerts need: trails through the twin of the ledger, and places where alerts wait.

They pass the contract suite of the real ones (`tests/edge/ledger/test_alert_contract.py`) and run on a virtual clock.
`on_step` is called before every step, as that of the ledger is.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from bridge.core.alerts.alert import Alert, read_alert
from bridge.core.alerts.routes import common
from bridge.core.subject import matches
from bridge.edge.ledger.consumers import ACK_WAIT_S, alert_subjects
from bridge.engine.alert_ports import Passing
from bridge.events import parse
from tests.support.memory_ledger import Entry, MemoryLedger

PORTION = 256


class MemoryTrails:
    """See `Trails`."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.on_step: Callable[[str], None] = lambda _: None

    @asynccontextmanager
    async def begin(self, subjects: Sequence[str], after: int | None) -> AsyncIterator[MemoryTrail]:
        """See `Trails.begin`."""
        self.on_step("begin")
        await anyio.lowlevel.checkpoint()
        self.ledger.check_connected()
        trail = MemoryTrail(self, subjects)
        trail.end = self.ledger.last_seq
        trail.seq = trail.end if after is None else after
        trail.compare()
        yield trail


class MemoryTrail:
    """See `Trail`."""

    def __init__(self, trails: MemoryTrails, subjects: Sequence[str]) -> None:
        self._trails = trails
        self._subjects = common(subjects)
        self.seq = self.end = 0
        self.lost = ""

    def compare(self) -> None:
        """Is the stream as long as it was?"""
        last = self._trails.ledger.last_seq
        if last < self.seq:
            self.lost = f"the stream went back from sequence {self.seq} to {last}"
            self.seq = last

    async def take(self, *, wait_s: float) -> Sequence[Passing]:
        """See `Trail.take`."""
        ledger = self._trails.ledger
        until = anyio.current_time() + wait_s
        while True:
            self._trails.on_step("take")
            await anyio.lowlevel.checkpoint()
            ledger.check_connected()
            self.compare()
            found = [
                Passing(entry.seq, entry.subject, round(entry.at * 1000), entry.headers, entry.payload)
                for entry in ledger.events_after(self.seq)
                if matches(self._subjects, entry.subject)
            ][:PORTION]
            if found:
                self.seq = found[-1].seq
            if found or self.lost or anyio.current_time() >= until:
                return found
            await ledger.changed(until - anyio.current_time())


@dataclass
class _Place:
    """One consumer. `out`: when the alert that was handed out comes again; inf: it was acknowledged."""

    floor: int
    out_seq: int = 0
    again_at: float = -math.inf
    tries: int = 0


@dataclass
class MemoryPost:
    """See `Post`. Of all processes that share the ledger."""

    ledger: MemoryLedger
    places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    on_step: Callable[[str], None] = lambda _: None

    @asynccontextmanager
    async def deliveries(self, alert: str, channel: str) -> AsyncIterator[MemoryDeliveries]:
        """See `Post.deliveries`."""
        await self.step("deliveries")
        self.places.setdefault((alert, channel), _Place(self.ledger.last_seq))
        yield MemoryDeliveries(self, alert, channel)

    async def retain(self, channels: Sequence[tuple[str, str]]) -> Sequence[str]:
        """See `Post.retain`."""
        await self.step("retain")
        gone = [name for name in self.places if name not in channels]
        for name in gone:
            del self.places[name]
        return [f"{alert} {channel}" for alert, channel in gone]

    async def step(self, name: str) -> None:
        """Whatever is done takes a moment, and needs the connection."""
        self.on_step(name)
        await anyio.lowlevel.checkpoint()
        self.ledger.check_connected()


class MemoryDeliveries:
    """See `Deliveries`."""

    def __init__(self, post: MemoryPost, alert: str, channel: str) -> None:
        self._post = post
        self._alert = alert
        self._key = alert, channel

    def _place(self) -> _Place:
        # One that was removed is made anew, as the real one is.
        return self._post.places.setdefault(self._key, _Place(self._post.ledger.last_seq))

    async def next(self, *, wait_s: float) -> MemoryDelivery | None:
        """See `Deliveries.next`."""
        until = anyio.current_time() + wait_s
        while True:
            await self._post.step("next")
            place, now = self._place(), anyio.current_time()
            first = next(iter(self._waiting(place)), None)
            if first is not None and (place.out_seq != first.seq or now >= place.again_at):
                place.tries = place.tries + 1 if place.out_seq == first.seq else 1
                place.out_seq, place.again_at = first.seq, now + ACK_WAIT_S
                event = parse(first.subject, first.headers, first.payload)
                alert = read_alert(event.ce_id, self._alert, event.after, traceparent=event.traceparent)
                return MemoryDelivery(self._post, place, alert, place.tries, first.seq)
            if now >= until:
                return None
            again_at = place.again_at if first is not None else math.inf
            await self._post.ledger.changed(min(until, again_at) - now)

    async def waiting(self) -> int:
        """See `Deliveries.waiting`."""
        await self._post.step("waiting")
        return len(self._waiting(self._place()))

    def _waiting(self, place: _Place) -> list[Entry]:
        prefix, ledger = alert_subjects(self._alert)[:-1], self._post.ledger
        # One that knows more than the stream holds begins at its end.
        place.floor = min(place.floor, ledger.last_seq)
        return [entry for entry in ledger.events_after(place.floor) if entry.subject.startswith(prefix)]


@dataclass
class MemoryDelivery:
    """See `Delivery`."""

    post: MemoryPost
    place: _Place
    alert: Alert
    tries: int
    seq: int

    async def ack(self) -> None:
        """See `Delivery.ack`."""
        self.post.on_step("ack")
        await anyio.lowlevel.checkpoint()
        if self.post.ledger.away:
            return
        self.place.floor = max(self.place.floor, self.seq)
        self.post.on_step("ack.stored")
        await anyio.lowlevel.checkpoint()

    async def nak(self, delay_s: float) -> None:
        """See `Delivery.nak`."""
        self.post.on_step("nak")
        await anyio.lowlevel.checkpoint()
        if self.place.out_seq == self.seq:
            self.place.again_at = anyio.current_time() + delay_s

    async def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
        await anyio.lowlevel.checkpoint()
        if self.place.out_seq == self.seq:
            self.place.again_at = anyio.current_time() + ACK_WAIT_S
