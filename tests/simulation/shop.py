"""The vendor of a story: things that change, and a journal of what happened once, which tells of some of it late."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus

from bridge.adapter import Json, Request, Response, Secret, Token, Unauthorized
from bridge.engine.ports import Offer
from tests.simulation.reading import QUOTA_S
from tests.support import sim_vendor as sim
from tests.support.sim_vendor import SimFeed, SimVendor, wall

if TYPE_CHECKING:
    from tests.simulation.fate import Fate

MILD = [
    sim.status(500), sim.status(500), sim.status(410), sim.status(429, **{"retry-after": "3"}), sim.garbage, sim.stuck,
    sim.loading,
]  # fmt: skip
FAULTS = [*MILD, sim.status(401)]
"""Who refuses two tokens in a row is asked again after an hour."""


class Shop(SimVendor):
    """`journal`: when each entry happened, and is told from. `early`: requests that came in spite of its quota or of
    what it said last; `lapsed`: that came with a token whose time was over.

    `name`: of the source that reads it. See the fields of the same names in `fate.py`.
    """

    def __init__(self, name: str, fate: Fate) -> None:
        super().__init__()
        self.name = name
        self.fate = fate
        self.token_life_s = fate.token_life_s
        self.pushes = Pushes(Random(f"push {fate.seed} {name}"), reorders=fate.versioned)
        self.pushes.lossy = fate.lossy
        self.push = self.pushes
        self.journal: dict[str, tuple[int, int]] = {}
        self.early = 0
        self.outlived = 0
        """Sessions that nobody had replaced when their token's time was over."""
        self._shut_until = 0.0
        self._latest: deque[float] = deque()
        self._revoked = 0
        self._loads_until = 0
        self._hidden: dict[str, int] = {}

    # --- the world ---

    def happen(self, late_ms: int) -> str:
        """An entry in the journal, which is shown only so much later, and pushed at once."""
        id_ = f"j{len(self.journal)}"
        self.journal[id_] = (wall(), wall() + late_ms)
        self._push({"kind": "beep", "id": id_, "at": wall()})
        return id_

    def revoke(self) -> None:
        """No token counts any more that was given so far."""
        self._revoked = self.logins

    def hide(self, id_: str, seconds: float) -> None:
        """The list does not show it for so long, though it is there."""
        self._hidden[id_] = wall() + round(seconds * 1000)
        self._changes += 1

    def load(self, seconds: float) -> None:
        """For so long every page says that it is not all."""
        self._loads_until = wall() + round(seconds * 1000)

    @property
    def settled(self) -> str:
        """What it is still about to tell; "" when that is nothing."""
        shown = max((shown for _, shown in self.journal.values()), default=0)
        hides = max(self._hidden.values(), default=0)
        return "it does not show everything yet" if wall() < max(shown, hides) else ""

    # --- REST ---

    def forget(self) -> None:
        """A new process cannot know what the one before has asked for, and been told."""
        self._latest.clear()
        self._shut_until = 0.0

    def refuses(self, response: Response) -> None:
        """It has said 429, and when it may be asked again."""
        if response.status == 429:
            self._shut_until = anyio.current_time() + float(response.headers["retry-after"])

    def _things(self, request: Request) -> Response:
        now = anyio.current_time()
        if now < self._shut_until - 0.02:
            self.early += 1
        if self.fate.quota:
            while self._latest and self._latest[0] <= now - QUOTA_S + 0.001:
                self._latest.popleft()
            self._latest.append(now)
            if len(self._latest) > self.fate.quota:
                self.early += 1
                return Response(429, {"retry-after": "1"}, b"")
        if not self.accepts(request.headers["authorization"]):
            return Response(401, {}, b"")
        answer = self._answer(request)
        return sim.loading(answer) if wall() < self._loads_until else answer

    def accepts(self, secret: Any) -> bool:
        """Whether a token counts."""
        assert isinstance(secret, Secret)
        _, number, ends = secret.reveal().split("-")
        if int(ends) <= wall():
            self.lapsed += 1
        return int(number) > self._revoked and int(ends) > wall()

    def _answer(self, request: Request) -> Response:
        asked: Any = request.json
        if "window" in asked:
            return self._journal(asked)
        if "id" in asked:
            found = self.things.get(asked["id"])
            return sim._answer({"rows": [] if found is None else [found.row()], "next": None})
        # One tag for all pages: it is of the collection.
        tag = f'"v{self._changes}-{len(self._listed())}"' if self.fate.tagged else ""
        if tag and request.headers.get("If-None-Match") == tag:
            return Response(304, {"etag": tag}, b"")
        answer = self._by_number(asked) if self.fate.offset else self._by_position(asked)
        return Response(200, {"etag": tag}, b"", answer.json) if tag else answer

    def _journal(self, asked: Any) -> Response:
        after, (start, end) = asked["after"], asked["window"]
        entries = sorted((at, id_) for id_, (at, shown) in self.journal.items() if shown <= wall())
        rest = [one for one in entries if start <= one[0] <= end and (after is None or list(one) > after)]
        page = rest[: asked["size"]]
        rows: list[Json] = [{"id": id_, "at": at} for at, id_ in page]
        return sim._answer({"rows": rows, "next": list(page[-1]) if page else None})

    def _listed(self) -> list[sim.Thing]:
        now = wall()
        shown = [thing for thing in self.things.values() if self._hidden.get(thing.id, 0) <= now]
        return sorted(shown, key=lambda thing: (thing.position, thing.id))

    def _by_number(self, asked: Any) -> Response:
        # A position that was never given is the beginning.
        begin = asked["after"] if isinstance(asked["after"], int) else 0
        page = self._listed()[begin:][: asked["size"]]
        return sim._answer({"rows": [thing.row() for thing in page], "next": begin + len(page)})

    def _by_position(self, asked: Any) -> Response:
        after = asked["after"]
        rest = [thing for thing in self._listed() if after is None or [thing.position, thing.id] > after]
        page = rest[: asked["size"]]
        rows = [thing.row() for thing in page]
        return sim._answer({"rows": rows, "next": [page[-1].position, page[-1].id] if page else None})

    # --- live ---

    def feed(self, token: Token) -> SimFeed:
        """A live session; where they do, it lasts as long as its token."""
        return Session(self, token) if self.fate.hands_over else SimFeed(self)


class Session(SimFeed):
    """See `Feed`: one that the shop ends with its token."""

    def __init__(self, shop: Shop, token: Token) -> None:
        super().__init__(shop)
        self._shop = shop
        self._token = token

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Deliver until hung up, or the token's time is over."""
        if not self._shop.accepts(self._token.value):
            raise Unauthorized("this token does not count")
        ends_ms = self._token.expires_ms or 0
        with anyio.move_on_after((ends_ms - wall()) / 1000):
            await super().hold(offer, task_status=task_status)
        self._shop.outlived += 1
        raise Unauthorized("the session's token has lapsed")


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
