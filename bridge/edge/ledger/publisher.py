"""Publishes messages and hears of each one's fate. Imports nats-py, whose exceptions end here.

nats-py's own acknowledged publishing costs twice as much and can hang for good when the server dies: here one inbox
and a counter serve all messages, each has a deadline, and nothing is ever sent again. Messages are handed to the
connection by two methods of nats-py that are not public (`_send_command`, `_flush_pending`), or, where nothing waits
before them, at once (`SteadyClient.send_now`): a live event then sets no timer and wakes no task but its own.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.errors import Away
from bridge.edge.ledger.message import NOT_AN_ANSWER as NOT_AN_ANSWER
from bridge.edge.ledger.message import Answer as Answer
from bridge.edge.ledger.message import Message as Message
from bridge.edge.ledger.message import Outgoing as Outgoing
from bridge.edge.ledger.message import answer_of, command
from bridge.edge.nats import wire
from bridge.edge.nats.client import SteadyClient

BREATH = 64
"""Messages handed to the connection before the event loop gets a turn."""

AT_ONCE = 256
"""Messages written in one go where nothing waits before them: spelling so many takes a millisecond or two."""

MOST_BYTES = 32 * 1024 * 1024
"""Payloads in flight: nats-py holds in memory what a slow server has not taken yet."""


CONGESTED_BYTES = 64 * 1024
"""With more than this waiting to be written, a batch stands back, and what is live goes first."""
CONGESTED_WAIT_S = 0.002


@dataclass(slots=True, eq=False)
class _Wave:
    """The messages of one call: `entered` of them are on their way or answered, `left` of all are unanswered.

    Their reply subjects end with the wave's `name` and their place in it.
    """

    name: bytes
    messages: Sequence[Outgoing]
    answers: list[Answer | None]
    left: int
    done: anyio.Event | _Done = field(default_factory=anyio.Event)
    until: float = math.inf
    entered: int = 0


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
        self._waves: dict[bytes, _Wave] = {}
        self._in_flight = 0
        self._bytes = 0
        self._room: anyio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many messages wait for their answer."""
        return self._in_flight

    async def publish(
        self, messages: Sequence[Outgoing], *, unasked: Sequence[Outgoing] | None = None, times: int = 1
    ) -> list[Answer | None]:
        """Send all, in order, and wait for the answers; None for a message that got none within `times` the deadline.

        `unasked`, if not None, are sent first and get no answer: the inner messages of a batch. The sending, not
        the waiting, is then shielded from cancellation: a batch that was begun is sent to its end.
        Raises Away when nothing can be sent. A cancelled call leaves the fate of its messages unknown.
        """
        if not unasked and messages and self._at_once(messages):
            return await self._publish_at_once(messages, times)
        wave = self._wave(messages)
        deadline_s = self._deadline_s * times
        try:
            with anyio.move_on_after(deadline_s, shield=unasked is not None) as scope:
                await self._start()
                await self._send_unasked(unasked or (), scope)
                while wave.entered < len(messages):
                    await self._send(wave)
                    scope.deadline = anyio.current_time() + deadline_s
                    if wave.entered < len(messages):
                        await anyio.lowlevel.checkpoint()
                scope.shield = False
                if wave.left:
                    await wave.done.wait()
        finally:
            self._forget(wave)
        return wave.answers

    def give_up(self) -> None:
        """The connection is lost: whoever waits learns at once that nothing is known."""
        waves = [*self._waves.values()]
        self._waves.clear()
        self._in_flight = self._bytes = 0
        self._make_room()
        for wave in waves:
            wave.left = 0
            wave.done.set()

    def _at_once(self, messages: Sequence[Outgoing]) -> bool:
        return (
            isinstance(self._nc, SteadyClient)
            and self._subscription is not None
            and len(messages) <= AT_ONCE
            and self._in_flight + len(messages) <= self._window
            and self._bytes + sum([len(message.payload) for message in messages]) <= MOST_BYTES
            and self._nc.is_idle
        )

    async def _publish_at_once(self, messages: Sequence[Outgoing], times: int) -> list[Answer | None]:
        """`publish` where nothing has to be waited for but the answers."""
        assert isinstance(self._nc, SteadyClient)
        loop = asyncio.get_running_loop()
        wave = self._wave(messages, _Done(loop), loop.time() + self._deadline_s * times)
        try:
            self._nc.send_now(self._enter(wave, len(messages)))
            if self._timer is None or wave.until < self._timer.when():
                self._ring_at(wave.until, loop)
            await wave.done.wait()
        finally:
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
        for wave in self._waves.values():
            if wave.until <= now:
                wave.done.set()
        if later := [wave.until for wave in self._waves.values() if now < wave.until < math.inf]:
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
                        self._inbox + "*.*", cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
                    )
                except nats.errors.Error as error:
                    raise _away(error) from None
                if isinstance(self._nc, SteadyClient):
                    self._nc.catch(self._subscription, self._catch)
                    subject = re.escape(self._inbox.encode()) + rb"(\d+)\.(\d+)"
                    self._nc.take(self._subscription, subject, wire.PLAIN_ACK, self._take)

    async def _send_unasked(self, messages: Sequence[Outgoing], scope: anyio.CancelScope) -> None:
        for at in range(0, len(messages), BREATH):
            self._check_connected()
            while self._nc.pending_data_size > CONGESTED_BYTES:
                await anyio.sleep(CONGESTED_WAIT_S)
                self._check_connected()
            scope.deadline = anyio.current_time() + self._deadline_s
            # What goes out together may as well be handed over together.
            await self._write(b"".join([command(message, "") for message in messages[at : at + BREATH]]))
            await anyio.lowlevel.checkpoint()

    async def _send(self, wave: _Wave) -> None:
        """Send as many as there is room for, `BREATH` at most, one at least, once there is."""
        while self._full():
            self._room = self._room or anyio.Event()
            await self._room.wait()
        self._check_connected()
        if not wave.left:
            # Given up meanwhile. What is left to be sent belongs to the connection that was lost.
            raise Away("the connection to NATS was lost while messages were being sent")
        most = min(len(wave.messages), wave.entered + min(BREATH, self._window - self._in_flight))
        end, size = wave.entered, self._bytes
        while end < most and size < MOST_BYTES:
            size += len(wave.messages[end].payload)
            end += 1
        await self._write(self._enter(wave, end))

    def _wave(self, messages: Sequence[Outgoing], done: _Done | None = None, until: float = math.inf) -> _Wave:
        self._count += 1
        name = b"%d" % self._count
        wave = _Wave(name, messages, [None] * len(messages), len(messages), done or anyio.Event(), until)
        self._waves[name] = wave
        return wave

    def _enter(self, wave: _Wave, end: int) -> bytes:
        """From now on answers to the messages before this place are waited for; what to send."""
        reply, first = f"{self._inbox}{wave.name.decode()}.", wave.entered
        messages = wave.messages[first:end]
        commands = [self._spelled(message, f"{reply}{place}") for place, message in enumerate(messages, first)]
        wave.entered = end
        self._in_flight += len(messages)
        self._bytes += sum([len(message.payload) for message in messages])
        return b"".join(commands)

    def _check_connected(self) -> None:
        if not self._nc.is_connected:
            # Otherwise nats-py would keep it and send it after the reconnect, long after we gave up on it.
            raise Away("NATS is not connected")

    def _spelled(self, message: Outgoing, reply: str) -> bytes:
        # nats-py's `publish` checks and rewrites each header by itself, which costs more than all the rest.
        return command(message, reply)

    async def _write(self, commands: bytes) -> None:
        if isinstance(self._nc, SteadyClient) and self._nc.is_idle:
            self._nc.send_now(commands)
            return
        await self._nc._send_command(commands)
        await self._nc._flush_pending()

    # --- answers ---

    def _take(self, found: re.Match[bytes]) -> None:
        """What nearly all answers look like: stored, and nothing else to say."""
        name, place, seq = found.groups()
        self._settle(name, int(place), Answer(int(seq)))

    async def _receive(self, message: Msg) -> None:
        self._catch(message.subject.encode(), b"\n" if message.headers else b"", message.data)

    def _catch(self, subject: bytes, block: bytes, data: bytes) -> None:
        *_, name, place = subject.split(b".")
        if place.isdigit():
            self._settle(name, int(place), answer_of(data, status=bool(block)))

    def _settle(self, name: bytes, place: int, answer: Answer) -> None:
        wave = self._waves.get(name)
        if wave is None or place >= wave.entered or wave.answers[place] is not None:
            return
        wave.answers[place] = answer
        wave.left -= 1
        self._in_flight -= 1
        self._bytes -= len(wave.messages[place].payload)
        if not wave.left:
            del self._waves[name]
            wave.done.set()
        if self._room is not None:
            self._make_room()

    def _full(self) -> bool:
        return self._in_flight >= self._window or self._bytes >= MOST_BYTES

    def _make_room(self) -> None:
        # Half a window at a time, so that who waits sends many at once.
        if self._room is not None and self._in_flight <= self._window // 2 and self._bytes <= MOST_BYTES // 2:
            self._room.set()
            self._room = None

    def _forget(self, wave: _Wave) -> None:
        """Nobody waits any more for what has not been answered."""
        if self._waves.pop(wave.name, None) is None:
            return
        for message, answer in zip(wave.messages[: wave.entered], wave.answers, strict=False):
            if answer is None:
                self._in_flight -= 1
                self._bytes -= len(message.payload)
        self._make_room()


def _away(error: nats.errors.Error) -> Away:
    return Away(f"NATS cannot be written to now ({type(error).__name__})")
