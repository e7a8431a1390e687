"""HTTP by aiohttp: one session for all vendors, one TLS context; nothing followed, nothing kept, everything bounded."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlencode

import aiohttp
import anyio

from bridge.core.errors import Malformed, Refused, Retry
from bridge.core.facts import Request, Response
from bridge.core.url import host_of, place, problem
from bridge.edge.codec import decode, encode
from bridge.edge.http_failure import explain
from bridge.edge.outgoing import header_problem, revealed, tls

CHUNK = 65_536
"""Bytes taken from the network at a time: how far a body can go beyond its bound before we stop reading."""


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
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=tls(self._ca_file),
            limit=self._connections,
            # Less than servers keep theirs, or we would write into a connection that is being closed.
            keepalive_timeout=4.0,
            ttl_dns_cache=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The one deadline is ours, over the whole exchange.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={
                "User-Agent": self._agent,
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
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
        if self._session is None:
            raise RuntimeError("HttpClient is used outside its context")
        where = f"{request.method} {place(request.url)}"
        refused = problem(request.url, allow_plain=self._allow_plain_http) or header_problem(request.headers)
        if refused:
            raise Refused(f"{where}: {refused}")
        outcome = await self._attempt(self._session, request, timeout_s, max_bytes)
        if isinstance(outcome, str):
            raise Retry(f"{where}: {outcome}")
        return outcome

    async def _attempt(
        self, session: aiohttp.ClientSession, request: Request, timeout_s: float, max_bytes: int
    ) -> Response | str:
        """The answer, or why there is none.

        Returned, not raised: aiohttp's exceptions, and this frame, hold the headers with the secrets revealed, and
        must not hang on an error that somebody prints with all its causes and variables.
        """
        try:
            with anyio.fail_after(timeout_s):
                return await _exchange(session, request, max_bytes)
        except TimeoutError:
            return f"no complete answer within {timeout_s:g} s; if that is usual, raise `request_timeout_s`"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return explain(error, host_of(request.url))


async def _exchange(session: aiohttp.ClientSession, request: Request, max_bytes: int) -> Response | str:
    headers = {name: revealed(value) for name, value in request.headers.items()}
    body = None
    if request.form is not None:
        body = urlencode(revealed(request.form)).encode("ascii")
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif request.body is not None:
        body = request.body
    elif request.json is not None:
        body = encode(revealed(request.json))
        headers.setdefault("Content-Type", "application/json")
    async with session.request(
        request.method, request.url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        status = answer.status
        if 300 <= status <= 399 and status != 304 and not request.redirects:
            target = host_of(answer.headers.get("Location", "")) or "another path of the same host"
            answer.close()
            return (
                f"answered with a redirect (HTTP status {status}) to {target}, which is not followed; "
                "if the vendor has moved, configure the new URL"
            )
        data = b"" if request.status_only else await _read(answer, max_bytes)
        if request.status_only and answer.content_length != 0:
            answer.close()
        if data is None:
            return (
                f"the answer is longer than {max_bytes} bytes and was given up; ask for smaller pages, "
                "or raise `max_body_mb`"
            )
        found: dict[str, str] = {}
        for name, value in answer.headers.items():
            name = name.lower()
            # Cookies hold commas, in their dates: each stands on a line of its own.
            joint = "\n" if name == "set-cookie" else ", "
            found[name] = f"{found[name]}{joint}{value}" if name in found else value
    try:
        return Response(status, found, data, decode(data))
    except Malformed as error:
        return Response(status, found, data, None, str(error))


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    """The body; None when it is too long. `Content-Length` is not believed; what counts is the size once unpacked."""
    size = 0
    chunks: list[bytes] = []
    async for chunk in answer.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > max_bytes:
            # Closed, not released: nobody should read the rest to make the connection fit for another request.
            answer.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)
