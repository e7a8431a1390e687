"""The status page's port of a real daemon: what it tells, to whom, and what it never tells."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from bridge.cli.status_page import _guarded
from bridge.core.secret import Secret
from bridge.edge.ingress.trouble import IngressMisconfigured
from bridge.edge.ledger.permissions import permissions
from bridge.edge.ledger.shape import LedgerNames
from tests.support.command import SOURCE, Setup
from tests.support.nats_server import NatsServer, free_port, nats_server
from tests.support.program import Child, PlayedVendor
from tests.support.report_shape import Head, Source, faults
from tests.support.status_rig import page, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TOKEN = "a-token/that is-long-enough"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def playing(folder: Path, rate: float = 5.0) -> AsyncIterator[PlayedVendor]:
    played = PlayedVendor(folder, rate=rate, seed=1)
    try:
        await played.begin()
        yield played
    finally:
        played.close()


@asynccontextmanager
async def running(daemon: Child) -> AsyncIterator[Child]:
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


async def live(daemon: Child) -> None:
    await wait_until(lambda: not daemon.running or daemon.said("source.live", -1), what="the source to be live")
    assert daemon.running, daemon.tail()


def texts(value: Any) -> set[str]:
    """All texts in it that are long enough to be told from others."""
    if isinstance(value, dict):
        return {text for one in value.values() for text in texts(one)}
    if isinstance(value, list):
        return {text for one in value for text in texts(one)}
    return {value} if isinstance(value, str) and len(value) >= 6 else set()


async def test_it_tells_how_things_are_and_nothing_else(tmp_path: Path) -> None:
    """By the contract, live, and with no secret, no id and nothing of a record in any answer.

    The daemon has no more rights at NATS than it is said to need: who looks costs it nothing.
    """
    url = f"http://127.0.0.1:{free_port()}"
    user = {"user": "bridge", "password": "p", "permissions": permissions(LedgerNames())}
    accounts = f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': [user]}})}"
    async with playing(tmp_path) as vendor, nats_server(tmp_path, extra=accounts) as server:
        nats = f'url = "{server.url}"\nuser = "bridge"\npassword = {{ env = "NATS_PASSWORD" }}'
        setup = Setup(tmp_path, vendor, nats=nats, status=f'listen = "{url[7:]}"')
        async with running(setup.daemon(NATS_PASSWORD="p")) as daemon, page(url) as client:
            await live(daemon)
            report = await client.report()
            assert faults(report) == []
            assert report["instance"]["phase"] == "ready"
            assert re.fullmatch(r"1 source: 1 live; [\d,]+ events? a minute", report["headline"])
            (source,) = report["sources"]
            assert (source["name"], source["state"], source["condition"]) == (SOURCE, "live", "connected")
            assert (report["ok"], source["problems"]) == (True, [])
            assert sum(source["rate"]) == source["counts"]["stored"] > 0
            assert 590 < source["token"]["expires_in_s"] <= 600
            assert source["freshness"]["age_s"] < 60
            assert report["stream"]["messages"] > 0
            assert report["events"][0]["seq"] <= report["stream"]["last_seq"] + 100
            async with client.events() as events:
                assert faults(await events.next("report")) == []
                rows = await events.next("stored")
                assert {row["source"] for row in rows} == {SOURCE}
                news = await events.next("source")
                assert faults(news, Source) == []
                assert news["counts"]["stored"] > source["counts"]["stored"]
                assert faults(await events.next("head"), Head) == []
            for path in ("/", "/livez?verbose", "/readyz?verbose", "/metrics", "/assets/page.js", "/none"):
                await client.ask(path)
            # Who may not ask is told nothing.
            for host in ("evil.example", "10.1.2.3:80"):
                assert (await client.ask("/status.json", headers={"Host": host}))[0] == 421
            for method in ("POST", "PUT", "DELETE"):
                assert (await client.ask("/status.json", method))[0] == 405
            status, _, headers = await client.ask("/")
            assert status == 200
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert await client.status("/", headers={"If-None-Match": headers["ETag"]}) == 304

            assert not daemon.said("nats.denied")
            everything = "\n".join(client.heard) + daemon.text()
            for secret in vendor.secrets:
                assert secret not in everything
            told = "\n".join(client.heard)
            changes = await vendor.ledger()
            known = {SOURCE, "pcvisit", "session", *vendor.facts["companies"]}
            personal = {change.id for change in changes}
            personal |= {text for change in changes for text in texts(dict(change.record or {}))}
            found = {one for one in personal - known if re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", told)}
            assert len(personal) > 100
            assert {one for one in found if not re.fullmatch(r"[a-z_]+|[\d.:TZ+-]+", one, re.IGNORECASE)} == set()
            assert await daemon.terminate() == 0


async def test_health_is_about_us_and_never_about_a_vendor(tmp_path: Path, server: NatsServer) -> None:
    """A vendor that is gone makes nothing unready; NATS that is away does, until it is back; at a stop it is first."""
    url = f"http://127.0.0.1:{free_port()}"
    async with playing(tmp_path) as vendor:
        setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"', status=f'listen = "{url[7:]}"')
        await server.stop()
        async with running(setup.daemon()) as daemon, page(url) as client:
            # Before NATS was ever reached: alive, and not ready.
            await serving(daemon)
            assert await client.status("/livez") == 200
            status, text, _ = await client.ask("/readyz?verbose")
            assert status == 503
            assert re.match(r"\[-\]nats failed: \S", text)
            report = await client.report()
            assert faults(report) == []
            assert (report["instance"]["phase"], report["nats"]["connected"]) == ("starting", False)
            assert (report["ok"], report["stream"]) == (False, None)
            await server.start()
            await live(daemon)

            async def ready() -> bool:
                return await client.status("/readyz") == 200

            # A broker that a busy machine holds up for seconds counts as away, for as long.
            await wait_until(ready, what="the daemon to be ready")
            verdict = ["[+]nats ok", "[+]status ok", "[+]ledger ok", "readyz check passed"]
            assert (await client.ask("/readyz?verbose"))[1].splitlines() == verdict
            # The vendor goes.
            vendor.close()

            async def troubled() -> bool:
                (source,) = (await client.report())["sources"]
                return source["state"] == "waiting" and "refused the connection" in source["state_reason"]

            await wait_until(troubled, what="the source to be in trouble")
            await wait_until(ready, what="the daemon to be ready all the same")
            assert await client.status("/livez") == 200
            # NATS goes, and comes back.
            await server.stop()

            async def unready() -> bool:
                return await client.status("/readyz") == 503

            await wait_until(unready, what="the daemon to be unready")
            status, text, _ = await client.ask("/readyz?verbose")
            assert "[+]nats ok" in text
            assert "[-]ledger failed: NATS at" in text
            assert await client.status("/readyz?exclude=ledger") == 200
            assert await client.status("/livez") == 200
            await server.start()
            await wait_until(ready, what="the daemon to be ready again")
            # At a stop the port still answers while what is under way is brought to its end: here NATS stands still.
            server.pause()
            async with client.events() as events:
                daemon._living().terminate()

                async def stopping() -> bool:
                    try:
                        status, text, _ = await client.ask("/readyz?verbose")
                    except aiohttp.ClientConnectionError:
                        # On a machine that stands still for seconds it may be over before anybody looks.
                        return True
                    assert status == 200 or text.startswith("[-]shutdown failed: it stops"), text
                    return status == 503

                await wait_until(stopping, what="the daemon to be unready while it stops")
                server.resume()
                # Whether it comes to tell anything before that or not, the stream ends in order.
                with suppress(EOFError):
                    while True:
                        assert (await events.next("head"))["instance"]["phase"] in ("ready", "stopping")
            await wait_until(lambda: not daemon.running, what="the daemon to stop")
            assert daemon.said("bridged.stopped")


async def test_a_token_keeps_others_out(tmp_path: Path, server: NatsServer) -> None:
    """Without it nothing is told; with it by header or by the form's cookie everything is; it is shown nowhere."""
    url = f"http://127.0.0.1:{free_port()}"
    keys = f'listen = "{url[7:]}"\ntoken = {{ env = "PAGE" }}'
    setup = Setup(tmp_path, nats=f'url = "{server.url}"', status=keys)
    async with running(setup.daemon(PAGE=TOKEN)) as daemon, page(url) as client:
        await serving(daemon)
        for path in ("/status.json", "/events", "/metrics"):
            assert await client.status(path) == 401
            assert await client.status(path, headers={"Authorization": "Bearer no"}) == 401
        for path in ("/", "/livez", "/assets/page.js"):
            assert await client.status(path) == 200
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert faults(await client.report(headers=right)) == []
        assert await client.status("/metrics", headers=right) == 200
        # As the page's form does it; the client keeps the cookie as a browser would.
        assert await client.status("/login", method="POST", data={"token": "wrong"}) == 401
        async with page(url.replace("127.0.0.1", "localhost")) as browser:
            status, _, headers = await browser.ask(
                "/login", "POST", data={"token": TOKEN}, headers={"Origin": browser.url}
            )
            assert status == 204
            assert {"HttpOnly", "SameSite=Strict"} <= set(headers["Set-Cookie"].split("; "))
            async with browser.events() as events:
                assert faults(await events.next("report")) == []
            # From an address that guesses nobody is answered soon but who knows.
            tries = [await browser.status("/login", method="POST", data={"token": f"wrong {n}"}) for n in range(12)]
            assert tries[0] == 401
            assert 429 in tries
            assert await browser.status("/status.json") == 200, "who is in stays in"
            assert faults(await client.report(headers=right)) == [], "who knows comes in"
            assert TOKEN not in "\n".join(browser.heard) + "\n".join(client.heard) + daemon.text()


async def test_a_hundred_pages_are_bounded(tmp_path: Path, server: NatsServer) -> None:
    """Each has its report; one more is told to wait; when they go their places are free, and little memory is held."""
    url = f"http://127.0.0.1:{free_port()}"
    setup = Setup(tmp_path, nats=f'url = "{server.url}"', status=f'listen = "{url[7:]}"')
    async with running(setup.daemon()) as daemon, page(url) as client:
        await serving(daemon)
        await client.report()
        before = resident(daemon.pid)
        had, done = 0, anyio.Event()

        async def reader() -> None:
            nonlocal had
            async with client.events() as events:
                await events.next("report")
                had += 1
                await events.next("head")
                await done.wait()

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(reader)
            await wait_until(lambda: had == 100, what="all pages to have their report")
            assert await client.status("/events") == 503
            assert await client.status("/readyz", headers={}) in (200, 503), "others are answered all the same"
            assert resident(daemon.pid) - before < 40_000_000
            done.set()

        async def free() -> bool:
            return await client.status("/events", method="HEAD") == 200 and await opened(client)

        await wait_until(free, what="a place to be free")


async def opened(client: Any) -> bool:
    with suppress(AssertionError):
        async with client.events():
            return True
    return False


def resident(pid: int) -> int:
    """Bytes of memory that the process holds."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


async def test_a_named_port_that_is_taken_keeps_it_from_being_ready(tmp_path: Path, server: NatsServer) -> None:
    """It says so once, with what to do; everything else runs; it is ready as soon as the port is free."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.setblocking(False)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with playing(tmp_path) as vendor:
            setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"', status=f'listen = "127.0.0.1:{port}"')
            async with running(setup.daemon(NOTIFY_SOCKET=str(tmp_path / "notify"))) as daemon:
                await live(daemon)
                (said,) = daemon.said("service.failed")
                assert said["reason"] == (
                    f"[status] listen: 127.0.0.1:{port} is taken by another program, perhaps by another bridged; "
                    "stop it, or choose another port"
                )
                before = messages(told)
                assert "READY=1" not in before
                assert f"waiting for status ([status] listen: 127.0.0.1:{port} is taken" in before
                other.close()
                await serving(daemon)
                async with page(f"http://127.0.0.1:{port}") as client:
                    assert await client.status("/readyz") == 200
                await wait_until(lambda: "READY=1" in messages(told), what="the daemon to say that it is ready")
                assert len(daemon.said("service.failed")) == 1
    told.close()


def messages(told: socket.socket) -> str:
    """What has come by now, line by line."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(told.recv(65_536).decode())
    return "\n".join(found)


async def test_the_default_port_is_nobodys_reason_to_wait(tmp_path: Path, server: NatsServer) -> None:
    """Another program has 127.0.0.1:8790: the daemon says so, works and is ready without its page."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.setblocking(False)
    with suppress(OSError):  # somebody else's test may have it, which is as good
        other = socket.create_server(("127.0.0.1", 8790))
    async with playing(tmp_path) as vendor:
        setup = Setup(tmp_path, vendor, nats=f'url = "{server.url}"', status="enabled = true")
        async with running(setup.daemon(NOTIFY_SOCKET=str(tmp_path / "notify"))) as daemon:
            await live(daemon)
            await wait_until(lambda: "READY=1" in messages(told), what="the daemon to say that it is ready")
            (said,) = daemon.said("service.failed")
            assert "[status] listen: 127.0.0.1:8790 is taken by another program" in said["reason"]
    with suppress(NameError):
        other.close()
    told.close()


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("192.0.2.7:8790", "[status] listen: 192.0.2.7:8790 is no address of this machine"),
        ("no-such-name.invalid:8790", "[status] listen: the name no-such-name.invalid cannot be resolved"),
    ],
)
async def test_an_address_that_is_not_ours_is_said(tmp_path: Path, server: NatsServer, listen: str, says: str) -> None:
    """In a sentence that tells what to do, once."""
    keys = f'listen = "{listen}"\ntoken = {{ env = "PAGE" }}'
    setup = Setup(tmp_path, nats=f'url = "{server.url}"', status=keys)
    async with running(setup.daemon(PAGE=TOKEN)) as daemon:
        await wait_until(lambda: daemon.said("service.failed"), what="the daemon to say what is wrong")
        (said,) = daemon.said("service.failed")
        assert said["reason"].startswith(says)
        assert daemon.running
        assert json.dumps(TOKEN)[1:-1] not in daemon.text()


def test_a_socket_that_others_reach_needs_a_token() -> None:
    """Also one that systemd has opened for us: it is refused, and closed, unless there is a token."""
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("0.0.0.0", 0)) as everybodys:
        assert list(_guarded([ours], None)) == [ours]
        assert list(_guarded([ours, everybodys], Secret(TOKEN, "env PAGE"))) == [ours, everybodys]
        with pytest.raises(IngressMisconfigured, match=r"can be reached from other machines: set \[status\] token"):
            _guarded([ours, everybodys], None)
        assert (ours.fileno(), everybodys.fileno()) == (-1, -1)
