"""Server-sent events of the status page: the whole report once, then what has changed, at most once a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from bridge.core.report.shown import lasting
from bridge.engine.ports import Write

TICK_S = 1.0
HEAD_S = 10.0
"""A `head` comes so often even if nothing has changed: whoever listens knows that we live."""
COMMENT_S = 15.0
RETRY_MS = 2000
MOST_CLIENTS = 100
MOST_QUEUED = 256 * 1024
"""Bytes that may wait for a client; who is slower is cut off, and finds the whole report when it comes back."""
PORTION = 100
"""Of more sources only so many are looked at in a tick: of a thousand each is told of every ten seconds."""
PIECE = 65_536

Json = dict[str, Any]


class Desk(Protocol):
    """Makes reports. Everything returns at once but `refresh`."""

    def names(self) -> Sequence[str]:
        """The sources, in order."""
        ...

    def head(self) -> Json:
        """`bridge.core.report.contract.Head`."""
        ...

    def sources(self, names: Sequence[str]) -> Sequence[Json]:
        """Those that are still there of these: `bridge.core.report.contract.Source`."""
        ...

    def events(self, after: int, until: int) -> Sequence[Json]:
        """What was stored beyond the event of the one number and up to the other, the newest first."""
        ...

    @property
    def stored(self) -> int:
        """The number of the newest event."""
        ...

    def encode(self, value: Any) -> bytes:
        """As JSON, on one line."""
        ...

    def report(self, until: int) -> Json:
        """All of it, with events up to the one of that number: `bridge.core.report.contract.Report`."""
        ...


class _Client:
    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.size = 0
        self.cut = False
        self.news = anyio.Event()

    def offer(self, message: bytes) -> None:
        if self.size + len(message) > MOST_QUEUED:
            self.cut = True
            self.waiting.clear()
        else:
            self.waiting.append(message)
            self.size += len(message)
        self.news.set()


class Newsreel:
    """`serve` is one client's stream; `run` makes the news for all of them, and sleeps while there are none."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._clients: set[_Client] = set()
        self._joined = anyio.Event()
        self._report: bytes | None = None
        self._told: dict[str, int] = {}
        self._head = 0
        self._head_at = self._spoke_at = 0.0
        self._number = 0
        self._next = 0
        self.slow = 0
        """Clients that were cut off because they did not read."""

    @property
    def full(self) -> bool:
        """Whether nobody more is taken."""
        return len(self._clients) >= MOST_CLIENTS

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    async def serve(self, write: Write) -> None:
        """Never returns for a client that reads; is cancelled. Returns for one that does not."""
        client = _Client()
        self._join(client)
        try:
            await write(f"retry: {RETRY_MS}\n\n".encode())
            whole = self._whole()
            for start in range(0, len(whole), PIECE):
                if client.cut:
                    break
                await write(whole[start : start + PIECE])
            # Others were sent another one: kept as long as they listen, they would be megabytes each.
            del whole
            while not client.cut:
                while client.waiting:
                    message = client.waiting.popleft()
                    client.size -= len(message)
                    await write(message)
                client.news = anyio.Event()
                if not client.waiting and not client.cut:
                    await client.news.wait()
            self.slow += 1
        finally:
            self._clients.discard(client)

    async def run(self) -> None:
        """Never returns; is cancelled."""
        while True:
            while not self._clients:
                self._forget()
                self._joined = anyio.Event()
                await self._joined.wait()
            await anyio.sleep(TICK_S)
            if self._clients:
                await self._tick()

    def _join(self, client: _Client) -> None:
        if not self._clients:
            self._forget()
        self._clients.add(client)
        self._joined.set()

    def _whole(self) -> bytes:
        """The report as a message; one for all who come before there is news, and with nothing in it that is to come
        as news.
        """
        if self._report is None:
            report = self._desk.report(self._number)
            for source in report["sources"]:
                self._told.setdefault(source["name"], self._print(source))
            self._report = message("report", self._desk.encode(report))
        return self._report

    def _forget(self) -> None:
        self._number = self._desk.stored
        self._report = None
        self._told = {}
        self._head = 0

    async def _tick(self) -> None:
        now = anyio.current_time()
        # What is told from here on, nobody may find older in a report.
        self._report = None
        names = self._desk.names()
        if self._told and self._told.keys() != set(names):
            self._told = {}
            self._send(self._whole())
            self._report = None
        head = self._desk.head()
        told = self._print(head)
        if told != self._head or now - self._head_at >= HEAD_S:
            self._head, self._head_at = told, now
            self._say("head", head)
        before, self._number = self._number, self._desk.stored
        if rows := self._desk.events(before, self._number):
            self._say("stored", list(rows))
        await self._sources(names)
        if now - self._spoke_at >= COMMENT_S:
            self._send(b": still here\n\n")

    async def _sources(self, names: Sequence[str]) -> None:
        begin = self._next if self._next < len(names) else 0
        portion = names[begin : begin + PORTION]
        self._next = begin + PORTION
        for source in self._desk.sources(portion):
            name, told = source["name"], self._print(source)
            if self._told.get(name) != told:
                self._told[name] = told
                self._say("source", source)
            # Each takes a fraction of a millisecond: nobody waits for all of them.
            await anyio.lowlevel.checkpoint()

    def _print(self, value: Json) -> int:
        kept = lasting(value)
        if "instance" in kept:
            del kept["instance"]["now"]
        return hash(self._desk.encode(kept))

    def _say(self, kind: str, value: Any) -> None:
        self._send(message(kind, self._desk.encode(value)))

    def _send(self, data: bytes) -> None:
        self._spoke_at = anyio.current_time()
        for client in self._clients:
            client.offer(data)


def message(kind: str, data: bytes) -> bytes:
    """One event of the stream. `data` has no line breaks, as JSON has none."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)
