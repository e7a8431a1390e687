"""A bench whose live sessions do what a test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
from anyio.abc import TaskStatus

from bridge.adapter import Json, Look, Record, Token, Walk
from bridge.engine.ports import Feed, Offer
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from bridge.engine.vigil import SessionStatistics
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter, SimSettings

Hold = Callable[[Offer, TaskStatus[None]], Awaitable[None]]


class Scripted:
    """A feed that does what it is told."""

    def __init__(self, script: Hold) -> None:
        self._script = script

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        await self._script(offer, task_status)


class Stage(Bench):
    """A bench whose live sessions are scripted, and whose vendor may have nothing to ask."""

    def __init__(self, script: Hold, *, walks: bool = True, **settings: Any) -> None:
        super().__init__(live=True, **settings)
        self.tokens: list[Token] = []
        self._script = script
        self._walks = walks

        self.pushed_only = False
        self.statistics: SessionStatistics | None = None

    def _fresh(self) -> Runner:
        adapter = OneWay(self._settings, self._walks, self.pushed_only)
        return Runner(Source(adapter, self._feed, session=self.statistics), self._world)

    def _feed(self, token: Token) -> Feed:
        self.tokens.append(token)
        return Scripted(self._script)


class OneWay(SimAdapter):
    """Refuses, breaks or fails where a frame says so."""

    def __init__(self, settings: SimSettings, walks: bool, pushed_only: bool) -> None:
        super().__init__(settings)
        self._asked = walks
        self._pushed_only = pushed_only

    @property
    def live_only(self) -> bool:
        return self._pushed_only

    def walks(self, token: Token) -> Sequence[Walk]:
        return super().walks(token) if self._asked else []

    def live(self, frame: Json) -> Sequence[Record | Look]:  # type: ignore[override]
        if isinstance(frame, Exception):
            raise frame
        if "look" in frame:
            return [Look(frame["look"])]
        return super().live(frame)


def row(id_: str, value: str = "1") -> Json:
    return {"id": id_, "value": value, "n": 1}


def gaps(bench: Bench) -> list[Json]:
    return [e.data["after"] for e in bench.ledger.events if e.subject.startswith("events.bridge.acme.gap.closed.")]


def run(bench: Bench, seconds: float, check: Callable[[], None] = lambda: None) -> None:
    async def script() -> None:
        await anyio.sleep(seconds)
        check()

    on_virtual_clock(lambda: bench.during(script))
