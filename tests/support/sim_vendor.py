"""A vendor in memory, for engine tests on a virtual clock: it edits, pages, pushes, lies and breaks as told.

Its `history` is what it issued, per entity and in order: the oracle compares the stream with that.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from bridge.adapter import (
    Adapter,
    Ask,
    BaseSettings,
    CursorExpired,
    Json,
    Limit,
    Login,
    Malformed,
    Page,
    Record,
    Request,
    Response,
    Retry,
    Secret,
    Throttled,
    Token,
    Unauthorized,
    Walk,
    setting,
)
from bridge.core.errors import Refused
from bridge.engine.ports import Offer

EPOCH_MS = 1_700_000_000_000
GONE = "gone"


def wall() -> int:
    """The wall clock of a test: the virtual clock, moved to a plausible date."""
    return EPOCH_MS + round(anyio.current_time() * 1000)


@dataclass(frozen=True, kw_only=True)
class SimSettings(BaseSettings):
    """How the simulated vendor is read."""

    page_size: int = setting(3, doc="rows per page")
    every_s: float = setting(10.0, doc="seconds between passes")
    versioned: bool = setting(False, doc="records carry a version")
    deletes: bool = setting(False, doc="absence means deletion")
    slow_walk: bool = setting(False, doc="read the collection by a second, slower walk as well")


class SimAdapter(Adapter[SimSettings]):
    """Facts of the simulated vendor."""

    Settings: ClassVar[type[BaseSettings]] = SimSettings
    vendor = "sim"
    type_prefix = "test.sim"
    mapping_version = "1"

    @property
    def budget_key(self) -> str:
        return "sim"

    @property
    def limit(self) -> Limit:
        return Limit(100_000, 60.0)

    def login(self) -> Login:
        response = yield Request("POST", "sim:login", counts=False)
        claims = response.json
        if response.status != 200 or not isinstance(claims, dict):
            raise Retry(f"login answered {response.status}")
        return Token(Secret(claims["token"]), claims["issued_ms"], claims["expires_ms"])

    def walks(self, token: Token) -> Sequence[Walk]:
        settings = self.settings
        fast = Walk("things", "thing", settings.every_s, page_size=settings.page_size, reports_absence=settings.deletes)
        slow = Walk("things-slow", "thing", settings.every_s * 7, page_size=settings.page_size)
        return [fast, slow] if settings.slow_walk else [fast]

    def request(self, ask: Ask, token: Token) -> Request:
        body = {"after": ask.position, "size": ask.walk.page_size}
        return Request("GET", "sim:things", {"authorization": token.value}, body)

    def page(self, ask: Ask, response: Response) -> Page:
        self._raise_for(response)
        rows = response.json["rows"]
        full = len(rows) >= ask.walk.page_size
        return Page(rows, response.json["next"] if full else None, complete=not response.json.get("loading"))

    def record(self, ask: Ask, row: Json) -> Record:
        return self._record(row)

    def basis(self, ask: Ask) -> Json:
        return "things"

    def belongs(self, ask: Ask, after: Json) -> bool:
        return True

    def live(self, frame: Json) -> Sequence[Record]:
        return [self._record(frame)]

    def _record(self, row: Json) -> Record:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise Malformed("a thing needs an id", raw=json.dumps(row).encode())
        version = str(row["n"]) if self.settings.versioned else None
        if row["value"] == GONE:
            return Record("thing", row["id"], None, version=version, gone=True)
        return Record("thing", row["id"], {"value": row["value"]}, version=version)

    @staticmethod
    def _raise_for(response: Response) -> None:
        if response.status == 401:
            raise Unauthorized("401")
        if response.status == 403:
            raise Refused("403")
        if response.status == 410:
            raise CursorExpired("410")
        if response.status == 429:
            raise Throttled("429", after=float(response.headers["retry-after"]))
        if response.status != 200:
            raise Retry(f"answered {response.status}")
        if response.json is None:
            raise Malformed("not JSON", raw=response.body)


@dataclass(slots=True)
class Thing:
    """An entity as the vendor has it. `position` orders the collection and may tie with others."""

    id: str
    position: int
    n: int
    value: str

    def row(self) -> Json:
        return {"id": self.id, "position": self.position, "n": self.n, "value": self.value}


class SimVendor:
    """Implements the engine's `Http` port, and makes live sessions with `feed`.

    `faults`: one per request, in order; each turns an answer into another, None lets it pass. `on_step` is called
    at every request, for crashes. `pushes`: what a push becomes: a list of rows to deliver now.
    """

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.history: dict[str, list[str]] = {}
        self.faults: deque[Callable[[Response], Response] | None] = deque()
        self.on_step: Callable[[str], None] = lambda _: None
        self.token_life_s = 600.0
        self.delay_s = 0.01
        self.requests = self.logins = self.lapsed = 0
        self.push: Callable[[Json], list[Json]] = lambda row: [row]
        self.rows_wrapped: Callable[[list[Json]], list[Json]] = lambda rows: rows
        self._changes = 0
        self._offers: list[Offer] = []
        self._hang_up = anyio.Event()

    # --- the world ---

    def put(self, id_: str, value: str, *, position: int | None = None) -> None:
        """Create or edit an entity."""
        self._changes += 1
        known = self.things.get(id_)
        place = known.position if known else (self._changes if position is None else position)
        self.things[id_] = Thing(id_, place, self._changes, value)
        self.history.setdefault(id_, []).append(value)
        self._push(self.things[id_].row())

    def drop(self, id_: str) -> None:
        """Delete an entity."""
        if id_ in self.things:
            self._changes += 1
            del self.things[id_]
            self.history[id_].append(GONE)
            self._push({"id": id_, "n": self._changes, "value": GONE, "position": 0})

    def state(self) -> dict[str, str]:
        """What exists now."""
        return {id_: thing.value for id_, thing in self.things.items()}

    # --- REST ---

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        self.on_step("request")
        await anyio.sleep(self.delay_s)
        self.requests += 1
        login = request.url == "sim:login"
        response = self._login() if login else self._things(request)
        fault = self.faults.popleft() if self.faults and (not login or self.logins > 1) else None
        await anyio.sleep(0.01)
        self.on_step("response")
        return response if fault is None else fault(response)

    def _login(self) -> Response:
        self.logins += 1
        now = wall()
        claims = {
            "token": f"token-{self.logins}-{now + round(self.token_life_s * 1000)}",
            "issued_ms": now,
            "expires_ms": now + round(self.token_life_s * 1000),
        }
        return _answer(claims)

    def _things(self, request: Request) -> Response:
        secret = request.headers["authorization"]
        assert isinstance(secret, Secret)
        if int(secret.reveal().rsplit("-", 1)[1]) <= wall():
            self.lapsed += 1
            return Response(401, {}, b"")
        order = sorted(self.things.values(), key=lambda thing: (thing.position, thing.id))
        after = request.json["after"]
        rest = [thing for thing in order if after is None or [thing.position, thing.id] > after]
        page = rest[: request.json["size"]]
        rows = self.rows_wrapped([thing.row() for thing in page])
        return _answer({"rows": rows, "next": [page[-1].position, page[-1].id] if page else None})

    # --- live ---

    def feed(self, token: Token) -> SimFeed:
        """A live session."""
        return SimFeed(self)

    def hang_up(self) -> None:
        """Cut every live session."""
        self._hang_up.set()
        self._hang_up = anyio.Event()

    def offer(self, row: Json) -> None:
        """Deliver one frame to every live session."""
        for offer in self._offers:
            offer(row, len(json.dumps(row)))

    def _push(self, row: Json) -> None:
        if self._offers:
            for pushed in self.push(row):
                self.offer(pushed)


class SimFeed:
    """See `Feed`."""

    def __init__(self, vendor: SimVendor) -> None:
        self._vendor = vendor

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Deliver until hung up."""
        vendor = self._vendor
        vendor.on_step("connect")
        await anyio.sleep(0.01)
        vendor._offers.append(offer)
        try:
            task_status.started()
            await vendor._hang_up.wait()
        finally:
            vendor._offers.remove(offer)
        raise Retry("hung up")


def status(code: int, **headers: str) -> Callable[[Response], Response]:
    """A fault that answers with another status."""
    return lambda _: Response(code, headers, b"")


def garbage(_: Response) -> Response:
    """A fault that answers with what is not JSON."""
    return Response(200, {}, b"<html>", None, "HTML page")


def loading(response: Response) -> Response:
    """A fault that says: still loading, this is not all."""
    if "rows" not in (response.json or {}):
        return response
    return _answer({**response.json, "rows": response.json["rows"][:1], "next": None, "loading": True})


def stuck(response: Response) -> Response:
    """A fault that claims more without advancing."""
    rows = (response.json or {}).get("rows")
    return _answer({**response.json, "rows": rows, "next": [0, ""]}) if rows else response


def _answer(value: Any) -> Response:
    return Response(200, {}, b"", value)
