"""HTTP by aiohttp: one session for all vendors, one TLS context; nothing followed, nothing kept, everything bounded."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Self

import anyio

from bridge.core.errors import Refused, Retry
from bridge.core.facts import Request, Response
from bridge.core.url import place, problem
from bridge.edge.outgoing import header_problem, tls

if TYPE_CHECKING:
    import aiohttp


class HttpClient:
    """Implements `bridge.engine.ports.Http`. Use it as an async context manager; one serves every source.

    `ca_file`: authorities (PEM) trusted beside the system's. `connections`: how many may be open at once.
    `allow_plain_http`: let tokens travel unencrypted to hosts other than this machine.
    `agent` is how we introduce ourselves. Entering raises Refused when the CA file cannot be used.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        connections: int = 64,
        allow_plain_http: bool = False,
        agent: str = "bridged",
    ) -> None:
        self._agent = agent
        self._ca_file = ca_file
        self._connections = connections
        self._allow_plain_http = allow_plain_http
        self._entered = False
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        if self._ca_file is not None:
            self._tls = tls(self._ca_file)
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered = False
        session, self._session = self._session, None
        if session is not None:
            with anyio.move_on_after(5, shield=True):
                await session.close()

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """The answer, whatever its status.

        `timeout_s` bounds the whole exchange, `max_bytes` the body once unpacked. Raises Retry for everything that
        kept an answer from arriving (connection, TLS, time-out, redirect, a body above the bound), and Refused for
        what must not or cannot be sent: to no URL, by plain HTTP to another machine, a header value that is none.
        """
        if not self._entered:
            raise RuntimeError("HttpClient is used outside its context")
        where = f"{request.method} {place(request.url)}"
        refused = problem(request.url, allow_plain=self._allow_plain_http) or header_problem(request.headers)
        if refused:
            raise Refused(f"{where}: {refused}")
        # Who waits for webhooks alone, or is about to tell that it is ready, does not wait for aiohttp.
        from bridge.edge.http_exchange import attempt, open_session

        if self._session is None:
            self._session = open_session(connections=self._connections, agent=self._agent)
        context = self._secure() if request.url[:6].lower() == "https:" else None
        outcome = await attempt(self._session, request, context, timeout_s, max_bytes)
        if isinstance(outcome, str):
            raise Retry(f"{where}: {outcome}")
        return outcome

    def _secure(self) -> ssl.SSLContext:
        # Nobody needs authorities, nor their memory, who speaks to this machine alone.
        if self._tls is None:
            self._tls = tls(self._ca_file)
        return self._tls
