"""Which feed carries which session, and what `bridged check --online` says of it. Sockets are in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from bridge.adapter import BaseSettings, LiveSettings, Secret, Session, SocketioSession, StreamSession, Token
from bridge.cli.check_live import try_live
from bridge.cli.exits import Exit
from bridge.cli.sessions import Sessions
from tests.support.dialects import Peer
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine
from tests.support.memory_socket import memory_sockets, refused
from tests.support.sim_vendor import SimAdapter

TOKEN = Token(Secret("hunter2-hunter2"))
SOCKETIO = SocketioSession("wss://iot.example.com/socket.io/?EIO=3&transport=websocket")
STREAM = StreamSession("wss://iot.example.com/events/stream")


@dataclass(frozen=True)
class Settings(LiveSettings):
    """Of a vendor that speaks no GraphQL."""


class Listening(SimAdapter):
    """Holds the session it is given."""

    Settings: ClassVar[type[BaseSettings]] = Settings
    listens = True

    def __init__(self, session: Session, **settings: Any) -> None:
        super().__init__(Settings(name="acme", adapter="sim", **settings))  # type: ignore[arg-type]
        self._session = session

    def session(self, token: Token) -> Session:
        return self._session


async def serve(peer: Peer) -> None:
    """Speaks the revision that was asked for; on a stream its frames are text like any other."""
    await Engine(peer, 3).live()


async def serve_4(peer: Peer) -> None:
    await Engine(peer, 4, "/live").live()


@pytest.mark.parametrize(
    ("session", "script", "says"),
    [
        (
            replace(SOCKETIO, wants=lambda name, args: False),
            serve,
            "Socket.IO over Engine.IO 3, namespace /, with iot.example.com/socket.io/: held, "
            "heartbeat every 25 s, not all events wanted",
        ),
        (
            replace(SOCKETIO, revision=4, namespace="/live"),
            serve_4,
            "Socket.IO over Engine.IO 4, namespace /live, with iot.example.com/socket.io/: held, heartbeat every 25 s",
        ),
        (STREAM, serve, "JSON messages from iot.example.com/events/stream: held"),
    ],
)
def test_a_check_opens_the_session_and_says_what_it_is(session: Session, script: Any, says: str) -> None:
    """Each by its own feed, which is left again."""

    async def main() -> None:
        async with memory_sockets(script) as sockets:
            (finding,) = await try_live(Listening(session), Sessions(sockets, lambda: 1.0), TOKEN)
            assert (finding.what, finding.says, finding.ok) == ("acme: live session", says, True)
            assert sockets.open == 0

    on_virtual_clock(main)


@pytest.mark.parametrize("session", [SOCKETIO, STREAM])
@pytest.mark.parametrize(("status", "code"), [(401, Exit.NOPERM), (403, Exit.NOPERM), (503, Exit.UNAVAILABLE)])
def test_a_check_says_why_a_session_cannot_be_opened(session: Session, status: int, code: Exit) -> None:
    """With the exit code that tells whose turn it is."""

    async def main() -> None:
        async with memory_sockets(serve) as sockets:
            sockets.refusals = [refused(status)]
            (finding,) = await try_live(Listening(session), Sessions(sockets, lambda: 1.0), TOKEN)
            assert (finding.ok, finding.exit) == (False, code)
            assert f"HTTP status {status}" in finding.says

    on_virtual_clock(main)


@pytest.mark.parametrize("hands_over", [True, False])
def test_every_live_source_may_hand_over(hands_over: bool) -> None:
    """Not GraphQL ones alone: as `ws_reconnect_before_expiry` says. Its statistics are there for status."""

    async def main() -> None:
        async with memory_sockets(serve) as sockets:
            adapter = Listening(SOCKETIO, ws_reconnect_before_expiry=hands_over)
            source = Sessions(sockets, lambda: 1.0).source(adapter)
            assert source.hands_over is hands_over
            assert source.feed is not None
            assert source.session is not None

    on_virtual_clock(main)
