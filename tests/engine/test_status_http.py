"""Who is answered what on the status page's port, and who is not."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from bridge.core.secret import Secret
from bridge.edge.ingress.sockets import is_loopback, network
from bridge.engine.newsreel import Newsreel
from bridge.engine.ports import Incoming, Reply, Write
from bridge.engine.readiness import Condition
from bridge.engine.status_http import Asset, StatusHttp
from bridge.engine.status_login import Login
from tests.support.engine import on_virtual_clock

TOKEN = "correct-horse-battery"
DATA = ("/status.json", "/events", "/metrics")
EVERYBODY = ("/", "/assets/a.js", "/livez", "/readyz")


class Desk:
    """Reports that say little; whoever asks for one is noted."""

    def __init__(self) -> None:
        self.refreshed: list[float] = []
        self.watchers = 0

    stored = 7

    def names(self) -> list[str]:
        return []

    def head(self) -> dict[str, Any]:
        return {}

    def sources(self, names: Any) -> list[Any]:
        return []

    def events(self, after: int, until: int) -> list[Any]:
        return []

    def report(self, until: int) -> dict[str, Any]:
        return {"until": until, "sources": []}

    def encode(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    async def refresh(self, patience_s: float) -> None:
        self.refreshed.append(patience_s)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1


class House:
    """The page, with or without a token."""

    def __init__(self, token: str | None = None) -> None:
        self.desk = Desk()
        self.reel = Newsreel(self.desk)
        self.health = [Condition("nats", holds=True), Condition("status", holds=True)]
        self.http = StatusHttp(
            self.desk,
            self.reel,
            login=Login(None if token is None else Secret(token, "env TOKEN"), network),
            live=lambda: [Condition("loop", holds=True)],
            ready=lambda: self.health,
            assets={"/": Asset("text/html", b"<!doctype html>", '"1"'), "/assets/a.js": Asset("text/js", b"x", '"2"')},
            metrics=lambda accept: ("text/plain; version=0.0.4", f"up 1 # {accept}".encode()),
            local=is_loopback,
            hosts=["status.example"],
        )

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """One request, as the listener passes it on."""
        limit = self.http.limit(method, path)
        if isinstance(limit, Reply):
            return limit
        named = {"host": "127.0.0.1:8790"} | {key.replace("_", "-"): value for key, value in headers.items()}
        peer = named.pop("peer", "127.0.0.1")
        path, _, query = path.partition("?")
        pairs = {name: value for name, _, value in (one.partition("=") for one in query.split("&") if one)}
        return await self.http(Incoming(method, path, named, body, query=pairs, peer=peer))

    async def log_in(self, token: str, **headers: str) -> Reply:
        return await self.ask("/login", "POST", f"token={token}".encode(), **headers)


async def read(reply: Reply, write: Write) -> None:
    """Whatever its body is."""
    assert reply.stream is not None
    await reply.stream(write)


def run(script: Callable[[], Awaitable[None]]) -> None:
    on_virtual_clock(script)


def test_every_answer_is_strict() -> None:
    """Nothing foreign is loaded, nobody may frame it, nothing is kept, no address is passed on: in all answers."""

    async def script() -> None:
        house = House(TOKEN)
        replies = [await house.ask(path) for path in (*DATA, *EVERYBODY, "/nothing", "/login")]
        replies += [await house.ask("/", "DELETE"), await house.ask("/", host="evil.example"), await house.log_in("x")]
        for reply in replies:
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Referrer-Policy"] == "no-referrer"
            assert reply.headers["Cache-Control"] in ("no-store", "no-cache")
            assert "Access-Control-Allow-Origin" not in reply.headers

    run(script)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_changed(method: str) -> None:
    """Only GET and HEAD are answered, and what else there may be is named."""

    async def script() -> None:
        for path in (*DATA, *EVERYBODY, "/nothing"):
            reply = await House().ask(path, method)
            assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")

    run(script)


def test_a_report_that_is_asked_for_waits_a_little_for_the_stream() -> None:
    """GET has it looked up; HEAD asks nobody anything."""

    async def script() -> None:
        house = House()
        reply = await house.ask("/status.json")
        assert (reply.status, json.loads(reply.body)) == (200, {"until": 7, "sources": []})
        assert reply.headers["Content-Type"] == "application/json"
        assert house.desk.refreshed == [2.0]
        assert (await house.ask("/status.json", "HEAD")).status == 200
        assert house.desk.refreshed == [2.0]
        scrape = await house.ask("/metrics", accept="text/plain")
        assert (scrape.body, scrape.headers["Content-Type"]) == (b"up 1 # text/plain", "text/plain; version=0.0.4")

    run(script)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8790", "127.0.0.1.evil.example", "10.0.0.1:8790", "", "localhost.evil.example",
     "[::1].evil.example", "[fe80::1]:8790", "0.0.0.0:8790", "127.0.0.1, evil.example"],
)  # fmt: skip
def test_a_name_that_was_made_to_point_here_is_not_answered(host: str) -> None:
    """A page of somebody else's cannot read the report with its reader's browser: not one address answers."""

    async def script() -> None:
        house = House()
        for path in (*DATA, *EVERYBODY):
            reply = await house.ask(path, host=host)
            assert reply.status == 421
            assert "127.0.0.1" in str(reply.body)
        assert house.desk.refreshed == []

    run(script)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8790", "localhost", "LOCALHOST:1", "localhost.", "[::1]:8790", "127.9.9.9", "status.example:1"]
)
def test_this_machine_and_what_is_configured_are_answered(host: str) -> None:
    """By every name that is surely ours."""

    async def script() -> None:
        assert (await House().ask("/status.json", host=host)).status == 200

    run(script)


def test_with_a_token_any_name_will_do() -> None:
    """Whoever has it is no stranger's page; a proxy may call us as it likes."""

    async def script() -> None:
        reply = await House(TOKEN).ask("/status.json", host="evil.example", authorization=f"Bearer {TOKEN}")
        assert reply.status == 200

    run(script)


# --- the token ------------------------------------------------------------------------------------------------------


def test_what_tells_how_things_are_needs_the_token() -> None:
    """Report, events and metrics; by the header as scripts send it, in any case of its scheme."""

    async def script() -> None:
        house = House(TOKEN)
        for path in DATA:
            for given in ("", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
                reply = await house.ask(path, authorization=given, cookie=f"bridged_session={TOKEN}")
                assert reply.status == 401, (path, given)
                assert reply.headers["WWW-Authenticate"].startswith("Bearer")
                await anyio.sleep(60)
            assert (await house.ask(path, authorization=f"bearer {TOKEN}")).status == 200
        for path in EVERYBODY:
            assert (await house.ask(path)).status == 200

    run(script)


def test_who_logs_in_gets_a_cookie_no_script_reads() -> None:
    """It opens everything for twelve hours, is another each time, and is not the token."""

    async def script() -> None:
        house = House(TOKEN)
        first, second = await house.log_in(TOKEN), await house.log_in(TOKEN, x_forwarded_proto="https")
        assert (first.status, second.status) == (204, 204)
        cookie = first.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert "Secure" in second.headers["Set-Cookie"]
        value, other = cookie.split(";")[0], second.headers["Set-Cookie"].split(";")[0]
        assert value != other
        assert TOKEN not in value
        assert len(value) > 40
        for path in DATA:
            assert (await house.ask(path, cookie=f"theme=dark; {value}; x=1")).status == 200
        await anyio.sleep(12 * 3600 - 60)
        assert (await house.ask("/metrics", cookie=value)).status == 200
        await anyio.sleep(61)
        assert (await house.ask("/metrics", cookie=value)).status == 401

    run(script)


def test_many_sessions_are_not_kept() -> None:
    """A hundred, the oldest ends first."""

    async def script() -> None:
        house = House(TOKEN)
        cookies = [(await house.log_in(TOKEN)).headers["Set-Cookie"].split(";")[0] for _ in range(101)]
        assert (await house.ask("/metrics", cookie=cookies[0])).status == 401
        assert (await house.ask("/metrics", cookie=cookies[1])).status == 200
        assert (await house.ask("/metrics", cookie=cookies[100])).status == 200

    run(script)


def test_guessing_is_slow() -> None:
    """After ten wrong ones of an address each is looked at a second later only, by form and by header, the right one,
    too, which opens; a session does not wait, nor does who comes from elsewhere."""

    async def script() -> None:
        house = House(TOKEN)
        cookie = (await house.log_in(TOKEN)).headers["Set-Cookie"].split(";")[0]
        begun = anyio.current_time()
        statuses = [(await house.log_in("wrong")).status for _ in range(5)]
        statuses += [(await house.ask("/metrics", authorization="Bearer wrong")).status for _ in range(5)]
        assert statuses == [401] * 10
        assert (await house.ask("/metrics", cookie=cookie)).status == 200
        other = await house.ask("/metrics", peer="192.0.2.1", authorization=f"Bearer {TOKEN}")
        assert other.status == 200, "who knows is not kept out by who guesses elsewhere"
        assert anyio.current_time() == begun
        replies = [await house.log_in("wrong"), await house.ask("/metrics", authorization="Bearer wrong")]
        assert [reply.status for reply in replies] == [429, 429]
        assert all(1 <= int(reply.headers["Retry-After"]) <= 3 for reply in replies)
        assert anyio.current_time() == begun + 2
        await anyio.sleep(0.5)
        assert (await house.log_in("wrong")).status == 401
        assert anyio.current_time() == begun + 3.5
        assert (await house.log_in(TOKEN)).status == 204, "who knows may stand behind the same proxy as who guesses"
        assert (await house.ask("/metrics", authorization=f"Bearer {TOKEN}")).status == 200
        assert anyio.current_time() == begun + 5.5
        with anyio.move_on_after(0.99):
            await house.log_in(TOKEN)
            raise AssertionError("whoever hangs up sooner learns nothing")
        tries, begun = 0, anyio.current_time()
        with capture_logs() as logs:
            while anyio.current_time() < begun + 600:
                tries += (await house.log_in("wrong")).status == 401
        assert 190 <= tries <= 210
        assert [line["event"] for line in logs] == ["status.guessed"] * 10
        assert "192.0.2" not in str(logs)

    run(script)


def test_what_is_remembered_of_guessers_is_bounded() -> None:
    """A thousand addresses; all of a network of IPv6 count as one, and an IPv4 address however it is spelt."""

    async def script() -> None:
        house = House(TOKEN)
        for number in range(2000):
            await house.ask("/metrics", peer=f"p{number}", authorization="Bearer wrong")
        assert len(house.http._login._wrong) == 1000
        for number in range(10):
            for peer in (f"2001:db8::{number}:1", ("192.0.2.7", "::ffff:192.0.2.7")[number % 2]):
                await house.ask("/metrics", peer=peer, authorization="Bearer wrong")
        for peer, status in (("2001:db8::77", 429), ("2001:db8:0:1::77", 401), ("::ffff:192.0.2.7", 429)):
            assert (await house.ask("/metrics", peer=peer, authorization="Bearer wrong")).status == status, peer

    run(script)


@pytest.mark.parametrize("body", [b"", b"nothing", b"token", b"\xff\xfe", b"token=", b"a=1&" * 40, b"token=a&token=b"])
def test_a_form_that_is_none_lets_nobody_in(body: bytes) -> None:
    """And is no bug either."""

    async def script() -> None:
        reply = await House(TOKEN).ask("/login", "POST", body)
        assert reply.status in (400, 401)
        assert "Set-Cookie" not in reply.headers

    run(script)


def test_another_sites_page_may_not_log_in() -> None:
    """With its reader's browser; our own page may, and a script without an Origin."""

    async def script() -> None:
        house = House(TOKEN)
        assert (await house.log_in(TOKEN, origin="https://evil.example")).status == 403
        assert (await house.log_in(TOKEN, origin="null")).status == 403
        assert (await house.log_in(TOKEN, origin="http://127.0.0.1:8790")).status == 204
        assert (await house.ask("/login", "GET")).status == 405
        assert house.http.limit("POST", "/login") == 4096

    run(script)


# --- health -------------------------------------------------------------------------------------------------------


def test_health_is_the_status_and_verbose_tells_why() -> None:
    """As Kubernetes has it: one line for each condition, and which are left out."""

    async def script() -> None:
        house = House()
        assert (await house.ask("/readyz")).status == 200
        assert (await house.ask("/readyz?verbose")).body == "[+]nats ok\n[+]status ok\nreadyz check passed\n"
        house.health = [Condition("nats", holds=False, why="NATS at h:1: refused"), Condition("status", holds=True)]
        reply = await house.ask("/readyz")
        assert (reply.status, reply.body) == (503, "not ok: nats")
        reply = await house.ask("/readyz?verbose")
        assert reply.status == 503
        assert reply.body == "[-]nats failed: NATS at h:1: refused\n[+]status ok\nreadyz check failed\n"
        reply = await house.ask("/readyz?verbose&exclude=nats,what")
        assert reply.status == 200
        assert reply.body == (
            "[+]nats excluded: ok\n[+]status ok\nwarn: there is nothing to exclude by the name 'what'\n"
            "readyz check passed\n"
        )
        assert (await house.ask("/livez")).status == 200
        assert (await house.ask("/livez", "HEAD")).status == 200

    run(script)


def test_why_it_is_not_ready_is_not_told_to_everybody() -> None:
    """With a token others may reach us: they learn what fails, and who asks on this machine, or has the token, why."""

    async def script() -> None:
        house = House(TOKEN)
        house.health = [Condition("nats", holds=False, why="NATS at nats.inside:4222: refused")]
        reply = await house.ask("/readyz?verbose", peer="192.0.2.1")
        assert (reply.status, "[-]nats failed" in str(reply.body), "inside" in str(reply.body)) == (503, True, False)
        for told in (
            await house.ask("/readyz?verbose"),
            await house.ask("/readyz?verbose", peer=""),
            await house.ask("/readyz?verbose", peer="192.0.2.1", authorization=f"Bearer {TOKEN}"),
        ):
            assert "nats.inside:4222" in str(told.body)
        for _ in range(12):
            await house.ask("/readyz?verbose", peer="192.0.2.1", authorization="Bearer guessed")
        reply = await house.ask("/readyz?verbose", peer="192.0.2.1", authorization="Bearer guessed")
        assert "inside" not in str(reply.body)
        assert (await House().ask("/readyz?verbose", peer="192.0.2.1")).status == 200

    run(script)


# --- the page's files and its events --------------------------------------------------------------------------------


def test_files_are_sent_once() -> None:
    """A browser that has one is told that it has not changed."""

    async def script() -> None:
        house = House()
        reply = await house.ask("/")
        assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b"<!doctype html>", '"1"')
        for known in ('"1"', 'W/"1"', '"0", "1"', "*"):
            assert (await house.ask("/", if_none_match=known)).status == 304
        assert (await house.ask("/", if_none_match='"2"')).status == 200
        for path in ("/assets/../secret", "/assets/", "/assets/b.js", "//", "/index.html"):
            assert (await house.ask(path)).status == 404

    run(script)


def test_events_are_a_stream_while_somebody_reads() -> None:
    """It begins with the report; whoever reads counts as looking, until it goes."""

    async def script() -> None:
        house = House()
        reply = await house.ask("/events")
        assert reply.headers["Content-Type"] == "text/event-stream"
        assert reply.stream is not None
        written: list[bytes] = []

        async def write(data: bytes) -> None:
            written.append(data)

        with anyio.move_on_after(1):
            await reply.stream(write)
            raise AssertionError("it ended by itself")
        assert b"".join(written).startswith(b"retry: 2000\n\nevent: report\ndata: {")
        assert (house.desk.watchers, house.reel.clients) == (0, 0)
        assert (await house.ask("/events", "HEAD")).stream is None

    run(script)


def test_too_many_pages_are_told_to_wait() -> None:
    """The hundred-and-first."""

    async def script() -> None:
        house = House()

        async def write(_: bytes) -> None:
            await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for reply in [await house.ask("/events") for _ in range(100)]:
                group.start_soon(read, reply, write)
            await anyio.sleep(1)
            refused = await house.ask("/events")
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            group.cancel_scope.cancel()
        assert (await house.ask("/events")).status == 200

    run(script)
