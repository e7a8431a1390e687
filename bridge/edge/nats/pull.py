"""A standing request to a pull consumer: messages come as the server lets them out. Imports nats-py."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.edge.codec import encode
from bridge.edge.nats.answers import STATUS, NoAnswer, headers_of

BATCH = 64
"""So many messages one request asks for. Where one is out at a time, the next follows each acknowledgement."""
EXPIRES_S = 30
BEAT_S = 5
"""How often the server says that the request still stands: a consumer whose leader has moved may forget it."""
SILENCE_S = 2.5 * BEAT_S


class Taken(NamedTuple):
    """One message as it came. `reply`: where it is acknowledged."""

    subject: str
    reply: str
    headers: dict[str, str]
    payload: bytes


class Pull:
    """`subject` is the consumer's `MSG.NEXT`. An async context manager; the connection's callbacks call `give_up`."""

    def __init__(self, nc: Client, subject: str) -> None:
        self._nc = nc
        self._subject = subject
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._queue: deque[Taken] = deque()
        self._left = 0
        self._heard = 0.0
        self._broken = ""
        self._news = anyio.Event()

    async def __aenter__(self) -> Pull:
        try:
            self._subscription = await self._nc.subscribe(
                self._inbox, cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except nats.errors.Error as error:
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None:
            with anyio.move_on_after(1, shield=True), suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    def give_up(self) -> None:
        """The connection is lost, and the request with it: whoever waits learns it now."""
        self._end("the connection to NATS was lost")

    async def next(self, *, wait_s: float) -> Taken | None:
        """The next message; None when none came within `wait_s`. Raises NoAnswer, once for each trouble."""
        until = anyio.current_time() + wait_s
        while True:
            now = anyio.current_time()
            if self._queue:
                return self._queue.popleft()
            if self._left and now >= self._heard + SILENCE_S:
                self._end(f"nothing was heard of a consumer for {SILENCE_S:g} s")
            if self._broken:
                why, self._broken = self._broken, ""
                raise NoAnswer(why)
            if not self._left:
                await self._ask()
            if now >= until:
                return None
            self._news = anyio.Event()
            with anyio.move_on_after(min(until, self._heard + SILENCE_S) - now):
                await self._news.wait()

    async def _ask(self) -> None:
        request = {"batch": BATCH, "expires": EXPIRES_S * 10**9, "idle_heartbeat": BEAT_S * 10**9}
        self._left, self._heard = BATCH, anyio.current_time()
        try:
            await self._nc.publish(self._subject, encode(request), reply=self._inbox)
        except nats.errors.Error as error:
            self._left = 0
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None

    async def _receive(self, message: Msg) -> None:
        self._heard = anyio.current_time()
        headers = headers_of(message)
        status = headers.get(STATUS)
        if status is None:
            self._left -= 1
            self._queue.append(Taken(message.subject, message.reply, headers, message.data))
        elif status in ("404", "408"):
            self._left = 0
        elif status != "100":
            # Nobody answers, or the consumer was removed, or has another leader.
            self._end(f"the server ended a consumer's request with status {status}")
        self._news.set()

    def _end(self, why: str) -> None:
        self._left, self._broken = 0, why
        self._news.set()
