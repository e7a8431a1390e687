"""A connection without a network: what a client would hear that says all it has to say and leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import anyio

from bridge.edge.ingress.conversation import Conversation
from bridge.edge.ingress.house import House
from bridge.edge.ingress.wire import Wire


class _Pipe(asyncio.Transport):
    """A connection without a network: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Leaving(Wire):
    """A client that leaves once everything it said has been heard."""

    async def take(self, until: float = float("inf")) -> bytes:
        if not self._slices:
            self.gone = True
        return await super().take(until)


async def overheard(house: House, stream: bytes, cuts: Iterable[int] = ()) -> bytes:
    """What comes back to `stream`, which arrives in pieces of `cuts` bytes and then the rest at once."""
    pipe, wire = _Pipe(), _Leaving()
    wire.connection_made(pipe)
    start = 0
    for cut in cuts:
        wire.data_received(stream[start : start + cut])
        start += cut
    wire.data_received(stream[start:])
    with anyio.fail_after(60):
        await Conversation(wire, house, "", ()).run()
    return pipe.written
