"""The server of Engine.IO revision 3, seen by a plain WebSocket client: what socket.io 2.5.1 was seen to do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from bridge.sandbox import link as link_module
from bridge.sandbox.platform import Options, platform_sandbox
from tests.sandbox.platform_peer import (
    REVISION_3,
    REVISION_4,
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


async def test_the_open_packet_and_the_namespace_come_unasked() -> None:
    """`0{…}` with sid, upgrades and the two intervals, in this order, then `40`."""
    async with platform_sandbox() as sandbox, knocking(sandbox, REVISION_3) as link:
        text = str(await link.raw())
        assert re.fullmatch(
            r'0\{"sid":"[\w-]{20}","upgrades":\[\],"pingInterval":25000,"pingTimeout":60000\}', text, re.ASCII
        )
        assert await link.raw() == "40"


async def test_the_open_packet_may_be_the_published_sample() -> None:
    """`open_sid` false: the intervals and nothing else."""
    async with platform_sandbox(Options(open_sid=False)) as sandbox, knocking(sandbox, REVISION_3) as link:
        assert await link.raw() == '0{"pingInterval":25000,"pingTimeout":60000}'
        assert await link.raw() == "40"


@pytest.mark.parametrize("ping", ["2", "2probe"])
async def test_pings_are_answered(ping: str) -> None:
    """With `3`; a probe on a session that began as WebSocket likewise."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        await link.say(ping)
        assert await link.raw() == "3"


async def test_a_silent_client_is_closed() -> None:
    """Without a ping within both intervals: a close frame without a code."""
    options = Options(ping_interval_ms=100, ping_timeout_ms=150)
    async with platform_sandbox(options) as sandbox, listening(sandbox, REVISION_3) as link:
        assert await link.code() == 1005
        await wait_until(lambda: "sockets" not in sandbox.counters(), 150, "its end")


@pytest.mark.parametrize("frame", ["x", "", "9", b"\x09"])
async def test_what_is_no_packet_ends_the_session(frame: str | bytes) -> None:
    """As the stock server does for a parse error."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        await link.say(frame)
        assert await link.code() == 1005


@pytest.mark.parametrize("frame", ["4", '42["chat","hello"]', "47", "49{", "43[]", '431["late"]', "5", "6", "1", "3"])
async def test_what_nobody_listens_for_is_ignored(frame: str) -> None:
    """The session goes on."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        await link.say(frame)
        await link.say("2")
        assert await link.raw() == "3"


async def test_events_have_their_type_as_name_and_the_record_as_argument() -> None:
    """To the byte, with text that is not ASCII as it is."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        sandbox.world.occur("Überhitzung Zone 3", {"note": "ä"})
        record = sandbox.world.journal[-1]
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        assert await link.raw() == f'42["Überhitzung Zone 3",{text}]'
        sandbox.live.emit("plain")
        assert await link.raw() == '42["plain"]'
        sandbox.live.emit("several", {"a": 1}, [2], None)
        assert await link.raw() == '42["several",{"a":1},[2],null]'


async def test_an_acknowledgement_is_asked_for_and_counted() -> None:
    """`ask_acks`: numbers from 0, and only what the client answers is counted as acknowledged, once."""
    async with platform_sandbox(Options(ask_acks=True)) as sandbox, listening(sandbox, REVISION_3) as link:
        made = happened(sandbox, 3)
        for number in range(3):
            assert str(await link.raw())[:5] == f"42{number}[" + '"'
        assert sandbox.acks() == {"asked": 3, "acknowledged": [], "last": 0}
        await link.say("431[]")
        await link.say("431[]")
        await link.say("4377[]")
        await link.say("430[]")
        await wait_until(lambda: made[0] in sandbox.acks()["acknowledged"], 150, "the last of them")
        assert sandbox.acks()["acknowledged"] == [made[1], made[0]]
        assert sandbox.acks(since=1)["acknowledged"] == [made[0]]


async def test_attachments_follow_in_marked_frames() -> None:
    """`451-[…]` with a placeholder, then a binary frame that begins with byte 4."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        sandbox.faults.plan("with_attachment")
        (made,) = happened(sandbox, 1)
        text = str(await link.raw())
        assert text[:5] == "451-["
        record: Any = json.loads(text[4:])[1]
        assert record["_msgid"] == made
        assert record["attachment"] == {"_placeholder": True, "num": 0}
        assert await link.raw() == b"\x04\x00\x01\x02\x03"


async def test_other_namespaces_are_asked_for() -> None:
    """`/` opens by itself; events come in the namespace they are emitted in, once the client has joined it."""
    async with platform_sandbox(Options(namespace="/plant")) as sandbox, knocking(sandbox, REVISION_3) as link:
        await opened(link, REVISION_3)
        happened(sandbox, 1)
        await link.say("40/elsewhere")
        assert await link.raw() == '44/elsewhere,"Invalid namespace"'
        await link.say("40/plant")
        assert await link.raw() == "40/plant,"
        happened(sandbox, 1)
        assert str(await link.raw()).startswith("42/plant,[")
        await link.say("41/plant,")
        await wait_until(lambda: "subscriptions" not in sandbox.counters(), 150, "its leaving")
        happened(sandbox, 1)
        await link.say("2")
        assert await link.raw() == "3"


async def test_a_client_may_be_refused_in_the_session() -> None:
    """`44"text"` in the place of `40`; the socket stays open, without events."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("init_refused", comment="not you")
        async with knocking(sandbox, REVISION_3) as link:
            await link.raw()
            assert await link.raw() == '44"not you"'
            happened(sandbox, 1)
            await link.say("2")
            assert await link.raw() == "3"


async def test_a_client_of_revision_4_is_served_revision_3_and_every_event_twice() -> None:
    """As socket.io 2 does, which takes no notice of `EIO=4`: the client's `40{}` makes a second session."""
    async with platform_sandbox(Options(engineio="3")) as sandbox, listening(sandbox, REVISION_3) as link:
        assert sandbox.counters()["sockets"] == 1
        async with knocking(sandbox, REVISION_4) as other:
            assert '"pingInterval":25000,"pingTimeout":60000}' in str(await other.raw())
            assert await other.raw() == "40"
            await other.say("40{}")
            assert await other.raw() == "40"
            (made,) = happened(sandbox, 1)
            assert await msgids(other, REVISION_3, 2) == [made, made]
            assert await msgids(link, REVISION_3, 1) == [made]


async def test_a_revision_that_is_not_served_is_refused_by_http_inside_the_socket() -> None:
    """As socket.io 4 does without `allowEIO3`."""
    async with platform_sandbox(Options(engineio="4")) as sandbox:
        found = await raw_bytes(sandbox, REVISION_3, sandbox.issued_token, b"}")
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert found.endswith(b'\r\n\r\n{"code":5,"message":"Unsupported protocol version"}')
        async with listening(sandbox, REVISION_4) as link:
            (made,) = happened(sandbox, 1)
            assert await msgids(link, REVISION_4, 1) == [made]


@pytest.mark.parametrize(("path", "status"), [("?EIO=3&transport=polling", 400), ("?EIO=3", 400)])
async def test_only_websocket_is_served(path: str, status: int) -> None:
    """Another transport is refused at the upgrade."""
    async with platform_sandbox() as sandbox:
        with pytest.raises(InvalidStatus) as refused:
            async with knocking(sandbox, "/socket.io/" + path):
                pass
        assert refused.value.response.status_code == status


@pytest.mark.parametrize("path", [REVISION_3, REVISION_4])
async def test_bad_credentials_are_refused_at_the_handshake(path: str) -> None:
    """With 400, as the stock servers do, or with the status of the options; a cookie is as good as a token."""
    async with platform_sandbox() as sandbox:
        for status in (400, 401):
            with pytest.raises(InvalidStatus) as refused:
                async with knocking(sandbox, path, Authorization="Bearer nobody's"):
                    pass
            assert refused.value.response.status_code == status
            sandbox.alter({"refuse_status": 401})
        cookie = sandbox.tokens.issue(sandbox.login, "cookie", None).text
        async with listening(sandbox, path, Cookie=f"sid={cookie}") as link:
            (made,) = happened(sandbox, 1)
            assert (await event(link, path))["_msgid"] == made


async def test_a_client_that_falls_behind_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """More events may not wait for one client than the limit, whatever it reads."""
    monkeypatch.setattr(link_module, "MOST_WAITING", 50)
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        happened(sandbox, 51)
        assert await link.code() == 1006
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        made = happened(sandbox, 50)
        assert await msgids(link, REVISION_3, 50) == made
