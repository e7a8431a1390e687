"""One instance as a NATS micro service: it answers PING, INFO and STATS, and its own endpoints.

The protocol (NATS ADR-32) is spoken on plain subscriptions, not by `nats.micro`: that runs handlers in tasks of its
own, which nobody awaits and a question can occupy for ever; quotes exceptions to whoever asks; waits for the server,
ten seconds for each of nine subscriptions, while it ends; and cannot answer in parts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Never

import anyio
import anyio.lowlevel
import nats.errors
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from nats.aio.subscription import Subscription

from bridge.core import micro
from bridge.core.errors import BridgeError
from bridge.core.micro import Identity, Tally
from bridge.core.record import Json
from bridge.edge.codec import encode
from bridge.edge.nats.answers import parse_headers
from bridge.edge.nats.connection import Denied, NatsConnection

log = structlog.get_logger()

MOST_WAITING = 64
"""Questions that wait for one endpoint; who comes later is not answered. Those that wait together get one answer."""
AGAIN_S = 300.0
"""How long until what was denied is tried again on the same connection, in seconds; a new one tries it at once."""
_SEND_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answer` gives the messages of one answer, one after the other, within `deadline_s` seconds.

    It may raise BridgeError with a sentence for who asks; anything else is a bug. `data` goes into the statistics.
    """

    name: str
    answer: Callable[[], Awaitable[Sequence[bytes]]]
    deadline_s: float
    data: Callable[[], Json] | None = None


class _Failed(Exception):
    """What is answered in place of an answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class _Desk:
    """Questions that one task answers, as they come."""

    verb: str
    endpoint: Endpoint | None = None
    tally: Tally = field(default_factory=lambda: Tally("", ""))


class MicroService:
    """`run` answers while the connection is there. One a connection: it deals with what NATS denies of it itself.

    Answers go to inboxes alone: subjects that begin with `_`, as clients' own do and other accounts', or with our own
    prefix. Nothing that goes wrong here ends anything else. What the account may not do is said once; the rest is done.
    """

    def __init__(self, connection: NatsConnection, identity: Identity, endpoints: Sequence[Endpoint]) -> None:
        self._connection = connection
        self._identity = identity
        subject = {one.name: micro.endpoint_subject(identity.instance, one.name) for one in endpoints}
        self._desks = {
            text: _Desk(verb) for text, verb in micro.control_subjects(identity.id).items()
        }  # fmt: skip
        self._tallies = [Tally(one.name, subject[one.name]) for one in endpoints]
        for one, tally in zip(endpoints, self._tallies, strict=True):
            self._desks[subject[one.name]] = _Desk(one.name, one, tally)
        self._inboxes = b"_", f"{connection.options.inbox_prefix}.".encode()
        self._queues: dict[str, MemoryObjectSendStream[str]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._missing: set[str] = set()
        self._mute = False
        self._said: tuple[frozenset[str], bool] = frozenset(), False
        self._news = anyio.Event()
        self.refusals = 0
        """How often NATS denied us something, the same thing again included."""
        self.listening = False
        """Whether the server has been asked for every subject; it may have denied some."""
        self.dropped = 0
        """Questions that came while too many waited."""

    async def run(self) -> Never:
        """Answer until cancelled."""
        self._connection.excuse = self._excused
        try:
            async with anyio.create_task_group() as group, self._listening(group):
                while True:
                    await self._round()
        finally:
            self._connection.excuse = None
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _listening(self, group: anyio.abc.TaskGroup) -> AsyncIterator[None]:
        """Every subject is asked for, and a task answers at every desk: those of one verb are one desk."""
        self._queues = {}
        for desk in self._desks.values():
            if desk.verb not in self._queues:
                self._queues[desk.verb], waiting = anyio.create_memory_object_stream[str](MOST_WAITING)
                group.start_soon(self._answer, desk, waiting)
        try:
            yield
        finally:
            with anyio.move_on_after(1, shield=True):
                for subject in list(self._subscriptions):
                    await self._leave(subject)
            for queue in self._queues.values():
                queue.close()
            group.cancel_scope.cancel()

    async def _round(self) -> None:
        """Ask for what we do not have, say what is denied, and wait for news of that."""
        await self._connection.wait_connected()
        self._news = anyio.Event()
        for subject in self._missing:
            await self._leave(subject)
        self._missing.clear()
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            for subject in self._desks.keys() - self._subscriptions.keys():
                await self._join(subject)
            # What is denied is known once the server has answered.
            await self._connection.client.flush()
            self.listening = True
        self._tell()
        while True:
            with anyio.move_on_after(AGAIN_S if self._missing else None) as patience:
                await self._news.wait()
            if patience.cancelled_caught:
                return
            # They come one by one.
            self._news = anyio.Event()
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await self._connection.client.flush()
            self._tell()

    async def _join(self, subject: str) -> None:
        client = self._connection.client
        # Without a callback it has no task of nats-py's: what comes is handed over where it is read.
        subscription = self._subscriptions[subject] = await client.subscribe(subject)
        queue, desk = self._queues[self._desks[subject].verb], self._desks[subject]

        def take(_: bytes, reply: bytes, block: bytes) -> None:
            self._take(queue, desk, reply, block)

        client.tap(subscription, take)

    async def _leave(self, subject: str) -> None:
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            self._connection.client.untap(subscription)
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    def _take(self, queue: MemoryObjectSendStream[str], desk: _Desk, reply: bytes, block: bytes) -> None:
        if not reply.startswith(self._inboxes):
            # Whoever may ask could otherwise have us write where only we may.
            return
        if block and parse_headers(block).get(micro.ONLY, self._identity.id) != self._identity.id:
            return
        desk.tally.requests += 1
        try:
            queue.send_nowait(reply.decode("utf-8", "replace"))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.dropped += 1

    async def _answer(self, desk: _Desk, waiting: MemoryObjectReceiveStream[str]) -> None:
        with waiting:
            async for first in waiting:
                replies = [first]
                with contextlib.suppress(anyio.WouldBlock):
                    while True:
                        replies.append(waiting.receive_nowait())
                began = time.perf_counter_ns()
                messages, headers = await self._messages(desk)
                for reply in dict.fromkeys(replies):
                    await self._send(reply, messages, headers)
                desk.tally.busy_ns += time.perf_counter_ns() - began

    async def _messages(self, desk: _Desk) -> tuple[Sequence[bytes], dict[str, str]]:
        try:
            if desk.endpoint is None:
                return [encode(self._about(desk.verb))], {}
            return await self._ask(desk.endpoint), {}
        except _Failed as error:
            desk.tally.errors += 1
            desk.tally.last_error = f"{error.code}:{error}"
            return [b""], {micro.ERROR: str(error), micro.ERROR_CODE: str(error.code)}

    async def _ask(self, endpoint: Endpoint) -> Sequence[bytes]:
        try:
            with anyio.fail_after(endpoint.deadline_s):
                return await endpoint.answer()
        except BridgeError as error:
            raise _Failed(503, " ".join(str(error).split())) from None
        except TimeoutError:
            raise _Failed(504, f"no answer within {endpoint.deadline_s:g} s") from None
        except Exception:
            log.exception("micro.bug", endpoint=endpoint.name, advice="please report this")
            raise _Failed(500, "an error of ours: see the log of this instance") from None

    def _about(self, verb: str) -> dict[str, Json]:
        if verb == "PING":
            return micro.ping(self._identity)
        if verb == "INFO":
            return micro.info(self._identity, self._tallies)
        for desk in self._desks.values():
            if desk.endpoint is not None and desk.endpoint.data is not None:
                desk.tally.data = desk.endpoint.data()
        return micro.stats(self._identity, self._tallies)

    async def _send(self, reply: str, messages: Sequence[bytes], headers: dict[str, str]) -> None:
        more = {**headers, micro.ONLY: self._identity.id}
        with anyio.move_on_after(_SEND_DEADLINE_S), contextlib.suppress(nats.errors.Error, ValueError):
            for number, message in enumerate(messages, 1):
                part = {micro.PART: f"{number}/{len(messages)}"} if len(messages) > 1 else {}
                await self._connection.client.publish(reply, message, headers={**more, **part})
                # Others may send between two parts.
                await anyio.lowlevel.checkpoint()

    def _excused(self, refused: Denied) -> bool:
        """Whether a refusal is about us. Then it is, and nobody else hears of it."""
        if refused.action == "subscribe" and refused.subject in self._desks:
            self._missing.add(refused.subject)
        elif refused.action == "publish" and refused.subject.encode().startswith(self._inboxes):
            # Nothing else that we send goes there. Not by the whole subject: the server quotes it as it likes.
            self._mute = True
        else:
            return False
        self.refusals += 1
        self._news.set()
        return True

    def _tell(self) -> None:
        now = frozenset(self._missing), self._mute
        if now == self._said:
            return
        before, self._said = self._said, now
        grants = [micro.grant(subject) for subject in sorted(self._missing)]
        if grants or self._mute:
            log.warning(
                "micro.denied",
                subscribe=list(dict.fromkeys(grants)),
                allow_responses=not self._mute,
                advice="bridged status and bridged reload do not reach this instance; everything else goes on: grant "
                "what `bridged nats-config` prints",
            )
        elif before[0]:
            log.info("micro.granted")
