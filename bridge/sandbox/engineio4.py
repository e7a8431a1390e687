"""Engine.IO revision 4 and Socket.IO 4: python-socketio's own server, behind the sandbox's sockets.

What it says passes through here, so that faults can spoil it; what it never says is put into its queue, in its turn.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any, Final

import anyio
import engineio  # type: ignore[import-untyped]
import msgspec
import socketio  # type: ignore[import-untyped]
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bridge.sandbox import platform_odd
from bridge.sandbox.delivery import Message
from bridge.sandbox.dialect import Frame
from bridge.sandbox.engineio3 import MOST_ASKED
from bridge.sandbox.faults import ADMIT
from bridge.sandbox.link import Link, Scene
from bridge.sandbox.session import Guest
from bridge.sandbox.socket import Gone, Socket

LINK: Final = "sandbox.link"
MOST_QUEUED: Final = 1000
"""Packets the library may hold for one client; what more there is waits with us, where it is bounded."""
END_S: Final = 3.0


class _Raw(engineio.packet.Packet):  # type: ignore[misc]
    """A frame that is sent as it is."""

    def __init__(self, frame: str | bytes) -> None:
        super().__init__(engineio.packet.NOOP)
        self._frame = frame

    def encode(self, b64: bool = False) -> str | bytes:  # noqa: ARG002  # the library's signature
        return self._frame


class Engineio4Server:
    """The library's server, one for all connections. `stop` once the last of them has ended."""

    def __init__(self, options: Any) -> None:
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            namespaces=[options.namespace],
            async_handlers=False,
            monitor_clients=False,
            allow_upgrades=False,
            transports=["websocket"],
        )
        self.sio.on("connect", _connected, namespace=options.namespace)
        self.app = socketio.ASGIApp(self.sio)
        self._background: set[asyncio.Task[Any]] = set()
        self._start = self.sio.eio.start_background_task
        self.sio.eio.start_background_task = self._kept

    def stop(self) -> None:
        """End what the library does on its own."""
        for task in list(self._background):
            task.cancel()

    def _kept(self, target: Any, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self._start(target, *args, **kwargs)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


async def _connected(sid: str, environ: dict[str, Any], auth: Any = None) -> None:  # noqa: ARG001
    link: Engineio4 = environ["asgi.scope"][LINK]
    link.joins(sid)


class Engineio4(Link):
    """One connection. Its heartbeat is that of the options at the time it was opened."""

    transport = "socketio"

    def __init__(self, socket: Socket, guest: Guest, scene: Scene, server: Engineio4Server) -> None:
        super().__init__(socket, guest, scene)
        self._server = server
        self._sid = self._eio_sid = ""
        self._asked = 0
        self._inlet: MemoryObjectSendStream[Message]
        self._outlet: MemoryObjectReceiveStream[Message]

    def joins(self, sid: str) -> None:
        """The client asks for the namespace. Raises the library's refusal."""
        fault = self.scene.faults.draw(ADMIT, "session")
        if fault is not None:
            raise socketio.exceptions.ConnectionRefusedError(fault.comment or "refused")
        self._sid = sid

    async def converse(self) -> None:
        eio, options = self._server.sio.eio, self.scene.options
        eio.ping_interval, eio.ping_timeout = options.ping_interval_ms / 1000, options.ping_timeout_ms / 1000
        self._timeout_s = eio.ping_timeout
        self._inlet, self._outlet = anyio.create_memory_object_stream[Message](16)
        await self._inlet.send({"type": "websocket.connect"})
        async with anyio.create_task_group() as tasks, self._inlet:
            # The library takes a cancellation for something else: it is told that the client left.
            scope = anyio.CancelScope(shield=True)
            tasks.start_soon(self._serve, scope)
            try:
                while True:
                    frame = await self._socket.read()
                    kind = "bytes" if isinstance(frame, bytes) else "text"
                    await self._inlet.send({"type": "websocket.receive", kind: frame})
            except (Gone, anyio.BrokenResourceError):
                if self.frozen:
                    await self.hold()
            finally:
                self.listening = False
                self._inlet.close()
                scope.deadline = anyio.current_time() + END_S

    async def send(self, frame: Frame) -> None:
        """An event. Raises Gone."""
        if not frame["name"]:
            await self.send_raw("41" + self._room)
            return
        if frame["msgid"]:
            self.scene.told(frame["args"][0])
        args = frame["args"]
        if "attachment" in frame:
            args = [{**args[0], "attachment": frame["attachment"]}, *args[1:]]
        acknowledged = None
        if self.scene.options.ask_acks and frame["msgid"] and self._asked < MOST_ASKED:
            self._asked += 1
            self.scene.acks.asked += 1
            acknowledged = functools.partial(self._acknowledged, frame["msgid"])
        if acknowledged is None and "attachment" not in frame and len(args) == 1:
            # What the library would say; but it would make a task for every packet, and each time encode it anew.
            name = msgspec.json.encode(frame["name"]).decode()
            await self.send_all(f"42{self._room}[{name},{frame['json']}]")
            return
        namespace = self.scene.options.namespace
        await self._server.sio.emit(frame["name"], tuple(args), self._sid, namespace=namespace, callback=acknowledged)

    async def send_all(self, *frames: str | bytes) -> None:
        for frame in frames:
            await self._server.sio.eio.send_packet(self._eio_sid, _Raw(frame))

    async def flush(self) -> None:
        """Wait until the library has little left to send."""
        await self._drained(MOST_QUEUED)

    async def _drained(self, left: int) -> None:
        held = self._server.sio.eio.sockets.get(self._eio_sid)
        while held is not None and held.queue.qsize() > left and not self.over:  # noqa: ASYNC110  # a queue of the library's
            await anyio.sleep(0.01)

    def odd(self, shape: str, id_: str) -> Sequence[str | bytes]:  # noqa: ARG002
        return platform_odd.packets(shape, marked=False)

    async def expire(self) -> None:
        """`41`, after which the socket stays open; `close` closes it besides."""
        self.listening = False
        await self._drained(0)
        await self._socket.send_raw("41" + self._room)  # past the library, which would not say when it is out
        if self.scene.options.on_expiry == "close":
            self.drop(1005)

    @property
    def _room(self) -> str:
        namespace = self.scene.options.namespace
        return "" if namespace == "/" else f"{namespace},"

    def _acknowledged(self, msgid: str, *_: Any) -> None:
        self._asked -= 1
        self.scene.acks.add(msgid)

    # The server's side of ASGI.

    async def _serve(self, scope: anyio.CancelScope) -> None:
        with scope:
            await self._server.app({**self._socket.scope, LINK: self}, self._receive, self._send)
        if not self.frozen and not self.over:
            with anyio.move_on_after(END_S):
                await self.close(1005)
            self._socket.abort()

    async def _receive(self) -> Message:
        try:
            return await self._outlet.receive()
        except anyio.EndOfStream:
            return {"type": "websocket.disconnect", "code": 1005}

    async def _send(self, message: Message) -> None:
        if message["type"] != "websocket.send" or self.over:
            return  # the upgrade is confirmed already, and the socket is closed where its reader ends
        raw = message.get("bytes")
        frame: str | bytes = message["text"] if raw is None else raw
        try:
            await self._say(frame)
        except Gone as gone:
            raise OSError("the client has left") from gone

    async def _say(self, frame: str | bytes) -> None:
        if frame is platform_odd.RAW_HTTP:
            self._socket.write(platform_odd.RAW_HTTP)
        elif not self._eio_sid and isinstance(frame, str) and frame[:1] == "0":
            await self._open(frame)
        elif frame == "2" and not self.alive(self._timeout_s):
            pass
        else:
            await self._socket.send_raw(frame)
            if isinstance(frame, str) and frame.startswith("40") and self._sid:
                self.begin()

    async def _open(self, frame: str) -> None:
        packet = msgspec.json.decode(frame[1:])
        self._eio_sid = packet["sid"]
        fault = self.opening()
        if fault is not None and fault.kind == "ack_withheld":
            return
        if fault is not None and fault.kind == "ping_first":
            await self._socket.send_raw("2")
        if fault is not None and fault.kind == "odd_open":
            frame = platform_odd.opening(fault.shape, self._eio_sid)
        elif not self.scene.options.open_sid:
            frame = "0" + msgspec.json.encode({k: v for k, v in packet.items() if k.startswith("ping")}).decode()
        await self._socket.send_raw(frame)
