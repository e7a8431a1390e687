"""Tries a source's live session: opens it, subscribes to everything configured, and closes it.

What is pushed meanwhile is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.adapter import Adapter, GraphqlSession, SocketioSession, StreamSession, Token
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.cli.sessions import Sessions
from bridge.core.errors import BridgeError, Refused, Unauthorized
from bridge.core.url import place
from bridge.engine.groups import task_group
from bridge.engine.source import Source
from bridge.engine.vigil import SessionStatistics


class Drop:
    """Implements `Offer`: a check keeps nothing."""

    def __call__(
        self, frame: Any, size: int, stored: Callable[[], None] | None = None, traceparent: str | None = None
    ) -> None:
        """Forget it."""

    crowded = behind = False

    async def room(self) -> None:
        """There always is."""

    def missed(self, reason: str) -> None:
        """Nothing was to be had."""


async def try_live(adapter: Adapter[Any], sessions: Sessions, token: Token) -> list[Finding]:
    """One finding for the session; none where the source does not listen. Raises nothing that is a condition.

    The session is one more beside that of a daemon which runs. It is left politely, also when this is cancelled.
    """
    if not adapter.listens:
        return []
    what = f"{adapter.settings.name}: live session"
    source = sessions.source(adapter)
    try:
        session = adapter.session(token)
        if source.feed is not None:
            async with task_group() as group:
                await group.start(source.feed(token).hold, Drop())
                group.cancel_scope.cancel()
    except BridgeError as error:
        # The token is a minute old at most: one that is refused has not merely expired.
        code = Exit.NOPERM if isinstance(error, (Refused, Unauthorized)) else Exit.UNAVAILABLE
        return [failed(what, f"{error}{_each(source)}", code)]
    if not isinstance(session, GraphqlSession):
        return [passed(what, _held(session, source.session))]
    count = len(session.operations)
    if off := source.session.off if source.session else {}:
        return [failed(what, f"the vendor refuses {len(off)} of {_subscriptions(count)}:{_each(source)}", Exit.NOPERM)]
    return [passed(what, f"{_subscriptions(count)} held over {session.subprotocol}")]


def _held(session: SocketioSession | StreamSession, statistics: SessionStatistics | None) -> str:
    """What the session turned out to be."""
    where = place(session.url)
    if isinstance(session, StreamSession):
        return f"JSON messages from {where}: held"
    said = f"Socket.IO over Engine.IO {session.revision}, namespace {session.namespace}, with {where}: held"
    if statistics is not None and statistics.beat_interval_s is not None:
        said += f", heartbeat every {statistics.beat_interval_s:g} s"
    if session.wants is not None:
        said += ", not all events wanted"
    return said


def _subscriptions(count: int) -> str:
    return f"{count} subscription" + ("" if count == 1 else "s")


def _each(source: Source) -> str:
    off = source.session.off if source.session else {}
    return "".join(f"\n{name}: {reason}" for name, reason in sorted(off.items()))
