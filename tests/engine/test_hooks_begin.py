"""Deliveries that come before their source runs, as after a restart: they wait for it a moment, once."""

from __future__ import annotations

import anyio

from bridge.engine.ports import Reply
from tests.support.engine import on_virtual_clock
from tests.support.hook_rig import Instance, order, settings, signed
from tests.support.memory_ledger import MemoryLedger


def test_a_delivery_waits_for_a_source_that_begins() -> None:
    """It came before; the source runs three seconds later, and takes it."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), settings())
        replies: list[Reply] = []

        async def deliver() -> None:
            replies.append(await shop(signed("msg_1", order("7", 1))))

        async with anyio.create_task_group() as group:
            group.start_soon(deliver)
            await anyio.sleep(3)
            assert not replies
            async with shop.running():
                await anyio.sleep(1)
                assert replies == [Reply(202)]

    on_virtual_clock(main)


def test_where_none_begins_senders_are_not_kept() -> None:
    """A source that runs elsewhere, or waits for NATS: the first waits, all others are asked at once to come again."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), settings())
        waited = []
        for number in range(3):
            began = anyio.current_time()
            reply = await shop(signed(f"msg_{number}", order("7", 1)))
            assert reply.status == 503
            assert reply.headers["Retry-After"] == "5"
            waited.append(anyio.current_time() - began)
        assert waited == [5.0, 0.0, 0.0]

    on_virtual_clock(main)
