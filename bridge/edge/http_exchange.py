"""One exchange by aiohttp: its session, a request as it leaves, the answer as it comes, and why there is none.

Apart from `bridge.edge.http`, so that aiohttp is imported for the first request and not before.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlencode

import anyio

from bridge.core.errors import Malformed
from bridge.core.facts import Request, Response
from bridge.core.url import host_of
from bridge.edge.codec import decode, encode
from bridge.edge.outgoing import revealed
from bridge.edge.sparing import without_authorities

with without_authorities():
    # It makes two TLS contexts while it is imported, for those who bring none.
    import aiohttp

    from bridge.edge.http_failure import explain

CHUNK = 65_536
"""Bytes taken from the network at a time: how far a body can go beyond its bound before we stop reading."""


def open_session(*, connections: int, agent: str) -> aiohttp.ClientSession:
    """A session that follows nothing, keeps nothing, and has no deadline of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections,
            # Less than servers keep theirs, or we would write into a connection that is being closed.
            keepalive_timeout=4.0,
            ttl_dns_cache=30,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # The one deadline is ours, over the whole exchange.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={
            "User-Agent": agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        },
    )


async def attempt(
    session: aiohttp.ClientSession, request: Request, tls: ssl.SSLContext | None, timeout_s: float, max_bytes: int
) -> Response | str:
    """The answer, or why there is none. `tls`: for https, None for a request that goes in the clear.

    Returned, not raised: aiohttp's exceptions, and this frame, hold the headers with the secrets revealed, and
    must not hang on an error that somebody prints with all its causes and variables.
    """
    try:
        with anyio.fail_after(timeout_s):
            return await _exchange(session, request, tls, max_bytes)
    except TimeoutError:
        return f"no complete answer within {timeout_s:g} s; if that is usual, raise `request_timeout_s`"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return explain(error, host_of(request.url))


async def _exchange(
    session: aiohttp.ClientSession, request: Request, tls: ssl.SSLContext | None, max_bytes: int
) -> Response | str:
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
        request.method, request.url, headers=headers, data=body, allow_redirects=False, ssl=tls or True
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
