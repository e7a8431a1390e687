"""What the played AgyleTime answers, without a socket: from method, path, query and headers to status, headers, body.

Two hosts, told apart by the first step of the path: `/tenant/api/…` and `/regional/…`. Lists run in the order of
creation; the token of the next page is the `_id` of this page's last record.
"""

from __future__ import annotations

import hashlib
import random
import re
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import msgspec

from bridge.sandbox.agyletime_options import Options
from bridge.sandbox.agyletime_rows import Row, moment
from bridge.sandbox.agyletime_spoiling import spoil
from bridge.sandbox.agyletime_tokens import NotAccepted, Tokens
from bridge.sandbox.agyletime_world import Collection, World
from bridge.sandbox.faults import ANSWER, PAGE, RESOLVE, ROWS, SEND, Fault, Faults

TENANT, REGIONAL = "/tenant/api/", "/regional/"
TOKEN_PATH: Final = TENANT + "authority/token"
BLOCK_S: Final = 30

_BOTH: Final = {
    "workactivity/workstreams": "workstreams",
    "workactivity/contacts": "contacts",
    "workactivity/interactions": "interactions",
}
PATHS: Final[dict[str, dict[str, str]]] = {
    TENANT: {"workactivity/tasks": "tasks", "schedule/tasks/definitions": "definitions", **_BOTH},
    REGIONAL: {
        "organisation/users": "users",
        "organisation/business-roles": "business-roles",
        "organisation/system-roles": "system-roles",
        "schedule/shifts/published": "shifts",
        **_BOTH,
    },
}
"""What there is on each host, and in which collection."""
UNPAGED: Final = frozenset({"business-roles", "system-roles", "definitions"})
WINDOWS: Final = {"tasks": ("taskStartTimeFrom", "taskStartTimeTo"), "shifts": ("startTimeFrom", "startTimeTo")}
"""The filters by `startTime`; those of shifts are ours."""
ERRORS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    422: "PreconditionFailed", 429: "TooManyRequests", 500: "InternalError",
}  # fmt: skip
INSTEAD: Final = {
    "http_502": 502, "http_503": 503, "http_429": 429, "http_401": 401, "http_403": 403, "html": 200, "huge": 200,
    "redirect": 307, "hang": 504,
}  # fmt: skip
"""What an answer's status is where a fault comes instead of it; of all others 500."""


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Reply:
    """One answer. Header names are in lower case. `told`: writes down that the client has it. `struck`: what the wire
    does to it on its way, if its stage is `send`, or instead of it, if its stage is `answer`.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    told: Callable[[], None] = _nothing
    struck: Fault | None = None


class Wrong(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


@dataclass(slots=True)
class _List:
    """One page under way: of `collection`, its rows' `_id`s and what is beside them in the answer."""

    collection: Collection
    oids: list[str]
    beside: dict[str, Any]


def operation(method: str, path: str, query: str) -> str:
    """What faults call a request: `login`, `page`, `next page`, or `other`."""
    if path == TOKEN_PATH:
        return "login"
    host, rest = _split(path)
    if method != "GET" or rest not in PATHS.get(host, {}):
        return "other"
    return "next page" if "nextPageToken=" in query else "page"


class Api:
    """The vendor's side of its HTTP interface. Nothing can be written: the played key may only read.

    `counters`: `pages`, `rows`, `not_modified`, `singles`, `rate_limited`, `forbidden`, `bad_requests`, `not_found`,
    and `read_<collection>`.
    """

    def __init__(self, options: Options, world: World, tokens: Tokens, faults: Faults, rng: random.Random) -> None:
        self._options, self._world, self._tokens, self._faults, self._rng = options, world, tokens, faults, rng
        self.counters: Counter[str] = Counter()
        self._block, self._spent = 0, 0
        self._pages: dict[str, int] = {}

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        """Answer one request, at the moment of the options' clock. Header names are in lower case."""
        kind = operation(method, path, query)
        if (fault := self._faults.draw(ANSWER, kind)) is not None:
            return Reply(INSTEAD.get(fault.kind, 500), struck=fault)
        reply = self._reply(method, path, query, headers, kind)
        reply.struck = self._faults.draw(SEND, kind)
        return reply

    def _reply(self, method: str, path: str, query: str, headers: Mapping[str, str], kind: str) -> Reply:
        struck = self._faults.draw(RESOLVE, kind)
        try:
            if struck is not None and struck.kind == "failure":
                return _failure(struck)
            if struck is not None and struck.kind == "revoked":
                self._tokens.revoke()
            if kind == "login":
                return self._login(method, headers, garbage=struck is not None and struck.kind == "garbage_token")
            self._admit(headers)
            return self._read(method, path, dict(urllib.parse.parse_qsl(query)), headers, kind)
        except Wrong as wrong:
            counter = {400: "bad_requests", 403: "forbidden", 404: "not_found", 429: "rate_limited"}.get(wrong.status)
            if counter:
                self.counters[counter] += 1
            return _error(wrong.status, wrong.message, wrong.headers)

    def _login(self, method: str, headers: Mapping[str, str], *, garbage: bool) -> Reply:
        if method != "POST":
            raise Wrong(405, "The method is not allowed", allow="POST")
        if not self._tokens.known(headers.get("authorization", "")):
            raise Wrong(401, "The access key is not valid")
        data = self._tokens.issue()
        if garbage:
            data |= {"accessToken": {"no": "text"}}
        return _success({"data": data}, status=201)

    def _admit(self, headers: Mapping[str, str]) -> None:
        try:
            self._tokens.admit(headers.get("authorization", ""))
        except NotAccepted as refusal:
            raise Wrong(401, str(refusal)) from refusal
        most = self._options.requests_per_30s
        now_s = self._options.clock() / 1000
        if (block := int(now_s // BLOCK_S)) != self._block:
            self._block, self._spent = block, 0
        self._spent += 1
        if most is not None and self._spent > most:
            raise Wrong(429, "Too many requests", **{"retry-after": str(int((block + 1) * BLOCK_S - now_s) + 1)})

    def _read(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], kind: str) -> Reply:
        host, rest = _split(path)
        known = PATHS.get(host, {})
        above, _, last = rest.rpartition("/")
        name = known.get(rest) or known.get(above, "")
        if not name:
            raise Wrong(404, "The resource does not exist")
        if name in self._options.forbidden.split(","):
            raise Wrong(403, "The access key has no permission for this")
        if method != "GET":
            raise Wrong(403, "The access key may only read")
        collection = self._world.collections[name]
        if rest not in known:
            return self._single(collection, urllib.parse.unquote(last))
        page = self._page(name, collection, query)
        if kind == "next page" and (fault := self._faults.draw(PAGE, kind)) is not None:
            self._misplace(fault, page, query)
        self.counters["pages"] += 1
        self.counters["rows"] += len(page.oids)
        self.counters[f"read_{name}"] += 1
        return self._packed(page, headers, kind)

    def _packed(self, page: _List, headers: Mapping[str, str], kind: str) -> Reply:
        rows: Any = [page.collection.rows[oid] for oid in page.oids]
        seqs = [page.collection.seqs[oid] for oid in page.oids]
        told: Callable[[], None] = lambda: self._world.ledger.served(seqs)  # noqa: E731
        numbers = frozenset(str(row["id"]) for row in rows)
        if rows and (fault := self._faults.draw(ROWS, kind, ids=numbers)) is not None:
            # Who cannot read a row was not told of it; of the others nobody asks.
            rows, told = spoil(fault, rows, self._rng), _nothing
        reply = _success({"data": rows, **page.beside}, told=told)
        if self._options.etag:
            tag = reply.headers["etag"] = f'"{hashlib.blake2b(reply.body, digest_size=12).hexdigest()}"'
            if headers.get("if-none-match") == tag:
                # As a cache in front would: the page's token does not begin to live anew.
                self.counters["not_modified"] += 1
                return Reply(304, headers={"etag": tag})
        if (token := page.beside.get("nextPageToken")) is not None:
            self._pages[token] = self._options.clock()
        return reply

    def _single(self, collection: Collection, number: str) -> Reply:
        oid = collection.by_key.get(number)
        if oid is None or not self._options.single:
            raise Wrong(404, "The resource does not exist")
        self.counters["singles"] += 1
        seq = collection.seqs[oid]
        return _success({"data": collection.rows[oid]}, told=lambda: self._world.ledger.served([seq]))

    def _page(self, name: str, collection: Collection, query: Mapping[str, str]) -> _List:
        token = self._position(query.get("nextPageToken", ""))
        low, high = self._window(name, query)
        found = (oid for oid in collection.after(token) if _inside(collection.rows[oid], low, high))
        if name in UNPAGED:
            return _List(collection, list(found), {})
        limit = _number(query, "pageLimit", self._options.page_limit)
        limit = min(limit, self._options.most_per_page)
        oids = list(islice(found, limit + 1))
        beside: dict[str, Any] = {"itemsCount": min(len(oids), limit), "pageLimit": limit}
        if len(oids) > limit:
            beside["nextPageToken"] = oids[limit - 1]
        return _List(collection, oids[:limit], beside)

    def _position(self, token: str) -> str:
        if token and not re.fullmatch(r"[0-9a-f]{24}", token):
            raise Wrong(400, "nextPageToken (INVALID): no such token")
        life_s = self._options.page_token_s
        if token and life_s is not None and self._options.clock() - self._pages.get(token, 0) > life_s * 1000:
            raise Wrong(400, "nextPageToken (INVALID): it has expired")
        return token

    @staticmethod
    def _window(name: str, query: Mapping[str, str]) -> tuple[int | None, int | None]:
        low, high = (query.get(parameter) for parameter in WINDOWS.get(name, ("", "")))
        try:
            return low and moment(low), high and moment(high)  # type: ignore[return-value]
        except ValueError as problem:
            raise Wrong(400, f"{WINDOWS[name][0]} (INVALID): no time") from problem

    def _misplace(self, fault: Fault, page: _List, query: Mapping[str, str]) -> None:
        asked, limit = query["nextPageToken"], page.beside.get("pageLimit", 1)
        before = [oid for oid in page.collection.after("") if oid <= asked]
        match fault.kind:
            case "cursor_refused":
                raise Wrong(400, "nextPageToken (INVALID): no such token")
            case "stuck":
                page.oids, page.beside["nextPageToken"] = before[-limit:], asked
            case "repeat":
                page.beside["nextPageToken"] = page.oids[-1] if page.oids else f"{asked[:-1]}f"
                page.oids = before[-limit:]
            case "overlap":
                page.oids = before[-(2 if fault.rows is None else fault.rows) :] + page.oids


def _split(path: str) -> tuple[str, str]:
    """The host, as a beginning of `PATHS`, and what follows; ("", path) for neither."""
    for host in (TENANT, REGIONAL):
        if path.startswith(host):
            return host, path.removeprefix(host).strip("/")
    return "", path


def _inside(row: Row, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    start = moment(row["startTime"])
    return (low is None or low <= start) and (high is None or start <= high)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text):
        raise Wrong(400, f"{name} (INVALID): expected a number above 0")
    return int(text)


def _success(body: Mapping[str, Any], *, status: int = 200, told: Callable[[], None] = _nothing) -> Reply:
    return Reply(status, msgspec.json.encode({"status": "success", "result": 0, **body}), told=told)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    code = ERRORS.get(status, "Error")
    body = {"status": "error", "code": code, "result": code, "message": message}
    return Reply(status, msgspec.json.encode(body), dict(headers or {}))


def _failure(fault: Fault) -> Reply:
    """An error envelope under the status that the fault names in `code`; without one under 200."""
    code = fault.error or "InternalError"
    body = {"status": "error", "code": code, "result": code, "message": fault.comment or "Something went wrong"}
    return Reply(fault.code or 200, msgspec.json.encode(body))
