"""Two daemons fight for the same sources, on three replicas, while everything around them breaks.

`BRIDGED_FIGHT_MINUTES` (default 5) is how long each of the long fights lasts, `BRIDGED_FIGHT_SEED` repeats a plan.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fight import Verdict, fight
from tests.support.fight_plan import AT_INSTANCES, AT_NATS, INSTANCES, SOURCES, plan

MINUTES = float(os.environ.get("BRIDGED_FIGHT_MINUTES", "5"))
SEED = int(os.environ.get("BRIDGED_FIGHT_SEED") or random.SystemRandom().randrange(1_000_000))
SHORT_S = 15.0

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def tables(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Collects what each long fight came to, and prints it after the last."""
    found: list[str] = []
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n\n" + "\n\n".join(found or ["(no fight came to its end)"]))


def test_a_plan_comes_from_its_seed_alone() -> None:
    """The same seed draws the same blows, another draws others, and no kind is left out of however short a plan."""
    assert plan(7, 300) == plan(7, 300) != plan(8, 300)
    for seed in range(20):
        drawn = plan(seed, 1)
        assert {blow.kind for blow in drawn.instances} == set(AT_INSTANCES)
        assert {blow.kind for blow in drawn.nats} == set(AT_NATS)


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("one_bucket", [True, False], ids=["leases", "no_leases"])
async def test_a_short_fight_leaves_every_history_whole(tmp_path: Path, one_bucket: bool) -> None:
    """One blow of each kind: every entity's history is the vendor's, each change once, the chain unbroken."""
    verdict = await fought(tmp_path, seed=61, seconds=SHORT_S, one_bucket=one_bucket)
    print(table(verdict, f"{SHORT_S:g} s"))
    # Who takes over what in so short a time is chance; the long fight asks for more.
    check(verdict, one_bucket)


@pytest.mark.chaos
@pytest.mark.timeout(round(MINUTES * 60 * 2) + 600)
@pytest.mark.parametrize("one_bucket", [True, False], ids=["leases", "no_leases"])
async def test_minutes_of_fighting_leave_every_history_whole(
    tmp_path: Path, one_bucket: bool, tables: list[str]
) -> None:
    """Minutes of pauses, partitions, kills and changes of leader, with leases and where leases are worth nothing:
    every entity's history is one the vendor really had, each change once, and the sources work again at once."""
    verdict = await fought(tmp_path, seed=SEED, seconds=MINUTES * 60, one_bucket=one_bucket)
    title = f"{MINUTES:g} minutes, {'leases' if one_bucket else 'leases of no use'}, BRIDGED_FIGHT_SEED={SEED}"
    tables.append(table(verdict, title))
    check(verdict, one_bucket)
    assert verdict.counts["chunks swallowed"]
    assert verdict.counts["chunks delayed"]
    if not one_bucket:
        # Both wrote all the time: what the one had stored, the other tried too, and was refused.
        assert all(set(verdict.witness.writers[source]) >= set(INSTANCES) for source in SOURCES)
        assert any(row["contested"] for row in verdict.rows())
    for source in SOURCES:
        assert set(verdict.takeovers[source]) == set(INSTANCES), f"{source}: {verdict.takeovers[source]}"
        assert {name for what, name in verdict.witness.owners if what == source} == set(INSTANCES)


async def fought(folder: Path, *, seed: int, seconds: float, one_bucket: bool) -> Verdict:
    """A fight from its beginning to its judgement."""
    async with fight(folder, seed=seed, one_bucket=one_bucket) as scene:
        await scene.begin()
        await scene.run(plan(seed, seconds), seconds)
        return await scene.verdict()


def check(verdict: Verdict, one_bucket: bool) -> None:
    """The stream is right, and what it was put through did happen."""
    verdict.must_be_faithful()
    counts = verdict.counts
    assert all(counts.get(kind) for kind in (*AT_INSTANCES, *AT_NATS)), counts
    assert counts["chunks swallowed"] + counts["chunks delayed"]
    assert counts["connections cut"]
    assert counts["listeners closed"]
    assert counts["SIGKILLs of a daemon"]
    assert counts["SIGSTOPs of a daemon"]
    assert counts["server restarts"]
    assert counts["leaders elected"] > 1
    assert verdict.witness.live
    for source in SOURCES:
        assert verdict.reports[source].events > 20
        assert verdict.takeovers[source]


def table(verdict: Verdict, title: str) -> str:
    """Columns as wide as they need to be, and what was counted."""
    rows: list[dict[str, Any]] = verdict.rows()
    lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    counts = ", ".join(f"{count} {what}" for what, count in verdict.counts.items())
    chain = f"{len(verdict.events)} events in one chain, {len(verdict.witness.live)} of them heard live"
    after = f"all final states after {verdict.settled_s:.1f} s, the view after another {verdict.view_s:.1f} s"
    return "\n".join([f"fight: {title}", *text, counts, f"{chain}; {after}"])
