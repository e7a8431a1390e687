"""Two minutes of `make chaos` as a test, with one broker and with three; part of `make ordeals`."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos.report import as_json, as_table
from tests.chaos.run import run

SECONDS = 120.0
SEED = int(os.environ.get("BRIDGED_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.anyio
@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("replicas", [1, 3])
async def test_two_minutes_of_everything_and_every_property_holds(tmp_path: Path, replicas: int) -> None:
    """All vendors, two instances, every kind of fault; `BRIDGED_CHAOS_SEED` repeats a schedule."""
    found = await run(tmp_path, seed=SEED, seconds=SECONDS, replicas=replicas, say=print)
    print(as_table(as_json(found)))
    assert found.verdict.faithful, "\n".join(found.verdict.sentences())
