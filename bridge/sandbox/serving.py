"""Runs an ASGI application on uvicorn, on loopback, as a structured task. Needs the asyncio backend."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskStatus
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from bridge.sandbox.socket import TRANSPORT

START_S = 10.0
STOP_S = 3.0
UNCOMPRESSED = ("/socket.io/", "/events/stream")
"""Socket.IO's servers do not compress unless told to; of the event stream nobody says."""


@asynccontextmanager
async def serving(app: Any, *, port: int = 0, tls: tuple[Path, Path] | None = None) -> AsyncIterator[str]:
    """Serve `app` on 127.0.0.1 while the block runs; yields the base URL, such as `http://127.0.0.1:40123`.

    `port` 0 takes a free one. `tls` is (certificate file, key file). Leaving the block closes the listener,
    gives running answers one second, and has ended every connection within `STOP_S`. Signals are left alone.
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=256)
    number = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        http="h11",
        ws=_Connection,
        ws_ping_interval=20.0,
        ws_max_size=16 * 1024 * 1024,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    logging.getLogger("uvicorn.error").addFilter(_not_on_purpose)
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        try:
            with anyio.fail_after(START_S):
                await tasks.start(server.hold, listener)
            yield f"{'https' if tls else 'http'}://127.0.0.1:{number}"
        finally:
            server.end()


class _Connection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which shows the application what ASGI has no word for: see `bridge.sandbox.socket`."""

    def handle_connect(self, event: Request) -> None:
        if event.path.startswith(UNCOMPRESSED):
            self.conn.available_extensions = []
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:  # absent if the request was refused
            extensions: Any = self.scope["extensions"]
            extensions[TRANSPORT] = {
                "abort": self._cut,
                "freeze": self._freeze,
                "quiet": self.stop_keepalive,
                "ping": self._ping,
                "write": self._write,
                "burst": self._burst,
            }

    def _cut(self) -> None:
        self.transport.abort()

    def _freeze(self) -> None:
        self.stop_keepalive()
        self.read_paused = False  # or the next reader would open it again
        self.transport.pause_reading()

    def _ping(self) -> None:
        self._ignoring(lambda: self.conn.send_ping(b""))

    def _burst(self, frames: Sequence[str | bytes]) -> None:
        # One system call for all of them: what a socket is given at once costs a tenth of as many sends.
        def give() -> None:
            for frame in frames:
                if isinstance(frame, bytes):
                    self.conn.send_binary(frame)
                else:
                    self.conn.send_text(frame.encode())

        self._ignoring(give)

    def _write(self, raw: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(raw)

    def _ignoring(self, give: Callable[[], None]) -> None:
        # A client that left in this moment is noticed by whoever reads.
        with contextlib.suppress(InvalidState):
            if not self.close_sent:
                give()
                self._write(b"".join(self.conn.data_to_send()))


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, told to stop by an event instead of by polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = anyio.Event()
        self._listening = anyio.Event()
        # Shielded: when the block is cancelled, clients still get the ends of their answers.
        self._scope = anyio.CancelScope(shield=True)

    async def hold(self, listener: socket.socket, *, task_status: TaskStatus[None]) -> None:
        """Serve until `end`, and no longer than `STOP_S` after it."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.serve, [listener])
                    await self._listening.wait()
                    task_status.started()
        finally:
            listener.close()
            for connection in list(self.server_state.connections):
                transport = getattr(connection, "transport", None)
                if transport is not None:
                    transport.abort()

    def end(self) -> None:
        """Stop serving. Returns at once."""
        self.should_exit = True
        self._stop.set()
        self._scope.deadline = anyio.current_time() + STOP_S

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # renews the Date header
            with anyio.move_on_after(1.0):
                await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _not_on_purpose(record: logging.LogRecord) -> bool:
    # A connection cut in the middle of a body is a fault that was asked for, not one to report.
    return record.msg != "ASGI callable returned without completing response."
