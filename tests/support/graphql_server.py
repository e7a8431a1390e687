"""A scripted WebSocket server on a free loopback port: raw frames, any sub-protocol, any answer to the upgrade."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.dialects import TRANSPORT, Json, Peer, PeerGone, Speaker

Script = Callable[[Peer], Awaitable[None]]

PROTOCOL = "Sec-WebSocket-Protocol"


class Conversation:
    """One connection; implements `Peer`. When the script returns, the connection is closed with 1000."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        assert connection.request is not None
        self.number = number
        self.headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        self.received: list[Json] = []
        self._connection = connection

    async def receive(self) -> Json:
        """See `Peer`."""
        frame = json.loads(await self._next())
        self.received.append(frame)
        return frame

    async def receive_text(self) -> str:
        """See `Peer`."""
        self.received.append(text := await self._next())
        return text

    async def _next(self) -> str:
        try:
            data = await self._connection.recv()
        except ConnectionClosed as closed:
            raise PeerGone(1006 if closed.rcvd is None else closed.rcvd.code) from None
        if isinstance(data, bytes):
            raise TypeError("the client sent a binary frame")
        return data

    async def send(self, frame: Json) -> None:
        """See `Peer`."""
        try:
            await self._connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        except ConnectionClosed as closed:
            raise PeerGone(1006 if closed.rcvd is None else closed.rcvd.code) from None

    async def close(self, code: int, reason: str = "") -> None:
        """See `Peer`."""
        if code == 1005:
            # A close frame without a code, which the library refuses to send by that name.
            self._connection.transport.write(b"\x88\x00")
        else:
            await self._connection.close(code, reason)

    def drop(self) -> None:
        """See `Peer`."""
        self._connection.transport.abort()

    def freeze(self) -> None:
        """See `Peer`."""
        self._connection.transport.pause_reading()

    def raw(self, data: bytes) -> None:
        """Write bytes that need be no frame."""
        self._connection.transport.write(data)


class GraphqlServer:
    """What a running server has seen. `refusals`: answers to the next upgrade requests, as (status, headers)."""

    def __init__(self, script: Script, secure: bool) -> None:
        self._script = script
        self.scopes: set[anyio.CancelScope] = set()
        self._scheme = "wss" if secure else "ws"
        self.port = 0
        self.refusals: list[tuple[int, Mapping[str, str]]] = []
        self.requests = 0
        self.connections: list[Conversation] = []
        self.open = 0
        self.failures: list[BaseException] = []
        self.offered: list[str] = []

    def url(self, path: str = "/graphql", host: str = "127.0.0.1") -> str:
        """Where to connect to."""
        return f"{self._scheme}://{host}:{self.port}{path}"

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to an upgrade request, if it is refused."""
        self.requests += 1
        self.offered = request.headers.get_all(PROTOCOL)
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        response = connection.respond(HTTPStatus(status), "no\n")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def talk(self, connection: ServerConnection) -> None:
        """Run the script on one connection."""
        peer = Conversation(connection, len(self.connections) + 1)
        self.connections.append(peer)
        self.open += 1
        scope = anyio.CancelScope()
        self.scopes.add(scope)
        try:
            with scope, suppress(PeerGone):
                await self._script(peer)
        except Exception as error:
            self.failures.append(error)
            raise
        finally:
            self.scopes.discard(scope)
            self.open -= 1


@asynccontextmanager
async def graphql_server(
    script: Script,
    *,
    tls: ssl.SSLContext | None = None,
    answer: Callable[[Headers], None] = lambda _: None,
) -> AsyncIterator[GraphqlServer]:
    """Serve until the block is left; a script that failed fails the test then.

    It agrees to the first sub-protocol offered; `answer` may change the headers of the upgrade's answer.
    """
    server = GraphqlServer(script, tls is not None)

    def respond(connection: ServerConnection, request: Request, response: Response) -> None:
        if response.status_code == 101:
            answer(response.headers)

    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    listening = await serve(
        server.talk,
        "127.0.0.1",
        0,
        process_request=server.request,
        process_response=respond,
        select_subprotocol=lambda _, offered: offered[0] if offered else None,
        compression=None,
        max_size=None,
        ping_interval=None,
        close_timeout=0.2,
        open_timeout=10,
        **options,
    )
    server.port = next(iter(listening.sockets)).getsockname()[1]
    try:
        yield server
    finally:
        for scope in server.scopes:
            scope.cancel()
        for peer in server.connections:
            peer.drop()
        listening.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await listening.wait_closed()
    assert not server.failures, f"the script failed: {server.failures!r}"


async def _main() -> None:
    """A server to be stopped like a process: accepts, sends one event, then beats. Prints its port."""

    async def script(peer: Peer) -> None:
        speaker = Speaker(peer, TRANSPORT)
        await speaker.accept()
        await speaker.number(await speaker.subscribed(), 1)
        while True:
            await anyio.sleep(0.1)
            await speaker.beat()

    with anyio.move_on_after(60):
        async with graphql_server(script) as server:
            print(server.port, flush=True)
            await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(_main)
