"""What the played platform's REST calls answer: lists with their filters and caps, the journal, packets, errors.

No list has an order to rely on. By default its order is another one whenever the store was written to, so that rows
move while somebody pages; rows of a store that rests keep their places.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from bridge.sandbox.ledger import Clock
from bridge.sandbox.platform_options import PlatformOptions
from bridge.sandbox.platform_world import DAY, Event, PlatformWorld, Row

PREFIX: Final = "/api/v1/"
FOREVER_MS: Final = 1 << 52
MOST: Final = 10_000
"""What `limit` may be at most, whatever the cap is."""
T = TypeVar("T")

ERRORS: Final[dict[int, tuple[str, list[str]]]] = {
    400: ("Bad Request", ["error_bad_request"]),  # ours: the vendor's table does not have it
    401: ("Unauthorized", ["error_unauthorized"]),
    403: ("Forbidden", ["error_credentials", "error_forbidden"]),
    404: ("Not Found", ["error_not_found"]),
}


@dataclass(slots=True)
class Answer:
    """One answer. `rows`: the list that `body` is, if it is one; `told`: writes down that the client has it."""

    status: int
    body: Any
    rows: list[Any] | None = None
    told: Callable[[], None] = field(default=lambda: None)


class Wrong(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def error(status: int) -> dict[str, Any]:
    """The body of an error, as the vendor's table has it."""
    message, tags = ERRORS[status]
    return {"success": False, "code": str(status), "message": message, "tags": tags}


def path_kind(path: str, parameters: Mapping[str, str]) -> str:
    """What faults call a request: `page` (a list), `next page` (with an offset), or `other`."""
    parts = path.removeprefix(PREFIX).split("/")
    listing = len(parts) == 1 or (len(parts) == 3 and parts[2] in ("packets", "events"))
    if not listing or parameters.get("meta") == "true":
        return "other"
    return "next page" if parameters.get("offset", "0") != "0" else "page"


class Api:
    """The reading half of the REST side. There is nothing to write: the played user's scope does not allow it."""

    def __init__(self, options: PlatformOptions, clock: Clock, world: PlatformWorld) -> None:
        self._options = options
        self._clock = clock
        self._world = world
        self._requests = 0

    def get(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Answer one GET of an authenticated client."""
        self._requests += 1
        try:
            return self._answer(path, parameters)
        except Wrong as problem:
            return Answer(problem.status, error(problem.status))

    def _answer(self, path: str, parameters: Mapping[str, str]) -> Answer:
        parts = path.removeprefix(PREFIX).split("/")
        if not path.startswith(PREFIX):
            raise Wrong(404)
        if parts[0] in self._options.forbidden.split(","):
            raise Wrong(403)
        match parts:
            case ["events"]:
                return self._events(parameters)
            case ["events", "org"]:
                return Answer(200, self._types())
            case ["objects", oid, "packets"]:
                return self._packets(self._row("objects", oid)["_id"], parameters)
            case ["objects", oid, "events"]:
                return self._events(parameters, self._row("objects", oid)["_id"])
            case [store]:
                return self._list(store, parameters)
            case [store, id_]:
                row = self._row(store, id_)
                seq = self._world.version[id_]
                body = {**self._world.shown(store, row), "success": True}
                return Answer(200, body, told=lambda: self._world.ledger.served([seq]))
        raise Wrong(404)

    def _row(self, store: str, id_: str) -> Row:
        row = self._world.stores.get(store, {}).get(id_)
        if row is None:
            raise Wrong(404)
        return row

    def _list(self, store: str, parameters: Mapping[str, str]) -> Answer:
        world = self._world
        if store not in world.stores:
            raise Wrong(404)
        low, high = self._interval(parameters, needed=False)
        rows = [row for row in world.stores[store].values() if low <= row["time"] <= high and _where(row, parameters)]
        if parameters.get("meta") == "true":
            shown = [world.shown(store, row) for row in sorted(rows, key=lambda row: row["time"])]
            ends = {"first": shown[0], "last": shown[-1]} if shown else {}
            return Answer(200, {"total": len(rows), **ends})
        rows = self._page(rows, world.writes[store], parameters)
        seqs = [world.version[row["_id"]] for row in rows]
        shown = [world.shown(store, row) for row in rows]
        if only := parameters.get("only"):
            names = {"_id", *only.split(",")}
            shown = [{name: value for name, value in row.items() if name in names} for row in shown]
        return Answer(200, shown, shown, told=lambda: world.ledger.served(seqs))

    def _events(self, parameters: Mapping[str, str], oid: str = "") -> Answer:
        low, high = self._interval(parameters, span=bool(oid))
        high = min(high, self._clock() - round(self._options.journal_lag_s * 1000))
        wanted, ignored = (_names(parameters.get(name)) for name in ("events", "events!"))
        events: list[Event] = [
            event
            for event in self._world.during(low, high)
            if (not oid or event.get("_oid") == oid)
            and (not wanted or event["event"] in wanted)
            and event["event"] not in ignored
        ]
        events = self._page(events, len(events), parameters)
        return Answer(200, events, events, told=lambda: self._world.listed(events))

    def _packets(self, oid: str, parameters: Mapping[str, str]) -> Answer:
        low, high = self._interval(parameters, span=True)
        high = min(high, self._clock() - round(self._options.journal_lag_s * 1000))
        log = self._world.packets[oid]
        places = log.between(low * 1000, high * 1000 + 999)
        rows = [log.row(place) for place in self._page(places, len(places), parameters)]
        return Answer(200, rows, rows)

    def _types(self) -> dict[str, Any]:
        by_model: dict[str, set[str]] = {}
        none: set[str] = set()
        for event in self._world.journal:
            model = self._world.objects.get(event.get("_oid", ""), {}).get("model")
            (by_model.setdefault(model, set()) if model else none).add(event["event"])
        unique = none.union(*by_model.values())
        models = {model: sorted(types) for model, types in by_model.items()}
        return {"unique": sorted(unique), "byModel": models, "noModel": sorted(none)}

    def _page(self, rows: Sequence[T], state: int, parameters: Mapping[str, str]) -> list[T]:
        """One page of the rows in an order of no meaning. `state` changes when they do, and the order with it."""
        try:
            offset, limit = int(parameters.get("offset", "0")), int(parameters.get("limit", "10000"))
        except ValueError:
            raise Wrong(400) from None
        if offset < 0 or not 1 <= limit <= MOST:
            raise Wrong(400)
        size = len(rows)
        places = range(offset, min(offset + limit, offset + self._options.cap, size))
        step, start = _shuffle(size, self._requests if self._options.order == "shuffled" else state)
        return [rows[(start + place * step) % size] for place in places]

    def _interval(self, parameters: Mapping[str, str], *, needed: bool = True, span: bool = False) -> tuple[int, int]:
        given = [parameters.get(a, parameters.get(b)) for a, b in (("from", "begin"), ("to", "end"))]
        if needed and None in given:
            raise Wrong(400)
        low = -FOREVER_MS if given[0] is None else _instant(given[0])
        high = FOREVER_MS if given[1] is None else _instant(given[1])
        if span and high - low > self._options.span_days * DAY:
            raise Wrong(400)
        return low + (self._options.bounds[0] == "("), high - (self._options.bounds[1] == ")")


def _instant(text: str) -> int:
    """A bound: milliseconds, or ISO 8601, which is taken as UTC where it does not say."""
    try:
        if text.lstrip("-").isdigit():
            return int(text)
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Wrong(400) from None


def _names(text: str | None) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()


def _where(row: Row, parameters: Mapping[str, str]) -> bool:
    return all(
        str(_reach(row, name.removeprefix("where.").split("."))) in value.split(",")
        for name, value in parameters.items()
        if name.startswith("where.")
    )


def _reach(row: Any, names: Iterable[str]) -> Any:
    for name in names:
        row = row.get(name) if isinstance(row, Mapping) else None
    return row


def _shuffle(size: int, salt: int) -> tuple[int, int]:
    """Step and start of a walk through `size` places that meets each once, so that a page costs only its own rows."""
    chance = zlib.crc32(f"{salt}".encode())
    step = int(size * 0.6) + chance % max(1, size // 5)
    while math.gcd(step, size) != 1 and size > 1:
        step += 1
    return step, chance >> 8
