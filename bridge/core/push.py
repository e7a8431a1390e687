"""Which push channel a platform's live session uses, as settings, and the session they make.

Both are WebSockets at the platform's own address: Socket.IO at `/socket.io/`, or a plain stream of JSON events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.session import EngineioRevision, SocketioSession, StreamSession
from bridge.core.settings import BadSetting, LiveSettings, setting

_ODD = frozenset(", ?")
Wants = Callable[[str, Sequence[Json]], bool]


@dataclass(frozen=True, kw_only=True)
class PushSettings(LiveSettings):
    """The keys of every source that is pushed to by Socket.IO or a plain stream."""

    transport: Literal["socketio", "events-stream", "none"] = setting(
        "socketio", doc="the push channel: Socket.IO, or the plain WebSocket /events/stream; none: polled only"
    )
    engineio: EngineioRevision = setting(
        3, doc="Engine.IO's revision: 4 for a server of Socket.IO 3 or newer that refuses 3", inferred=True, live=True
    )
    namespace: str = setting("/", doc="the namespace of Socket.IO", inferred=True, live=True)

    def __post_init__(self) -> None:
        LiveSettings.__post_init__(self)
        if not self.namespace.startswith("/") or _ODD & set(self.namespace):
            raise BadSetting("expected a namespace such as /", "namespace")


def session(
    s: PushSettings, base_url: str, stream: str, headers: Mapping[str, str | Secret], wants: Wants | None = None
) -> SocketioSession | StreamSession:
    """The session at `base_url` (http or https): Socket.IO, or the plain stream at the path `stream`.

    `wants`: which events Socket.IO passes on; see `SocketioSession`.
    """
    at = f"ws{base_url.rstrip('/')[len('http') :]}"
    size, settle = s.ws_max_message_mb, s.ws_settle_s
    if s.transport == "events-stream":
        return StreamSession(
            f"{at}{stream}", headers, settle_s=settle, max_message_mb=size, proxy=s.ws_proxy, close_codes=s.close_codes
        )
    return SocketioSession(
        url=f"{at}/socket.io/?EIO={s.engineio}&transport=websocket",
        revision=s.engineio,
        namespace=s.namespace,
        headers=headers,
        settle_s=settle,
        max_message_mb=size,
        proxy=s.ws_proxy,
        close_codes=s.close_codes,
        wants=wants,
    )
