"""A server of Engine.IO revision 3 and Socket.IO 2, WebSocket only: to the byte what socket.io 2.5.1 was seen to send.

Written from the protocol documents (https://github.com/socketio/engine.io-protocol/tree/v3,
https://github.com/socketio/socket.io-protocol/tree/v4) and from what the real server did. It ignores whatever the
client emits. Deliberately independent of the client under test, and of every Socket.IO library.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

import anyio
import msgspec

from bridge.sandbox import platform_odd
from bridge.sandbox.dialect import Frame
from bridge.sandbox.faults import ADMIT
from bridge.sandbox.link import Link

MOST_ASKED: Final = 10_000
"""Acknowledgements one client may owe; as long as it owes so many, it is asked for no more."""
_PACKET: Final = re.compile(r"(\d)(?:(\d+)-)?(?:(/[^,]*),?)?(\d+)?(.*)", re.DOTALL)
_MARK: Final = b"\x04"


class Engineio3(Link):
    """One connection. Its heartbeat is that of the options at the time it was opened."""

    transport = "socketio"

    async def converse(self) -> None:
        options = self.scene.options
        self._interval_s, self._timeout_s = options.ping_interval_ms / 1000, options.ping_timeout_ms / 1000
        self._ids = itertools.count()
        self._asked: dict[int, str] = {}
        self._joined = 0
        await self._open(options.ping_interval_ms, options.ping_timeout_ms)
        while True:
            frame: str | bytes | None = None
            with anyio.move_on_after(self._interval_s + self._timeout_s):
                frame = await self._socket.read()
            if frame is None and self.frozen:
                await self.hold()
            elif frame is None or not await self._take(frame):
                await self.close(1005)
                await self.leave()
                return

    async def send(self, frame: Frame) -> None:
        """An event, once for every time the client joined the namespace. Raises Gone."""
        if not frame["name"]:
            await self.send_raw("41" + self._room)
            return
        for _ in range(self._joined):
            msgid, number = frame["msgid"], ""
            if msgid:
                self.scene.told(frame["args"][0])
            if self.scene.options.ask_acks and msgid and len(self._asked) < MOST_ASKED:
                number = str(next(self._ids))
                self._asked[int(number)] = msgid
                self.scene.acks.asked += 1
            more = "".join("," + msgspec.json.encode(arg).decode() for arg in frame["args"][1:])
            name = msgspec.json.encode(frame["name"]).decode()
            if "attachment" in frame:
                record = {**frame["args"][0], "attachment": {"_placeholder": True, "num": 0}}
                text = msgspec.json.encode(record).decode()
                packet = f"451-{self._room}{number}[{name},{text}{more}]"
                await self.send_all(packet, _MARK + frame["attachment"])
            elif frame["args"]:
                await self.send_raw(f"42{self._room}{number}[{name},{frame['json']}{more}]")
            else:
                await self.send_raw(f"42{self._room}{number}[{name}]")

    def odd(self, shape: str, id_: str) -> Sequence[str | bytes]:  # noqa: ARG002
        return platform_odd.packets(shape, marked=True)

    async def expire(self) -> None:
        """`41`, after which the socket stays open; `close` closes it besides."""
        await self.send_raw("41" + self._room)
        self.listening, self._joined = False, 0
        if self.scene.options.on_expiry == "close":
            self.drop(1005)

    @property
    def _room(self) -> str:
        namespace = self.scene.options.namespace
        return "" if namespace == "/" else f"{namespace},"

    async def _open(self, interval_ms: int, timeout_ms: int) -> None:
        fault = self.opening()
        sid = base64.urlsafe_b64encode(self.scene.faults.rng.randbytes(15)).decode()
        packet: dict[str, Any] = {"sid": sid, "upgrades": []} if self.scene.options.open_sid else {}
        packet |= {"pingInterval": interval_ms, "pingTimeout": timeout_ms}
        if fault is not None and fault.kind == "ack_withheld":
            return
        if fault is not None and fault.kind == "ping_first":
            await self.send_raw("3")
        if fault is not None and fault.kind == "odd_open":
            await self.send_raw(platform_odd.opening(fault.shape, sid))
        else:
            await self.send_raw("0" + msgspec.json.encode(packet).decode())
        await self._join("/")  # unasked

    async def _join(self, namespace: str) -> None:
        home = self.scene.options.namespace
        if namespace not in ("/", home):
            await self.send_raw(f"44{namespace},{_quoted('Invalid namespace')}")
            return
        fault = self.scene.faults.draw(ADMIT, "session") if namespace == home else None
        room = "" if namespace == "/" else f"{namespace},"
        if fault is not None:
            await self.send_raw(f"44{room}{_quoted(fault.comment or 'refused')}")
            if fault.code:
                self.drop(fault.code)
            return
        await self.send_raw("40" + room)
        if namespace == home:
            # A client of revision 4 asks for the namespace once more, and is given it: every event then comes twice.
            self._joined += 1
            if self._joined == 1:
                self.begin()

    async def _take(self, frame: str | bytes) -> bool:
        """Answer one frame of the client. False: it is no packet."""
        if isinstance(frame, bytes):
            return frame[:1] in (b"\x00", b"\x01", b"\x02", b"\x03", _MARK, b"\x05", b"\x06")
        if frame[:1] == "2":
            if self.alive(self._timeout_s):
                await self.send_raw("3")  # also to `2probe`, on a session that began as WebSocket
        elif frame[:1] == "4":
            await self._packet(frame[1:])
        return frame[:1] in tuple("0123456")

    async def _packet(self, text: str) -> None:
        match = _PACKET.fullmatch(text)
        if match is None:
            return
        kind, _, namespace, number, _ = match.groups()
        namespace = (namespace or "/").partition("?")[0]
        if kind == "0":
            await self._join(namespace)
        elif kind == "1" and namespace == self.scene.options.namespace:
            self.listening, self._joined = False, 0
        elif kind in "36" and number is not None and len(number) < 10:
            msgid = self._asked.pop(int(number), None)
            if msgid is not None:
                self.scene.acks.add(msgid)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
