"""Entities whose ids the vendor encodes anew: they keep the key under which the stream knows them.

A vendor that reads by id may answer with another id for the same thing, and from then on uses only that one. What it
answered is remembered beside the cursors, some thousand ids to a record. An unknown id on something that is older than
the last complete pass is suspicious: it waits until every known id has been looked up once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import anyio
import structlog

from bridge.adapter import Record, Walk
from bridge.engine.sequencer import Sequencer

PREFIX = "aliases-"
"""Cursors by such names are no walks."""
MOST_IN_ONE = 256 * 1024
"""Bytes of ids in one of those cursors, of which the last addition may be some more."""
MOST_STRANGERS = 100_000

log = structlog.get_logger()


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
        self._distinct: set[tuple[str, str]] = set()
        for name, value in cursors.items():
            if not name.startswith(PREFIX):
                continue
            entity, pairs = value.get("entity"), value.get("aliases")
            if isinstance(entity, str) and isinstance(pairs, dict):
                self._sizes[name] = _size(pairs)
                self._known.setdefault(entity, {}).update(
                    (new, old) for new, old in pairs.items() if isinstance(new, str) and isinstance(old, str)
                )

    def prepare(self, walks: Iterable[Walk]) -> None:
        """Which walks look up known ids."""
        walks = list(walks)
        self._walks = {walk.entity: walk for walk in walks if walk.batch and not walk.of}
        for walk in walks:
            # What another life of ours has read is as settled as what this one will.
            completed_ms = self._sequencer.cursor(walk.name).value.get("completed_ms")
            if not walk.batch and isinstance(completed_ms, int):
                self._settle(walk, completed_ms)

    @property
    def idle(self) -> bool:
        """Whether every record keeps the id it comes with, and none has to wait."""
        return not self._walks and not self._known

    def any_of(self, entity: str) -> bool:
        """Whether a record of this kind may be known under another id than it comes with."""
        return bool(self._known.get(entity))

    def walk_of(self, entity: str) -> Walk | None:
        """The walk that looks up this kind of entity by id; None if nothing does."""
        return self._walks.get(entity)

    def completed(self, walk: Walk, began_at: float, began_ms: int) -> None:
        """A pass of `walk` is complete: all known ids were looked up, or everything older than that was read."""
        if walk.batch and not walk.of:
            self._looked_up_at[walk.entity] = began_at
        else:
            self._settle(walk, began_ms)

    def _settle(self, walk: Walk, began_ms: int) -> None:
        margin_ms = round((walk.overlap_s + walk.lag_s) * 1000)
        known_ms = self._settled_before_ms.get(walk.entity, 0)
        self._settled_before_ms[walk.entity] = max(known_ms, began_ms - margin_ms)

    def familiar(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """The records under the keys we know, and those that must wait for a look-up."""
        if not self._walks and not self._known:
            return list(records), []
        together = {(record.entity, record.id) for record in records} if self._known else set()
        familiar: list[Record] = []
        strange: list[Record] = []
        for record in records:
            known_as = self._known.get(record.entity, {}).get(record.id)
            if known_as is not None and (record.entity, known_as) in together:
                # Two things under their own ids: a look-up that called the one by the other's was not to be believed.
                self._part(record.entity, record.id)
                known_as = None
            if known_as is not None:
                familiar.append(replace(record, id=known_as))
            elif self._is_strange(record):
                strange.append(record)
            else:
                familiar.append(record)
        return familiar, strange

    async def learn(self, entity: str, pairs: Mapping[str, str]) -> None:
        """The vendor answered with the new id (key) when asked for one that we know (value). Raises Away."""
        if not pairs:
            return
        known = self._known.setdefault(entity, {})
        fresh = {
            new: old
            for new, old in pairs.items()
            # What already has a life of its own keeps it.
            if new != old
            and known.get(new) != old
            and (entity, new) not in self._distinct
            and not self._sequencer.knows(entity, new)
        }
        if not fresh:
            return
        known.update(fresh)
        name = self._segment(entity)
        value = self._sequencer.cursor(name).value.get("aliases", {})
        merged = {**(value if isinstance(value, dict) else {}), **fresh}
        await self._sequencer.mark(name, {"entity": entity, "aliases": merged})
        self._sizes[name] = _size(merged)

    def _part(self, entity: str, new: str) -> None:
        del self._known[entity][new]
        if len(self._distinct) < MOST_STRANGERS:
            self._distinct.add((entity, new))
        log.warning("alias.dropped", entity=entity, reason="the vendor lists both ids in one answer, as two things")

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


def _size(pairs: Mapping[object, object]) -> int:
    return sum(len(f"{new}{old}".encode("utf-8", "surrogatepass")) + 8 for new, old in pairs.items())
