"""The HTTP edge against real servers on loopback, honest and otherwise."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from bridge.core.errors import Refused, Retry
from bridge.core.facts import Request, Response
from bridge.core.secret import Secret
from bridge.edge.http import HttpClient
from tests.support.certificates import Authority
from tests.support.waiting import wait_until
from tests.support.web import Handler, server_tls, serving, talking

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
TOKEN = "hunter2-hunter2"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


def ask(port: int, path: str = "/graphql", *, scheme: str = "http", host: str = "127.0.0.1", **more: Any) -> Request:
    given: dict[str, Any] = {
        "headers": {"Authorization": Secret(TOKEN, "env TOKEN", prefix="Bearer ")},
        "json": {"query": "q", "variables": {"userApiToken": Secret(TOKEN, "env TOKEN")}},
    }
    return Request("POST", f"{scheme}://{host}:{port}{path}", **given | more)


async def failure(client: HttpClient, request: Request, *, timeout_s: float = 10, max_bytes: int = MIB) -> str:
    """The text of the Retry that sending ends in, with all its causes checked for the secret."""
    with pytest.raises(Retry) as caught:
        await client.send(request, timeout_s=timeout_s, max_bytes=max_bytes)
    error = caught.value
    assert type(error) is Retry
    assert error.__cause__ is None
    assert error.__context__ is None
    assert TOKEN not in f"{error!r}"
    assert f"POST {request.url.split('//')[1].split('?')[0]}: " in str(error)
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals["__name__"].startswith("bridge."):
            assert TOKEN not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next
    return str(error)


def saying(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


# --- what is sent and what comes back ----------------------------------------------------------------------------


async def test_secrets_are_revealed_on_the_wire_only(client: HttpClient) -> None:
    """In headers, with their prefix, and anywhere inside the JSON; the request itself still hides them."""
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(headers=request.headers.copy(), body=await request.json(), method=request.method)
        return web.json_response({"data": {"ok": True}}, headers={"X-RateLimit-Limit": "26"})

    async with serving(handler) as port:
        request = ask(port, json={"list": [{"deep": Secret(TOKEN)}, "x"], "n": 1.5})
        response = await client.send(request, timeout_s=10, max_bytes=MIB)
    assert seen["method"] == "POST"
    assert seen["headers"]["Authorization"] == f"Bearer {TOKEN}"
    assert seen["headers"]["Content-Type"] == "application/json"
    assert seen["headers"]["Accept"] == "application/json"
    assert seen["body"] == {"list": [{"deep": TOKEN}, "x"], "n": 1.5}
    assert TOKEN not in repr(request)
    assert (response.status, response.json, response.problem) == (200, {"data": {"ok": True}}, "")
    assert response.headers["x-ratelimit-limit"] == "26"
    assert TOKEN not in repr(response)


async def test_a_request_without_a_body(client: HttpClient) -> None:
    """Has none on the wire either, and its own headers win over ours."""
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(headers=request.headers.copy(), body=await request.read(), query=request.query_string)
        return web.Response(status=204)

    async with serving(handler) as port:
        request = Request(
            "GET", f"http://127.0.0.1:{port}/users?page=2", {"Accept": "text/csv", "If-None-Match": '"e"'}
        )
        response = await client.send(request, timeout_s=10, max_bytes=MIB)
    assert (seen["body"], seen["query"]) == (b"", "page=2")
    assert "Content-Type" not in seen["headers"]
    assert seen["headers"].getall("Accept") == ["text/csv"]
    assert (response.status, response.body, response.json, response.problem) == (204, b"", None, "empty body")


async def test_a_body_that_is_made(client: HttpClient) -> None:
    """Goes out byte for byte, under the content type that the headers tell: what is signed must not be spelt anew."""
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(headers=request.headers.copy(), body=await request.read())
        return web.Response(status=204)

    async with serving(handler) as port:
        body = b'{ "a":1.0,\n"b": "\xc3\xa4" }'
        request = Request("POST", f"http://127.0.0.1:{port}/", {"Content-Type": "application/x+json"}, body=body)
        await client.send(request, timeout_s=10, max_bytes=MIB)
    assert (seen["body"], seen["headers"]["Content-Type"]) == (body, "application/x+json")


@pytest.mark.parametrize("size", [0, 1, 8 * MIB])
async def test_an_answer_whose_body_does_not_matter(client: HttpClient, size: int) -> None:
    """Is not read, however long it is; the connection serves others or is closed."""
    async with serving(saying(bytes(size), 201, {"X-Said": "yes"})) as port:
        request = Request("POST", f"http://127.0.0.1:{port}/", json={}, status_only=True)
        for _ in range(3):
            response = await client.send(request, timeout_s=10, max_bytes=0)
            assert (response.status, response.headers["x-said"], response.body) == (201, "yes", b"")


async def test_a_form(client: HttpClient) -> None:
    """Goes out URL-encoded, in place of JSON, with its secrets revealed on the wire only."""
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(headers=request.headers.copy(), body=await request.read(), form=await request.post())
        return web.json_response({})

    given: dict[str, str | Secret] = {
        "grant_type": "client_credentials", "client_secret": Secret("a&b=c +ü%"), "scope": "read events",
    }  # fmt: skip
    async with serving(handler) as port:
        request = Request("POST", f"http://127.0.0.1:{port}/oauth/token", form=given, json={"not": "this"})
        await client.send(request, timeout_s=10, max_bytes=MIB)
    assert seen["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(seen["form"]) == {
        "grant_type": "client_credentials", "client_secret": "a&b=c +ü%", "scope": "read events",
    }  # fmt: skip
    assert b"not" not in seen["body"]
    assert "a&b" not in repr(request)


async def test_a_redirect_as_an_answer(client: HttpClient) -> None:
    """Who asks for it is told of the redirect; it is not followed all the same."""
    async with serving(saying(b"{}", 307, {"Location": "http://localhost:1/steal"})) as port:
        request = Request("POST", f"http://127.0.0.1:{port}/token", form={"a": "b"}, redirects=True)
        response = await client.send(request, timeout_s=10, max_bytes=MIB)
    assert (response.status, response.headers["location"]) == (307, "http://localhost:1/steal")


@pytest.mark.parametrize("status", [200, 304, 400, 401, 403, 404, 418, 429, 500, 503])
async def test_every_status_is_an_answer(client: HttpClient, status: int) -> None:
    """What it means is the adapter's to say."""
    async with serving(saying(b"{}", status, {"Retry-After": "7"})) as port:
        response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
    assert response.status == status
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<!doctype html><html>down for maintenance</html>", "HTML page"),
        (b'{"data": {"nodes": [', "truncated JSON: it breaks off after 20 bytes"),
        (b"", "empty body"),
        (b'{"a": "\xff"}', "JSON with invalid UTF-8"),
        (b"[NaN]", "not JSON: invalid character (byte 1)"),
        (b"[" * 10_000 + b"]" * 10_000, "JSON nested deeper than 100 levels"),
        (b"[" + b"{}," * 300_000 + b"{}]", "JSON of 300002 lists and objects in 900004 bytes: no record is like that"),
    ],
)
async def test_what_is_not_json_is_an_answer_with_a_problem(client: HttpClient, body: bytes, problem: str) -> None:
    """Named in words; the body itself goes along."""
    async with serving(saying(body)) as port:
        response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
    assert (response.json, response.problem, response.body) == (None, problem, body)


async def test_no_cookie_is_kept(client: HttpClient) -> None:
    """What one answer sets, no later request sends."""
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        return web.json_response({}, headers={"Set-Cookie": "session=1; Path=/"})

    async with serving(handler) as port:
        for _ in range(2):
            await client.send(ask(port, host="localhost"), timeout_s=10, max_bytes=MIB)
    assert seen == [None, None]


async def test_each_cookie_is_a_line(client: HttpClient) -> None:
    """Their dates hold commas, so cookies are not joined by them; other headers are."""

    async def handler(_: web.Request) -> web.Response:
        answer = web.json_response({})
        for value in ("sid=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT", "other=2; Path=/"):
            answer.headers.add("Set-Cookie", value)
        for value in ("a", "b"):
            answer.headers.add("X-Many", value)
        return answer

    async with serving(handler) as port:
        response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
    assert response.headers["set-cookie"] == "sid=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT\nother=2; Path=/"
    assert response.headers["x-many"] == "a, b"


async def test_connections_are_used_again(client: HttpClient) -> None:
    """Many requests one after the other need one connection."""
    peers = set()

    async def handler(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        return web.json_response({})

    async with serving(handler) as port:
        for _ in range(10):
            await client.send(ask(port), timeout_s=10, max_bytes=MIB)
    assert len(peers) == 1


# --- what must not be sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.example.com/graphql?access_token=hunter2-hunter2", "use https"),
        ("https://user:hunter2-hunter2@api.example.com/", "user name or password"),
        ("ftp://api.example.com/", "not a URL"),
        ("graphql", "not a URL"),
    ],
)
async def test_what_must_not_be_sent_is_refused(client: HttpClient, url: str, words: str) -> None:
    """Repeating would not help: somebody must correct the configuration."""
    with pytest.raises(Refused, match=words) as caught:
        await client.send(Request("GET", url), timeout_s=10, max_bytes=MIB)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("value", ["line\nbreak", "carriage\r", "nul\0", "ümlaut"])
async def test_a_header_that_is_none_is_refused_by_its_origin(client: HttpClient, value: str) -> None:
    """A secret's file that ends in a line break is found by where it came from, not by what it holds."""
    headers: dict[str, str | Secret] = {"x-api-key": Secret(value, "env TOKEN")}
    with pytest.raises(Refused, match=r"header x-api-key \(env TOKEN\)") as caught:
        await client.send(Request("GET", "https://api.example.com/", headers), timeout_s=10, max_bytes=MIB)
    assert value not in str(caught.value)


async def test_plain_http_elsewhere_is_a_decision() -> None:
    """With `allow_plain_http` it is tried. (The name cannot exist, so the attempt ends there.)"""
    async with HttpClient(allow_plain_http=True) as client:
        request = Request("POST", "http://no-such-host.invalid/graphql")
        assert "no-such-host.invalid cannot be resolved" in await failure(client, request)


# --- what goes wrong on the way ----------------------------------------------------------------------------------


async def test_a_redirect_is_not_followed(client: HttpClient) -> None:
    """The text names the host it wanted to send us to, and nothing of the rest; that host hears nothing."""
    asked = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    async with serving(elsewhere) as other:
        for status in (301, 302, 303, 307, 308):
            for location, named in (
                (f"http://localhost:{other}/steal?t=1", "localhost"),
                ("https://user:pw@évil.example/x", "?vil.example"),
                ("/login", "another path of the same host"),
                ("//[bad", "another path of the same host"),
            ):
                async with serving(saying(b"{}", status, {"Location": location})) as port:
                    text = await failure(client, ask(port))
                assert f"a redirect (HTTP status {status}) to {named}, which is not followed" in text
                assert "steal" not in text
                assert "pw" not in text
    assert asked == []


async def test_a_huge_body_is_given_up_early(client: HttpClient) -> None:
    """Of 100 MB little more than the bound is taken off the network."""
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" " * MIB)
            sent += MIB
        return response

    async with serving(handler) as port:
        text = await failure(client, ask(port), max_bytes=MIB)
    assert "longer than 1048576 bytes and was given up" in text
    assert "max_body_mb" in text
    assert sent < 30 * MIB  # what fits into the sockets' buffers


async def test_a_body_at_the_bound_passes(client: HttpClient) -> None:
    """The bound is the longest body, not the first too long one."""
    body = json.dumps("x" * (MIB - 2)).encode()
    async with serving(saying(body)) as port:
        response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
        assert response.body == body
        assert "given up" in await failure(client, ask(port), max_bytes=MIB - 1)


async def test_a_gzip_bomb_takes_no_memory(client: HttpClient) -> None:
    """200 MB packed into 200 kB are given up while they are unpacked; honest compression is read."""
    bomb = gzip.compress(b" " * (200 * MIB), compresslevel=9)
    honest = gzip.compress(b'{"a": 1}')
    async with serving(saying(honest, headers={"Content-Encoding": "gzip"})) as port:
        response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
        assert response.json == {"a": 1}
    async with serving(saying(bomb, headers={"Content-Encoding": "gzip"})) as port:
        tracemalloc.start()
        try:
            text = await failure(client, ask(port), max_bytes=4 * MIB, timeout_s=30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "given up" in text
    assert peak < 24 * MIB


async def test_a_broken_compression_is_tried_again(client: HttpClient) -> None:
    """What cannot be unpacked is not taken for a body."""
    async with serving(saying(b"this is not gzip", headers={"Content-Encoding": "gzip"})) as port:
        assert "broke off or cannot be unpacked" in await failure(client, ask(port))


async def test_a_slow_answer_meets_the_deadline(client: HttpClient) -> None:
    """Before the headers or in the middle of the body: one deadline for the whole exchange."""

    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"data":')
        await asyncio.Event().wait()
        return response

    for handler in (silent, dripping):
        async with serving(handler) as port:
            text = await failure(client, ask(port), timeout_s=0.2)
            assert "no complete answer within 0.2 s" in text
            assert "request_timeout_s" in text


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "cut the connection before it had answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cut the connection before it had answered"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"data"', "broke off"),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"data"\r\n', "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}", "not HTTP"),
    ],
)
async def test_an_answer_that_breaks_off_or_is_none(client: HttpClient, head: bytes, words: str) -> None:
    """Cut at any place, or no HTTP at all: nothing of it is used."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    async with talking(talk) as port:
        assert words in await failure(client, ask(port))


async def test_a_reset_connection(client: HttpClient) -> None:
    """The same with a TCP reset instead of an orderly end."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with talking(talk) as port:
        assert "cut the connection before it had answered" in await failure(client, ask(port))


async def test_nobody_listens(client: HttpClient) -> None:
    """Refused connections and unknown names are told apart; a query never shows."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        text = await failure(client, ask(taken.getsockname()[1], "/graphql?page=secretive"))
    assert "127.0.0.1 refused the connection" in text
    assert "secretive" not in text
    request = Request("POST", "https://no-such-host.invalid/graphql")
    assert "the name no-such-host.invalid cannot be resolved" in await failure(client, request)


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_trusted_certificate(authority: Authority) -> None:
    """With the authority's CA file, for a host name and for an address."""
    tls = server_tls(*authority.issue("good", "localhost", "127.0.0.1"))
    async with HttpClient(ca_file=str(authority.path)) as client, serving(saying(b"{}"), tls) as port:
        for host in ("localhost", "127.0.0.1"):
            response = await client.send(ask(port, scheme="https", host=host), timeout_s=10, max_bytes=MIB)
            assert response.json == {}


async def test_certificates_that_do_not_fit(authority: Authority) -> None:
    """Another host's name, another address, expired, unknown authority: each named with what to do; nothing is sent."""
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    wrong = server_tls(*authority.issue("wrong", "vendor.example", "10.0.0.1"))
    expired = server_tls(*authority.issue("expired", "localhost", valid=timedelta(days=-1)))
    cases = [
        (wrong, "localhost", "for another host name; check the configured URL"),
        (wrong, "127.0.0.1", "for another address; check the configured URL"),
        (expired, "localhost", "has expired"),
    ]
    async with HttpClient(ca_file=str(authority.path)) as client:
        for tls, host, words in cases:
            async with serving(handler, tls) as port:
                text = await failure(client, ask(port, scheme="https", host=host))
                assert f"{host} cannot be trusted: its certificate" in text
                assert words in text
    good = server_tls(*authority.issue("good", "localhost"))
    async with HttpClient() as client, serving(handler, good) as port:
        text = await failure(client, ask(port, scheme="https", host="localhost"))
        assert "unknown authority; configure the authority's CA file" in text
    assert asked == []


async def test_https_to_a_port_that_speaks_http(client: HttpClient) -> None:
    """Named as what it is."""
    async with serving(saying(b"{}")) as port:
        text = await failure(client, ask(port, scheme="https"))
        assert "no TLS with 127.0.0.1" in text


@pytest.mark.parametrize("content", [None, b"not a certificate"])
async def test_a_ca_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """Found when the client starts, by the file's name."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=rf"CA file {path}: .*; expected a PEM file"):
        async with HttpClient(ca_file=str(path)):
            pass


# --- cancellation and cleaning up --------------------------------------------------------------------------------


async def test_cancellation_passes_through(client: HttpClient) -> None:
    """A cancelled request is no failure: it ends at once, and the client goes on working."""
    asked = anyio.Event()
    ended: list[type[BaseException]] = []

    async def handler(_: web.Request) -> web.Response:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return web.json_response({})

    async def send() -> None:
        try:
            await client.send(ask(port), timeout_s=60, max_bytes=MIB)
        except BaseException as error:
            ended.append(type(error))
            raise

    async with serving(handler) as port:
        with anyio.fail_after(90):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await asked.wait()
                tasks.cancel_scope.cancel()
        assert ended == [asyncio.CancelledError]
        response: Response = await client.send(ask(port), timeout_s=10, max_bytes=MIB)
        assert response.status == 200


async def test_an_outer_deadline_is_not_taken_for_ours(client: HttpClient) -> None:
    """Whoever set the shorter deadline hears of it."""

    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(handler) as port:
        with pytest.raises(TimeoutError), anyio.fail_after(0.2):
            await client.send(ask(port), timeout_s=60, max_bytes=MIB)


async def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """After the context no connection is open, and aiohttp has nothing to complain of, nor anything to tell."""
    caplog.set_level(logging.DEBUG)
    async with serving(saying(b"{}")) as port:
        async with HttpClient() as client:
            await client.send(ask(port), timeout_s=10, max_bytes=MIB)
            with pytest.raises(Retry):
                await client.send(ask(port), timeout_s=10, max_bytes=1)
            session = client._session
        assert session is not None
        connector = session.connector
        await wait_until(lambda: session.closed and (connector is None or connector.closed))
    assert TOKEN not in caplog.text
    assert "Unclosed" not in caplog.text
    with pytest.raises(RuntimeError, match="outside its context"):
        await client.send(ask(1), timeout_s=1, max_bytes=1)
