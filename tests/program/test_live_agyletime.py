"""AgyleTime, polled by the whole program: tokens that last seconds, corrections, deletes, every fault, daemon and
broker killed. Reading again makes up for all of it.
"""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_agyletime import paged
from tests.support.live_scene import LiveScene, figures, live_scene
from tests.support.program import elapse
from tests.support.stream import stream_reader

TOKEN_S = 4
SIZE: dict[str, Any] = {"users": 12, "shifts": 15, "tasks": 30, "token_s": TOKEN_S, "most_per_page": 7}
FAULTS: list[dict[str, Any]] = [
    {"kind": "http_503", "probability": 0.03},
    {"kind": "http_500", "probability": 0.03},
    {"kind": "http_429", "probability": 0.02, "seconds": 1},
    {"kind": "html", "probability": 0.03},
    {"kind": "cut", "probability": 0.03},
    {"kind": "truncated", "probability": 0.03},
    {"kind": "failure", "probability": 0.03},
    {"kind": "revoked", "probability": 0.03},
    {"kind": "cursor_refused", "probability": 0.03},
    {"kind": "stuck", "probability": 0.02},
    {"kind": "overlap", "probability": 0.05},
    {"kind": "retyped", "probability": 0.1},
    {"kind": "doubled", "probability": 0.05},
    {"kind": "misshapen", "probability": 0.03},
    {"kind": "unreadable", "probability": 0.03},
]

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


async def test_killed_in_its_first_reading_and_struck_by_everything_the_stream_equals_the_ledger(
    tmp_path: Path,
) -> None:
    """What there was is told as `snapshot` only, nothing that polling can see is lost, nothing is told deleted that is
    not, nothing comes twice."""
    async with live_scene(tmp_path, {"workforce": ("agyletime", SIZE)}, seed=61) as scene:
        (vendor,) = scene.vendors
        scene.listen("workforce", vendor, resource=paged(5))
        # Some later page is never answered: however slow the machine, the first reading is not over.
        await vendor.fault("hang", times=None, on="next page", probability=0.4, seconds=600)
        scene.start()
        await vendor.struck(["hang"])
        scene.daemon.kill()
        assert "live" not in scene.states().values()
        await vendor.call("DELETE", "faults")
        scene.daemon.start()
        await scene.all_live()
        await _nothing_was_news(scene)

        for fault in FAULTS:
            await vendor.fault(**{"times": None, **fault})
        await vendor.rate(8)
        dice = random.Random(61)
        for blow in ("daemon", "broker"):
            await vendor.changed(20)
            await elapse(dice.uniform(0, 1))
            if blow == "daemon":
                scene.daemon.kill()
                await vendor.changed(5)
                scene.daemon.start()
            else:
                await scene.broker.restart()
        await vendor.changed(20)
        await vendor.struck({fault["kind"] for fault in FAULTS}, at_least=6)
        (await scene.verdict(passes=0)).must_be_faithful()
        # Known shifts leave every window: asked for by their ids, they are not gone.
        await vendor.call("POST", "change", {"n": 3, "kind": "postponed"})
        verdict = await scene.verdict(passes=2)
        counters = await vendor.counters()
        print(figures(verdict.reports["workforce"]), counters)
        verdict.must_be_faithful()
        pair = f"{vendor.facts['key_id']}:{vendor.facts['secret']}".encode()
        assert base64.b64encode(pair).decode().rstrip("=") not in scene.daemon.text()
        assert counters["logins"] > 4
        deleted = {change.id for change in await vendor.ledger() if change.operation == "deleted"}
        told = {event.data["id"] for event in verdict.of("workforce", change="deleted")}
        assert told
        assert told <= deleted


async def _nothing_was_news(scene: LiveScene) -> None:
    # With a reader of its own, as a broker that restarts forgets who has read.
    async with stream_reader(scene.broker.url) as reader:
        events = [event for event in await reader.events() if event.tokens[1] == "agyletime"]
    assert len(events) >= 57
    assert {event.change for event in events} == {"snapshot"}
    assert len({event.entity for event in events}) == len(events)
