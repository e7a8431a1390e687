"""Live sessions whose tokens live five seconds, under a stream of changes: one session replaces the other unseen.

`BRIDGED_LIVE_MINUTES` (default 10) is how long the long case lasts.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_scene import ALL_TIME_S, LiveScene, Verdict, figures, live_scene
from tests.support.waiting import wait_until

MINUTES = float(os.environ.get("BRIDGED_LIVE_MINUTES", "10"))
TOKEN_S = 5
RATE = 200
HANDOVER_S = 15.0
"""No source goes without a handover for longer, on however busy a machine."""
SHORT_HANDOVERS = 3
UNDISTURBED_S = 60.0
"""A run this long is made alone, so that sessions must live all the time and the pace be kept."""

pytestmark = pytest.mark.anyio


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_handovers_under_a_stream_of_changes_lose_and_double_nothing(tmp_path: Path) -> None:
    """Three handovers of each source at 200 changes a second: every push is stored, once, in order, and no gap."""
    await under_short_tokens(tmp_path, handovers=SHORT_HANDOVERS)


@pytest.mark.chaos
@pytest.mark.timeout(round(MINUTES * 60) + 900)
async def test_minutes_of_short_tokens_lose_and_double_nothing(tmp_path: Path) -> None:
    """The same for minutes: a handover every few seconds, all the time."""
    # A JWT tells whole seconds only, so it lives for four to five, and half of that is margin.
    await under_short_tokens(tmp_path, handovers=round(MINUTES * 60 / (TOKEN_S / 2 + 1)), seconds=MINUTES * 60)


async def under_short_tokens(folder: Path, *, handovers: int, seconds: float = 0.0) -> None:
    """Two sources. `polled` is held against the ledger. `pushed` lives of its pushes alone and believes each at once:
    while two sessions overlap that may tell a state twice, but whatever no session heard would never be heard of.
    """
    options = {"companies": 1, "history": 5, "recent_samples": True, "jwt_lifetime_s": TOKEN_S, "ka_s": 1.0}
    async with live_scene(folder, {"support": ("pcvisit", options)}, seed=71) as scene:
        (support,) = scene.vendors
        never = {"history_fast_every_s": 86_400.0, "history_slow_every_s": 86_400.0, "push_disorder_s": 0.0}
        scene.listen("pushed", support, **never)
        # In minutes too many sessions come together to read them all every other second.
        often = {"history_fast_every_s": 2.0, "history_fast_reach_s": 60.0 if seconds else ALL_TIME_S}
        rarely = {"history_slow_every_s": 86_400.0, "history_overlap_s": 5.0}
        scene.listen("polled", support, **often, **rarely, ws_subprotocol="graphql-transport-ws")
        await scene.begin()
        await support.rate(RATE)
        began, before = time.monotonic(), await opened(scene)

        async def enough() -> bool:
            return await opened(scene) - before >= 2 * handovers and time.monotonic() - began >= seconds

        # Both sources hand over in step with their own tokens.
        await wait_until(enough, seconds + HANDOVER_S * (SHORT_HANDOVERS + 1), f"{handovers} handovers of two sources")
        lasted_s = time.monotonic() - began
        # The judge asks for all that was changed at once: the vendor stands still for so long that tokens expire.
        served = await support.counters()
        disturbed = [line for event in ("gap", "live.missed") for line in scene.daemon.said(event)]
        disturbed += [line for name in scene.listeners for line in scene.told(name, "source.waiting")]
        disturbed += [line for name in scene.listeners for line in scene.told(name, "source.live")[1:]]
        verdict = await scene.verdict(passes=0, but=["pushed"])
        if not seconds:
            # Where all tests run together a server may take longer to listen than we wait for it.
            check(scene, verdict, served, await support.counters(), disturbed, handovers=handovers, lasted_s=lasted_s)
            return
        created = {change.id for change in await support.ledger()}

        async def all_told() -> bool:
            return created <= {
                e.tokens[5] for e in await scene.reader.events() if e.tokens[2:4] == ["pushed", "session"]
            }

        await wait_until(all_told, what="every session that any push told of")
        check(scene, verdict, served, await support.counters(), disturbed, handovers=handovers, lasted_s=lasted_s)


async def opened(scene: LiveScene) -> int:
    """How many sessions the vendor has opened."""
    return int((await scene.vendors[0].counters()).get("sockets_opened", 0))


def check(
    scene: LiveScene,
    verdict: Verdict,
    served: dict[str, Any],
    counters: dict[str, Any],
    disturbed: list[dict[str, Any]],
    *,
    handovers: int,
    lasted_s: float,
) -> None:
    """What must hold, however long it lasted. `served`, `disturbed`: what was counted and logged before it was judged;
    `counters`: what was counted in the end.
    """
    for name, report in verdict.reports.items():
        print(f"{name}: {lasted_s:.0f} s, {figures(report)}")
    print(counters)
    verdict.must_be_faithful()
    # No request, and no session, with a token that had expired; none was revoked, so none was invalid either.
    assert "expired_tokens" not in served
    assert "invalid_tokens" not in served
    # Two sessions at the start; whatever was opened beyond took over from one that served.
    assert counters["sockets_opened"] - 2 >= 2 * handovers
    assert counters["logins"] >= 2 + 2 * handovers
    assert counters["history_requests"] > 4
    if lasted_s < UNDISTURBED_S:
        return
    for name in scene.listeners:
        assert scene.told(name, "source.live")
        assert not verdict.of(name, entity="quarantine")
    # Every gap that is published is logged as well, and so is every time that a source was not live.
    assert not disturbed
    # The pace was kept, so handovers and changes met all the time.
    assert counters["changes"] >= RATE / 2 * lasted_s
