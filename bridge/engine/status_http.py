"""The HTTP side of the status page: which address answers what, to whom, and how strictly. Implements `Answer`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.engine.newsreel import Newsreel
from bridge.engine.ports import Incoming, Reply, Write
from bridge.engine.readiness import Condition
from bridge.engine.status_login import MOST_BODY, Login

PATIENCE_S = 2.0
"""How long a report waits for what only the stream knows; after that it tells what is known."""

STRICT: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
WITHHELD = "why is told on this machine, and to who has the token"
JSON = {"Content-Type": "application/json"}
_READING = ("GET", "HEAD")
_LOGIN = "/login"
_OPEN = ("/", _LOGIN, "/livez", "/readyz")
"""What everybody may ask who reaches us: nothing in it tells how things are, but for ready or not."""

Exposition = Callable[[str], tuple[str, bytes]]
"""The metrics as the `Accept` header wants them: content type and body."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page. `tag`: changes with its content."""

    kind: str
    body: bytes = field(repr=False)
    tag: str


class Reports(Protocol):
    """Where reports come from. See `bridge.engine.newsreel.Desk` for the rest of it."""

    @property
    def stored(self) -> int: ...

    def report(self, until: int) -> dict[str, Any]: ...

    def encode(self, value: Any) -> bytes: ...

    async def refresh(self, patience_s: float) -> None:
        """Have what only the stream knows looked up, and wait no longer than that for it."""
        ...

    def watching(self) -> AbstractContextManager[None]:
        """While the block runs it is kept fresh."""
        ...


class StatusHttp:
    """`live` and `ready` are asked at every look; all of them must hold. Where no token protects us we
    may be called by names that are `local`, and by `hosts`. `assets`: the page's files by path, `/` among them.
    """

    def __init__(
        self,
        reports: Reports,
        news: Newsreel,
        *,
        login: Login,
        live: Callable[[], Sequence[Condition]],
        ready: Callable[[], Sequence[Condition]],
        assets: Mapping[str, Asset],
        metrics: Exposition,
        local: Callable[[str], bool],
        hosts: Sequence[str] = (),
    ) -> None:
        self._reports = reports
        self._news = news
        self._login = login
        self._live = live
        self._ready = ready
        self._assets = assets
        self._metrics = metrics
        self._local = local
        self._hosts = {host.lower() for host in hosts}
        self._routes: Mapping[str, Callable[[Incoming], Awaitable[Reply]]] = {
            "/status.json": self._report,
            "/events": self._events,
            "/metrics": self._scrape,
        }

    def limit(self, method: str, path: str) -> int | Reply:
        """See `Answer.limit`."""
        if path == _LOGIN:
            return MOST_BODY if method == "POST" else _strict(Reply(405, "post to it", {"Allow": "POST"}))
        if method not in _READING:
            return _strict(Reply(405, "nothing can be changed here", {"Allow": "GET, HEAD"}))
        return 0

    async def __call__(self, request: Incoming) -> Reply:
        """See `Answer`."""
        return _strict(await self._answer(request))

    async def _answer(self, request: Incoming) -> Reply:
        if not self._login.needed and not self._is_us(request.headers.get("host")):
            # A page of somebody else's whose name was made to point here would read us with its reader's browser.
            return Reply(
                421,
                "this address does not go by that name here: call it 127.0.0.1 or localhost, or set [status] token; a "
                "proxy in front has to send the Host that it connects to",
            )
        path = request.path
        if path in ("/livez", "/readyz"):
            conditions = self._live() if path == "/livez" else self._ready()
            return _health(conditions if await self._may_know(request) else _bare(conditions), request)
        if path == _LOGIN:
            return await self._log_in(request)
        if asset := self._assets.get(path):
            return _asset(asset, request)
        route = self._routes.get(path)
        if route is None:
            return Reply(404, "there is no such page here; the status page is at /")
        return await self._login.refusal(request) or await route(request)

    async def _may_know(self, request: Incoming) -> bool:
        """Whether this machine asks, or who has the token: reasons name servers, sources and permissions."""
        return request.peer == "" or self._local(request.peer) or await self._login.refusal(request) is None

    async def _log_in(self, request: Incoming) -> Reply:
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != request.headers.get("host", "").lower():
            return Reply(403, "another site's page may not log in here")
        return await self._login.open(request)

    async def _report(self, request: Incoming) -> Reply:
        if request.method == "HEAD":
            return Reply(200, "", JSON)
        await self._reports.refresh(PATIENCE_S)
        return Reply(200, self._reports.encode(self._reports.report(self._reports.stored)), JSON)

    async def _events(self, request: Incoming) -> Reply:
        headers = {"Content-Type": "text/event-stream"}
        if request.method == "HEAD":
            return Reply(200, "", headers)
        if self._news.full:
            return Reply(503, "too many pages are open; close some, and try again", {"Retry-After": "10"})
        # What is known at once comes at once; what has to be looked up comes as news.
        return Reply(200, headers={**headers, "X-Accel-Buffering": "no"}, stream=self._serve)

    async def _serve(self, write: Write) -> None:
        with self._reports.watching():
            await self._news.serve(write)

    async def _scrape(self, request: Incoming) -> Reply:
        kind, body = self._metrics(request.headers.get("accept", ""))
        return Reply(200, body, {"Content-Type": kind})

    def _is_us(self, host: str | None) -> bool:
        """HTTP/1.0 knows no Host, and browsers do not speak it."""
        if host is None:
            return True
        name, bracket, rest = host.partition("]")
        name = name.removeprefix("[") if bracket else host.partition(":")[0]
        if bracket and rest and not rest.startswith(":"):
            return False
        name = name.lower().rstrip(".")
        return name in self._hosts or self._local(name)


def _health(conditions: Sequence[Condition], request: Incoming) -> Reply:
    """Machines use the status alone. `?verbose` tells of each; `?exclude=NAME` leaves one out, or more with commas."""
    excluded = {name for name in request.query.get("exclude", "").split(",") if name}
    unknown = excluded - {one.name for one in conditions}
    failed = [one for one in conditions if not one.holds and one.name not in excluded]
    status = 503 if failed else 200
    if "verbose" not in request.query:
        return Reply(status, "ok" if status == 200 else f"not ok: {', '.join(one.name for one in failed)}")
    lines = [_line(one, one.name in excluded) for one in conditions]
    lines += [f"warn: there is nothing to exclude by the name {name!r}" for name in sorted(unknown)]
    what = request.path.removeprefix("/")
    return Reply(status, "\n".join([*lines, f"{what} check {'passed' if status == 200 else 'failed'}", ""]))


def _bare(conditions: Sequence[Condition]) -> Sequence[Condition]:
    return [one if one.holds else Condition(one.name, holds=False, why=WITHHELD) for one in conditions]


def _line(one: Condition, excluded: bool) -> str:
    if excluded:
        return f"[+]{one.name} excluded: ok"
    return f"[+]{one.name} ok" if one.holds else f"[-]{one.name} failed: {one.why}"


def _asset(asset: Asset, request: Incoming) -> Reply:
    headers = {"Content-Type": asset.kind, "ETag": asset.tag, "Cache-Control": "no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if asset.tag in known or "*" in known:
        return Reply(304, "", headers)
    return Reply(200, asset.body, headers)


def _strict(reply: Reply) -> Reply:
    return Reply(reply.status, reply.body, {**STRICT, **reply.headers}, reply.stream)
