"""Addresses that a vendor names: nothing is ever sent to another host, least of all a secret."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from bridge.core.errors import BridgeError, Refused, Retry
from bridge.core.facts import Ask, GraphqlSession, Request, Response, Token
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.url import is_loopback
from bridge.edge.http import HttpClient
from bridge.edge.nats.client import SteadyClient
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions, tls_context
from bridge.edge.outgoing import tls
from bridge.edge.websocket import WebSockets
from bridge.engine.ports import UpgradeRefused
from tests.adapters.cases import CASES
from tests.adapters.contract import Case
from tests.support.answers import answer
from tests.support.certificates import Authority
from tests.support.dialects import TRANSPORT
from tests.support.graphql_server import graphql_server
from tests.support.web import serving

pytestmark = pytest.mark.anyio

TOKEN = "hunter2-hunter2"
BAIT = (
    "https://evil.example/x", "http://169.254.169.254/latest/meta-data/", "//evil.example/x", "@evil.example",
    "evil.example", "/../..//evil.example", "\\\\evil.example\\x", "http://[::ffff:169.254.169.254]/", "file:///etc/passwd",
)  # fmt: skip
"""What a vendor may write where an id, a cursor or an address belongs; some lead to clouds' own credentials."""
NAMES = ("Location", "Link", "Content-Location", "Refresh", "X-Next-Page", "Alt-Svc", "Operation-Location")


def baited(value: Json, bait: str) -> Iterator[Json]:
    """The same JSON with one text after the other replaced, and with addresses beside, by names that others use."""
    if isinstance(value, str):
        yield bait
    elif isinstance(value, dict):
        links = dict.fromkeys(
            ("next", "next_page", "nextUrl", "url", "href", "@odata.nextLink", "token_endpoint"), bait
        )
        yield {**links, **value, "links": links}
        for key, inner in value.items():
            for other in baited(inner, bait):
                yield {**value, key: other}
    elif isinstance(value, list) and value:
        for other in baited(value[0], bait):
            yield [other, *value[1:]]
        for other in baited(value[-1], bait):
            yield [*value[:-1], other]


def asked(case: Case, login: list[Response], page: Response) -> Iterator[Request]:
    """Every request that the adapter makes of these answers, up to the third page, and of a live session's address."""
    adapter = case.make()
    flow, left = adapter.login(), list(login)
    token: Token | None = None
    try:
        request = next(flow)
        while True:
            yield request
            if not left:
                break
            request = flow.send(left.pop(0))
    except StopIteration as end:
        token = end.value
    except BridgeError:
        return
    if token is None:
        return
    ask: Ask = case.ask
    for _ in range(3):
        try:
            yield adapter.request(ask, token)
            found = adapter.page(ask, page)
        except BridgeError:
            return
        if found.next is None:
            break
        ask = Ask(ask.walk, ask.window, found.next, ask.ids)
    try:
        yield Request("GET", adapter.session(token).url)
    except (BridgeError, NotImplementedError):
        return


def hosts(requests: Iterator[Request]) -> set[str]:
    """Scheme and host with port, as a client would read them."""
    return {f"{(at := urlsplit(request.url)).scheme}://{at.netloc}" for request in requests}


@pytest.mark.parametrize("case", [one for one in CASES if one.name != "webhook"], ids=lambda case: case.name)
def test_no_answer_sends_an_adapter_elsewhere(case: Case) -> None:
    """Whatever text of a login's or a page's answer is an address, or header: all go where they went before."""
    home = hosts(asked(case, list(case.login), case.pages[0]))
    assert home
    tried = 0
    for bait in BAIT:
        extra = dict.fromkeys((name.lower() for name in NAMES), bait)
        bodies = list(baited(case.pages[0].json, bait))[:60]
        for body in bodies:
            page = answer(body, headers={**case.pages[0].headers, **extra})
            assert hosts(asked(case, list(case.login), page)) <= home
            tried += 1
        for number, one in enumerate(case.login):
            for body in baited(one.json, bait):
                login = list(case.login)
                login[number] = answer(body, one.status, {**one.headers, **extra})
                assert hosts(asked(case, login, case.pages[0])) <= home, body
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 306, 307, 308])
async def test_no_redirect_carries_anything_on(status: int) -> None:
    """HTTP and WebSockets: to another port of the same host, with any status; nothing arrives there."""
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(str(request.headers))
        return web.json_response({})

    async with serving(elsewhere) as other:
        where = f"http://127.0.0.1:{other}/x?"

        async def redirect(_: web.Request) -> web.Response:
            headers = {
                "Location": where,
                "Refresh": f"0; url={where}",
                "Alt-Svc": f'h2=":{other}"',
                "Link": f"<{where}>",
            }
            return web.Response(status=status, headers=headers)

        secret = {"Authorization": Secret(TOKEN, prefix="Bearer ")}
        async with serving(redirect) as port, HttpClient() as client:
            for method in ("GET", "POST"):
                request = Request(method, f"http://127.0.0.1:{port}/", secret)
                with pytest.raises(Retry, match="not followed"):
                    await client.send(request, timeout_s=10, max_bytes=100)
                asked = Request(method, f"http://127.0.0.1:{port}/", secret, redirects=True)
                assert (await client.send(asked, timeout_s=10, max_bytes=100)).status == status
            session = GraphqlSession(f"ws://127.0.0.1:{port}/", TRANSPORT, (), headers=secret)
            with pytest.raises(UpgradeRefused):
                async with WebSockets().connect(session):
                    pass
    assert heard == []


async def test_the_environment_sends_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxies and passwords that the environment names are for others: requests and sessions go where they are told."""
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login a password {TOKEN}\n")
    (tmp_path / ".netrc").chmod(0o600)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "ws_proxy",
        "wss_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.setenv(name, at)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    async with serving(handler) as port, HttpClient() as client, graphql_server(lambda peer: peer.receive()) as ws:
        await client.send(Request("GET", f"http://127.0.0.1:{port}/"), timeout_s=10, max_bytes=100)
        async with WebSockets().connect(GraphqlSession(ws.url(), TRANSPORT, ())):
            pass
    server.close()
    assert (heard, seen) == ([], [None])


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[::]", "127.0.0.1.evil.example", "localhost.evil",
     "127.1", "2130706433", "0x7f.1", "[::ffff:7f00:1]", "loCalhost.evil", "127.0.0.1%2eevil", "evil#localhost"],
)  # fmt: skip
async def test_nothing_leaves_this_machine_in_the_clear(host: str) -> None:
    """Not by HTTP, and not by a WebSocket, however an address is spelled; it is refused before a name is looked up."""
    secret = {"Authorization": Secret(TOKEN)}
    async with HttpClient() as client:
        with pytest.raises(Refused, match=r"use https://|not a URL"):
            await client.send(Request("GET", f"http://{host}/", secret), timeout_s=5, max_bytes=1)
    with pytest.raises(Refused, match=r"use wss://|not a URL"):
        async with WebSockets().connect(GraphqlSession(f"ws://{host}/", TRANSPORT, (), headers=secret)):
            pass


async def test_a_nats_server_sends_no_password_to_others() -> None:
    """Servers elsewhere that one on this machine announces are not tried in the clear, unless that is allowed."""
    greeting = {"server_id": "x", "version": "2.12.0", "max_payload": 1_048_576, "headers": True, "proto": 1,
                "connect_urls": ["10.255.255.1:4222", "127.0.0.1:9", "[2001:db8::1]:4222", "evil:4222"]}  # fmt: skip

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {json.dumps(greeting)}\r\n".encode())
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for plaintext, known in ((False, 2), (True, 5)):
        async with connect(NatsOptions(urls=(url,), plaintext=plaintext)) as connection:
            assert isinstance(connection.client, SteadyClient)
            assert connection.client.servers_known == known
    server.close()


def test_every_side_of_tls_verifies(tmp_path: Path) -> None:
    """Vendors and NATS must show a certificate that is trusted and theirs; nothing below TLS 1.2 is spoken."""
    authority = Authority(tmp_path)
    for context in (tls(None), tls(str(authority.path)), tls_context(NatsOptions(urls=("tls://a",)))):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_what_counts_as_this_machine() -> None:
    """By its spelling alone: what has to be resolved may be resolved otherwise the next time."""
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "localhost", "a.localhost", "::1", "LOCALHOST")))
    near = {
        socket.gethostname(),
        "127.0.0.1.",
        "127.0.0",
        "0.0.0.0",
        "::",
        "localhost.",
        "127.0.0.1.evil",
        "local host",
        "",
    }
    assert not any(map(is_loopback, near - {"localhost"}))
    assert json.dumps(TOKEN) not in repr(Request("GET", "https://a", {"a": Secret(TOKEN)}))
