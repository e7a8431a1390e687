"""Live sessions that are no GraphQL, as data: where to connect and when to give up. Times are seconds.

And the one that is the other way round, where the vendor comes to us: webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bridge.core.facts import GraphqlSession
from bridge.core.hooks.verification import Proof
from bridge.core.record import Json
from bridge.core.secret import Secret

EngineioRevision = Literal[3, 4]
"""Of the Engine.IO protocol. Revision 3 is spoken by Socket.IO 1 and 2, revision 4 by Socket.IO 3 and 4."""


class Upgrade(Protocol):
    """What opening a WebSocket takes, whatever is spoken on it. `subprotocol` None: none is offered, none may come."""

    @property
    def url(self) -> str: ...
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def headers(self) -> Mapping[str, str | Secret]: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def ping_interval_s(self) -> float | None: ...
    @property
    def ping_timeout_s(self) -> float | None: ...
    @property
    def max_message_mb(self) -> float: ...
    @property
    def proxy(self) -> str | None: ...
    @property
    def close_codes(self) -> Mapping[int, str]: ...


@dataclass(frozen=True, slots=True)
class SocketioSession:
    """A Socket.IO session. `url` is whole, with `EIO=` and `transport=websocket` in its query.

    `auth` is the payload of the namespace's CONNECT packet, which only revision 4 sends; it may hold `Secret` values.
    `accept_timeout_s`: how long the open packet and the namespace may take together. `longest_silence_s`: the most
    that `pingInterval` or `pingTimeout` may ask of us; a server that names more is held to this. `settle_s`: how
    long after that the catch-up begins. `wants`: whether an event of this name and these arguments is to be passed on
    (None: all are); it is pure, is asked of each event as it comes, and must not raise. The others are
    counted and dropped, and those that ask for an acknowledgement get it at once, so that the server does not send
    them again.
    """

    url: str
    revision: EngineioRevision = 3
    namespace: str = "/"
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    auth: Json = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    accept_timeout_s: float = 10.0
    settle_s: float = 2.0
    longest_silence_s: float = 300.0
    max_message_mb: float = 8.0
    proxy: str | None = None
    close_codes: Mapping[int, str] = field(default_factory=dict)
    wants: Callable[[str, Sequence[Json]], bool] | None = field(default=None, repr=False)
    subprotocol: None = None
    ping_interval_s: None = None
    ping_timeout_s: None = None


@dataclass(frozen=True, slots=True)
class StreamSession:
    """A plain WebSocket on which the server sends one JSON value in each text message, and we send nothing.

    `idle_timeout_s`: silence from the start that means a dead peer, the server's own pings not counted (None: any is
    fine). `ping_interval_s`, `ping_timeout_s`: WebSocket pings of our own (None: none).
    """

    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    connect_timeout_s: float = 10.0
    settle_s: float = 2.0
    idle_timeout_s: float | None = None
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    max_message_mb: float = 8.0
    proxy: str | None = None
    close_codes: Mapping[int, str] = field(default_factory=dict)
    subprotocol: None = None


Session = GraphqlSession | SocketioSession | StreamSession

Content = Literal["auto", "json", "cloudevents"]


@dataclass(frozen=True, slots=True)
class HookSession:
    """Webhooks that are posted to us: who may, and how much. Any number of instances take them at once.

    `proof`: how a sender proves itself. `credentials`: headers that go no further than that. `most`: deliveries under
    way at once. `named`: what names a delivery, asked of its frame (raises Malformed; None: its headers tell).
    `count`: how many events a frame makes, at most.
    `allowed_origins`, `allowed_rate`: what CloudEvents senders are told that ask before they post. `retired`: nobody is
    to post any more.
    """

    proof: Proof = field(repr=False)
    credentials: Sequence[str] = ()
    max_body_bytes: int = 1 << 20
    most: int = 1000
    content: Content = "auto"
    named: Callable[[Json], Json] | None = field(default=None, repr=False)
    count: Callable[[Mapping[str, Json]], int] = field(default=lambda _: 1, repr=False)
    allowed_origins: Sequence[str] = ()
    allowed_rate: int | None = None
    retired: bool = False
