"""How much each walk asks for at once: less after the vendor called it too complex; and what a request costs."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import structlog

from bridge.adapter import Ask, Walk
from bridge.core.errors import TooComplex, WalkRefused

REMEMBERED = 8
"""Answers by which a walk's cost is told. The smallest counts: others who share the quota only add to it."""

log = structlog.get_logger()


class Portions:
    """Of one source, for as long as the process lives."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._sizes: dict[str, int] = {}
        self._costs: dict[str, deque[int]] = {}
        self._spent: dict[str, int] = {}

    def fitted(self, ask: Ask) -> Ask:
        """The same question, no larger than the vendor takes: with a smaller page, or only the first of its ids."""
        size = self._sizes.get(ask.walk.name)
        if size is None:
            return ask
        walk = replace(ask.walk, page_size=min(size, ask.walk.page_size))
        return replace(ask, walk=walk, ids=ask.ids if ask.walk.of else ask.ids[:size])

    def halve(self, asked: Ask, error: TooComplex) -> None:
        """From now on ask for half of what was asked. Raises WalkRefused when it was a single record."""
        ids, name = 0 if asked.walk.of else len(asked.ids), asked.walk.name
        size = ids or asked.walk.page_size
        if size <= 1:
            raise WalkRefused(
                f"walk {name}: even one record at a time is too complex for the vendor ({error}); ask for fewer fields"
            ) from error
        self._sizes[name] = size // 2
        self._costs.pop(name, None)
        log.error(
            "query.too_complex",
            source=self._source,
            walk=name,
            asked_for=size,
            from_now_on=size // 2,
            advice="ask for fewer fields, or set the page size to what is used from now on",
        )

    def cost(self, walk: Walk) -> int:
        """How many requests the vendor counts for one of this walk, as far as its answers told."""
        return min(self._costs.get(walk.name, ()), default=1)

    def counted(self, walk: Walk, cost: int) -> None:
        """The vendor counted so many for one request of this walk."""
        self._costs.setdefault(walk.name, deque(maxlen=REMEMBERED)).append(cost)

    def asked(self, walk: Walk) -> None:
        """A request of this walk goes to the vendor."""
        self._spent[walk.name] = self._spent.get(walk.name, 0) + self.cost(walk)

    def spent(self, walk: Walk) -> int:
        """How many requests the vendor counted for this walk since this was asked last: those of a pass, at its end."""
        return self._spent.pop(walk.name, 0)
