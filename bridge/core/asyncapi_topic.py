"""What the AsyncAPI document speaks of: one topic for each entity of each source, and for each of the bridge's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.own import ALERT, GAP, PREFIX, QUARANTINE, SOURCE, VENDOR, Own
from bridge.core.published import Published
from bridge.core.subject import MAIN, TELEMETRY, Lane, token

_PART = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """One source as consumers meet it. `schemas`: the shared shape of an entity, as `person/1`, where it has one."""

    vendor: str
    source: str
    type_prefix: str
    entities: Sequence[Published]
    schemas: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """The events that share a channel and a message. `source` and `entity` are None where the subject's varies.

    `names`: the values of a source that varies; plain values all, not subject tokens. `schema`: of the data, None for
    that of no shape.
    """

    vendor: str
    source: str | None
    entity: str | None
    names: Sequence[str] = ()
    changes: Sequence[str]
    type_prefix: str
    schema: str | None
    lane: Lane = MAIN
    own: Own | None = None

    @property
    def key(self) -> str:
        """Its name within the document."""
        parts = [self.vendor, self.source, self.entity or "any"]
        if self.own is not None:
            parts = [self.vendor, self.entity]
        name = ".".join(_PART.sub("_", token(part)) for part in parts if part is not None)
        return f"telemetry.{name}" if self.lane is TELEMETRY else name

    @property
    def tail(self) -> str:
        """What follows the prefix in its address, up to the change: tokens, or parameters in braces."""
        source = "{source}" if self.source is None else token(self.source)
        return f"{token(self.vendor)}.{source}.{'{entity}' if self.entity is None else token(self.entity)}"

    @property
    def has_state(self) -> bool:
        """Whether its entities are in the view."""
        return self.lane is MAIN and self.own is None and any(change != "occurred" for change in self.changes)


def topics(publishers: Iterable[Publisher], alerts: Sequence[str]) -> list[Topic]:
    """All topics: those of sources by vendor, source and entity, then the bridge's own. `alerts`: their names."""
    ordered = sorted(publishers, key=lambda one: (one.vendor, one.source))
    found = [
        Topic(
            vendor=one.vendor, source=one.source, entity=said.entity, changes=said.changes,
            type_prefix=one.type_prefix, schema=None if said.entity is None else one.schemas.get(said.entity),
            lane=TELEMETRY if said.telemetry else MAIN,
        )
        for one in ordered
        for said in one.entities
    ]  # fmt: skip
    everyone = {one.source for one in ordered}
    measuring = {one.source for one in ordered if any(said.telemetry for said in one.entities)}
    # What is too large is told where it would have been, be it an alert or telemetry.
    ours = [(GAP, everyone, MAIN), (QUARANTINE, everyone | {*alerts}, MAIN), (SOURCE, everyone, MAIN)]
    ours += [(ALERT, {*alerts}, MAIN), (GAP, measuring, TELEMETRY), (QUARANTINE, measuring, TELEMETRY)]
    found += [_own(own, sorted(names), lane) for own, names, lane in ours if names]
    return found


def _own(own: Own, names: Sequence[str], lane: Lane) -> Topic:
    return Topic(
        vendor=VENDOR, source=None, entity=own.entity, names=names, changes=own.changes, type_prefix=PREFIX,
        schema=own.id, lane=lane, own=own,
    )  # fmt: skip
