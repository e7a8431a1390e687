"""The vendor of a story: things that change, and a journal of what happened once, which tells of some of it late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import anyio

from bridge.adapter import Ask, BaseSettings, Json, Page, Record, Request, Response, Retry, Secret, Token, Walk, setting
from tests.simulation.wire import Wire
from tests.support import sim_vendor as sim
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall

FAULTS = [
    sim.status(500), sim.status(500), sim.status(410), sim.status(401), sim.status(429, **{"retry-after": "3"}),
    sim.garbage, sim.stuck, sim.loading,
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShopSettings(SimSettings):
    """How the shop is read."""

    journal_every_s: float = setting(0.0, doc="seconds between readings of the journal; 0: it is not read")
    reach_s: float = setting(0.0, doc="how far back the journal is read")
    overlap_s: float = setting(0.0, doc="margin of the journal's window")


class ShopAdapter(SimAdapter):
    """Facts of the shop."""

    Settings: ClassVar[type[BaseSettings]] = ShopSettings
    settings: ShopSettings

    def walks(self, token: Token) -> Sequence[Walk]:
        """The things, and the journal."""
        settings = self.settings
        walks = list(super().walks(token))
        if settings.journal_every_s:
            walks.append(
                Walk(
                    "journal", "beep", settings.journal_every_s, page_size=settings.page_size, once=True,
                    reach_s=settings.reach_s, overlap_s=settings.overlap_s,
                )
            )  # fmt: skip
        return walks

    def request(self, ask: Ask, token: Token) -> Request:
        """One page of either."""
        request = super().request(ask, token)
        if ask.walk.once and ask.window is not None:
            window = [ask.window.start_ms, ask.window.end_ms]
            return replace(request, json={**request.json, "window": window})
        return request

    def page(self, ask: Ask, response: Response) -> Page:
        """What is read twice of a journal is no sign that it does not advance."""
        return replace(super().page(ask, response), repeats=ask.walk.once)

    def record(self, ask: Ask, row: Json) -> Record:
        """A thing, or what happened once."""
        if ask.walk.once:
            return Record("beep", row["id"], {"at": row["at"]}, at_ms=row["at"], occurred=True)
        return super().record(ask, row)


class Shop(SimVendor):
    """`offset`: things are paged by number, so pages move. `journal`: when each entry happened, and is told from."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = False
        self.journal: dict[str, tuple[int, int]] = {}
        self._revoked = 0
        self._loads_until = 0

    def happen(self, late_ms: int) -> str:
        """An entry in the journal, which is shown only so much later."""
        id_ = f"j{len(self.journal)}"
        self.journal[id_] = (wall(), wall() + late_ms)
        return id_

    def revoke(self) -> None:
        """No token counts any more that was given so far."""
        self._revoked = self.logins

    def load(self, seconds: float) -> None:
        """For so long every page says that it is not all."""
        self._loads_until = wall() + round(seconds * 1000)

    def _things(self, request: Request) -> Response:
        asked: Any = request.json
        secret = request.headers["authorization"]
        assert isinstance(secret, Secret)
        _, number, ends = secret.reveal().split("-")
        if int(number) <= self._revoked:
            return Response(401, {}, b"")
        answer = self._answer(asked, request) if int(ends) > wall() else super()._things(request)
        return sim.loading(answer) if wall() < self._loads_until else answer

    def _answer(self, asked: Any, request: Request) -> Response:
        if not ("window" in asked or self.offset):
            return super()._things(request)
        after, size = asked["after"], asked["size"]
        if "window" in asked:
            start, end = asked["window"]
            entries = sorted((at, id_) for id_, (at, shown) in self.journal.items() if shown <= wall())
            rest = [one for one in entries if start <= one[0] <= end and (after is None or list(one) > after)][:size]
            rows: list[Json] = [{"id": id_, "at": at} for at, id_ in rest]
            return sim._answer({"rows": rows, "next": list(rest[-1]) if rest else None})
        order = sorted(self.things.values(), key=lambda thing: (thing.position, thing.id))
        # A position that was never given is the beginning.
        begin = after if isinstance(after, int) else 0
        page = order[begin:][:size]
        return sim._answer({"rows": [thing.row() for thing in page], "next": begin + len(page)})


class Line:
    """See `Http`: one process's way to the shop. `faulty`: how many of a hundred answers are none.

    `slow_s`: how long an answer takes at most.
    """

    def __init__(self, shop: Shop, wire: Wire) -> None:
        self._shop = shop
        self._wire = wire
        self.faulty = 0
        self.slow_s = 0.0

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        wire, chance = self._wire, self._wire.chance
        if wire.life.dead:
            raise Retry("this process is dead")
        wire.risk()
        response = await self._shop.send(request, timeout_s=timeout_s, max_bytes=max_bytes)
        wire.told("request")
        if self.slow_s:
            takes_s = chance.random() ** 3 * self.slow_s
            if takes_s > timeout_s:
                await anyio.sleep(timeout_s)
                raise Retry(f"no answer within {timeout_s:g} s")
            await anyio.sleep(takes_s)
        if self.faulty and chance.randrange(100) < self.faulty:
            if request.url == "sim:login":
                return Response(500, {}, b"")
            response = chance.choice(FAULTS)(response)
        wire.risk()
        return response


class Pushes:
    """What becomes of pushes: withheld, doubled, and, where versions put it right, reordered."""

    def __init__(self, chance: Random, *, reorders: bool) -> None:
        self._chance = chance
        self._reorders = reorders
        self._held: list[Json] = []
        self.lossy = True

    def __call__(self, row: Json) -> list[Json]:
        """What is delivered in its place, now."""
        if not self.lossy:
            return [row]
        roll = self._chance.random()
        if roll < 0.2:
            return []
        if roll < 0.4:
            return [row, row]
        if roll < 0.6 and self._reorders:
            self._held.append(row)
            return []
        out, self._held = [row, *self._held], []
        return out
