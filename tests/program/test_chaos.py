"""The long ordeal, for `make ordeals`: blows of every kind for minutes, then the same judgement as in the short one.

`BRIDGED_CHAOS_MINUTES` (default 10) is the time for all cases together, `BRIDGED_CHAOS_SEED` repeats a run's blows.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ordeal import Ordeal, Verdict, ordeal
from tests.support.program import Child

MINUTES = float(os.environ.get("BRIDGED_CHAOS_MINUTES", "10"))
SEED = int(os.environ.get("BRIDGED_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))

MOST_CHANGES = 4_000

# The server's own fsync, the default, and the server inside the daemon; and how much of the time each case gets.
CASES: dict[str, tuple[dict[str, Any], float]] = {
    "sync_always": ({"sync_always": True}, 0.4),
    "sync_default": ({"sync_always": False}, 0.4),
    "embedded": ({"embedded": True}, 0.2),
}

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(round(MINUTES * 60) + 900)]


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Iterator[list[Verdict]]:
    """Collects what each case came to, and prints the table after the last."""
    found: list[Verdict] = []
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n\nchaos: {MINUTES:g} minutes, BRIDGED_CHAOS_SEED={SEED}")
        print(table([verdict.row() for verdict in found]))


@pytest.mark.parametrize("case", CASES)
async def test_minutes_of_blows_and_everything_is_stored_once(
    tmp_path: Path, case: str, verdicts: list[Verdict]
) -> None:
    """Whatever is killed, stopped or frozen, whenever, together or alone: nothing lost, nothing twice, in order."""
    options, share = CASES[case]
    seconds = MINUTES * 60 * share
    ends = time.monotonic() + seconds
    # So that a day of chaos does not make more sessions than a pass can read between two others.
    rate = min(10.0, MOST_CHANGES / max(1.0, seconds))
    async with ordeal(case, tmp_path, seed=SEED, rate=rate, companies=2, **options) as scene:
        daemon = scene.daemon()
        daemon.start()
        await scene.misbehave()
        while time.monotonic() < ends:
            await scene.progress(12)
            await (embedded_blow if "embedded" in options else blow)(scene, daemon)
        verdict = await scene.verdict()
        verdicts.append(verdict)
        verdict.must_be_faithful()
        # The figures of the table are the proof that something happened at all.
        assert verdict.blows.get("daemon killed", 0) + verdict.blows.get("broker killed", 0) > 0
        assert verdict.counters["logins"] > 1
        assert verdict.counters["faults"]


async def blow(scene: Ordeal, daemon: Child) -> None:
    """One of everything that can be done to daemon and server."""
    dice = scene.dice
    away_s = dice.choice((0.0, 0.3, 1.0, 4.0)) * dice.random()
    match dice.choices(("daemon", "broker", "both", "late", "stop", "freeze", "stall"), (8, 5, 3, 2, 2, 1, 1))[0]:
        case "daemon":
            await scene.kill_daemon(daemon, away_s)
        case "broker":
            await scene.kill_broker(away_s)
        case "both":
            await scene.kill_both(daemon, away_s)
        case "late":
            # What the frozen server has received from the killed daemon, it deals with once another has started.
            scene.broker.pause()
            await scene.kill_daemon(daemon, away_s)
            scene.broker.resume()
        case "stop":
            await scene.stop_daemon(daemon)
        case "freeze":
            # While it sleeps its server dies: it wakes with a lost connection and unanswered writes.
            daemon.pause()
            await scene.kill_broker(away_s)
            daemon.resume()
        case "stall":
            await scene.freeze_broker(away_s)


async def embedded_blow(scene: Ordeal, daemon: Child) -> None:
    """The same where the server is the daemon's child."""
    pid = scene.embedded_server()
    match scene.dice.choices(("daemon", "server", "stop", "freeze"), (6, 4, 2, 1))[0]:
        case "daemon":
            await scene.kill_daemon(daemon, scene.dice.random())
        case "stop":
            await scene.stop_daemon(daemon)
        case "server" if pid is not None:
            scene.kill_embedded_server()
        case _:
            await scene.freeze_daemon(daemon, 2.0)
            return
    if pid is not None:
        await scene.another_embedded_server(pid)


def table(rows: list[dict[str, Any]]) -> str:
    """Columns as wide as they need to be."""
    if not rows:
        return "(no case came to its end)"
    lines = [list(rows[0]), *([("-" if cell is None else str(cell)) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
