"""A vendor that lists one collection, in memory, for tests of walks on a virtual clock.

It pages by page number, offset, opaque token or Relay cursor, changes between any two requests, and breaks as told.
It remembers when each row was deleted: what is published as deleted is judged by that.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal

import anyio

from bridge.adapter import (
    Adapter,
    Ask,
    BaseSettings,
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
    Walk,
    setting,
)
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from tests.support.engine import Crash
from tests.support.memory_ledger import Entry, MemoryLedger
from tests.support.sim_vendor import wall

RETYPED = 40
"""After so many answers ids are text where they were numbers, or the reverse."""
Style = Literal["page", "offset", "token", "relay"]


@dataclass(frozen=True, kw_only=True)
class CollectionSettings(BaseSettings):
    """How the collection is read."""

    style: str = setting("page", doc="how it pages")
    page_size: int = setting(3, doc="rows per page")
    every_s: float = setting(100.0, doc="seconds between passes")
    covers: bool = setting(True, doc="pages say which ids they cover; style page only")
    parts: bool = setting(False, doc="active and inactive rows are listed apart; style page only")
    totals: bool = setting(True, doc="pages say how many rows there are")
    confirms: bool = setting(False, doc="absent rows are asked for by id")
    probe: bool = setting(False, doc="a probe looks for the newest row")


class CollectionAdapter(Adapter[CollectionSettings]):
    """Facts of the vendor."""

    Settings: ClassVar[type[BaseSettings]] = CollectionSettings
    vendor = "sim"
    type_prefix = "test.sim"
    mapping_version = "1"

    @property
    def budget_key(self) -> str:
        return "sim"

    @property
    def limit(self) -> Limit:
        return Limit(1_000_000, 60.0)

    def login(self) -> Login:
        yield Request("POST", "sim:login", counts=False)
        return Token(Secret("a-token-of-the-simulation"))

    def walks(self, token: Token) -> Sequence[Walk]:
        settings = self.settings
        things = Walk(
            "things", "thing", settings.every_s, page_size=settings.page_size, reports_absence=True,
            confirms=settings.confirms,
        )  # fmt: skip
        probe = Walk("newest", "thing", settings.every_s / 10, page_size=2, wakes="things")
        return [probe, things] if settings.probe else [things]

    def request(self, ask: Ask, token: Token) -> Request:
        if ask.ids:
            return Request("GET", "sim:one", json={"id": ask.ids[0]})
        at = ask.position or {"part": "active" if self.settings.parts else "", "at": None}
        newest = bool(ask.walk.wakes)
        return Request("GET", "sim:list", json={**at, "size": ask.walk.page_size, "newest": newest})

    def page(self, ask: Ask, response: Response) -> Page:
        if response.status == 404 and ask.ids:
            return Page([])
        if response.status == 429:
            raise Throttled("429", after=1.0)
        if response.status != 200:
            raise Retry(f"answered {response.status}")
        if response.json is None:
            raise Malformed("not JSON", raw=response.body)
        rows = response.json["rows"]
        if ask.ids:
            return Page(rows)
        if ask.walk.wakes:
            return Page(rows, proves_absence=False, evidence=[max((int(row["id"]) for row in rows), default=0)])
        position = ask.position or {"part": "active" if self.settings.parts else "", "at": None}
        total = response.json["total"] if self.settings.totals else None
        part, at = position["part"], position["at"]
        following = self._next(at, rows, response.json, ask.walk.page_size, total)
        first = at is None
        covers: tuple[int | None, int | None] | None = None
        if self.settings.style == "page" and self.settings.covers:
            covers = (None, None) if first and following is None else None
            if rows:
                covers = (
                    None if first else int(rows[0]["id"]),
                    None if following is None else int(rows[-1]["id"]),
                )
        onward: Json = None if following is None else {"part": part, "at": following}
        if onward is None and part == "active":
            onward = {"part": "inactive", "at": None}
        return Page(rows, onward, total=total, covers=covers, part=part, repeats=following is None)

    def _next(self, at: Json, rows: Sequence[Json], answer: Json, size: int, total: int | None) -> Json:
        if self.settings.style in ("token", "relay"):
            return answer["next"]
        if not rows:
            return None
        if self.settings.style == "offset":
            offset = (at or 0) + len(rows)
            return offset if len(rows) == size or offset < (total or 0) else None
        number = at or 1
        return number + 1 if len(rows) == size or (number - 1) * size + len(rows) < (total or 0) else None

    def record(self, ask: Ask, row: Json) -> Record:
        if not isinstance(row, dict) or "id" not in row:
            raise Malformed("a thing needs an id", raw=json.dumps(row).encode())
        return Record("thing", str(row["id"]), {"value": row["value"], "active": row["active"]})

    def basis(self, ask: Ask) -> Json:
        return "things"

    def belongs(self, ask: Ask, after: Json) -> bool:
        return True


@dataclass(frozen=True)
class Row:
    """As the vendor has it."""

    id: int
    value: str
    active: bool = True

    @property
    def after(self) -> Json:
        """What is published of it."""
        return {"value": self.value, "active": self.active}


Fault = Callable[["CollectionVendor", Request, Response], Response]


class CollectionVendor:
    """Implements the engine's `Http` port. `edits`: by the number of the request before whose answer they happen.

    `before`: called before every answer, too. `faults`: one per listing request, in order; None lets an answer pass.
    `on_step`: called at every request. `order`: by what it sorts, if not by the id; on their page rows are by id.
    """

    def __init__(self, style: Style = "page") -> None:
        self.style = style
        self.rows: dict[int, Row] = {}
        self.deaths: list[tuple[float, int]] = []
        self.told: dict[int, list[Json]] = {}
        self.edits: dict[int, list[Callable[[], None]]] = {}
        self.faults: deque[Fault | None] = deque()
        self.by_id_faults: deque[Fault | None] = deque()
        self.on_step: Callable[[str], None] = lambda _: None
        self.before: Callable[[], None] = lambda: None
        self.order: Callable[[int], int] = lambda id_: id_
        self.asked: list[Json] = []
        self.requests = 0
        self.misled = False
        self.last_answer: Response | None = None
        self.numbers_as_text = False
        self.retypes = True
        self.latency_s = 0.02

    # --- the world ---

    def put(self, id_: int, value: str, *, active: bool = True) -> None:
        """Create or edit a row."""
        self.rows[id_] = Row(id_, value, active)
        self.told.setdefault(id_, []).append(self.rows[id_].after)

    def fill(self, count: int) -> None:
        """Rows 1 to `count`."""
        for id_ in range(1, count + 1):
            self.put(id_, "1")

    def turn(self, id_: int) -> None:
        """Deactivate or reactivate a row."""
        if id_ in self.rows:
            self.put(id_, self.rows[id_].value, active=not self.rows[id_].active)

    def drop(self, id_: int) -> None:
        """Delete a row."""
        if self.rows.pop(id_, None) is not None:
            self.deaths.append((anyio.current_time(), id_))

    # --- REST ---

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        self.on_step("request")
        await anyio.sleep(self.latency_s / 2)
        if request.url == "sim:login":
            return Response(200, {}, b"", {})
        self.requests += 1
        # Not with every answer, or no row would ever come twice as it was.
        self.numbers_as_text ^= self.retypes and self.requests % RETYPED == 0
        for edit in self.edits.pop(self.requests, ()):
            edit()
        self.before()
        self.asked.append(request.json)
        if request.url == "sim:one":
            response, faults = self._one(int(request.json["id"])), self.by_id_faults
        else:
            response, faults = self._list(request.json), self.faults
        fault = faults.popleft() if faults else None
        answer = response if fault is None else fault(self, request, response)
        if request.url != "sim:one":
            self.last_answer = response
        await anyio.sleep(self.latency_s / 2)
        self.on_step("response")
        return answer

    def _one(self, id_: int) -> Response:
        row = self.rows.get(id_)
        return Response(404, {}, b"") if row is None else _answer({"rows": [self._spelt(row)]})

    def _list(self, asked: Json) -> Response:
        part, at, size = asked["part"], asked["at"], asked["size"]
        rows = [row for row in self.rows.values() if not part or row.active == (part == "active")]
        rows.sort(key=lambda row: self.order(row.id))
        total = len(rows)
        if asked["newest"]:
            rows = rows[::-1][:size]
        elif self.style == "page":
            rows = rows[((at or 1) - 1) * size :][:size]
        elif self.style == "offset":
            rows = rows[(at or 0) :][:size]
        else:
            rows = [row for row in rows if at is None or row.id > _key(at)][:size]
        more = bool(rows) and len(rows) == size
        if not asked["newest"]:
            rows.sort(key=lambda row: row.id)
        token = f"{rows[-1].id}-t" if self.style == "token" and more else rows[-1].id if more else None
        return _answer({"rows": [self._spelt(row) for row in rows], "total": total, "next": token})

    def _spelt(self, row: Row) -> Json:
        return {"id": f"{row.id}" if self.numbers_as_text else row.id, **row.after}


def _key(at: Json) -> int:
    return int(str(at).removesuffix("-t"))


def _answer(value: Any) -> Response:
    return Response(200, {}, b"", value)


# --- faults ---


def status(code: int) -> Fault:
    """Another status."""
    return lambda vendor, request, response: Response(code, {}, b"")


def truncated(vendor: CollectionVendor, request: Request, response: Response) -> Response:
    """JSON that breaks off."""
    return Response(200, {}, b'{"rows": [', None, "truncated JSON at byte 10")


def repeated(vendor: CollectionVendor, request: Request, response: Response) -> Response:
    """The answer to the question before."""
    return vendor.last_answer or response


def short(vendor: CollectionVendor, request: Request, response: Response) -> Response:
    """The last rows of the page are missing."""
    return _answer({**response.json, "rows": response.json["rows"][:1]})


def shuffled(vendor: CollectionVendor, request: Request, response: Response) -> Response:
    """The rows stand in another order."""
    rows = list(response.json["rows"])
    Random(len(rows)).shuffle(rows)
    return _answer({**response.json, "rows": rows})


def counts(more: int) -> Fault:
    """A total that is wrong by so many."""

    def lie(vendor: CollectionVendor, request: Request, response: Response) -> Response:
        return _answer({**response.json, "total": max(0, response.json["total"] + more)})

    return lie


def once(fault: Fault) -> Fault:
    """This fault, unless one that happens once has happened already."""

    def misled(vendor: CollectionVendor, request: Request, response: Response) -> Response:
        if vendor.misled:
            return response
        vendor.misled = True
        return fault(vendor, request, response)

    return misled


# --- the whole ---


class CollectionBench:
    """One such vendor, a ledger, and a runner that may crash at any step and is then started afresh."""

    def __init__(self, **settings: Any) -> None:
        self.ledger = MemoryLedger()
        self.vendor = CollectionVendor(settings.get("style", "page"))
        self.settings = CollectionSettings(name="acme", adapter="sim", **settings)
        self.crashes = self.steps = 0
        self._crash_at: set[int] = set()
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """The runner of the process that is alive."""
        assert self._runner is not None
        return self._runner

    def crash_at(self, steps: set[int]) -> None:
        """Die at these steps, counted over requests, answers and ledger calls."""
        self._crash_at = steps
        self.ledger.on_step = self.vendor.on_step = self._step

    def crash(self) -> None:
        """Die at the next step."""
        self.crash_at({self.steps + 1})

    def _step(self, _: str) -> None:
        self.steps += 1
        if self.steps in self._crash_at:
            raise Crash

    async def run(self) -> None:
        """Hold the source; a crash is followed by a fresh start, as by a service manager."""
        while True:
            self._runner = Runner(Source(CollectionAdapter(self.settings)), self._world())
            try:
                await self._runner.run()
            except* Crash:
                self.crashes += 1
            await anyio.sleep(0.1)

    def _world(self) -> World:
        return World(
            ledger=self.ledger, http=self.vendor, quotas=Quotas(), encode=encode, wall=wall, roll=Random(0).random,
            masker=Masker(), owner={"instance": "test"},
        )  # fmt: skip

    def during(self, script: Callable[[], Any]) -> Callable[[], Any]:
        """Run the source while `script` runs."""

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.run)
                await script()
                group.cancel_scope.cancel()

        return main

    async def passes(self, count: int) -> None:
        """Wait for so many intervals, and a little for the pages."""
        await anyio.sleep(count * self.settings.every_s + 5)

    async def request(self, number: int) -> None:
        """Wait until the vendor is asked for the `number`th time."""
        asked = anyio.Event()
        self.vendor.edits.setdefault(number, []).append(asked.set)
        with anyio.fail_after(100_000):
            await asked.wait()

    # --- what the stream says ---

    def things(self) -> list[Entry]:
        """Every event about things."""
        return [entry for entry in self.ledger.events if entry.subject.startswith("events.sim.")]

    def changes(self, skip: int = 0) -> list[tuple[str, str]]:
        """(id, change) of the events about things, in stream order, without the first `skip`."""
        return [(entry.data["id"], entry.change) for entry in self.things()[skip:]]

    def own(self) -> list[tuple[str, Json]]:
        """(`entity.change`, after) of the bridge's own events, in stream order."""
        own = [entry for entry in self.ledger.events if entry.subject.startswith("events.bridge.")]
        return [(".".join(entry.subject.split(".")[3:5]), entry.data["after"]) for entry in own]

    def cursor(self) -> Json:
        """The walk's cursor."""
        return self.ledger.cursor("acme", "things")

    def folded(self) -> dict[int, Json]:
        """The sum of all events."""
        state: dict[int, Json] = {}
        for entry in self.things():
            if entry.change == "deleted":
                del state[int(entry.data["id"])]
            else:
                state[int(entry.data["id"])] = entry.data["after"]
        return state

    def state(self) -> dict[int, Json]:
        """What the vendor has."""
        return {id_: row.after for id_, row in self.vendor.rows.items()}

    def check_deletes(self) -> None:
        """Each deletion told was true at the vendor before it was told, and none is told twice."""
        told: Counter[int] = Counter()
        for entry in self.things():
            if entry.change == "deleted":
                id_ = int(entry.data["id"])
                told[id_] += 1
                true = sum(1 for at, dead in self.vendor.deaths if dead == id_ and at <= entry.at)
                assert told[id_] <= true, f"{id_} was told deleted {told[id_]} times and was deleted {true} times"

    def check_doubles(self) -> None:
        """No event is there twice, none follows its like, and nothing is told that never was."""
        last: dict[int, Json] = {}
        for entry in self.things():
            id_, after = int(entry.data["id"]), entry.data["after"]
            assert last.get(id_) != (after or "gone"), f"{id_} is told {after} twice in a row"
            last[id_] = after or "gone"
            assert after is None or after in self.vendor.told[id_], f"{id_} never was {after}"
        ids = [entry.ce_id for entry in self.ledger.events]
        assert not [ce_id for ce_id, count in Counter(ids).items() if count > 1]


def sizes(bench: CollectionBench) -> list[int]:
    """The page size of each pass, by what was asked for on its first page."""
    return [asked["size"] for asked in bench.vendor.asked if "at" in asked and asked["at"] is None]
