"""What the engine needs from outside, as protocols. The edges implement them; tests bring verified twins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from anyio.abc import TaskStatus

from bridge.adapter import Request, Response
from bridge.core.alerts.condition import Compile as Compile
from bridge.core.alerts.condition import Condition as Condition
from bridge.core.event import Event
from bridge.core.heads import Heads
from bridge.core.lease import Claim, Seen
from bridge.core.record import Head, Json, Key
from bridge.core.session import Upgrade
from bridge.core.value import value
from bridge.engine.alert_ports import Channel as Channel
from bridge.engine.offer import Offer as Offer


@dataclass(slots=True)
class Cursor:
    """How far a walk has come. `seq` is where it lies in the stream (0: nowhere yet)."""

    value: Mapping[str, Json]
    seq: int = 0


@dataclass(slots=True)
class Memory:
    """What the stream remembers of one source.

    `heads`: every entity the view holds, by (entity, id); the bridge's own entities (`gap`, `source`,
    `quarantine`) are not in it. `cursors`: by walk name. `owner_seq`: where the owner record lies.
    `doubt`: why history may be lacking, until a cursor has been written since; "" normally. `doubt_ms`: when the
    stream was last seen whole (milliseconds since the Unix epoch), where no cursor tells. `forgotten`: the walks with
    no cursor since then that cover entities the stream has forgotten: what is unknown to them is not news.
    """

    heads: Heads = field(default_factory=Heads)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    owner_seq: int = 0
    doubt: str = ""
    doubt_ms: int = 0
    forgotten: set[str] = field(default_factory=set)


@value
class Stored:
    """The event lies in the stream at `seq`: written now, or found there by a look."""

    seq: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The stream refused the event: another one follows its predecessor already. Look again."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer within the deadline: it may be stored or not. Look before anything else."""


Outcome = Stored | Stale | Unknown


@dataclass(frozen=True, slots=True)
class Receipt:
    """A committed batch: the sequence of each event, in order, and of the cursor (0: none was written)."""

    seqs: Sequence[int]
    cursor_seq: int


class BatchStale(Exception):
    """The stream refused a batch as a whole and stored nothing of it: look at every entity in it again."""


class Book(Protocol):
    """One source's place in the ledger, from one opening until the next doubt.

    Every method raises Away when NATS cannot be reached, when the stream was re-created or went backwards, or
    when the connection was lost since the book was opened: the book is then void, and the source re-opens.
    Cancelling a call leaves its outcome unknown: look at its entities before writing them again.
    """

    memory: Memory

    async def append(self, events: Sequence[Event]) -> list[Outcome]:
        """Live write: publish all, pipelined, and wait for every acknowledgement. One event per entity at most.

        Returns one outcome per event, in order. Never raises for a single event.
        """
        ...

    async def commit(self, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
        """Catch-up write: events and cursor as one atomic batch, stored together or not at all.

        `cursor.seq` must be where the walk's cursor lies now. At most 999 events, one per entity.
        Settles an unknown outcome itself by looking. Raises BatchStale, and Away when it cannot settle.
        """
        ...

    async def head(self, key: Key) -> Head | None:
        """Look: the entity's last event in the stream, asked of the leader; None if it holds none."""
        ...

    async def cursor(self, walk: str) -> Cursor | None:
        """Look: the walk's cursor as it lies in the stream, asked of the leader; None if there is none."""
        ...

    async def after(self, key: Key, head: Head) -> Json:
        """The `after` of the entity's last event: from the stream, or the view after that; None: neither has it."""
        ...

    async def afters(self, wanted: Sequence[tuple[Key, Head]]) -> Mapping[Key, Json]:
        """The same of many, as far as they can be had together. Whoever is missing is to be asked for by `after`."""
        ...

    async def stored(self, keys: Sequence[Key]) -> set[Key]:
        """Which of these `occurred` events the stream holds already."""
        ...

    async def telemetry(self) -> Book:
        """The same source's place in the telemetry stream, which is made when it is first asked for.

        It knows cursors and no entities, and takes only events of the lane `TELEMETRY`; this book takes none of them.
        """
        ...


class Ledger(Protocol):
    """The stream as memory and outlet. One object serves all sources; it reconnects by itself, for ever."""

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, headers included, in bytes."""
        ...

    def retention_s(self, *, telemetry: bool = False) -> float:
        """How long the stream remembers an event, in seconds; infinity for ever."""
        ...

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> Book:
        """Write the owner record and read what the stream knows of the source.

        Returns when the view has been seen to hold everything the stream holds. Raises Away.
        """
        ...

    async def wait_ready(self) -> None:
        """Returns when NATS is connected and the stream is what it should be. For the back-off of sources."""
        ...


class Leases(Protocol):
    """The bucket of leases: one claim per source at most, which the server removes when nobody renews it."""

    async def look(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """What lies under these names now; a source that has none may be absent. One question for all.

        A replica that lags may answer: `put` has the last word. Raises Away.
        """
        ...

    async def put(self, source: str, claim: Claim, after: int) -> int | None:
        """Claim or renew: store `claim`, to live for its `lease_s`, if the name's last message is still `after`.

        Returns where it lies; None when something else lies there by now. Raises Away when the answer is unknown.
        """
        ...

    async def drop(self, source: str, after: int) -> bool:
        """Give up the claim that lies at `after`. Returns whether it was still the last. Raises Away."""
        ...


class Http(Protocol):
    """Sends one request. Follows nothing, caches nothing, keeps no cookies."""

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """The answer, whatever its status.

        Raises Retry for everything that kept an answer from arriving (connect, TLS, time-out, redirect, a body
        above `max_bytes`), with a text that names the host and what to do, and no secret.
        """
        ...


class Disconnected(Exception):
    """The socket is gone. `code`: the close code, 1006 where none was received; `reason`: the peer's text.

    `http`: the status line, where the peer went over to plain HTTP in the middle of the WebSocket; else "".
    """

    def __init__(self, code: int, reason: str = "", http: str = "") -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason
        self.http = http


class UpgradeRefused(Exception):
    """The server answered the upgrade request with an HTTP status, or without the sub-protocol asked for.

    `subprotocol`: what it agreed to instead (status 101 only; None: nothing).
    """

    def __init__(self, status: int, headers: Mapping[str, str], subprotocol: str | None = None) -> None:
        super().__init__(f"upgrade answered with HTTP status {status}")
        self.status = status
        self.headers = headers
        self.subprotocol = subprotocol


class Socket(Protocol):
    """One open WebSocket connection."""

    async def send(self, frame: Json) -> None:
        """Send one JSON text frame, `Secret` values revealed. Raises Disconnected."""
        ...

    async def send_text(self, text: str, json: Json = None, /) -> None:
        """Send one text frame: `text` as it is, then `json` unless it is None, `Secret` values revealed.

        Raises Disconnected.
        """
        ...

    def say(self, text: str, /) -> bool:
        """Send one text frame now. False: nothing was done, since something waits to be sent, or the peer is gone."""
        ...

    async def receive_raw(self) -> str | bytes:
        """Wait for one frame, text or binary, as it came. Otherwise like `receive`."""
        ...

    async def receive(self) -> tuple[Json, int, str]:
        """Wait for one frame: decoded, its size in bytes, and why it is not JSON text ("" if it is).

        Raises Disconnected. Lets other tasks run now and then, however much lies in the buffer.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely, and within a second or two in any case. Never raises."""
        ...


class Sockets(Protocol):
    """Opens WebSocket connections. Follows no redirect, takes no proxy from the environment."""

    def connect(self, session: Upgrade) -> AbstractAsyncContextManager[Socket]:
        """Connect, with exactly the session's sub-protocol offered and agreed; closed when the block is left.

        Raises UpgradeRefused, and Retry for everything that kept an answer from arriving.
        """
        ...


class Feed(Protocol):
    """A live session with a vendor. One object per attempt."""

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Connect and subscribe, then `task_status.started()`, then offer every frame until the session ends.

        Never returns normally: raises Retry, Unauthorized or Refused, by what happens next.
        """
        ...


class Wall(Protocol):
    """The wall clock, for what is published and compared with vendors' stamps. Never for measuring time."""

    def __call__(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request that came in, whole. Header names are lower case; what came several times is joined by ", ".

    `path` is decoded; `query` holds the first value of each name. `peer`: the address it came from. `names`: whom the
    client certificate names (common name, DNS and URI names); () without one.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer: str = ""
    names: Sequence[str] = ()


Write = Callable[[bytes], Awaitable[None]]
"""Sends a piece of a body. Returns when the client has room for more; does not return once it is gone or too slow, or
the door is being closed: then the stream is cancelled."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered with. `body` is text for whoever debugs the sender; it never shows a secret.

    It is plain text unless `headers` say otherwise. `stream`: the body comes in pieces, in place of `body`: it is
    called once, with what writes them, and the body ends when it returns. It is cancelled when the client goes or does
    not take a piece in time, and when the door is closed.
    """

    status: int
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Callable[[Write], Awaitable[None]] | None = field(default=None, repr=False, compare=False)


class Answer(Protocol):
    """Answers requests. Called once for each, many at a time."""

    def limit(self, method: str, path: str) -> int | Reply:
        """Before the body is read: how many bytes it may have, or the reply that makes reading needless. Never
        waits.
        """
        ...

    async def __call__(self, request: Incoming) -> Reply:
        """The reply. Whoever asks gives up after a deadline of its own and cancels; anything raised is a bug (500)."""
        ...
