"""Answers that come in many messages: an inbox for one question, and the reader of a consumer. Imports nats-py.

nats-py's exceptions end here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.codec import encode
from bridge.edge.nats.client import SteadyClient

STATUS = "Status"


class NoAnswer(Away):
    """Nothing came within the deadline, or nobody listens: JetStream is away, off, or not permitted."""


class Entry(NamedTuple):
    """One message as a consumer delivers it, headers only: their block, as stored. `pending`: how many more match."""

    subject: str
    seq: int
    block: bytes
    pending: int

    @property
    def headers(self) -> dict[str, str]:
        """All its headers, read anew each time."""
        return parse_headers(self.block)


class Inbox:
    """A subscription for one request with many answers. `take` gets each message and returns True at the last.

    With `take_raw` in its place (subject, reply subject, header block), nothing else is made of the messages.
    """

    def __init__(
        self,
        nc: Client,
        take: Callable[[Msg], bool] | None = None,
        *,
        take_raw: Callable[[bytes, bytes, bytes], bool] | None = None,
    ) -> None:
        if take_raw is not None and not isinstance(nc, SteadyClient):
            raise TypeError("raw answers need a SteadyClient")
        self._nc = nc
        self._take = take
        self._take_raw = take_raw
        self._subject = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._done = anyio.Event()
        self._broken: Exception | None = None
        self._received = 0

    async def __aenter__(self) -> Inbox:
        try:
            # What may come is bounded by the question; nats-py's own limits would drop a part in silence.
            self._subscription = await self._nc.subscribe(
                self._subject, cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except nats.errors.Error as error:
            raise NoAnswer(f"NATS cannot be asked now ({type(error).__name__})") from None
        if self._take_raw is not None and isinstance(self._nc, SteadyClient):
            self._nc.tap(self._subscription, self._sink)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is None:
            return
        if isinstance(self._nc, SteadyClient):
            self._nc.untap(self._subscription)
        with anyio.move_on_after(1, shield=True):
            try:
                await self._subscription.unsubscribe()
            except nats.errors.Error:
                # The connection is gone, and the subscription with it.
                return

    async def ask(
        self, subject: str, body: bytes, deadline_s: float, what: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send one request and return after its last answer. `deadline_s` is the longest silence.

        Raises NoAnswer.
        """
        self._done = anyio.Event()
        try:
            await self._nc.publish(subject, body, reply=self._subject, headers=headers)
        except nats.errors.Error as error:
            raise NoAnswer(f"{what}: NATS cannot be asked now ({type(error).__name__})") from None
        while not self._done.is_set():
            before = self._received
            with anyio.move_on_after(deadline_s):
                await self._done.wait()
            if before == self._received and not self._done.is_set():
                raise NoAnswer(f"{what}: no answer within {deadline_s:g} s")
        if self._broken is not None:
            raise self._broken

    async def _receive(self, message: Msg) -> None:
        if self._take is not None:
            self._taken(self._take, message)

    def _sink(self, subject: bytes, reply: bytes, block: bytes) -> None:
        if self._take_raw is not None:
            self._taken(self._take_raw, subject, reply, block)

    def _taken(self, take: Callable[..., bool], *message: Any) -> None:
        self._received += 1
        try:
            last = take(*message)
        except Exception as error:  # noqa: BLE001 - it is raised where the question was asked
            self._broken, last = error, True
        if last:
            self._done.set()


_PLAIN = b"NATS/1.0\r\n"
"""How a message's header block begins; that of a status goes on in the first line."""
KNOCKS = 10
KNOCK_S = 0.2
"""How often, and how many seconds apart, a consumer is asked for whom nobody answers yet."""


class Reader:
    """Reads a pull consumer, portion by portion. An async context manager."""

    PORTION = 4096

    def __init__(self, nc: Client, subject: str, take: Callable[[Entry], None], deadline_s: float) -> None:
        self._subject = subject
        self._entry = take
        self._deadline_s = deadline_s
        self._left = 0
        self._at_end = False
        self._nobody = False
        self._inbox = Inbox(nc, take_raw=self._take)

    async def __aenter__(self) -> Reader:
        await self._inbox.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inbox.__aexit__(kind, error, trace)

    async def read(self, *, wait_s: float = 0.0) -> bool:
        """Read a portion; True when the consumer had no more. With `wait_s`, wait for the first that comes.

        Raises NoAnswer, also when the server ended the consumer.
        """
        request: dict[str, Json] = {"batch": self.PORTION, "no_wait": True}
        if wait_s:
            request = {"batch": 1, "expires": int(wait_s * 1e9)}
        for _ in range(KNOCKS):
            self._left = request["batch"]
            self._at_end = self._nobody = False
            await self._inbox.ask(self._subject, encode(request), self._deadline_s + wait_s, "a consumer")
            if not self._nobody:
                return self._at_end
            # A consumer just made on a cluster: its leader is not there yet.
            await anyio.sleep(KNOCK_S)
        raise NoAnswer(f"nobody answers for a consumer after {KNOCKS} attempts")

    def _take(self, subject: bytes, reply: bytes, block: bytes) -> bool:
        if not block.startswith(_PLAIN):
            status = block[9:12].decode("ascii", "replace")
            if status == "100":
                return False
            if status == "503":
                self._nobody = True
                return True
            if status not in ("404", "408"):
                raise NoAnswer(f"the server ended a consumer with status {status}")
            self._at_end = True
            return True
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and
        # account hash after ACK and a random token at the end.
        tokens = reply.split(b".")
        at = 2 if len(tokens) == 9 else 4
        entry = Entry(subject.decode(), int(tokens[at + 3]), block, int(tokens[at + 6]))
        self._entry(entry)
        self._left -= 1
        self._at_end = entry.pending == 0
        return self._left == 0


def parse_headers(block: bytes) -> dict[str, str]:
    """A NATS header block (`NATS/1.0`, then one `Name: value` a line) as stored by the server."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode("ascii", "replace")] = value.strip().decode("utf-8", "replace")
    return headers


def headers_of(message: Msg) -> dict[str, str]:
    """The headers of a message that came, as plain text."""
    raw: dict[Any, str] = message.headers or {}
    if STATUS not in raw:
        # Only beside a status does nats-py put names that are no plain text.
        return raw
    return {str(getattr(name, "value", name)): value for name, value in raw.items()}
