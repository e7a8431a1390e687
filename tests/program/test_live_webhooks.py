"""Signed webhooks to a daemon that is killed at random moments, from a sender that repeats what was not confirmed.

`BRIDGED_WEBHOOK_SEED` repeats the chances of the long case.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.support.live_webhooks import SOURCE, Sender, orders, payments, webhook_daemon
from tests.support.nats_server import nats_server
from tests.support.program import Child, elapse
from tests.support.stream import Stored, chain_faults, stream_reader
from tests.support.waiting import wait_until

SEED = int(os.environ.get("BRIDGED_WEBHOOK_SEED") or random.SystemRandom().randrange(1_000_000))

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(300)
async def test_killed_while_webhooks_arrive_each_is_stored_once(tmp_path: Path) -> None:
    """Six hundred deliveries, a SIGKILL of the daemon and one of the broker: each in the stream once."""
    await endured(tmp_path, seed=7, happened=500, things=25, versions=4, blows=["daemon", "broker"])


@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_ten_thousand_webhooks_under_blows_are_each_stored_once(tmp_path: Path) -> None:
    """The same with ten thousand, and a blow about every second."""
    print(f"BRIDGED_WEBHOOK_SEED={SEED}")
    blows = ["daemon", "daemon", "broker", "daemon", "daemon", "daemon", "broker", "daemon", "both", "daemon"]
    await endured(tmp_path, seed=SEED, happened=9000, things=100, versions=10, blows=blows)


async def endured(folder: Path, *, seed: int, happened: int, things: int, versions: int, blows: list[str]) -> None:
    """Every delivery is sent until it is confirmed, the daemon and the broker are killed meanwhile; then the stream is
    held against what was sent."""
    dice = random.Random(seed)
    deliveries = [*payments(happened), *orders(things, versions)]
    async with nats_server(folder) as broker:
        daemon, url = webhook_daemon(folder, broker.url)
        sender = Sender(url, seed=seed)
        began = time.monotonic()
        try:
            daemon.start()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sender.send, deliveries)
                for number, blow in enumerate(blows, 1):
                    await progress(sender, daemon, number * len(deliveries) // (len(blows) + 1))
                    await elapse(dice.uniform(0, 0.1))
                    if blow in ("daemon", "both"):
                        daemon.kill()
                    if blow in ("broker", "both"):
                        await broker.kill()
                    await elapse(dice.uniform(0, 0.4))
                    if blow in ("broker", "both"):
                        await broker.start()
                    if blow in ("daemon", "both"):
                        daemon.start()
            lasted_s = time.monotonic() - began
            async with stream_reader(broker.url) as reader:
                events = await reader.events()
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
    print(f"{len(deliveries)} deliveries, {sender.attempts} attempts in {lasted_s:.1f} s: {dict(sender.answers)}")
    assert sorted(sender.confirmed) == sorted(delivery.id for delivery in deliveries)
    # The blows fell while deliveries were under way: some attempts failed.
    assert sender.attempts > len(deliveries)
    faults = [*chain_faults(events), *missing(events, happened, things, versions)]
    assert not faults, "\n".join(faults[:60])


async def progress(sender: Sender, daemon: Child, wanted: int) -> None:
    """Returns once so many are confirmed. A daemon that ended by itself is not waited for."""

    def enough() -> bool:
        assert daemon.running, daemon.text()[-5000:]
        return len(sender.confirmed) >= wanted

    await wait_until(enough, what=f"{wanted} deliveries to be confirmed")


def missing(events: list[Stored], happened: int, things: int, versions: int) -> list[str]:
    """Where the stream is not what was sent, in words."""
    ours = [event for event in events if event.tokens[1:3] == ["webhook", SOURCE]]
    once = Counter(event.data["id"] for event in ours if event.tokens[3:5] == ["payment", "occurred"])
    wanted = {delivery.id for delivery in payments(happened)}
    faults = [f"{id_} is absent" for id_ in sorted(wanted - once.keys())]
    faults += [f"{id_} is stored {count} times" for id_, count in once.items() if count != 1 or id_ not in wanted]
    told: dict[str, list[int]] = {}
    for event in ours:
        if event.tokens[3] == "order":
            told.setdefault(event.data["id"], []).append(event.data["after"]["order"]["version"])
    faults += [f"order {id_} went through {seen}" for id_, seen in told.items() if seen != sorted(set(seen))]
    last = {id_: seen[-1] for id_, seen in told.items()}
    if last != {f"o{number}": versions for number in range(things)}:
        faults.append(f"the orders ended as {last}")
    others = {event.tokens[3] for event in ours} - {"payment", "order", "source"}
    return [*(f"there are events of {entity}" for entity in sorted(others)), *faults]
