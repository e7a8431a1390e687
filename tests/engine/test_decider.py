"""Deciding about many events, and about large ones: nobody else waits for it for long."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from bridge.core.alerts.settings import AlertSettings
from bridge.engine.alert_ports import Passing
from bridge.engine.decider import Decider
from tests.support.alert_rig import Recorder, Rig, Rule
from tests.support.engine import on_virtual_clock


@pytest.mark.parametrize(("many", "size", "most"), [(200, 10, 32), (20, 100_000, 2)])
def test_others_have_their_turn_while_events_are_decided(
    monkeypatch: pytest.MonkeyPatch, many: int, size: int, most: int
) -> None:
    """An expression may take a tenth of a second for one event, and some hundred events come in one portion.

    Who is next is left to chance, so two slices may follow one another.
    """
    turns, seen = 0, []
    see = Decider._see

    def counted(decider: Decider, passing: Passing, desk: Any) -> None:
        seen.append(turns)
        see(decider, passing, desk)

    monkeypatch.setattr(Decider, "_see", counted)
    settings = AlertSettings(name="ops", subjects=["events.acme.>"], title="{id}", digest="1h")
    rig = Rig(Rule(settings, [Recorder("hook")]))

    async def script() -> None:
        nonlocal turns
        for _ in range(many):
            rig.happen(text="x" * size)
        while len(seen) < many:
            turns += 1
            await anyio.lowlevel.checkpoint()

    on_virtual_clock(lambda: rig.during(script))
    assert max(Counter(seen).values()) <= most
