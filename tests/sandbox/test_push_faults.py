"""What a vendor may do wrong on a socket, one fault at a time, seen by plain WebSocket clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.sandbox.ledger import Change
from bridge.sandbox.odd import ENDING, SHAPES
from bridge.sandbox.x_assist import Options, XAssistSandbox, x_assist_sandbox
from tests.sandbox.sockets import EVENT, Wire, wire
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
DOCUMENT = "subscription { assumedEventChanged { event { id name createdAt } } }"
CABLE = "actioncable-v1-json"
PROTOCOLS = ["graphql-ws", "graphql-transport-ws", CABLE]
each = pytest.mark.parametrize("protocol", PROTOCOLS)


def bearer(sandbox: XAssistSandbox) -> str:
    """A token, without the way over HTTP."""
    _, answer = sandbox.oauth._issued(
        {},
        f"grant_type=client_credentials&client_id={sandbox.client_id}&client_secret={sandbox.client_secret}".encode(),
        sandbox.options.token_lifetime_s,
    )
    return f"Bearer {answer['access_token']}"


@asynccontextmanager
async def session(sandbox: XAssistSandbox, protocol: str) -> AsyncIterator[Wire]:
    """A socket with a registered subscription."""
    before = sandbox.counters().get("subscriptions", 0)
    url = sandbox.cable_url if protocol == CABLE else sandbox.ws_url
    async with wire(url, protocol, Authorization=bearer(sandbox)) as link:
        if protocol == CABLE:
            await link.execute(DOCUMENT)
        else:
            await link.init({})
            await link.subscribe(DOCUMENT)
        await wait_until(lambda: sandbox.counters().get("subscriptions", 0) > before, 150, "the subscription")
        yield link


@asynccontextmanager
async def sesame(sandbox: XAssistSandbox, protocol: str = "graphql-ws") -> AsyncIterator[Wire]:
    """A socket with a good token, and no more."""
    url = sandbox.cable_url if protocol == CABLE else sandbox.ws_url
    async with wire(url, protocol, Authorization=bearer(sandbox)) as link:
        yield link


async def payload(link: Wire) -> Any:
    if link.protocol == CABLE:
        return (await link.hear_message())["message"]["result"]
    return await link.event()


async def name(link: Wire) -> Any:
    return (await payload(link))["data"]["assumedEventChanged"]["event"]["name"]


def names(sandbox: XAssistSandbox, n: int, kind: str = "new") -> list[str]:
    """Make changes; the headlines they led to."""
    return [str((change.record or {})["name"]) for change in sandbox.make_change(n, kind)]


@each
async def test_without_faults_every_change_comes_once_and_in_order(protocol: str) -> None:
    """By all three sub-protocols."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        made = names(sandbox, 50, "")
        assert [await name(link) for _ in made] == made


async def test_withheld_pushes_are_never_sent_and_the_ledger_knows() -> None:
    """A fifth is missing, the same ones for the same seed, and only those are not marked as pushed."""
    lost = []
    for _ in range(2):
        async with x_assist_sandbox(Options(seed=3)) as sandbox, session(sandbox, "graphql-ws") as link:
            sandbox.faults.plan("withheld", times=None, probability=0.2)
            made = sandbox.make_change(100, "new")

            def decided(made: list[Change] = made, sandbox: XAssistSandbox = sandbox) -> bool:
                pushed = sum(change.pushed_ms is not None for change in made)
                return pushed + sandbox.faults.served["withheld"] == 100

            await wait_until(decided, 150, "all to be pushed or withheld")
            sandbox.faults.clear()
            (last,) = names(sandbox, 1)
            heard = []
            while (one := await name(link)) != last:
                heard.append(one)
            pushed = [change for change in made if change.pushed_ms is not None]
            assert heard == [(change.record or {})["name"] for change in pushed]
            assert sandbox.counters()["faults"]["withheld"] == 100 - len(pushed)
            lost.append([change.seq for change in made if change.pushed_ms is None])
    assert lost[0] == lost[1]
    assert 10 < len(lost[0]) < 30


@each
async def test_a_push_may_come_twice(protocol: str) -> None:
    """`pushed_twice`."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan("pushed_twice")
        one, two = names(sandbox, 2)
        assert [await name(link) for _ in range(3)] == [one, one, two]


@each
async def test_pushes_of_two_entities_may_change_places(protocol: str) -> None:
    """`reordered`: the next one of another entity overtakes it; without one it comes a little later."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan("reordered", seconds=30)
        one, two = names(sandbox, 2)
        assert [await name(link) for _ in range(2)] == [two, one]
        sandbox.faults.plan("reordered", seconds=0.01)
        (three,) = names(sandbox, 1)
        assert await name(link) == three


async def test_the_order_of_one_entity_is_kept_unless_asked_otherwise() -> None:
    """With `shape` same two versions of one event change places as well."""
    async with x_assist_sandbox(Options(history=1)) as sandbox, session(sandbox, "graphql-ws") as link:
        sandbox.faults.plan("reordered", seconds=30)
        assert [names(sandbox, 1, "renamed")[0], names(sandbox, 1, "renamed")[0]] == [
            await name(link),
            await name(link),
        ]
        sandbox.faults.plan("reordered", seconds=30, shape="same", times=2)
        one, two = names(sandbox, 2, "renamed")
        assert [await name(link), await name(link)] == [two, one]


@each
@pytest.mark.parametrize("kind", ["failure_pushed", "errors_pushed", "null_pushed"])
async def test_errors_and_nulls_come_before_the_event(protocol: str, kind: str) -> None:
    """Inside the stream; the event follows."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan(kind)
        (one,) = names(sandbox, 1)
        odd = await payload(link)
        assert odd["data"] is None
        assert ("errors" in odd) is (kind != "null_pushed")
        assert await name(link) == one


async def test_errors_beside_data() -> None:
    """`errors_pushed` with `shape` partial: data and errors in one payload."""
    async with x_assist_sandbox() as sandbox, session(sandbox, "graphql-transport-ws") as link:
        sandbox.faults.plan("errors_pushed", shape="partial")
        names(sandbox, 1)
        found = await payload(link)
        assert found["data"]["assumedEventChanged"]["event"]
        assert found["errors"]


@each
@pytest.mark.parametrize("shape", [*SHAPES, *ENDING])
async def test_odd_frames_come_as_they_are_named(protocol: str, shape: str) -> None:
    """One frame that is no proper event; the event follows, unless the frame ended the operation."""
    async with x_assist_sandbox(Options(cable_ping_s=60)) as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan("odd_frame", shape=shape)
        (one,) = names(sandbox, 1)
        raw = await link.raw()
        try:
            frame = json.loads(raw)
        except ValueError:
            frame = None
        proper = isinstance(frame, dict) and frame.get("id") == "1" and frame.get("type") == EVENT.get(protocol)
        assert not (proper and isinstance(frame.get("payload"), dict) and "data" in frame["payload"])
        if shape in ENDING:
            await wait_until(lambda: "subscriptions" not in sandbox.counters(), 150, "its end")
        else:
            assert await name(link) == one


@pytest.mark.parametrize("protocol", PROTOCOLS[:2])
async def test_errors_of_an_operation_come_as_object_and_as_list(protocol: str) -> None:
    """In either sub-protocol, and as an empty list."""
    found = {}
    for shape in ("error_object", "error_list", "empty_error_list"):
        async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
            sandbox.faults.plan("odd_frame", shape=shape)
            names(sandbox, 1)
            found[shape] = (await link.hear())["payload"]
    assert found == {"error_object": {"message": "odd"}, "error_list": [{"message": "odd"}], "empty_error_list": []}


@each
async def test_a_subscription_completed_unasked(protocol: str) -> None:
    """`completed`: complete, or `more: false`, after the event; the socket stays open."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan("completed")
        (one,) = names(sandbox, 1)
        assert await name(link) == one
        frame = await (link.hear_message() if protocol == CABLE else link.hear())
        assert frame.get("type") == "complete" or frame["message"] == {"more": False}
        await wait_until(lambda: "subscriptions" not in sandbox.counters(), 150, "its end")
        assert sandbox.counters()["sockets"] == 1


@each
async def test_an_event_of_two_mebibytes(protocol: str) -> None:
    """`huge_push`: one frame longer than 2 MiB, with the event in it."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as link:
        sandbox.faults.plan("huge_push")
        (one,) = names(sandbox, 1)
        raw = ""
        while len(raw) < 2 * 1024 * 1024:
            raw = str(await link.raw())
        assert one in raw


@each
@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4401, 4403])
async def test_sockets_are_dropped_with_every_code(protocol: str, code: int) -> None:
    """`dropped`: some time after the acknowledgement, with the code asked for; 1006 is a cut."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("dropped", code=code, seconds=0.3)
        url = sandbox.cable_url if protocol == CABLE else sandbox.ws_url
        async with wire(url, protocol, Authorization=bearer(sandbox)) as link:
            if protocol != CABLE:
                await link.init({})
            assert await link.code() == code
        await wait_until(lambda: "sockets" not in sandbox.counters(), 150, "its end")


@each
async def test_a_restart_drops_all_at_once_and_is_away_for_a_while(protocol: str) -> None:
    """Every socket is closed with 1012, upgrades and queries are answered with 503, then all is well again."""
    async with x_assist_sandbox() as sandbox, session(sandbox, protocol) as one, session(sandbox, protocol) as two:
        assert sandbox.restart(seconds=1.0) == 2
        assert (await one.code(), await two.code()) == (1012, 1012)
        with pytest.raises(InvalidStatus) as refused:
            async with session(sandbox, protocol):
                pass
        assert refused.value.response.status_code == 503
        await wait_until(lambda: not sandbox.live.down, 150, "its return")
        async with session(sandbox, protocol) as link:
            (made,) = names(sandbox, 1)
            assert await name(link) == made


@pytest.mark.parametrize(("status", "seconds"), [(401, None), (429, 7.0), (503, None)])
async def test_an_upgrade_is_answered_with_a_status(status: int, seconds: float | None) -> None:
    """401, 429 with Retry-After, 503; the next one is served."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("upgrade_refused", status=status, seconds=seconds)
        with pytest.raises(InvalidStatus) as refused:
            async with session(sandbox, "graphql-ws"):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers.get("Retry-After") == (None if seconds is None else "7")
        async with session(sandbox, "graphql-ws"):
            pass


@pytest.mark.parametrize(("shape", "header"), [("none", None), ("wrong", "graphql-ws")])
async def test_the_sub_protocol_may_go_unconfirmed_or_be_another(shape: str, header: str | None) -> None:
    """The upgrade's answer names none, or one that was not offered."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("subprotocol", shape=shape)
        host, port = sandbox.base_url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as plain:
            await plain.send(
                b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
                b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
            )
            with anyio.fail_after(90):
                head = (await plain.receive()).decode().lower()
        assert " 101 " in head
        named = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("sec-websocket-protocol")]
        assert named == ([] if header is None else [header])


async def test_good_credentials_may_be_refused_once() -> None:
    """`init_refused` with a code: closed before the acknowledgement, then accepted."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("init_refused", code=4403)
        async with wire(sandbox.ws_url, "graphql-transport-ws", Authorization=bearer(sandbox)) as link:
            await link.say({"type": "connection_init"})
            assert await link.code() == 4403
        async with session(sandbox, "graphql-transport-ws"):
            pass


async def test_an_acknowledgement_may_be_withheld() -> None:
    """`ack_withheld`: nothing answers connection_init but what comes of later frames."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("ack_withheld")
        async with wire(sandbox.ws_url, "graphql-transport-ws", Authorization=bearer(sandbox)) as link:
            await link.say({"type": "connection_init"})
            await link.say({"type": "ping", "payload": {"n": 1}})
            assert await link.hear() == {"type": "pong", "payload": {"n": 1}}


async def test_a_ping_may_come_before_the_acknowledgement() -> None:
    """`ping_first`."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("ping_first")
        async with wire(sandbox.ws_url, "graphql-transport-ws", Authorization=bearer(sandbox)) as link:
            await link.say({"type": "connection_init"})
            assert [(await link.hear())["type"] for _ in range(2)] == ["ping", "connection_ack"]


@pytest.mark.parametrize(("beats", "heard"), [(None, 5), (1, 1), (0, 0)])
async def test_signs_of_life_go_on_or_come_once_or_never(beats: int | None, heard: int) -> None:
    """`ka` regularly, once, never; stopping: the fault `beat_withheld`."""
    async with x_assist_sandbox(Options(ka_s=0.05, beats=beats)) as sandbox, sesame(sandbox) as link:
        await link.say({"type": "connection_init"})
        frames = [await link.hear() for _ in range(1 + heard)]
        assert frames == [{"type": "connection_ack"}, *[{"type": "ka"}] * heard]
        sandbox.faults.plan("beat_withheld", times=None)
        await wait_until(lambda: beats is not None or sandbox.faults.served["beat_withheld"] > 3, 150, "silence")
        await link.subscribe("{ __typename }")
        while (frame := await link.hear())["type"] == "ka":
            pass
        assert frame["type"] == "data"


async def test_an_event_before_the_registration_is_lost() -> None:
    """`late_registration`: what happens between subscribing and registering is pushed to nobody."""
    async with x_assist_sandbox() as sandbox:
        sandbox.faults.plan("late_registration", seconds=0.5)
        async with wire(sandbox.ws_url, Authorization=bearer(sandbox)) as link:
            await link.init({})
            await link.subscribe(DOCUMENT)
            await link.subscribe("{ __typename }", "2")
            await link.hear_until("complete")  # so the subscription before it has been taken, too
            (lost,) = sandbox.make_change(1, "new")
            await wait_until(lambda: sandbox.counters().get("subscriptions") == 1, 150, "the registration")
            (made,) = names(sandbox, 1)
            assert await name(link) == made
            assert lost.pushed_ms is None


async def test_a_frozen_peer_neither_answers_nor_closes() -> None:
    """`frozen`: TCP stays open, not even a ping frame is answered."""
    async with x_assist_sandbox() as sandbox, session(sandbox, "graphql-ws"):
        sandbox.faults.plan("frozen", seconds=0)
        async with wire(sandbox.ws_url, Authorization=bearer(sandbox)) as link:
            await link.init({})
            await link.subscribe(DOCUMENT)
            with anyio.move_on_after(0.5) as scope:
                try:
                    await (await link.socket.ping())
                except ConnectionClosed:
                    pytest.fail("it closed")
            assert scope.cancelled_caught
            link.socket.transport.abort()


async def test_a_socket_that_expires_by_action_cable() -> None:
    """A token that expires closes the cable as well, after `disconnect`."""
    async with x_assist_sandbox(Options(token_lifetime_s=1)) as sandbox, sesame(sandbox, CABLE) as link:
        kinds = [frame["type"] for frame in await link.hear_until("disconnect")]
        assert kinds[0] == "welcome"
        assert await link.code() == 4401
