"""A vendor whose queries lag behind its pushes and who calls things by new ids, and a bench for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import anyio

from bridge.adapter import Ask, Json, Page, Record, Request, Response, Token, Walk
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support.engine import Bench
from tests.support.sim_vendor import SimAdapter, SimVendor, _answer, wall


class Replicas(SimVendor):
    """Queries are answered by replicas in turn, each so many seconds behind. `prefix` re-encodes the ids it sends.

    `takes` draws how many seconds an answer is on its way, once it is made.
    """

    def __init__(self, *lags: float) -> None:
        super().__init__()
        self._lags = cycle(lags)
        self._states: list[tuple[int, dict[str, Json]]] = []
        self.created: dict[str, int] = {}
        self.prefix = ""
        self.hidden: set[str] = set()
        self.asked: list[list[str]] = []
        self.reads = 0
        self.takes: Callable[[], float] = lambda: 0.0

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        response = await super().send(request, timeout_s=timeout_s, max_bytes=max_bytes)
        await anyio.sleep(self.takes())
        return response

    def put(self, id_: str, value: str, *, position: int | None = None) -> None:
        self.created.setdefault(id_, wall())
        super().put(id_, value, position=position)
        self._remember()

    def drop(self, id_: str) -> None:
        super().drop(id_)
        self._remember()

    def _remember(self) -> None:
        self._states.append((wall(), {id_: thing.row() for id_, thing in self.things.items()}))

    def offer(self, row: Json) -> None:
        super().offer(self._named(row))

    def _named(self, row: Json) -> Json:
        return {**row, "id": self.prefix + row["id"], "created": self.created[row["id"]]}

    def _things(self, request: Request) -> Response:
        until = wall() - next(self._lags) * 1000
        state: dict[str, Json] = next((state for at, state in reversed(self._states) if at <= until), {})
        body = request.json
        if body["ids"] is not None:
            self.asked.append(list(body["ids"]))
            rows = [state.get(id_.removeprefix(self.prefix)) for id_ in body["ids"]]
            return _answer({"rows": [row and self._named(row) for row in rows], "next": None})
        self.reads += 1
        rows = [self._named(row) for id_, row in state.items() if id_ not in self.hidden]
        return _answer({"rows": rows, "next": None})


class Facts(SimAdapter):
    """Reads everything, and every known thing by its id."""

    lag_s = 60.0
    again_s: Sequence[float] = ()
    by_id = False
    push_disorder_s = 0.0

    def walks(self, token: Token) -> Sequence[Walk]:
        whole = replace(*super().walks(token), page_size=1_000, lag_s=self.lag_s, again_s=self.again_s)
        known = Walk("known", "thing", 300.0, lag_s=self.lag_s, batch=2, on_connect=False)
        return [whole, known] if self.by_id else [whole]

    def request(self, ask: Ask, token: Token) -> Request:
        request = super().request(ask, token)
        return replace(request, json={**request.json, "ids": list(ask.ids) if ask.walk.batch else None})

    def page(self, ask: Ask, response: Response) -> Page:
        page = super().page(ask, response)
        if not ask.walk.batch:
            return page
        found = [(id_, row) for id_, row in zip(ask.ids, page.rows, strict=True) if row is not None]
        return Page([row for _, row in found], aliases={row["id"]: id_ for id_, row in found})

    def _record(self, row: Json) -> Record:
        return replace(super()._record(row), at_ms=row["created"])


class Laggard(Bench):
    """A bench whose vendor lags."""

    def __init__(self, *lags: float, facts: type[Facts] = Facts, live: bool = True, **settings: Any) -> None:
        super().__init__(live=live, **settings)
        self.replicas = self.vendor = Replicas(*lags)
        self._world = replace(self._world, http=self.vendor)
        self._facts = facts

    def _fresh(self) -> Runner:
        return Runner(Source(self._facts(self._settings), self.vendor.feed if self._live else None), self._world)
