"""Which feed carries which session, and what `bridged check --online` says of it. Sockets are in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest

from adapters.webhook import Adapter as WebhookAdapter
from bridge.adapter import BaseSettings, LiveSettings, Secret, Session, SocketioSession, StreamSession, Token
from bridge.cli.check_live import try_live
from bridge.cli.check_source import try_source
from bridge.cli.exits import Exit
from bridge.cli.sessions import Sessions
from bridge.core.secret import Masker
from bridge.engine.hooks import Hooks
from bridge.engine.quota import Quotas
from tests.support.dialects import Peer
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine
from tests.support.holding import Taken, holding
from tests.support.hook_rig import settings as hook_settings
from tests.support.memory_socket import memory_sockets, refused
from tests.support.sim_vendor import SimAdapter, SimVendor, wall

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


def test_webhooks_come_in_by_a_door_and_need_no_lease() -> None:
    """The source is shared by all instances, its feed opens the door; without doors nothing comes to it."""

    async def main() -> None:
        hooks = Hooks(wall)
        adapter = WebhookAdapter(hook_settings())
        async with memory_sockets(serve) as sockets:
            source = Sessions(sockets, lambda: 0.0, hooks).source(adapter)
            assert list(hooks.doors) == ["shop"]
            assert source.shared
            assert source.feed is not None
            async with holding(source.feed(TOKEN)) as hold:
                await hold.wait_settled()
                assert hooks.doors["shop"].open
            assert not hooks.doors["shop"].open
            assert Sessions(sockets, lambda: 0.0).source(adapter).feed is None

    on_virtual_clock(main)


def test_nobody_is_asked_for_webhooks() -> None:
    """`bridged check --online` says so, and neither logs in nor looks for walks."""

    async def main() -> None:
        async with memory_sockets(serve) as sockets:
            adapter, sessions = WebhookAdapter(hook_settings()), Sessions(sockets, lambda: 0.0)
            (finding,) = await try_source(adapter, SimVendor(), Quotas(), Masker(), sessions)
        assert finding.ok
        assert finding.what == "shop: webhooks"

    on_virtual_clock(main)


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


def test_many_sources_of_one_vendor_knock_in_turn() -> None:
    """Forty sessions that open together, at the start and after the vendor's restart: ten at once, fifty a second."""

    async def main() -> None:
        async with memory_sockets(serve) as sockets:
            sessions = Sessions(sockets, lambda: 0.0)
            sources = [sessions.source(Listening(STREAM)) for _ in range(40)]
            for restart in range(2):
                await anyio.sleep(60)
                async with anyio.create_task_group() as group:
                    for source in sources:
                        assert source.feed is not None
                        held = partial(source.feed(TOKEN).hold, task_status=anyio.TASK_STATUS_IGNORED)
                        group.start_soon(held, Taken())
                    await anyio.sleep(10)
                    group.cancel_scope.cancel()
                attempts = sockets.attempts[restart * 40 :]
                assert len(attempts) == 40
                knocked = [at - attempts[0] for at in attempts]
                assert knocked[:10] == pytest.approx([0.0] * 10, abs=1e-9)
                # So evenly that in no second, wherever it begins, there are more than fifty.
                assert knocked[10:] == pytest.approx([number / 41 for number in range(1, 31)])

    on_virtual_clock(main)
