"""Live sessions under everything a vendor can do to them: withheld, doubled and reordered pushes, sockets that drop.

`BRIDGED_LIVE_MINUTES` (default 10) is how long the long case lasts, `BRIDGED_LIVE_SEED` repeats its chances.
"""

from __future__ import annotations

import os
import random
import time
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from bridge.sandbox.x_assist_ids import canonical
from tests.support.live_scene import LiveScene, Verdict, figures, live_scene
from tests.support.program import elapse
from tests.support.waiting import wait_until

MINUTES = float(os.environ.get("BRIDGED_LIVE_MINUTES", "10"))
SEED = int(os.environ.get("BRIDGED_LIVE_SEED") or random.SystemRandom().randrange(1_000_000))
LAG_S = 2.0
CODES = (1012, 1000, 4401, 1006, 1001, 1011)

PUSH_FAULTS: list[dict[str, Any]] = [
    {"kind": "withheld", "times": None, "probability": 0.2},
    {"kind": "pushed_twice", "times": None, "probability": 0.1},
    {"kind": "reordered", "times": None, "probability": 0.1},
    # Also of one entity, where this strikes two of its pushes in a row: the older state comes last.
    {"kind": "reordered", "times": None, "probability": 0.4, "shape": "same"},
]
DROPPED: dict[str, Any] = {"kind": "dropped", "times": None, "seconds": 4.0}
"""Every session ends two to six seconds after its acknowledgement, with a code that is drawn."""

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(400)
async def test_whatever_befalls_pushes_and_sockets_the_stream_equals_the_ledger(tmp_path: Path) -> None:
    """Both vendors, all three sub-protocols, queries that lag two seconds: nothing missing, twice, out of order,
    invented."""
    await endured(tmp_path, seed=81, rounds=1)


@pytest.mark.chaos
@pytest.mark.timeout(round(MINUTES * 60) + 900)
async def test_minutes_of_it_and_the_stream_equals_the_ledger(tmp_path: Path) -> None:
    """The same for minutes."""
    print(f"BRIDGED_LIVE_SEED={SEED}")
    await endured(tmp_path, seed=SEED, rounds=6, seconds=MINUTES * 60)


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_ids_encoded_anew_while_it_runs_create_nothing(tmp_path: Path) -> None:
    """X-Assist hands out all ids anew, under changes, by query and by push: nothing is created a second time, nor
    after a restart, which knows no more than the stream."""
    async with live_scene(tmp_path, {"travel": ("x_assist", {"history": 30, "ping_s": 1.0})}, seed=91) as scene:
        (travel,) = scene.vendors
        await travel.call("POST", "options", {"requests_per_hour": None})
        scene.listen("transport", travel, push_disorder_s=1.0)
        scene.listen("cable", travel, push_disorder_s=1.0, transport="actioncable")
        await scene.begin()
        await travel.rate(30)
        await travel.changed(30)
        await travel.call("POST", "options", {"id_generation": 1})
        await travel.changed(30)
        created_once(await scene.verdict())
        assert await scene.daemon.terminate() == 0
        # What happens while nobody listens comes with ids that the stream has never seen.
        await travel.call("POST", "options", {"id_generation": 2})
        await travel.call("POST", "change", {"n": 30})
        scene.daemon.start()
        verdict = await scene.verdict(passes=2)
        created_once(verdict)
        assert set(scene.states().values()) == {"live"}
        assert verdict.reports["cable"].changes >= 30 + 3 * 30
        # It did hand out other ids: those of what was created later show it.
        ids = {event.data["id"] for event in verdict.of("cable", entity="event")}
        assert len({len(id_) for id_ in ids if id_.startswith("dj")}) > 0


def created_once(verdict: Verdict) -> None:
    """Each event of the vendor's is one entity of ours, by one id, begun once."""
    verdict.must_be_faithful()
    for source in verdict.reports:
        begun = [
            canonical(event.data["id"])
            for event in verdict.of(source, entity="event")
            if event.change in ("created", "snapshot")
        ]
        assert len(begun) == len(set(begun))
        ids = {event.data["id"] for event in verdict.of(source, entity="event")}
        assert len(ids) == len({canonical(id_) for id_ in ids})


async def endured(folder: Path, *, seed: int, rounds: int, seconds: float = 0.0) -> None:
    """Faults all the time, and every socket dropped at once in each round, with another code each time."""
    vendors: dict[str, tuple[str, dict[str, Any]]] = {
        "support": ("pcvisit", {"companies": 1, "history": 3, "recent_samples": True, "jwt_lifetime_s": 30}),
        "travel": ("x_assist", {"history": 3, "lag_s": LAG_S, "token_lifetime_s": 30}),
    }
    async with live_scene(folder, vendors, seed=seed) as scene:
        support, travel = scene.vendors
        await travel.call("POST", "options", {"requests_per_hour": None})
        lagging = {"settle_delay_s": 3.0, "late_backfill_delay_s": 6.0}
        if not seconds:
            lagging |= {"recent_every_s": 3.0, "by_id_every_s": 4.0, "all_every_s": 4.0}
        # What is pushed is the subject; the long case also reads all the time.
        rarely = {} if seconds else {"history_fast_every_s": 3.0}
        scene.listen("legacy", support, **rarely)
        scene.listen("modern", support, **rarely, ws_subprotocol="graphql-transport-ws")
        scene.listen("transport", travel, **lagging)
        scene.listen("cable", travel, **lagging, transport="actioncable")
        await scene.begin()
        for vendor in scene.vendors:
            for fault in PUSH_FAULTS:
                await vendor.fault(**fault)
            await vendor.rate(12)
        # First with all of them listening: of few things, so that what changes places is often about the same one.
        for _ in range(4):
            for vendor in scene.vendors:
                await vendor.call("POST", "change", {"n": 12, "kind": "renamed"})
                await vendor.changed(4)
        for vendor in scene.vendors:
            await vendor.fault(**DROPPED)
        codes = cycle(CODES)
        ends = time.monotonic() + seconds
        count = 0
        while count < rounds or time.monotonic() < ends:
            count += 1
            for vendor in scene.vendors:
                await vendor.changed(10)
                await vendor.call("POST", "drop", {"code": next(codes)})
            if seconds:
                await elapse(random.Random(f"{seed}:{count}").uniform(0, 6))
        for vendor in scene.vendors:
            for kind in {fault["kind"] for fault in (*PUSH_FAULTS, DROPPED)}:
                await wait_until(partial(vendor.served, kind), what=f"{kind} to strike at {vendor.name}")
        verdict = await scene.verdict()
        for name, report in verdict.reports.items():
            print(f"{name}: {figures(report)}")
        verdict.must_be_faithful()
        await proves(scene, rounds)


async def proves(scene: LiveScene, rounds: int) -> None:
    """What was to be endured did happen."""
    for vendor in scene.vendors:
        counters = await vendor.counters()
        print(vendor.name, counters)
        assert all(counters["faults"].get(fault["kind"]) for fault in (*PUSH_FAULTS, DROPPED)), counters["faults"]
        assert counters["sockets_opened"] > 2 + rounds
        assert "expired_tokens" not in counters
