"""What the played ProSonata answers, without any socket: who may ask, the quota, lists, single records, errors.

A function of the request and of the time, so that weeks can be simulated on a clock that is not the wall's.
"""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.sandbox.faults import ANSWER, PAGE, ROWS, SEND, Fault, Faults
from bridge.sandbox.ledger import Clock
from bridge.sandbox.prosonata_fields import JOINED, RESOURCES, Resource
from bridge.sandbox.prosonata_options import Options
from bridge.sandbox.prosonata_quota import Quota, Standing
from bridge.sandbox.prosonata_wire import Reply, error, limited, page_of_html, reply, spoil, written
from bridge.sandbox.prosonata_world import ProsonataWorld, Row

PREFIX: Final = "/api/v1/"
ALWAYS: Final = frozenset({"page", "perPage", "orderBy", "apiKey", "appID", "jsonp"})


class Wrong(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(status)
        self.status, self.message = status, message


class Api:
    """The reading half of the API: the played integration may not write. `key`, `app_id`: what opens it now.

    `counters`: `pages`, `rows`, `singles`, `read_<resource>`, `not_found`, `forbidden`, `bad_requests`,
    `unauthorized`, `writes` (tried), `keys_in_urls`, and those of `Quota`.
    """

    def __init__(self, options: Options, clock: Clock, world: ProsonataWorld, faults: Faults, rng: Any) -> None:
        self._options, self._clock, self._world, self._faults, self._rng = options, clock, world, faults, rng
        self.quota = Quota(options)
        self.key = self.app_id = ""
        self.counters: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        """Another key; the one before opens nothing any more."""
        self.key = f"psk-{self._rng.getrandbits(120):030x}"
        self.app_id = self.app_id or f"app-{self._rng.getrandbits(48):012x}"

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        """Answer one request now. Header names are lower case."""
        given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        operation = _operation(path, given)
        if (fault := self._faults.draw(ANSWER, operation)) is not None:
            return _instead(fault)
        try:
            answer = self._answer(method, path, given, headers, operation)
        except Wrong as problem:
            names = {400: "bad_requests", 401: "unauthorized", 403: "forbidden", 404: "not_found"}
            self.counters[names.get(problem.status, "writes")] += 1
            answer = error(problem.status, problem.message)
        answer.struck = self._faults.draw(SEND, operation)
        return answer

    def _answer(
        self, method: str, path: str, given: Mapping[str, str], headers: Mapping[str, str], operation: str
    ) -> Reply:
        if not path.startswith(PREFIX):
            return page_of_html("404 Not Found", 404)
        self._admit(given, headers)
        standing = self.quota.take(self._clock())
        if not standing.passes:
            answer = limited(standing, self._options.tells)
            answer.told = _nothing if self._options.tells == "neither" else lambda: self.quota.told(standing)
            return answer
        if method != "GET":
            raise Wrong(405)
        name, _, id_ = path.removeprefix(PREFIX).partition("/")
        if name in self._options.forbidden.split(","):
            raise Wrong(403)
        resource = next((each for each in RESOURCES.values() if name == (each.single if id_ else each.path)), None)
        if resource is None:
            raise Wrong(404)
        self.counters[f"read_{resource.path}"] += 1
        if id_:
            return self._single(resource, id_, standing)
        return self._list(resource, given, standing, operation)

    def _admit(self, given: Mapping[str, str], headers: Mapping[str, str]) -> None:
        if "apiKey" in given:
            self.counters["keys_in_urls"] += 1
        key = headers.get("x-api-key", given.get("apiKey"))
        app = headers.get("x-app-id", given.get("appID"))
        if key != self.key or app != (self.app_id if self._options.auth == "app" else None):
            raise Wrong(401)

    def _single(self, resource: Resource, id_: str, standing: Standing) -> Reply:
        row = self._world.rows[resource.path].get(int(id_) if id_.isdigit() else 0)
        if row is None:
            raise Wrong(404)
        self.counters["singles"] += 1
        told = self._teller(resource, [row], standing)
        shown = written([self._world.shown(resource.path, row)], resource, self._options, self._rng)[0]
        return reply(self._meta(standing), {**shown, **_beside(resource)}, told=told)

    def _list(self, resource: Resource, given: Mapping[str, str], standing: Standing, operation: str) -> Reply:
        number, size = _number(given, "page", 1), min(_number(given, "perPage", 100), self._options.most)
        rows = self._ordered(resource, self._filtered(resource, given), given.get("orderBy", resource.key))
        total, offset = len(rows), (number - 1) * size
        fault = self._faults.draw(PAGE, operation)
        kind = fault.kind if fault else ""
        if kind == "repeat":
            offset = max(0, offset - size)
        elif kind == "overlap" and fault is not None:
            offset = max(0, offset - (2 if fault.rows is None else fault.rows))
        elif kind == "total_lies" and fault is not None:
            total = max(0, total + (5 if fault.rows is None else fault.rows))
        rows = rows[offset : offset + size]
        self.counters["pages"] += 1
        self.counters["rows"] += len(rows)
        if not rows and self._options.empty == "204":
            return Reply(204, rows=0)
        told = self._teller(resource, rows, standing)
        shown: list[Any] = written(
            [self._world.shown(resource.path, row) for row in rows], resource, self._options, self._rng
        )
        ids = frozenset(str(row[resource.key]) for row in rows)
        if shown and (struck := self._faults.draw(ROWS, operation, ids=ids)) is not None:
            spoil(struck, shown, resource.key, self._rng)
            if struck.kind != "doubled":
                # Who cannot read a row was not told of it; of the others nobody asks.
                told = self._teller(resource, [], standing)
        meta = {**self._meta(standing), "perPage": size, "page": number, "totalCount": total}
        data = {str(place): row for place, row in enumerate(shown)} if kind == "data_object" else shown
        return reply(
            meta, data, told=self._teller(resource, [], standing) if kind == "data_object" else told, rows=len(shown)
        )

    def _filtered(self, resource: Resource, given: Mapping[str, str]) -> list[Row]:
        rows = list(self._world.rows[resource.path].values())
        seconds = {second: name for name, second in resource.dates.items() if second}
        if resource.active and resource.active not in given and self._options.hides:
            rows = [row for row in rows if row[resource.active]]
        for name, value in given.items():
            if name in ALWAYS:
                continue
            if name in resource.dates or name in seconds:
                # Two parameters are both ends of a range.
                end = "last" if name in seconds else "first" if resource.dates[name] in given else ""
                keeps, field = self._by_date(value, end), seconds.get(name, name)
                rows = [row for row in rows if keeps(row[field] or "")]
            elif name in resource.filters:
                whole = resource.fields[name] != "text"
                rows = [row for row in rows if _matches(row[name], value, whole=whole)]
            elif self._options.unknown == "refused":
                raise Wrong(400)
        return rows

    def _by_date(self, value: str, end: str) -> Callable[[str], bool]:
        sign, day = (value[0], value[1:]) if value[:1] in ("<", ">") else ("", value)
        inclusive = self._options.bounds == ">="
        if end:
            return lambda held: held <= day if end == "last" else held >= day
        if sign == ">":
            return lambda held: held >= day if inclusive else held > day
        if sign == "<":
            return lambda held: held <= day if inclusive else held < day
        return lambda held: held == day

    def _ordered(self, resource: Resource, rows: list[Row], order: str) -> list[Row]:
        for part in reversed(order.split(",")):
            name, _, direction = part.strip().partition(" ")
            if name not in resource.sorts:
                if self._options.unknown == "refused":
                    raise Wrong(400)
                continue
            if name == resource.key and "," not in order:
                return rows[::-1] if direction == "DESC" else rows  # they are kept in this order
            path = resource.path
            rows = sorted(
                rows,
                key=lambda row, name=name: _sortable(self._world.shown(path, row).get(name)),  # type: ignore[misc]
                reverse=direction == "DESC",
            )
        return rows

    def _teller(self, resource: Resource, rows: list[Row], standing: Standing) -> Callable[[], None]:
        seqs = [self._world.version[resource.path, row[resource.key]] for row in rows]

        def told() -> None:
            self._world.ledger.served(seqs)
            self.quota.told(standing)

        return told

    def _meta(self, standing: Standing) -> dict[str, Any]:
        who = {"requestAppID": self.app_id, "requestIntegration": "bridged"}
        if self._options.auth == "user":
            who = {"requestUserID": "100", "requestUsername": "aahlers", "usergroupName": "Administrator"}
        return {"status": 200, **who, "apiLimitRemaining": standing.left, "apiLimitReset": standing.reset_s}


def _operation(path: str, given: Mapping[str, str]) -> str:
    """What faults call a request: `page` (a list), `next page` (a later one), or `other`."""
    if "/" in path.removeprefix(PREFIX):
        return "other"
    return "page" if given.get("page", "1") == "1" else "next page"


def _instead(fault: Fault) -> Reply:
    """A fault of stage `answer`, as far as it is an answer; what it does to the connection the wire has to do."""
    match fault.kind:
        case "http_401" | "http_403":
            return error(int(fault.kind.removeprefix("http_")))
        case "http_429":
            return limited(Standing(False, 0, round(fault.seconds or 1)), "message")
        case "http_500":
            return Reply(500, b"Internal Server Error", "text/plain")
        case "http_502":
            return page_of_html("502 Bad Gateway", 502)
        case "http_503" if fault.seconds is None:
            return Reply(503, b"Service Unavailable", "text/plain")
        case "html":
            return page_of_html("ProSonata – Anmeldung")
    return Reply(0, struck=fault)


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise Wrong(400)
    return int(text)


def _matches(held: Any, value: str, *, whole: bool) -> bool:
    return str(held) == value if whole else value.lower() in str(held or "").lower()


def _sortable(value: Any) -> tuple[bool, float, str]:
    try:
        return (value is not None, float(value), "")
    except (TypeError, ValueError):
        return (value is not None, 0.0, str(value))


def _beside(resource: Resource) -> dict[str, Any]:
    """What only single records have."""
    return {"projects": {"usersAssigned": [], "projectLinks": []}}.get(resource.path, {})


def _nothing() -> None:
    pass


__all__ = ["JOINED", "PREFIX", "Api", "Wrong"]
