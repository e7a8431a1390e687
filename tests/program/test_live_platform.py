"""The generic platform, live: pushes spoilt, sessions frozen and dropped, logins that last seconds, daemon and broker
killed. Journal, stores and packets by REST make up for all of it.

`BRIDGED_LIVE_MINUTES` (default 10) is how long the long case lasts, `BRIDGED_LIVE_SEED` repeats its chances.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_scene import LiveScene, figures, live_scene
from tests.support.program import elapse
from tests.support.waiting import wait_until

MINUTES = float(os.environ.get("BRIDGED_LIVE_MINUTES", "10"))
SEED = int(os.environ.get("BRIDGED_LIVE_SEED") or random.SystemRandom().randrange(1_000_000))
LOGIN_S = 5
"""How long tokens and cookies live."""
STORES = ["objects", "models"]

FAULTS: list[dict[str, Any]] = [
    {"kind": "withheld", "times": None, "probability": 0.2},
    {"kind": "pushed_twice", "times": None, "probability": 0.1},
    {"kind": "reordered", "times": None, "probability": 0.1},
    {"kind": "frozen", "times": None, "seconds": 6.0, "probability": 0.3},
    {"kind": "dropped", "times": None, "seconds": 5.0, "probability": 0.7},
]
PLANT: dict[str, Any] = {
    "token_s": LOGIN_S,
    "ping_interval_ms": 1000,
    "ping_timeout_ms": 1000,
    "on_expiry": "41",
    "objects": 4,
    "history": 6,
}

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(400)
async def test_whatever_befalls_it_the_stream_equals_the_ledger(tmp_path: Path) -> None:
    """Both revisions and the plain stream; one round with every fault, one kill of the daemon and one of the broker."""
    await endured(tmp_path, seed=121, rounds=1)


@pytest.mark.chaos
@pytest.mark.timeout(round(MINUTES * 60) + 1200)
async def test_minutes_of_it_and_the_stream_equals_the_ledger(tmp_path: Path) -> None:
    """The same for minutes."""
    print(f"BRIDGED_LIVE_SEED={SEED}")
    await endured(tmp_path, seed=SEED, rounds=3, seconds=MINUTES * 60)


async def endured(folder: Path, *, seed: int, rounds: int, seconds: float = 0.0) -> None:
    """Changes and faults all the time; in each round the daemon is killed, and then the broker."""
    async with live_scene(folder, {"plant": ("platform", PLANT)}, seed=seed) as scene:
        (plant,) = scene.vendors
        # What is pushed is the subject; the long case also reads all the time.
        pace = {} if seconds else dict.fromkeys(("stores_every_s", "journal_every_s", "packets_every_s"), 4.0)
        scene.listen("three", plant, stores=STORES, **pace)
        scene.listen("four", plant, stores=STORES, **pace, engineio=4, auth="cookie")
        scene.listen("stream", plant, stores=STORES, **pace, transport="events-stream")
        await scene.begin()
        for fault in FAULTS:
            await plant.fault(**fault)
        await plant.rate(20 if seconds else 10)
        dice = random.Random(seed)
        ends, count = time.monotonic() + seconds, 0
        while count < rounds or time.monotonic() < ends:
            count += 1
            await plant.changed(20)
            await elapse(dice.uniform(0, 3 if seconds else 1))
            scene.daemon.kill()
            await plant.changed(10)
            scene.daemon.start()
            await plant.changed(20)
            await scene.broker.restart()
            await plant.changed(20)
        await plant.rate(0)
        verdict = await scene.verdict(passes=2 if seconds else 1)
        for name, report in verdict.reports.items():
            print(f"{name}: {figures(report)}")
        counters = await plant.counters()
        print(counters)
        verdict.must_be_faithful()
        assert all(counters["faults"].get(fault["kind"]) for fault in FAULTS), counters["faults"]
        await in_their_lanes(scene)


async def in_their_lanes(scene: LiveScene) -> None:
    """Packets lie in the telemetry's stream alone, and nothing else does."""
    entities = {event.tokens[3] for event in await scene.reader.events()}
    assert "packet" not in entities
    assert {"object", "object-online"} <= entities
    assert {event.tokens[3] for event in await scene.reader.telemetry()} == {"packet"}


async def test_no_event_is_acknowledged_before_the_ledger_has_it(tmp_path: Path) -> None:
    """NATS stands still: what is pushed is not acknowledged. It goes on: what is acknowledged is in the stream."""
    options = {"ask_acks": True, "history": 0, "deletes": False}
    async with live_scene(tmp_path, {"plant": ("platform", options)}, seed=131) as scene:
        (plant,) = scene.vendors
        never = dict.fromkeys(("stores_every_s", "journal_every_s", "packets_every_s"), 86_400.0)
        scene.listen("main", plant, stores=STORES, **never)
        await scene.begin()

        async def acknowledged() -> set[str]:
            return set((await plant.call("GET", "acks"))["acknowledged"])

        async def occurred() -> set[str]:
            events = [event for event in await scene.reader.events() if event.tokens[1] == "platform"]
            return {event.data["id"] for event in events if event.change == "occurred"}

        await plant.call("POST", "change", {"n": 20, "kind": "presence"})

        async def all_acknowledged() -> bool:
            # Twenty, and not only those of them that have been stored so far.
            return len(await acknowledged()) >= 20

        await wait_until(all_acknowledged, what="all of them to be acknowledged")
        before = await acknowledged()
        assert before <= await occurred()
        asked = (await plant.call("GET", "acks"))["asked"]
        scene.broker.pause()
        await plant.call("POST", "change", {"n": 20, "kind": "presence"})
        await wait_until(lambda: _asked(scene, asked + 20), what="them to be pushed")
        assert await acknowledged() == before
        scene.broker.resume()

        async def more() -> bool:
            return len(await acknowledged()) >= len(before) + 20

        await wait_until(more, what="the others to be acknowledged")
        assert await acknowledged() <= await occurred()
        (await scene.verdict(passes=0)).must_be_faithful()


async def _asked(scene: LiveScene, wanted: int) -> bool:
    return int((await scene.vendors[0].call("GET", "acks"))["asked"]) >= wanted
