"""What is live goes before a batch where the connection cannot take both at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio

from bridge.core.errors import Away
from bridge.edge.ledger.publisher import BREATH, CONGESTED_BYTES, Outgoing, Publisher
from tests.support.engine import on_virtual_clock
from tests.support.waiting import wait_until


class SlowClient:
    """As much of nats-py's client as the publisher uses. What is sent stays pending until `drain`; nobody answers."""

    def __init__(self) -> None:
        self.is_connected = True
        self.pending_data_size = 0
        self.sent: list[str] = []

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace()

    async def _send_command(self, command: bytes) -> None:
        self.pending_data_size += len(command)
        # Several may be handed over as one.
        self.sent += [one.split(b" ", 1)[0].decode() for one in command.split(b"HPUB ")[1:]]

    async def _flush_pending(self) -> None:
        return

    def drain(self) -> None:
        self.pending_data_size = 0


def batch(events: int) -> list[Outgoing]:
    """So many messages of a batch, 2 KiB each."""
    return [Outgoing("batch", {}, b"x" * 2048)] * events


def test_a_batch_stands_back_while_the_connection_is_congested() -> None:
    """Of a batch one portion is pending at most; a live message that comes then is next, and the batch ends whole."""

    async def main() -> None:
        client = SlowClient()
        publisher = Publisher(client, deadline_s=5.0)  # type: ignore[arg-type]
        inner = 3 * BREATH
        async with anyio.create_task_group() as group:

            async def commit() -> None:
                await publisher.publish([Outgoing("end", {}, b"")], unasked=batch(inner))

            group.start_soon(commit)
            await wait_until(lambda: client.pending_data_size > CONGESTED_BYTES)
            await anyio.wait_all_tasks_blocked()
            assert client.sent == ["batch"] * BREATH
            group.start_soon(publisher.publish, [Outgoing("live", {}, b"")])
            await wait_until(lambda: len(client.sent) > BREATH)
            await anyio.wait_all_tasks_blocked()
            assert client.sent[BREATH:] == ["live"]
            for portions in (2, 3):
                client.drain()
                await wait_until(lambda portions=portions: client.sent.count("batch") == portions * BREATH)
            client.drain()
            await wait_until(lambda: client.sent[-1] == "end")
            assert client.sent == ["batch"] * BREATH + ["live"] + ["batch"] * (2 * BREATH) + ["end"]

    on_virtual_clock(main)


def test_a_batch_does_not_wait_for_ever() -> None:
    """A connection that takes nothing until the deadline leaves the fate of a batch unknown; a lost one is Away."""

    async def main() -> None:
        client = SlowClient()
        publisher = Publisher(client, deadline_s=5.0)  # type: ignore[arg-type]
        start = anyio.current_time()
        assert await publisher.publish([Outgoing("end", {}, b"")], unasked=batch(2 * BREATH)) == [None]
        assert anyio.current_time() - start < 6
        assert "end" not in client.sent

        away: list[Away] = []

        async def commit() -> None:
            try:
                await publisher.publish([Outgoing("end", {}, b"")], unasked=batch(2 * BREATH))
            except Away as error:
                away.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(commit)
            await wait_until(lambda: client.pending_data_size > CONGESTED_BYTES)
            await anyio.wait_all_tasks_blocked()
            client.is_connected = False
        assert len(away) == 1

    on_virtual_clock(main)


def test_what_is_left_of_a_lost_connection_is_not_sent_on_the_next() -> None:
    """Who still waits for room when the connection is lost sends no more of his messages, and learns why."""

    async def main() -> None:
        client = SlowClient()
        publisher = Publisher(client, deadline_s=5.0, window=4)  # type: ignore[arg-type]
        away: list[Away] = []

        async def publish() -> None:
            try:
                await publisher.publish([Outgoing("live", {}, b"")] * 6)
            except Away as error:
                away.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(publish)
            await wait_until(lambda: publisher.in_flight == 4)
            await anyio.wait_all_tasks_blocked()
            publisher.give_up()
        assert client.sent == ["live"] * 4
        assert len(away) == 1
        assert publisher.in_flight == 0

    on_virtual_clock(main)
