"""The played `/events/stream`: a plain WebSocket on which every text message is one event, as JSON.

Filters are in the query: `where.event=a,b`, `where._oid=…`, `where.data.topic=…`. The server sends WebSocket pings.
Source: the vendor's page on events, and code of its people for the filters and the pings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio

from bridge.sandbox import platform_odd
from bridge.sandbox.dialect import Frame
from bridge.sandbox.faults import ADMIT
from bridge.sandbox.feed import Item
from bridge.sandbox.link import Link

PATHS: Final = ("/events/stream", "/api/v1/events/stream")
IDLE_S: Final = 3600.0


class EventsStream(Link):
    """One connection."""

    transport = "stream"

    async def converse(self) -> None:
        self._wanted = {
            tuple(name.split(".")[1:]): frozenset(values.split(","))
            for name, values in self._socket.query.items()
            if name.startswith("where.")
        }
        refused = self.scene.faults.draw(ADMIT, "session")
        if refused is not None:
            await self.close(refused.code or 1008, refused.comment or "refused")
            return
        self.begin()
        self._tasks.start_soon(self._ping)
        while True:
            await self._socket.read()  # what a client says is of no interest

    def offer(self, item: Item) -> None:
        args = item.value["args"]
        if self.listening and args and isinstance(args[0], Mapping) and self._passes(args[0]):
            super().offer(item)

    async def send(self, frame: Frame) -> None:
        """An event, as one message. Raises Gone."""
        if not frame["name"]:
            await self.flush()
            await self.close(1000)
            return
        if frame["msgid"]:
            self.scene.told(frame["args"][0])
        await self.send_raw(str(frame["json"]))

    def odd(self, shape: str, id_: str) -> Sequence[str | bytes]:  # noqa: ARG002
        return platform_odd.messages(shape)

    async def expire(self) -> None:
        """Closed, however the options put it."""
        self.drop(self.scene.options.expiry_code)

    def _passes(self, record: Mapping[str, Any]) -> bool:
        return all(str(_at(record, path)) in values for path, values in self._wanted.items())

    async def _ping(self) -> None:
        while True:
            every_s = self.scene.options.stream_ping_s
            await anyio.sleep(IDLE_S if every_s is None else every_s)
            if self.alive(0.2 * (every_s or 0)):  # clients give up after 1.2 of the usual interval
                self._socket.ping()


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
