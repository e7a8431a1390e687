"""Entities whose ids the vendor encodes anew: they keep the key under which the stream knows them.

A vendor that reads by id may answer with another id for the same thing, and from then on uses only that one. What it
answered is remembered beside the cursors, some thousand ids to a record. An unknown id on something that is older than
the last complete pass is suspicious: it waits until every known id has been looked up once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import anyio

from bridge.adapter import Record, Walk
from bridge.engine.sequencer import Sequencer

PREFIX = "aliases-"
"""Cursors by such names are no walks."""
MOST_IN_ONE = 2_000
MOST_STRANGERS = 100_000


class Aliases:
    """Of one source, for as long as its book is open."""

    def __init__(self, sequencer: Sequencer, cursors: Mapping[str, Mapping[str, object]]) -> None:
        self._sequencer = sequencer
        self._known: dict[str, dict[str, str]] = {}
        self._sizes: dict[str, int] = {}
        self._walks: dict[str, Walk] = {}
        self._settled_before_ms: dict[str, int] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._looked_up_at: dict[str, float] = {}
        for name, value in cursors.items():
            if not name.startswith(PREFIX):
                continue
            entity, pairs = value.get("entity"), value.get("aliases")
            if isinstance(entity, str) and isinstance(pairs, dict):
                self._sizes[name] = len(pairs)
                self._known.setdefault(entity, {}).update(
                    (new, old) for new, old in pairs.items() if isinstance(new, str) and isinstance(old, str)
                )

    def prepare(self, walks: Iterable[Walk]) -> None:
        """Which walks look up known ids."""
        self._walks = {walk.entity: walk for walk in walks if walk.batch}

    def walk_of(self, entity: str) -> Walk | None:
        """The walk that looks up this kind of entity by id; None if nothing does."""
        return self._walks.get(entity)

    def completed(self, walk: Walk, began_at: float, began_ms: int) -> None:
        """A pass of `walk` is complete: all known ids were looked up, or everything older than that was read."""
        if walk.batch:
            self._looked_up_at[walk.entity] = began_at
        else:
            margin_ms = round((walk.overlap_s + walk.lag_s) * 1000)
            known_ms = self._settled_before_ms.get(walk.entity, 0)
            self._settled_before_ms[walk.entity] = max(known_ms, began_ms - margin_ms)

    def familiar(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """The records under the keys we know, and those that must wait for a look-up."""
        if not self._walks and not self._known:
            return list(records), []
        familiar: list[Record] = []
        strange: list[Record] = []
        for record in records:
            known_as = self._known.get(record.entity, {}).get(record.id)
            if known_as is not None:
                familiar.append(replace(record, id=known_as))
            elif self._is_strange(record):
                strange.append(record)
            else:
                familiar.append(record)
        return familiar, strange

    async def learn(self, entity: str, pairs: Mapping[str, str]) -> None:
        """The vendor answered with the new id (key) when asked for one that we know (value). Raises Away."""
        known = self._known.setdefault(entity, {})
        fresh = {
            new: old
            for new, old in pairs.items()
            # What already has a life of its own in the stream keeps it.
            if new != old and known.get(new) != old and not self._sequencer.knows(entity, new)
        }
        if not fresh:
            return
        known.update(fresh)
        name = self._segment(entity)
        value = self._sequencer.cursor(name).value.get("aliases", {})
        merged = {**(value if isinstance(value, dict) else {}), **fresh}
        await self._sequencer.mark(name, {"entity": entity, "aliases": merged})
        self._sizes[name] = len(merged)

    def _segment(self, entity: str) -> str:
        number = 0
        while self._sizes.get(name := f"{PREFIX}{entity}-{number}", 0) >= MOST_IN_ONE:
            number += 1
        return name

    def _is_strange(self, record: Record) -> bool:
        settled_ms = self._settled_before_ms.get(record.entity, 0)
        if record.entity not in self._walks or record.at_ms is None or record.at_ms >= settled_ms or record.gone:
            return False
        if self._sequencer.knows(record.entity, record.id):
            return False
        key = (record.entity, record.id)
        if len(self._since) >= MOST_STRANGERS:
            self._since.clear()
        since = self._since.setdefault(key, anyio.current_time())
        if self._looked_up_at.get(record.entity, float("-inf")) >= since:
            del self._since[key]
            return False
        return True
