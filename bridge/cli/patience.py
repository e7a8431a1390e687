"""Goes on reading, however often NATS goes and comes, and says so on stderr."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from bridge.cli import output
from bridge.cli.visit import hindrances
from bridge.core.errors import Away
from bridge.edge.nats.connection import NatsConnection

PAUSE_S = 1.0
"""Between attempts while NATS is there and JetStream is not."""

Item = TypeVar("Item")


class Patience(Generic[Item]):
    """`read` is called again and again; what it could not read comes with its next call."""

    def __init__(self, connection: NatsConnection, read: Callable[[], Awaitable[list[Item]]]) -> None:
        self._connection = connection
        self._read = read
        self._away = False

    async def take(self) -> list[Item]:
        """What `read` gives; [] when NATS was away. Raises what a missing permission leads to."""
        try:
            found = await self._read()
        except Away as error:
            if hindrances(self._connection):
                raise
            if not self._away:
                output.complain(f"bridged: {self._connection.problem or error}; waiting for it")
            self._away = True
            await self._connection.wait_connected()
            await anyio.sleep(PAUSE_S)
            return []
        if self._away:
            output.complain("bridged: NATS is back")
            self._away = False
        return found
