"""Cheap looks that say whether another walk has something to tell (`Walk.wakes`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bridge.adapter import Json, Walk
from bridge.core.bookmark import Bookmark, Lasting
from bridge.core.canonical import digest
from bridge.core.walk import Pass
from bridge.engine.sequencer import Sequencer


class Probes:
    """Of one source, from one opening of its book to the next. What was seen last lies in the probes' cursors.

    A probe that has seen something new names a moment; the walk it wakes is wanted until a pass that began later is
    complete. So nothing is forgotten if the process dies in between, nor if that walk stands in the middle of a pass.
    """

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._probes: Sequence[Walk] = ()

    def prepare(self, walks: Sequence[Walk]) -> set[str]:
        """These are the source's walks now. Returns the names of those wanted."""
        self._probes = [walk for walk in walks if walk.wakes]
        return self._wanted(walk.wakes for walk in self._probes)

    def seen(self, state: Pass, value: Mapping[str, Json]) -> Lasting:
        """What lasts in the cursor of this pass's walk, which says `value`, now that it is complete."""
        lasting = Bookmark.read(value).lasting
        if not state.walk.wakes or not state.evidence:
            return lasting
        evidence = digest(state.evidence, "").removeprefix(":")
        # Of what was not known before nobody can say that it has changed.
        news = lasting.evidence not in ("", evidence)
        return replace(lasting, evidence=evidence, woke_ms=state.started_ms if news else lasting.woke_ms)

    def completed(self, state: Pass) -> set[str]:
        """A pass is complete and its cursor stored. Returns the names of the walks wanted because of that."""
        return self._wanted({state.walk.wakes, state.walk.name})

    def _wanted(self, names: Iterable[str]) -> set[str]:
        asked, wanted = set(names), set[str]()
        for probe in self._probes:
            looked, completed_ms = self._mark(probe.name), self._mark(probe.wakes).completed_ms
            woke_ms, looked_ms = looked.lasting.woke_ms, looked.completed_ms
            # A wish later than the last look is a clock's that was set back: it would last until that moment comes.
            meant = woke_ms is not None and (looked_ms is None or woke_ms <= looked_ms)
            # One that was never complete is read anyway.
            if probe.wakes in asked and meant and woke_ms and completed_ms is not None and completed_ms < woke_ms:
                wanted.add(probe.wakes)
        return wanted

    def _mark(self, walk: str) -> Bookmark:
        return Bookmark.read(self._sequencer.cursor(walk).value)
