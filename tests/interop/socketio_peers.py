"""npm's Socket.IO servers as child processes, and our sessions with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from bridge.core.secret import Secret
from bridge.core.session import EngineioRevision, SocketioSession
from bridge.core.wire.engineio import Engineio
from bridge.edge.socketio_codec import SocketioCodec
from bridge.edge.websocket import WebSockets
from bridge.engine.socketio import SocketioFeed
from tests.interop.peers import TOKEN, Listener
from tests.support.holding import Hold
from tests.support.waiting import wait_until

Kind = Literal["a", "b", "c"]
"""a: socket.io 2; b: socket.io 4 that lets revision 3 in as well; c: socket.io 4 as it comes. See `socketio.mjs`."""

Pair = tuple[EngineioRevision, Kind]
PAIRS: tuple[Pair, ...] = ((3, "a"), (3, "b"), (4, "b"), (4, "c"))
"""Who understands whom: our revision, and the server."""

INTERVAL_S, TIMEOUT_S = 0.06, 5.0
"""A heart that beats fast, and an answer that may take as long as a busy machine needs."""


def pair_name(pair: Pair) -> str:
    """As it stands in a test's name."""
    return f"{pair[0]}-{pair[1]}"


class SocketioServer(Listener):
    """One of them. Our sessions speak `revision` with it unless told otherwise."""

    def __init__(
        self,
        pair: Pair,
        interval_s: float = INTERVAL_S,
        timeout_s: float = TIMEOUT_S,
        port: int = 0,
        token: str = TOKEN,
    ) -> None:
        self.revision, kind = pair
        beat = (str(round(1000 * span)) for span in (interval_s, timeout_s))
        super().__init__("node", "socketio.mjs", str(port), kind, *beat, token=token)

    def facts(self) -> Any:
        """What it has counted since the last `forget`.

        `handshakes`, and of these `refused`, and each one's `revisions`; `beats`; `connections`: a namespace each;
        `ended`: namespace and reason; `present`: sessions by namespace; `acks`: the event's name, its arguments, and
        the answer's; `said`: every Socket.IO packet of ours.
        """
        return super().facts()

    def present(self, namespace: str = "/") -> int:
        """How many sessions a namespace has."""
        return int(self.facts()["present"][namespace])

    def forget(self) -> None:
        """As it was when it started, but for who is connected."""
        self.order("forget")

    def set(self, **what: Any) -> None:
        """`token`: what it accepts; `refusal`: what its middleware says to everyone; `greeting`: an event for all."""
        self.order("set", **what)

    def emit(self, *events: list[Any], namespace: str = "/", acknowledge: bool = False) -> None:
        """Send events, each a name and its arguments, to every session of a namespace."""
        self.order("emit", namespace=namespace, events=events, acknowledge=acknowledge)

    def disconnect(self, namespace: str = "/", *, whole: bool) -> None:
        """End every session of a namespace, or their whole connections."""
        self.order("disconnect", namespace=namespace, whole=whole)


@cache
def sockets() -> WebSockets:
    return WebSockets()


def credentials(token: str = TOKEN) -> Mapping[str, Secret]:
    """Both headers that the server looks at."""
    return {"Authorization": Secret(token, prefix="Bearer "), "Cookie": Secret(token, prefix="sid=")}


def feed(
    server: SocketioServer, *, token: str = TOKEN, revision: EngineioRevision | None = None, **more: Any
) -> SocketioFeed:
    """One attempt, with all that the product has."""
    revision = revision or server.revision
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO={revision}&transport=websocket"
    given: dict[str, Any] = {"headers": credentials(token), "settle_s": 0.0}
    session = SocketioSession(url, revision, **given | more)
    return SocketioFeed(session, sockets(), lambda session: Engineio(session, SocketioCodec()))


async def connected(hold: Hold, server: SocketioServer, namespace: str = "/") -> None:
    """Started, and the server has exactly this session."""
    await hold.wait_settled()
    await wait_until(lambda: server.present(namespace) == 1, what="one session, no more and no less")


def events(hold: Hold) -> list[list[Any]]:
    """What was offered: names and arguments."""
    return [[frame["name"], *frame["args"]] for frame in hold.taken.frames]
