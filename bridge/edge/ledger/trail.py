"""Reads stored events in stream order, and goes on as new ones come: implements the engine's `Trails`. Imports nats-py.

Events are fetched by sequence with batched direct gets; the republished `live.>` only says that it is time to look. So
there is nothing on the server that could be lost, and each event comes once whatever the connection goes through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
import nats.errors

from bridge.core.alerts.routes import common
from bridge.core.errors import Away
from bridge.core.subject import EVENTS, LIVE
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.client import SteadyClient
from bridge.edge.nats.jetstream import ApiError, JetStream, Message, StreamState
from bridge.edge.nats.portion import portion
from bridge.engine.alert_ports import Passing

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

LOOK_EVERY_S = 2.0
"""Republished messages are best effort, so we look without one, too."""
DEADLINE_S = 5.0
KNOCKS = 20
KNOCK_S = 0.01
"""How often, and how many seconds apart, a replica is asked that lags behind what was republished."""
LONGEST = 20
"""Digits of a sequence: one with thousands of them, published by somebody else, is an error to Python."""
_SEQUENCE = b"\r\nNats-Sequence:"


class JetStreamTrails:
    """See `Trails`. One per connection."""

    def __init__(self, nc: Client, names: LedgerNames | None = None) -> None:
        self._nc = nc
        self._names = names or LedgerNames()

    @asynccontextmanager
    async def begin(self, subjects: Sequence[str], after: int | None) -> AsyncIterator[JetStreamTrail]:
        """See `Trails.begin`."""
        trail = JetStreamTrail(self._nc, self._names, common(subjects))
        async with trail.listening():
            await trail.start(after)
            yield trail


class JetStreamTrail:
    """See `Trail`. `subjects` is one filter: what it lets through besides is for the reader to pass over."""

    def __init__(self, nc: Client, names: LedgerNames, subjects: str) -> None:
        self._nc = nc
        self._js = JetStream(nc, prefix=names.api, deadline_s=DEADLINE_S)
        self._names = names
        self._subjects = subjects
        self._news = anyio.Event()
        self._told = 0
        self._created = ""
        self._looked = 0.0
        self._seq = self._end = 0
        self.lost = ""

    @property
    def seq(self) -> int:
        """See `Trail.seq`."""
        return self._seq

    @property
    def end(self) -> int:
        """See `Trail.end`."""
        return self._end

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """While the block runs, what is republished says that it is time to look."""
        live = LIVE + self._subjects.removeprefix(EVENTS)
        try:
            subscription = await self._nc.subscribe(live, cb=self._on_news)
        except nats.errors.Error as error:
            raise Away(f"NATS cannot be asked now ({type(error).__name__})") from None
        if isinstance(self._nc, SteadyClient):
            self._nc.tap(subscription, self._on_raw)
        try:
            yield
        finally:
            if isinstance(self._nc, SteadyClient):
                self._nc.untap(subscription)
            if self._nc.is_connected:
                with anyio.move_on_after(1, shield=True), suppress(nats.errors.Error):
                    await subscription.unsubscribe()

    async def start(self, after: int | None) -> None:
        """Begin after that sequence, or at the stream's end. Raises Away."""
        state = await self._state()
        self._created, self._looked = state.created, anyio.current_time()
        self._end = state.last_seq
        self._seq = state.last_seq if after is None else after
        self._compare(state)

    async def take(self, *, wait_s: float) -> Sequence[Passing]:
        """See `Trail.take`."""
        until = anyio.current_time() + wait_s
        while True:
            self._news = anyio.Event()
            found = await self._read()
            now = anyio.current_time()
            if found or now >= until:
                return found
            if now >= self._looked + LOOK_EVERY_S:
                self._looked = now
                self._compare(await self._state())
                if self.lost:
                    return []
            with anyio.move_on_after(min(until - now, LOOK_EVERY_S)):
                await self._news.wait()

    def _on_raw(self, _subject: bytes, _reply: bytes, block: bytes) -> None:
        at = block.find(_SEQUENCE)
        if at >= 0:
            digits = block[at + len(_SEQUENCE) : block.find(b"\r\n", at + 2)].strip()
            if digits.isdigit() and len(digits) < LONGEST:
                self._told = max(self._told, int(digits))
        self._news.set()

    async def _on_news(self, _: Msg) -> None:
        self._news.set()

    def _compare(self, state: StreamState) -> None:
        """Is it the stream we knew, and as long as it was?"""
        name = self._names.stream
        if state.created != self._created:
            self.lost = f"stream {name} was made anew at {state.created}"
        elif state.last_seq < self._seq:
            self.lost = f"stream {name} went back from sequence {self._seq} to {state.last_seq}"
        else:
            return
        self._created, self._seq, self._told = state.created, state.last_seq, 0

    async def _read(self) -> list[Passing]:
        for _ in range(KNOCKS):
            query = {"next_by_subj": self._subjects, "seq": self._seq + 1}
            found = await portion(self._nc, self._names.api, self._names.stream, query, deadline_s=DEADLINE_S)
            if found is None:
                raise Away(f"nobody answers for stream {self._names.stream} now")
            if found:
                self._seq = found[-1].seq
                return [_passing(message) for message in found]
            if self._told <= self._seq:
                break
            # It was republished, so it is stored: whoever answered is a replica that lags.
            await anyio.sleep(KNOCK_S)
        self._told = 0
        return []

    async def _state(self) -> StreamState:
        try:
            return await self._js.state(self._names.stream)
        except ApiError as error:
            raise Away(f"the stream cannot be read now: {error}") from None


def _passing(message: Message) -> Passing:
    stored_ms = round(datetime.fromisoformat(message.time).timestamp() * 1000)
    return Passing(message.seq, message.subject, stored_ms, message.headers, message.payload)
