"""Doors while the configuration changes, and while the process stops: nobody is lost, and nobody waits for long."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from adapters.webhook import Adapter
from bridge.adapter import Secret
from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key
from bridge.engine.hooks import HookFeed
from bridge.engine.ports import Incoming, Reply
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support.engine import on_virtual_clock
from tests.support.hook_rig import SECRET, Instance, order, post, settings, signed
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import wall

OTHER = "whsec_" + base64.b64encode(b"another-secret-of-the-tests-0002").decode()


def told(ledger: MemoryLedger) -> list[str]:
    """Ids of what was delivered, in the order of the stream."""
    return [entry.data["id"] for entry in ledger.events if entry.subject.startswith("events.webhook.")]


def by_other(id_: str) -> Incoming:
    """A delivery signed with the other secret."""
    body = b'{"type": "ping"}'
    return post(body, **standard.sign([Key.parse(Secret(OTHER))], id_, wall(), body))


def other(**given: Any) -> Adapter:
    """The same source with the other secret."""
    return Adapter(settings(secrets=[Secret(OTHER, "file other")], **given))


def successor(shop: Instance, adapter: Adapter) -> Runner:
    """Who works for the changed source: through the same door."""
    door = shop.hooks.door("shop", adapter.hook)
    return Runner(Source(adapter, lambda _: HookFeed(door), session=door.statistics, shared=True), shop.world)


def test_another_secret_counts_from_the_next_delivery_on_and_those_under_way_are_stored() -> None:
    """One that was verified by the old secret waits for the new runner and is confirmed; after that the old secret is
    worth nothing. Each is stored once."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        replies: dict[str, int] = {}

        async def send(name: str, request: Incoming) -> None:
            replies[name] = (await shop(request)).status

        async with anyio.create_task_group() as group:
            async with shop.running():
                ledger.latency_s = 0.4
                group.start_soon(send, "under way", signed("msg_1", {"type": "ping"}))
                await anyio.sleep(0.1)
                runner = successor(shop, other())
                # What the new session has read is nothing for the old adapter.
                assert not shop.door.open
                group.start_soon(send, "new", by_other("msg_2"))
                group.start_soon(send, "old", signed("msg_3", {"type": "ping"}))
                await anyio.sleep(0.1)
                assert replies == {"old": 401}
            ledger.latency_s = 0.0
            group.start_soon(runner.run)
            await anyio.sleep(5)
            assert replies == {"under way": 202, "new": 202, "old": 401}
            assert (await shop(by_other("msg_4"))).status == 202
            assert shop.door.statistics.sessions == 2
            group.cancel_scope.cancel()
        assert sorted(told(ledger)) == ["msg_1", "msg_2", "msg_4"]

    on_virtual_clock(main)


def test_a_door_that_is_removed_is_not_found_and_what_it_took_in_is_stored() -> None:
    """404 from then on; whoever removes it waits until all it has taken in is confirmed."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        replies: list[int] = []

        async def send(request: Incoming) -> None:
            replies.append((await shop(request)).status)

        async with shop.running(), anyio.create_task_group() as group:
            ledger.latency_s = 2.0
            for number in range(3):
                group.start_soon(send, signed(f"msg_{number}", order(f"o{number}", 1)))
            await anyio.sleep(0.1)
            door = shop.hooks.remove("shop")
            assert (await shop(signed("msg_9", {"type": "ping"}))).status == 404
            assert replies == []
            await door.emptied()
            await anyio.sleep(0.01)
            assert replies == [202, 202, 202]
        assert len(told(ledger)) == 3

    on_virtual_clock(main)


def test_stopping_no_delivery_is_taken_in_and_those_under_way_are_stored() -> None:
    """503 with Retry-After, also before the body is read, while those that were taken in are confirmed."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings())
        replies: list[int] = []

        async def send() -> None:
            replies.append((await shop(signed("msg_1", {"type": "ping"}))).status)

        async with shop.running(), anyio.create_task_group() as group:
            ledger.latency_s = 2.0
            group.start_soon(send)
            await anyio.sleep(0.1)
            began = anyio.current_time()
            group.start_soon(refused_meanwhile, shop)
            await shop.hooks.stop()
            assert 1.5 < anyio.current_time() - began < 8
            await anyio.sleep(0.01)
            assert replies == [202]
            group.cancel_scope.cancel()
        assert told(ledger) == ["msg_1"]

    on_virtual_clock(main)


async def refused_meanwhile(shop: Instance) -> None:
    """While it stops."""
    await anyio.sleep(0.5)
    limit = shop.hooks.limit("POST", "/hooks/shop")
    assert isinstance(limit, Reply)
    reply = await shop(signed("msg_2", {"type": "ping"}))
    assert [(one.status, one.headers) for one in (limit, reply)] == [(503, {"Retry-After": "5"})] * 2


def test_with_nothing_under_way_it_stops_at_once() -> None:
    """Also where its source is not open."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), settings())
        began = anyio.current_time()
        await shop.hooks.stop()
        assert anyio.current_time() == began
        assert (await shop(signed("msg_1", {"type": "ping"}))).status == 503

    on_virtual_clock(main)


def test_another_patience_counts_from_the_next_delivery_on() -> None:
    """At doors that stand already, and at new ones."""

    async def main() -> None:
        ledger = MemoryLedger()
        shop = Instance(ledger, settings(), answer_timeout_s=60.0)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(shop.running())
            ledger.latency_s = 30.0
            shop.hooks.set_patience(3.0)
            began = anyio.current_time()
            assert (await shop(signed("msg_1", {"type": "ping"}))).status == 503
            assert anyio.current_time() - began == pytest.approx(3.0)
        assert shop.hooks.door("else", Adapter(settings(name="else")).hook)._patience_s == 3.0

    on_virtual_clock(main)


def test_what_may_be_asked_for_first_is_as_the_new_session_says() -> None:
    """The methods a door names, too: nothing of the old session is left."""

    async def main() -> None:
        shop = Instance(MemoryLedger(), settings())
        assert "OPTIONS" not in shop.door._allow
        shop.hooks.door("shop", Adapter(settings(allowed_origins=["*"])).hook)
        assert "OPTIONS" in shop.door._allow
        assert SECRET not in repr(shop.door.session)

    on_virtual_clock(main)
