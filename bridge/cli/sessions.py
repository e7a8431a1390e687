"""Which source has a live session, and what it is made of."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

from bridge.adapter import Adapter, GraphqlSession, LiveSettings, SocketioSession, StreamSession, Token
from bridge.core.session import Session
from bridge.core.url import place
from bridge.core.wire.engineio import Engineio
from bridge.core.wire.packets import Codec, Machine
from bridge.edge.codec import decode
from bridge.engine.pace import KNOCKS, Paced
from bridge.engine.ports import Feed, Sockets
from bridge.engine.quota import Quotas
from bridge.engine.socketio import SocketioFeed
from bridge.engine.source import Source
from bridge.engine.stream import StreamFeed
from bridge.engine.subscriptions import GraphqlFeed
from bridge.engine.vigil import SessionStatistics

if TYPE_CHECKING:
    from bridge.engine.hooks import Hooks


class Sessions:
    """Makes sources. One object for the process: ids of operations are never used twice in it."""

    def __init__(self, sockets: Sockets, roll: Callable[[], float], hooks: Hooks | None = None) -> None:
        """`hooks`: where the doors of those are that take webhooks; without it nothing comes to them."""
        self._sockets = sockets
        self.hooks = hooks
        self._roll = roll
        self._numbers = itertools.count(1)
        self._doors = Quotas()

    def source(self, adapter: Adapter[Any]) -> Source:
        """The adapter as a source, with its live session if it listens, or its door if it takes webhooks."""
        if self.hooks is not None and adapter.hook is not None:
            # Only who takes webhooks waits for it.
            from bridge.engine.hooks import HookFeed

            door = self.hooks.door(adapter.settings.name, adapter.hook)
            return Source(adapter, lambda _: HookFeed(door), session=door.statistics, shared=True, meter=door.meter)
        if not adapter.listens:
            return Source(adapter)
        statistics = SessionStatistics()

        def feed(token: Token) -> Feed:
            session = adapter.session(token)
            return Paced(self._feed(session, statistics), self._doors.of(place(session.url), KNOCKS))

        settings = adapter.settings
        hands_over = isinstance(settings, LiveSettings) and settings.ws_reconnect_before_expiry
        return Source(adapter, feed, hands_over=hands_over, session=statistics)

    def _feed(self, session: Session, statistics: SessionStatistics) -> Feed:
        match session:
            case GraphqlSession():
                return GraphqlFeed(session, self._sockets, self._numbers, statistics=statistics, roll=self._roll)
            case SocketioSession():
                return SocketioFeed(session, self._sockets, machine, statistics=statistics)
            case StreamSession():
                return StreamFeed(session, self._sockets, decode, statistics=statistics)
        assert_never(session)


def machine(session: SocketioSession) -> Machine:
    """A fresh Engine.IO machine for one connection of this session."""
    return Engineio(session, _codec())


@functools.cache
def _codec() -> Codec:
    # Only who has such a session waits for the library.
    from bridge.edge.socketio_codec import SocketioCodec

    return SocketioCodec()
