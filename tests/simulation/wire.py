"""What lies between a process and its servers: requests and answers are under way for a while, and outlive who sent.

What a process sent before it died is stored after its death, as what lies in a socket's buffer is. What it sends while
dead is refused. What is said of the ledger is the twin's (`tests/support/memory_ledger.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

import anyio
import anyio.lowlevel

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.lease import Claim, Seen
from bridge.core.record import Head, Json, Key
from bridge.engine.ports import Book, Cursor, Memory, Outcome, Receipt, Unknown
from tests.simulation.loop import Life, outside
from tests.support.memory_leases import MemoryLeases
from tests.support.memory_ledger import Fault, MemoryBook, MemoryLedger

T = TypeVar("T")

LATE_S = 20.0
"""What nobody answered may be stored so much later."""


class Wire:
    """One process's connection. `chance` draws what happens on it; `slow_s`: how long a way takes at most.

    `doubt`: how many of a hundred writes are not answered, are refused, or cut the connection, by `faults`. `dies`: how
    many of a thousand calls the process does not survive. `told`: of each call.
    """

    def __init__(self, life: Life, chance: Random, told: Callable[[str], None]) -> None:
        self.life = life
        self.chance = chance
        self.told = told
        self.slow_s = 0.0
        self.doubt = 0
        self.faults: Sequence[Fault] = tuple(Fault)
        self.dies = 0
        self._arrives = 0.0
        self._under_way = 0

    def check(self) -> None:
        """Nothing passes from the dead."""
        if self.life.dead:
            raise Away("this process is dead")

    def risk(self) -> None:
        """Something is sent: the process may be about to die."""
        if self.dies and self.chance.randrange(1000) < self.dies:
            self.life.doom(self.chance.choice([0, 1, 2, 3, 4, 5, 8, 13, 21]))

    async def call(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Send, have it done at the server, and wait for the answer."""
        self.check()
        self.risk()
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Whoever sends twice on one connection arrives twice in that order.
        way_s = self._way()
        if way_s or self._under_way:
            self._arrives = max(self._arrives + 1e-6, now + way_s)
            way_s = self._arrives - now
        self._under_way += 1
        answer: asyncio.Future[T] = loop.create_future()
        outside().run(asyncio.ensure_future, self._serve(way_s, call, answer))
        self.told(what)
        try:
            return await answer
        finally:
            self.check()

    def _way(self) -> float:
        return self.chance.random() ** 4 * self.slow_s if self.slow_s else 0.0

    async def _serve(self, way_s: float, call: Callable[[], Awaitable[T]], answer: asyncio.Future[T]) -> None:
        if way_s:
            await asyncio.sleep(way_s)
        self._under_way -= 1
        try:
            result = await call()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            if not answer.done():
                answer.set_exception(error)
            return
        if way_s := self._way():
            await asyncio.sleep(way_s)
        if not answer.done():
            answer.set_result(result)


class WiredLedger:
    """See `Ledger`."""

    def __init__(self, ledger: MemoryLedger, wire: Wire) -> None:
        self._ledger = ledger
        self._wire = wire

    @property
    def max_payload(self) -> int:
        """See `Ledger.max_payload`."""
        return self._ledger.max_payload

    def retention_s(self, *, telemetry: bool = False) -> float:
        """See `Ledger.retention_s`."""
        return self._ledger.retention_s(telemetry=telemetry)

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> Book:
        """See `Ledger.open`."""
        book = await self._wire.call("open", lambda: self._ledger.open(vendor, source, owner))
        return WiredBook(self._ledger, book, self._wire)

    async def wait_ready(self) -> None:
        """See `Ledger.wait_ready`."""
        await self._ledger.wait_ready()
        if self._wire.life.dead:
            await anyio.sleep_forever()


class WiredBook:
    """See `Book`."""

    def __init__(self, ledger: MemoryLedger, book: MemoryBook, wire: Wire) -> None:
        self._ledger = ledger
        self._book = book
        self._wire = wire
        self.memory: Memory = book.memory

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """See `Book.append`."""
        return await self._wire.call("append", lambda: self._append(events))

    async def _append(self, events: Sequence[Event]) -> list[Outcome]:
        wire, chance = self._wire, self._wire.chance
        if not wire.doubt:
            return await self._book.append(events)
        unsure = Fault.UNKNOWN_LOST in wire.faults
        late = [event for event in events if unsure and chance.randrange(200) < wire.doubt]
        others = [event for event in events if event not in late]
        draws = [chance.choice(wire.faults) if chance.randrange(100) < wire.doubt else None for _ in others]
        self._ledger.append_faults.clear()
        self._ledger.append_faults.extend(draws)
        for event in late:
            outside().run(asyncio.ensure_future, self._store_late(event, chance.random() * LATE_S))
        outcomes = iter(await self._book.append(others))
        return [Unknown() if event in late else next(outcomes) for event in events]

    async def _store_late(self, event: Event, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            self._ledger.append_faults.clear()
            self._book._append(event)
        except Away:
            return

    async def commit(self, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
        """See `Book.commit`."""

        async def commit() -> Receipt:
            self._ledger.commit_faults.clear()
            if chance.randrange(100) < wire.doubt:
                self._ledger.commit_faults.append(chance.choice(wire.faults))
            return await self._book.commit(events, walk, cursor)

        wire, chance = self._wire, self._wire.chance
        return await wire.call("commit", commit)

    async def head(self, key: Key) -> Head | None:
        """See `Book.head`."""
        return await self._wire.call("head", lambda: self._book.head(key))

    async def cursor(self, walk: str) -> Cursor | None:
        """See `Book.cursor`."""
        return await self._wire.call("cursor", lambda: self._book.cursor(walk))

    async def after(self, key: Key, head: Head) -> Json:
        """See `Book.after`."""
        return await self._wire.call("after", lambda: self._book.after(key, head))

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """See `Book.stored`."""
        return await self._wire.call("stored", lambda: self._book.stored(keys))

    async def afters(self, wanted: Sequence[tuple[Key, Head]]) -> Mapping[Key, Json]:
        """See `Book.afters`."""
        return await self._wire.call("afters", lambda: self._book.afters(wanted))

    async def telemetry(self) -> Book:
        """See `Book.telemetry`."""
        book = await self._wire.call("telemetry", self._book.telemetry)
        assert self._ledger.aside is not None
        return WiredBook(self._ledger.aside, book, self._wire)


class WiredLeases:
    """See `Leases`."""

    def __init__(self, leases: MemoryLeases, wire: Wire) -> None:
        self._leases = leases
        self._wire = wire

    async def look(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """See `Leases.look`."""
        return await self._wire.call("lease.look", lambda: self._leases.look(sources))

    async def put(self, source: str, claim: Claim, after: int) -> int | None:
        """See `Leases.put`."""
        return await self._wire.call("lease.put", lambda: self._leases.put(source, claim, after))

    async def drop(self, source: str, after: int) -> bool:
        """See `Leases.drop`."""
        return await self._wire.call("lease.drop", lambda: self._leases.drop(source, after))
