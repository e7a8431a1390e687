"""What somebody careful would write by hand for the same vendor: `websockets`, msgspec, and publishes that overlap.

Every acknowledgement is looked at, and no more than a window of them is waited for. It does less than the bridge:
nothing is compared, mapped or kept apart, what is refused is not sent again, and what happens while it is away is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from websockets.asyncio.client import connect as dial
from websockets.typing import Subprotocol

from tests.bench.throughput_tally import Tally

WINDOW = 4_000
"""Acknowledgements that may be outstanding."""
PAGE = 1000
_decode, _encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


class _Outlet:
    """Publishes without waiting for each, and knows what was acknowledged."""

    def __init__(self, client: Client, tally: Tally) -> None:
        self._client = client
        self._tally = tally
        self._inbox = client.new_inbox()
        self._ids: dict[str, str] = {}
        self._number = 0
        self._room = asyncio.Semaphore(WINDOW)

    async def open(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)

    async def publish(self, kind: str, id_: str, event: Any) -> None:
        await self._room.acquire()
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._ids[reply] = id_
        await self._client.publish(f"bare.{kind}.{id_}", _encode(event), reply=reply)

    async def _acknowledged(self, message: Msg) -> None:
        id_ = self._ids.pop(message.subject)
        if "error" not in _decode(message.data):
            self._tally.note((id_,))
        self._room.release()


@asynccontextmanager
async def script(port: int, url: str, tally: Tally) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Two sessions, and what reads rows page by page."""
    at = f"127.0.0.1:{port}"
    client = await nats.connect(url)
    outlet = _Outlet(client, tally)
    await outlet.open()

    async def graphql() -> None:
        protocols = [Subprotocol("graphql-transport-ws")]
        async with dial(f"ws://{at}/script/graphql", subprotocols=protocols, compression=None) as socket:
            await socket.send('{"type":"connection_init"}')
            await socket.recv()
            ask = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { change { id } }"}}
            await socket.send(_encode(ask), text=True)
            while True:
                message = _decode(await socket.recv(decode=False))
                if message["type"] == "next":
                    event = message["payload"]["data"]["change"]
                    await outlet.publish("graphql", event["id"], event)
                elif message["type"] == "ping":
                    await socket.send('{"type":"pong"}')

    async def socketio() -> None:
        address = f"ws://{at}/script/socket.io/?EIO=3&transport=websocket"
        async with dial(address, compression=None) as socket, anyio.create_task_group() as group:
            group.start_soon(beat, socket)
            while True:
                message = await socket.recv(decode=False)
                if message[:2] == b"42":
                    name, event = _decode(message[2:])
                    if name == "object-packet":
                        await outlet.publish("packets", f"{event['_oid']}-{event['data']['_ts']}", event)
                    else:
                        await outlet.publish("entities", event["data"]["_id"], event["data"])

    async def beat(socket: Any) -> None:
        while True:
            await anyio.sleep(20)
            await socket.send("2")

    async def read(name: str) -> None:
        offset = 0
        async with aiohttp.ClientSession() as http:
            while True:
                query = {"limit": str(PAGE), "offset": str(offset)}
                async with http.get(f"http://{at}/{name}/api/v1/objects", params=query) as answer:
                    rows = _decode(await answer.read())
                for row in rows:
                    await outlet.publish("rows", row["_id"], row)
                offset += len(rows)
                if len(rows) < PAGE:
                    break
        await tally.settled()

    async with anyio.create_task_group() as group:
        group.start_soon(graphql)
        group.start_soon(socketio)
        yield read
        group.cancel_scope.cancel()
    await client.close()
