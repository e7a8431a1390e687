"""Publishes messages and hears of each one's fate. Imports nats-py, whose exceptions end here.

nats-py's own acknowledged publishing costs twice as much and can hang for good when the server dies: here one inbox
and a counter serve all messages, each has a deadline, and nothing is ever sent again. Messages are handed to the
connection by two methods of nats-py that are not public (`_send_command`, `_flush_pending`), or, where nothing waits
before them, at once (`SteadyClient.send_now`): a live event then sets no timer and wakes no task but its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
import anyio.lowlevel
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.errors import Away
from bridge.core.headers import Headers
from bridge.edge.nats import wire
from bridge.edge.nats.client import SteadyClient

BREATH = 64
"""Messages handed to the connection before the event loop gets a turn."""

MOST_BYTES = 32 * 1024 * 1024
"""Payloads in flight: nats-py holds in memory what a slow server has not taken yet."""


CONGESTED_BYTES = 64 * 1024
"""With more than this waiting to be written, a batch stands back, and what is live goes first."""
CONGESTED_WAIT_S = 0.002


class Outgoing(NamedTuple):
    """One message to publish. `more`: further headers, spelled out, each with its line break."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes
    more: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What JetStream said of one message: stored at `seq` (of a batch: the last of `count`), or refused.

    `err_code` is 0 for success; `accepted` is the empty answer to the first message of a batch.
    """

    seq: int = 0
    err_code: int = 0
    count: int = 0
    accepted: bool = False


NOBODY = Answer(err_code=503)
"""Nobody listens on the subject: the stream is not there now."""
NOT_AN_ANSWER = Answer(err_code=-1)


@dataclass(slots=True, eq=False)
class _Wave:
    """The messages of one call; `left` of them are unanswered."""

    answers: list[Answer | None]
    left: int
    done: anyio.Event | _Done = field(default_factory=anyio.Event)
    until: float = math.inf


class _Done:
    """An event for one who waits, on asyncio's loop."""

    __slots__ = ("future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    async def wait(self) -> None:
        await self.future


class Publisher:
    """One per connection. `deadline_s`: longest wait for an answer, in seconds. `window`: most messages in flight."""

    def __init__(self, nc: Client, *, deadline_s: float = 5.0, window: int = 4096) -> None:
        self._nc = nc
        self._deadline_s = deadline_s
        self._window = window
        self._inbox = nc.new_inbox() + "."
        self._subscription: Subscription | None = None
        self._starting = anyio.Lock()
        self._count = 0
        self._bytes = 0
        self._waiting: dict[str, tuple[_Wave, int, int]] = {}
        self._room: anyio.Event | None = None
        self._waves: set[_Wave] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many messages wait for their answer."""
        return len(self._waiting)

    async def publish(
        self, messages: Sequence[Outgoing], *, unasked: Sequence[Outgoing] | None = None, times: int = 1
    ) -> list[Answer | None]:
        """Send all, in order, and wait for the answers; None for a message that got none within `times` the deadline.

        `unasked`, if not None, are sent first and get no answer: the inner messages of a batch. The sending, not
        the waiting, is then shielded from cancellation: a batch that was begun is sent to its end.
        Raises Away when nothing can be sent. A cancelled call leaves the fate of its messages unknown.
        """
        if unasked is None and messages and self._at_once(messages):
            return await self._publish_at_once(messages, times)
        wave = _Wave([None] * len(messages), len(messages))
        deadline_s = self._deadline_s * times
        try:
            with anyio.move_on_after(deadline_s, shield=unasked is not None) as scope:
                await self._start()
                await self._send_unasked(unasked or (), scope)
                sent = 0
                while sent < len(messages):
                    sent += await self._send(wave, sent, messages)
                    scope.deadline = anyio.current_time() + deadline_s
                    if sent < len(messages):
                        await anyio.lowlevel.checkpoint()
                scope.shield = False
                if wave.left:
                    await wave.done.wait()
        finally:
            if wave.left:
                self._forget(wave)
        return wave.answers

    def give_up(self) -> None:
        """The connection is lost: whoever waits learns at once that nothing is known."""
        waves = {wave for wave, _, _ in self._waiting.values()}
        self._waiting.clear()
        self._bytes = 0
        self._make_room()
        for wave in waves:
            wave.left = 0
            wave.done.set()

    def _at_once(self, messages: Sequence[Outgoing]) -> bool:
        return (
            isinstance(self._nc, SteadyClient)
            and self._subscription is not None
            and len(messages) <= BREATH
            and len(self._waiting) + len(messages) <= self._window
            and self._bytes + sum(len(message.payload) for message in messages) <= MOST_BYTES
            and self._nc.is_idle
        )

    async def _publish_at_once(self, messages: Sequence[Outgoing], times: int) -> list[Answer | None]:
        """`publish` where nothing has to be waited for but the answers."""
        assert isinstance(self._nc, SteadyClient)
        loop = asyncio.get_running_loop()
        wave = _Wave([None] * len(messages), len(messages), _Done(loop), loop.time() + self._deadline_s * times)
        try:
            commands = b"".join([self._enter(wave, index, message) for index, message in enumerate(messages)])
            self._nc.send_now(commands)
            self._waves.add(wave)
            if self._timer is None or wave.until < self._timer.when():
                self._ring_at(wave.until, loop)
            await wave.done.wait()
        finally:
            self._waves.discard(wave)
            if wave.left:
                self._forget(wave)
        return wave.answers

    def _ring_at(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer serves all that wait; that of a wave which was answered in time rings for those after it."""
        self._timer = None
        now = loop.time()
        for wave in self._waves:
            if wave.until <= now:
                wave.done.set()
        if later := [wave.until for wave in self._waves if wave.until > now]:
            self._ring_at(min(later), loop)

    async def _start(self) -> None:
        if not self._nc.is_connected:
            raise Away("NATS is not connected")
        if self._subscription is not None:
            # A lock costs a turn of the event loop even when it is free.
            return
        async with self._starting:
            if self._subscription is None:
                try:
                    self._subscription = await self._nc.subscribe(
                        self._inbox + "*", cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
                    )
                except nats.errors.Error as error:
                    raise _away(error) from None
                if isinstance(self._nc, SteadyClient):
                    self._nc.catch(self._subscription, self._catch)

    async def _send_unasked(self, messages: Sequence[Outgoing], scope: anyio.CancelScope) -> None:
        for at in range(0, len(messages), BREATH):
            self._check_connected()
            while self._nc.pending_data_size > CONGESTED_BYTES:
                await anyio.sleep(CONGESTED_WAIT_S)
                self._check_connected()
            scope.deadline = anyio.current_time() + self._deadline_s
            # nats-py takes bytes: what goes out together may as well be handed over together.
            await self._nc._send_command(b"".join([_command(message, "") for message in messages[at : at + BREATH]]))
            await self._flush()
            await anyio.lowlevel.checkpoint()

    async def _send(self, wave: _Wave, at: int, messages: Sequence[Outgoing]) -> int:
        """Send as many as there is room for, `BREATH` at most, one at least; how many."""
        while self._full():
            self._room = self._room or anyio.Event()
            await self._room.wait()
        self._check_connected()
        commands: list[bytes] = []
        for index, message in enumerate(messages[at : at + BREATH], at):
            if self._full():
                break
            commands.append(self._enter(wave, index, message))
        await self._nc._send_command(b"".join(commands))
        await self._flush()
        return len(commands)

    def _enter(self, wave: _Wave, index: int, message: Outgoing) -> bytes:
        """From now on an answer is waited for; what to send."""
        self._count += 1
        name = str(self._count)
        command = self._spelled(message, self._inbox + name)
        self._waiting[name] = (wave, index, len(message.payload))
        self._bytes += len(message.payload)
        return command

    def _check_connected(self) -> None:
        if not self._nc.is_connected:
            # Otherwise nats-py would keep it and send it after the reconnect, long after we gave up on it.
            raise Away("NATS is not connected")

    def _spelled(self, message: Outgoing, reply: str) -> bytes:
        # nats-py's `publish` checks and rewrites each header by itself, which costs more than all the rest.
        return _command(message, reply)

    async def _flush(self) -> None:
        await self._nc._flush_pending()

    async def _receive(self, message: Msg) -> None:
        self._answered(message.subject, bool(message.headers), message.data)

    def _catch(self, subject: bytes, block: bytes, data: bytes) -> None:
        self._answered(subject.decode("ascii", "replace"), bool(block), data)

    def _answered(self, subject: str, headers: bool, data: bytes) -> None:
        found = self._waiting.pop(subject[len(self._inbox) :], None)
        if found is None:
            return
        wave, index, size = found
        self._bytes -= size
        wave.answers[index] = _answer(data, status=headers)
        wave.left -= 1
        if not wave.left:
            wave.done.set()
        if self._room is not None:
            self._make_room()

    def _full(self) -> bool:
        return len(self._waiting) >= self._window or self._bytes >= MOST_BYTES

    def _make_room(self) -> None:
        # Half a window at a time, so that who waits sends many at once.
        if self._room is not None and len(self._waiting) <= self._window // 2 and self._bytes <= MOST_BYTES // 2:
            self._room.set()
            self._room = None

    def _forget(self, wave: _Wave) -> None:
        for name in [name for name, (other, _, _) in self._waiting.items() if other is wave]:
            self._bytes -= self._waiting.pop(name)[2]
        self._make_room()


def _command(message: Outgoing, reply: str) -> bytes:
    """The protocol's HPUB. Raises ValueError for a header that would be two."""
    headers, payload = Headers.of(message.headers), message.payload
    if not headers.whole:
        raise ValueError("a header holds a line break")
    block = f"NATS/1.0\r\n{headers.text}{message.more}\r\n"
    size = len(block) if block.isascii() else len(block.encode())
    start = f"HPUB {message.subject} {reply} {size} {size + len(payload)}\r\n{block}"
    return b"%b%b\r\n" % (start.encode(), payload)


def _answer(data: bytes, *, status: bool) -> Answer:
    """What an answer says; `status`: it came with headers, as one of the server's own does."""
    if not data:
        return NOBODY if status else Answer(accepted=True)
    try:
        ack = wire.decode_ack(data)
    except ValueError:
        return NOT_AN_ANSWER
    if ack.error is not None:
        return Answer(err_code=ack.error.err_code or ack.error.code)
    return Answer(seq=ack.seq, count=ack.count)


def _away(error: nats.errors.Error) -> Away:
    return Away(f"NATS cannot be written to now ({type(error).__name__})")
