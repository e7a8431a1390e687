"""The played platform's live side by all three ways: what clients are sent when nothing goes wrong."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
import socketio  # type: ignore[import-untyped]
from websockets.exceptions import InvalidStatus

from bridge.sandbox.platform import Options, PlatformSandbox, platform_sandbox
from bridge.sandbox.platform_tokens import NotAccepted
from bridge.sandbox.recording import available, nino
from tests.sandbox.platform_peer import (
    ALL,
    REVISION_3,
    REVISION_4,
    STREAM,
    event,
    happened,
    knocking,
    listening,
    msgids,
    opened,
    raw_bytes,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
each = pytest.mark.parametrize("path", ALL)


def expired(sandbox: PlatformSandbox, token: str) -> bool:
    """Whether a request with this token would be refused."""
    try:
        sandbox.tokens.admit({"authorization": f"Bearer {token}"}, {})
    except NotAccepted:
        return True
    return False


@each
async def test_everything_that_happens_is_pushed_once_and_in_order(path: str) -> None:
    """Whole records, packets too; the ledgers know that they were pushed."""
    async with platform_sandbox(Options(seed=4)) as sandbox, listening(sandbox, path) as link:
        issued: list[Any] = []
        sandbox.world.listeners.append(issued.append)
        sandbox.make_change(100)
        assert [await event(link, path) for _ in issued] == issued
        assert {"object-packet", "object-update"} < {record["event"] for record in issued}
        pushed = [*sandbox.ledger.changes, *sandbox.world.occurrences.changes]
        assert sum(change.pushed_ms is not None for change in pushed) == sum(
            record["event"] != "object-packet" for record in issued
        )


@each
async def test_thousands_of_packets_at_once_arrive_in_order(path: str) -> None:
    """5,000 to one socket."""
    async with platform_sandbox(Options(objects=3)) as sandbox, listening(sandbox, path) as link:
        issued = [sandbox.world.packet()["_msgid"] for _ in range(5000)]
        assert await msgids(link, path, 5000) == issued


@each
async def test_many_clients_are_sent_the_same(path: str) -> None:
    """Each its own copy; who leaves disturbs nobody."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as one, listening(sandbox, path) as two:
        async with listening(sandbox, path):
            assert sandbox.counters()["sockets"] == 3
        await wait_until(lambda: sandbox.counters()["sockets"] == 2, 150, "its leaving")
        made = happened(sandbox, 5)
        assert await msgids(one, path, 5) == made
        assert await msgids(two, path, 5) == made


async def test_a_stock_client_of_revision_4_hears_and_acknowledges() -> None:
    """python-socketio's own client: every event once, and each is acknowledged, which the control interface tells."""
    options = Options(ask_acks=True, ping_interval_ms=50, ping_timeout_ms=20_000)
    async with platform_sandbox(options) as sandbox, aiohttp.ClientSession() as http:
        heard: list[str] = []
        client = socketio.AsyncClient(reconnection=False)
        client.on("door-opened", lambda record: heard.append(record["_msgid"]))
        await client.connect(
            sandbox.url, headers={"Authorization": f"Bearer {sandbox.issued_token}"}, transports=["websocket"]
        )
        try:
            for _ in range(20):
                sandbox.world.occur("door-opened", {})
            made = [record["_msgid"] for record in sandbox.world.journal[-20:]]
            await wait_until(lambda: sandbox.acks()["last"] == 20, 150, "the acknowledgements")
            async with http.get(f"{sandbox.base_url}/_sandbox/acks?since=15") as answer:
                found = await answer.json()
        finally:
            await client.disconnect()
        assert heard == made
        assert found == {"asked": 20, "acknowledged": made[15:], "last": 20}


async def test_a_stock_client_may_be_refused() -> None:
    """`init_refused`: CONNECT_ERROR with a message; the next one is let in."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("init_refused", comment="not you")
        for expected in ('44{"message":"not you"}', '40{"sid"'):
            async with knocking(sandbox, REVISION_4) as link:
                await link.raw()
                await link.say("40")
                assert str(await link.raw()).startswith(expected)


async def test_the_server_of_revision_4_pings_and_gives_up() -> None:
    """`2` after each interval; a client that does not answer is closed, with no answer to its last ping."""
    options = Options(ping_interval_ms=100, ping_timeout_ms=500)
    async with platform_sandbox(options) as sandbox, listening(sandbox, REVISION_4) as link:
        for _ in range(5):
            assert await link.raw() == "2"
            await link.say("3")
        assert await link.raw() == "2"
        assert await link.code() == 1005
        await wait_until(lambda: "sockets" not in sandbox.counters(), 150, "its end")


async def test_the_open_packet_of_revision_4() -> None:
    """With the intervals of the options; with `open_sid` false the intervals alone."""
    async with platform_sandbox(Options(ping_interval_ms=7000, ping_timeout_ms=9000)) as sandbox:
        async with knocking(sandbox, REVISION_4) as link:
            found = await opened(link, REVISION_4)
        assert (found["pingInterval"], found["pingTimeout"], found["upgrades"]) == (7000, 9000, [])
        sandbox.alter({"open_sid": False})
        async with knocking(sandbox, REVISION_4) as link:
            assert await opened(link, REVISION_4) == {"pingInterval": 7000, "pingTimeout": 9000}


async def test_attachments_by_revision_4_are_not_marked() -> None:
    """The data alone."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_4) as link:
        sandbox.faults.plan("with_attachment")
        happened(sandbox, 1)
        assert str(await link.raw())[:5] == "451-["
        assert await link.raw() == b"\x00\x01\x02\x03"


@pytest.mark.parametrize("path", [STREAM, "/api/v1/events/stream"])
async def test_the_stream_needs_a_good_token(path: str) -> None:
    """401 without one."""
    async with platform_sandbox() as sandbox:
        with pytest.raises(InvalidStatus) as refused:
            async with knocking(sandbox, path, Authorization="Bearer nobody's"):
                pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body or b"")["tags"] == ["error_unauthorized"]
        async with knocking(sandbox, path):
            pass


async def test_the_stream_filters_by_type_and_by_object() -> None:
    """`where.event` with several values, `where._oid`, and a field of the data."""
    async with platform_sandbox(Options(objects=2)) as sandbox:
        one, two = sandbox.world.objects
        async with (
            knocking(sandbox, f"{STREAM}?where.event=door-opened,overheated&where._oid={one}") as link,
            knocking(sandbox, f"{STREAM}?where.data.level=3") as other,
        ):
            await wait_until(lambda: sandbox.counters().get("subscriptions") == 2, 150, "both")
            sandbox.world.packet(one)
            for type_, oid, level in (
                ("door-opened", two, 3),
                ("object-online", one, 3),
                ("overheated", one, 4),
                ("door-opened", one, 3),
            ):
                sandbox.world.occur(type_, {"level": level}, oid)
            heard = [await event(link, STREAM) for _ in range(2)]
            assert [record["event"] for record in heard] == ["overheated", "door-opened"]
            heard = [await event(other, STREAM) for _ in range(3)]
            assert [record["_oid"] for record in heard] == [two, one, one]


async def test_the_stream_is_pinged_by_the_server() -> None:
    """WebSocket pings, every `stream_ping_s`; the sockets of Socket.IO get none."""
    async with platform_sandbox(Options(stream_ping_s=0.05)) as sandbox:
        found = await raw_bytes(sandbox, STREAM, sandbox.issued_token, 3 * b"\x89\x00")
        assert found == 3 * b"\x89\x00"
        sandbox.faults.plan("beat_withheld", times=2)
        sandbox.faults.plan("last_event", seconds=0)
        found = await raw_bytes(sandbox, STREAM, sandbox.issued_token, b"\x89\x00")
        assert b'"_msgid"' in found  # the third sign of life was an event, the fourth a ping
        assert sandbox.faults.served["beat_withheld"] == 2


@each
@pytest.mark.parametrize("on_expiry", ["keep", "41", "close"])
async def test_what_a_token_that_expires_does_to_its_connection(path: str, on_expiry: str) -> None:
    """`keep`: nothing. `41`: the namespace is closed, the socket is not. `close`: both. A stream can only be closed."""
    async with platform_sandbox(Options(on_expiry=on_expiry)) as sandbox:
        token = sandbox.tokens.issue(sandbox.login, "token", 2.0).text
        async with listening(sandbox, path, Authorization=f"Bearer {token}") as link:
            if on_expiry == "keep":
                await wait_until(lambda: expired(sandbox, token), 150, "its expiry")
                (made,) = happened(sandbox, 1)
                assert await msgids(link, path, 1) == [made]
            elif path == STREAM:
                assert await link.code() == 4401
            else:
                assert await link.raw() == "41"
                if on_expiry == "close":
                    assert await link.code() == 1005
                else:
                    happened(sandbox, 1)
                    assert sandbox.counters()["sockets"] == 1
                    assert "subscriptions" not in sandbox.counters()


@each
async def test_a_restart_ends_all_and_is_away_for_a_while(path: str) -> None:
    """Every socket is closed, upgrades are answered with 503, then all is well again."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as one, listening(sandbox, path) as two:
        assert sandbox.restart(seconds=1.0) == 2
        assert (await one.code(), await two.code()) == (1012, 1012)
        with pytest.raises(InvalidStatus) as refused:
            async with knocking(sandbox, path):
                pass
        assert refused.value.response.status_code == 503
        await wait_until(lambda: not sandbox.live.down, 150, "its return")
        async with listening(sandbox, path) as link:
            made = happened(sandbox, 1)
            assert await msgids(link, path, 1) == made


async def test_devices_measure_a_public_recording() -> None:
    """`recording` nino: NOAA's sea surface temperatures, one after the other."""
    assert available()
    assert len(nino()) == 264
    assert nino()[:3] == (-0.654, 0.14, -1.162)
    async with (
        platform_sandbox(Options(recording="nino", objects=1)) as sandbox,
        listening(sandbox, REVISION_3) as link,
    ):
        for _ in range(3):
            sandbox.world.packet(next(iter(sandbox.world.objects)))
        found = [(await event(link, REVISION_3))["data"]["temperature"] for _ in range(3)]
        values = nino()
        places = [place for place in range(264) if tuple(found) == (values + values)[place : place + 3]]
        assert places
