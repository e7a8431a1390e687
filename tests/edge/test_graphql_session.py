"""Live GraphQL sessions over real sockets, against servers that do what servers have been seen to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import Any

import anyio
import pytest

from bridge.core.ending import ending_of
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import GraphqlSession, Operation, Subprotocol
from bridge.core.secret import Secret
from bridge.edge.websocket import WebSockets
from bridge.engine.subscriptions import GraphqlFeed
from tests.support.dialects import ALL, CABLE, GRAPHQL, LEGACY, TRANSPORT, Peer, Speaker
from tests.support.graphql_server import GraphqlServer, graphql_server
from tests.support.holding import Hold, holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
TOKEN = "hunter2-hunter2"
ONE = (Operation("sessions", "subscription { session { id } }", {"company": "acme"}),)
TWO = (*ONE, Operation("events", "subscription Events { event { id } }"))

Talk = Callable[[Speaker], Awaitable[None]]

speaks_all = pytest.mark.parametrize("subprotocol", ALL)
speaks_graphql = pytest.mark.parametrize("subprotocol", GRAPHQL)


@cache
def sockets() -> WebSockets:
    return WebSockets()


class Stage:
    """A server that follows the script, and feeds to it. The ids are never used twice."""

    def __init__(self, server: GraphqlServer, subprotocol: Subprotocol) -> None:
        self.server = server
        self.numbers = count(1)
        self._subprotocol = subprotocol

    def feed(self, operations: Sequence[Operation] = ONE, token: str = TOKEN, **more: Any) -> GraphqlFeed:
        """One attempt."""
        given: dict[str, Any] = {
            "init": {"token": Secret(token)},
            "headers": {"Authorization": Secret(token, prefix="Bearer ")},
            "settle_s": 0.05,
        }
        session = GraphqlSession(self.server.url(), self._subprotocol, operations, **given | more)
        return GraphqlFeed(session, sockets(), self.numbers, roll=lambda: 0.0)

    async def failure(self, **more: Any) -> BridgeError:
        """What an attempt ends in by itself."""
        async with holding(self.feed(**more)) as hold:
            return await hold.ended()


@asynccontextmanager
async def stage(subprotocol: Subprotocol, talk: Talk) -> AsyncIterator[Stage]:
    async def script(peer: Peer) -> None:
        await talk(Speaker(peer, subprotocol))

    async with graphql_server(script) as server:
        yield Stage(server, subprotocol)


async def serve(speaker: Speaker, *payloads: Any, operations: int = 1) -> str:
    """Accept, wait for the operations, send results of the first; returns its id."""
    await speaker.accept()
    ids = [await speaker.subscribed() for _ in range(operations)]
    for payload in payloads:
        await speaker.event(ids[0], payload)
    return ids[0]


# --- what goes well ----------------------------------------------------------------------------------------------


@speaks_all
async def test_results_arrive_with_their_operation_and_size(subprotocol: Subprotocol) -> None:
    """Two operations on one connection: each result is offered with the name of its operation."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        first, second = await speaker.subscribed(), await speaker.subscribed()
        for n in range(3):
            await speaker.number(first, n)
            await speaker.number(second, 10 + n)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
        await hold.wait_settled()
        await wait_until(lambda: len(hold.taken.frames) == 6)
        assert hold.taken.numbers("sessions") == [0, 1, 2]
        assert hold.taken.numbers("events") == [10, 11, 12]
        assert hold.taken.frames[0] == {"operation": "sessions", "payload": {"data": {"n": 0}}}
        assert min(hold.taken.sizes) > 30
        statistics = hold.feed.statistics  # type: ignore[attr-defined]
        assert (statistics.sessions, statistics.odd, statistics.resubscriptions) == (1, 0, 0)
        assert statistics.frames >= 6
        assert statistics.bytes >= sum(hold.taken.sizes)


@speaks_all
async def test_what_is_asked_is_what_was_configured(subprotocol: Subprotocol) -> None:
    """The credentials in the upgrade and in the greeting; document and variables; the name the document gives."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker, operations=2)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
        await hold.wait_settled()
        peer = play.server.connections[0]
    assert peer.headers["authorization"] == f"Bearer {TOKEN}"
    text = repr(peer.received)
    assert "subscription { session { id } }" in text
    assert "acme" in text
    assert "Events" in text
    assert (subprotocol == CABLE) or peer.received[0]["payload"] == {"token": TOKEN}


@speaks_all
async def test_leaving_is_polite(subprotocol: Subprotocol) -> None:
    """Scenario 21: shutdown while live. The server is told for every operation, and the socket closed with 1000."""
    told: list[int] = []

    async def talk(speaker: Speaker) -> None:
        await serve(speaker, operations=2)
        told.append(await speaker.until_gone())

    async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
        await hold.wait_settled()
        assert await hold.leave() < 5
        await wait_until(lambda: told)
        received = play.server.connections[0].received
    assert told == [1000]
    goodbye = [frame.get("type") or frame.get("command") for frame in received]
    assert (
        goodbye[-2:]
        == {
            LEGACY: ["stop", "connection_terminate"],
            TRANSPORT: ["complete", "complete"],
            CABLE: ["unsubscribe", "unsubscribe"],
        }[subprotocol]
    )


# --- refused, or not accepted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [4401, 4403])
@speaks_all
async def test_a_stale_token_then_a_fresh_one(subprotocol: Subprotocol, code: int) -> None:
    """Scenario 01: closed with 4401 or 4403 before the ack: then a fresh token lives."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        if "stale" in speaker.peer.headers["authorization"]:
            await speaker.peer.close(code, "Forbidden")
            return
        await speaker.acknowledge()
        await speaker.number(await speaker.subscribed(), 1)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        for _ in range(2):
            error = await play.failure(token="stale-stale")
            assert type(error) is Unauthorized
            assert str(code) in str(error)
        async with holding(play.feed(token="fresh-fresh")) as hold:
            await hold.wait_settled()
            await wait_until(lambda: hold.taken.numbers() == [1])


async def test_connection_error_and_1011() -> None:
    """Scenario 02: what the stock legacy server does when it refuses the credentials."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.peer.send({"type": "connection_error", "payload": {"message": "Not allowed"}})
        await speaker.peer.close(1011)

    async with stage(LEGACY, talk) as play:
        assert type(await play.failure()) is Unauthorized


async def test_connection_error_in_the_protocol_that_has_none() -> None:
    """Scenario 02: with graphql-transport-ws it is a message of another protocol: said so, closed with 4400."""
    told: list[int] = []

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.peer.send({"type": "connection_error", "payload": {"message": "Not allowed"}})
        told.append(await speaker.until_gone())

    async with stage(TRANSPORT, talk) as play:
        error = await play.failure()
        await wait_until(lambda: told)
    assert isinstance(error, Retry)
    assert "check which sub-protocol it speaks" in str(error)
    assert told == [4400]


async def test_an_unauthorized_disconnect() -> None:
    """Scenario 02: how ActionCable refuses credentials."""

    async def talk(speaker: Speaker) -> None:
        await speaker.peer.send({"type": "disconnect", "reason": "unauthorized", "reconnect": False})
        await speaker.peer.close(1000)

    async with stage(CABLE, talk) as play:
        assert type(await play.failure()) is Unauthorized


@speaks_all
async def test_no_ack(subprotocol: Subprotocol) -> None:
    """Scenario 03: a server that never accepts is given up after the configured time; the text says what to check."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        error = await play.failure(ack_timeout_s=0.1)
        await wait_until(lambda: play.server.open == 0)
    assert type(error) is Retry
    assert f"has not accepted the session within 0.1 s; check that it speaks {subprotocol}" in str(error)
    assert ending_of(error) == "unanswered"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "after"),
    [
        (401, {}, Unauthorized, None),
        (403, {}, Unauthorized, None),
        (429, {"Retry-After": "7"}, Throttled, 7),
        (503, {"Retry-After": "30"}, Retry, 30),
        (503, {}, Retry, None),
        (400, {}, Refused, 900),
        (302, {"Location": "wss://elsewhere.example.com/"}, Refused, 900),
    ],
)
@speaks_all
async def test_a_refused_upgrade(
    subprotocol: Subprotocol, status: int, headers: dict[str, str], kind: type[BridgeError], after: float | None
) -> None:
    """Scenario 04: HTTP 401, 429 with Retry-After, 503 and others on upgrade: what happens next, and when."""

    async def talk(speaker: Speaker) -> None:
        raise AssertionError("connected")

    async with stage(subprotocol, talk) as play:
        play.server.refusals = [(status, headers)]
        error = await play.failure()
    assert type(error) is kind
    assert getattr(error, "after", None) == after
    assert str(status) in str(error)
    assert TOKEN not in str(error)


@speaks_all
async def test_a_ping_before_the_ack(subprotocol: Subprotocol) -> None:
    """Scenario 06: legal in graphql-transport-ws, where it is answered; elsewhere the sign of life is just that."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.beat()
        if subprotocol == TRANSPORT:
            assert await speaker.peer.receive() == {"type": "pong"}
        await speaker.acknowledge()
        await speaker.number(await speaker.subscribed(), 1)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await hold.wait_settled()
        await wait_until(lambda: hold.taken.numbers() == [1])
        assert hold.feed.statistics.last_beat is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("when", ["greeting", "live"])
async def test_a_ping_with_a_payload_is_answered_with_it(when: str) -> None:
    """Scenario 06: at any time; some servers compare."""
    answers: list[Any] = []

    async def talk(speaker: Speaker) -> None:
        if when == "live":
            await serve(speaker)
        else:
            await speaker.greeting()
        await speaker.peer.send({"type": "ping", "payload": {"k": 1}})
        answers.append(await speaker.next_of("pong"))
        await speaker.until_gone()

    async with stage(TRANSPORT, talk) as play, holding(play.feed()):
        await wait_until(lambda: answers)
    assert answers == [{"type": "pong", "payload": {"k": 1}}]


# --- the end of a session ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, Retry), (1001, Retry), (1005, Retry), (1006, Retry), (1011, Retry), (1012, Retry), (1013, Retry),
        (4401, Unauthorized), (4403, Unauthorized), (4400, Refused), (4406, Refused), (4500, Retry), (4999, Retry),
    ],
)  # fmt: skip
@speaks_all
async def test_a_drop_while_streaming(subprotocol: Subprotocol, code: int, kind: type[BridgeError]) -> None:
    """Scenario 08: what arrived before it was offered, and the code says what happens next."""
    arrived = anyio.Event()

    async def talk(speaker: Speaker) -> None:
        await serve(speaker, *({"data": {"n": n}} for n in range(5)))
        if code == 1006:
            # What is still on its way when a socket is cut off is lost with it.
            await arrived.wait()
            speaker.peer.drop()
        else:
            await speaker.peer.close(code)

    async with stage(subprotocol, talk) as play, holding(play.feed(settle_s=0)) as hold:
        await wait_until(lambda: len(hold.taken.frames) == 5)
        arrived.set()
        error = await hold.ended()
        assert type(error) is kind
        assert f"close code {code}" in str(error)
        assert hold.taken.numbers() == [0, 1, 2, 3, 4]


@speaks_all
async def test_the_operator_knows_the_vendors_codes(subprotocol: Subprotocol) -> None:
    """Scenario 08: a private code means what the configuration says."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        await speaker.peer.close(4999)

    async with stage(subprotocol, talk) as play:
        assert type(await play.failure(close_codes={4999: "refresh"})) is Unauthorized


@speaks_all
async def test_a_reconnect_uses_new_ids(subprotocol: Subprotocol) -> None:
    """Scenario 10: a slow consumer and a fast one over a reconnect: what is late for an old id reaches nobody new."""
    asked: list[str] = []

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        ids = [await speaker.subscribed(), await speaker.subscribed()]
        if not asked:
            asked.extend(ids)
            await speaker.number(ids[0], 1)
            await speaker.peer.close(1012)
            return
        # A server that mixes up its connections still sends what the old ones were to get.
        late = Speaker(speaker.peer, subprotocol)
        late.channels = {old: f'{{"channel": "GraphqlChannel", "channelId": "{old}"}}' for old in asked}
        for old in asked:
            await late.number(old, 99)
        asked.extend(ids)
        await speaker.number(ids[0], 2)
        await speaker.number(ids[1], 3)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        async with holding(play.feed(TWO)) as first:
            await first.ended()
        async with holding(play.feed(TWO)) as second:
            await wait_until(lambda: len(second.taken.frames) == 2)
            assert (second.taken.numbers("sessions"), second.taken.numbers("events")) == ([2], [3])
            assert second.feed.statistics.odd == 2  # type: ignore[attr-defined]
    assert first.taken.numbers() == [1]
    assert asked == ["1", "2", "3", "4"]


# --- odd frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["null", "[1, 2]", "7", '"text"', b"\x00\x01", "<html>", '{"type": '])
@speaks_all
async def test_a_frame_that_is_no_message(subprotocol: Subprotocol, frame: Any) -> None:
    """Scenario 11: `null`, a JSON array, a binary frame, no JSON: closed with 4400, and a Retry."""
    told: list[int] = []

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        await speaker.peer.send(frame)
        told.append(await speaker.until_gone())

    async with stage(subprotocol, talk) as play:
        error = await play.failure()
        await wait_until(lambda: told)
    assert type(error) is Retry
    assert told == [4400]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "next", "id": "999", "payload": {"data": {"n": 9}}},
        {"type": "next", "id": "text", "payload": {"data": {"n": 9}}},
        {"type": "next", "payload": {"data": {"n": 9}}},
        {"type": "complete", "id": "999"},
        {"type": "error", "id": {}, "payload": []},
        {"type": "connection_ack"},
    ],
)
@speaks_graphql
async def test_an_unknown_id_is_ignored_and_counted(subprotocol: Subprotocol, frame: Any) -> None:
    """Scenario 11: unknown id, text id, no id: the session goes on."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        kind = "data" if subprotocol == LEGACY and frame["type"] == "next" else frame["type"]
        await speaker.peer.send({**frame, "type": kind})
        await speaker.number(id_, 1)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await wait_until(lambda: hold.taken.frames)
        assert hold.taken.numbers() == [1]
        assert hold.feed.statistics.odd == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("subprotocol", [LEGACY, CABLE])
async def test_an_unknown_type_is_ignored_and_counted(subprotocol: Subprotocol) -> None:
    """Scenario 11: where the protocol leaves it open; the third one demands that the socket be closed."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        await speaker.peer.send({"type": "news"})
        await speaker.number(id_, 1)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await wait_until(lambda: hold.taken.numbers() == [1])
        assert hold.feed.statistics.odd == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("subprotocol", [LEGACY, TRANSPORT])
async def test_an_id_that_comes_back_as_a_number(subprotocol: Subprotocol) -> None:
    """Scenario 11: it is the same id."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        kind = "data" if subprotocol == LEGACY else "next"
        await speaker.peer.send({"type": kind, "id": int(id_), "payload": {"data": {"n": 1}}})
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await wait_until(lambda: hold.taken.numbers() == [1])


# --- the end of an operation -------------------------------------------------------------------------------------


async def restarted(play: Stage, hold: Hold) -> None:
    """The operation was started again under a new id, its results arrive, and what was missed is read again."""
    await wait_until(lambda: hold.taken.numbers() == [2])
    await wait_until(lambda: hold.taken.reasons)
    assert len(hold.taken.reasons) == 1
    assert "sessions" in hold.taken.reasons[0]
    assert hold.feed.statistics.resubscriptions == 1  # type: ignore[attr-defined]
    assert len(play.server.connections) == 1
    assert not hold.over.is_set()


@pytest.mark.parametrize("payload", [[], {}, None, [{"message": "internal error"}], {"message": "internal error"}, "x"])
@speaks_graphql
async def test_an_operation_that_failed_is_started_again(subprotocol: Subprotocol, payload: Any) -> None:
    """Scenarios 11 and 12: an empty `error` list; `error` as object and as list. Only this operation is concerned."""

    async def talk(speaker: Speaker) -> None:
        await speaker.fail(await serve(speaker), payload)
        id_ = await speaker.subscribed()
        assert id_ == "2"
        await speaker.number(id_, 2)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await restarted(play, hold)


@speaks_all
async def test_an_unasked_complete(subprotocol: Subprotocol) -> None:
    """Scenario 13: the operation is started again on the same connection, and what was missed is read again."""

    async def talk(speaker: Speaker) -> None:
        await speaker.complete(await serve(speaker))
        id_ = await speaker.subscribed()
        assert id_ == "2"
        await speaker.number(id_, 2)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await restarted(play, hold)


@pytest.mark.parametrize("as_list", [False, True])
@speaks_graphql
async def test_a_refused_operation_stays_off(subprotocol: Subprotocol, as_list: bool) -> None:
    """Scenario 12: `error` as object and as list, for a document that is wrong. The other operation goes on."""
    error = {"message": 'Cannot query field "sesion" on type "Subscription".'}

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        first, second = await speaker.subscribed(), await speaker.subscribed()
        await speaker.fail(first, [error] if as_list else error)
        await speaker.number(second, 1)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
        await hold.wait_settled()
        await wait_until(lambda: hold.taken.numbers("events") == [1])
        assert list(hold.feed.statistics.off) == ["sessions"]  # type: ignore[attr-defined]
        await hold.leave()
        starts = [f for f in play.server.connections[0].received if f["type"] in ("start", "subscribe")]
    assert len(starts) == 2


@speaks_graphql
async def test_nothing_but_refused_operations_is_a_refusal(subprotocol: Subprotocol) -> None:
    """Scenario 12: somebody must correct the document; the text names the operation."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        for _ in range(2):
            await speaker.fail(await speaker.subscribed(), [{"message": "Syntax Error: Unexpected Name"}])
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        error = await play.failure(operations=TWO)
    assert type(error) is Refused
    assert "every operation is refused, at last events" in str(error)


@speaks_graphql
async def test_an_operation_refused_for_its_token(subprotocol: Subprotocol) -> None:
    """Scenario 12: the token is the cause, so the session ends and the token is renewed."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        await speaker.fail(id_, [{"message": "jwt expired", "extensions": {"code": "UNAUTHENTICATED"}}])
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        assert type(await play.failure()) is Unauthorized


# --- results -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        {"data": None},
        {"data": {"session": None}, "errors": [{"message": "partial"}]},
        {"errors": [{"message": "no data at all"}]},
        {"data": {"session": {"__typename": "Failure", "errorId": "expired"}}},
        {},
    ],
)
@speaks_all
async def test_every_result_goes_on_as_it_came(subprotocol: Subprotocol, payload: Any) -> None:
    """Scenario 14: `data: null`, `data` with `errors`, a Failure inside `data`: the adapter knows what they mean."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker, payload, {"data": {"n": 1}})
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
        await wait_until(lambda: len(hold.taken.frames) == 2)
        assert [frame["payload"] for frame in hold.taken.frames] == [payload, {"data": {"n": 1}}]


@speaks_all
async def test_an_event_of_2_mib(subprotocol: Subprotocol) -> None:
    """Scenario 16: below the bound it arrives; above it the session ends, and the text says what to raise."""
    big = {"data": {"n": 1, "text": "x" * (2 * MIB)}}

    async def talk(speaker: Speaker) -> None:
        await serve(speaker, big)
        await speaker.until_gone()

    async with stage(subprotocol, talk) as play:
        async with holding(play.feed()) as hold:
            await wait_until(lambda: hold.taken.numbers() == [1])
            assert hold.taken.sizes[0] > 2 * MIB
        error = await play.failure(max_message_mb=1)
    assert type(error) is Retry
    assert "raise `ws_max_message_mb`" in str(error)


@speaks_all
async def test_a_flood_is_offered_whole(subprotocol: Subprotocol) -> None:
    """5,000 results in one go: in order, none lost; another task has its turns in between."""
    turns = 0

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        for n in range(5_000):
            await speaker.number(id_, n)
        await speaker.until_gone()

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with stage(subprotocol, talk) as play, holding(play.feed()) as hold, anyio.create_task_group() as group:
        await hold.wait_settled()
        group.start_soon(count_turns)
        await wait_until(lambda: len(hold.taken.frames) == 5_000, 60)
        group.cancel_scope.cancel()
    assert hold.taken.numbers() == list(range(5_000))
    # Some hundreds; fewer where results came before the counting began.
    assert turns > 50
