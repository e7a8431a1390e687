"""Our live sessions against the servers the sub-protocols come from: two npm packages, and Rails."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

import anyio
import pytest

from bridge.core.errors import BridgeError, Refused, Retry, Unauthorized
from bridge.core.facts import GraphqlSession, Operation, Subprotocol
from bridge.core.secret import Secret
from bridge.edge.websocket import WebSockets
from bridge.engine.subscriptions import GraphqlFeed
from tests.interop.peers import TOKEN, Server, server
from tests.support.dialects import CABLE, LEGACY, TRANSPORT
from tests.support.holding import Hold, holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
NUMBERS = count(1)
BROKEN = "subscription { n(topic: 5"


@cache
def sockets() -> WebSockets:
    return WebSockets()


def numbered(topic: str) -> Operation:
    """An operation named like its topic."""
    return Operation(topic, "subscription N($topic: String!) { n(topic: $topic) }", {"topic": topic})


def texts(topic: str) -> Operation:
    return Operation(topic, "subscription ($topic: String!) { text(topic: $topic) }", {"topic": topic})


def events(hold: Hold, operation: str | None = None) -> list[Any]:
    """The values that arrived, by operation or of all. Rails' first answer has none: it says that it listens."""
    frames = [frame for frame in hold.taken.frames if operation in (None, frame["operation"])]
    return [value for frame in frames for value in frame["payload"].get("data", {}).values()]


def feed(peer: Server, *operations: Operation, token: Secret | str | None = None, **more: Any) -> GraphqlFeed:
    """One attempt. Only Action Cable looks at the headers, only the others at `init`."""
    token = Secret(TOKEN, prefix="Bearer ") if token is None else token
    given: dict[str, Any] = {"init": {"authToken": token}, "headers": {"Authorization": token}, "settle_s": 0.05}
    session = GraphqlSession(peer.url, peer.subprotocol, operations, **given | more)
    return GraphqlFeed(session, sockets(), NUMBERS, roll=lambda: 0.0)


async def subscribed(hold: Hold, peer: Server, *topics: str) -> None:
    """Started, and the server listens."""
    await hold.wait_settled()
    await wait_until(lambda: all(peer.listening(topic) == 1 for topic in topics))


async def failure(peer: Server, *operations: Operation, **more: Any) -> BridgeError:
    """What an attempt ends in by itself."""
    async with holding(feed(peer, *operations, **more)) as hold:
        return await hold.ended()


async def test_events_arrive_in_order_on_two_operations(peer: Server) -> None:
    """200 events of one and three of another operation on one socket: all, in order, each under its operation.

    Rails alone keeps no order: it hands out broadcasts on ten threads. Versions put them right, not the wire.
    """
    before = peer.facts()["connections"]
    async with holding(feed(peer, numbered("many"), numbered("few"))) as hold:
        await subscribed(hold, peer, "many", "few")
        peer.publish("few", 7)
        peer.publish("many", *range(200))
        peer.publish("few", 8, 9)
        await wait_until(lambda: len(events(hold)) == 203)
        in_order = sorted if peer.subprotocol == CABLE else list
        assert in_order(events(hold, "many")) == list(range(200))
        assert in_order(events(hold, "few")) == [7, 8, 9]
        assert hold.feed.statistics.odd == 0  # type: ignore[attr-defined]
        assert peer.facts()["connections"] == before + 1


@pytest.mark.parametrize("prefix", ["Bearer ", ""])
async def test_the_token_is_accepted_in_both_forms(peer: Server, prefix: str) -> None:
    """What the server got is the configured form of the token."""
    async with holding(feed(peer, numbered("form"), token=Secret(TOKEN, prefix=prefix))) as hold:
        await hold.wait_settled()
        assert peer.facts()["tokens"][-1] == prefix + TOKEN


@pytest.mark.parametrize("token", ["Bearer stale-stale", ""])
async def test_refused_credentials(peer: Server, token: str) -> None:
    """However each server says it, the answer to a token it does not accept is to get another."""
    before = peer.facts()["refused"]
    error = await failure(peer, numbered("refused"), token=token)
    assert type(error) is Unauthorized
    assert "stale" not in str(error)
    assert peer.facts()["refused"] == before + 1


async def test_a_big_message_and_any_character(peer: Server) -> None:
    """A result of 2 MiB, and characters from all planes, arrive as they were sent."""
    said = 'Grüße, 東京 🛫 \u2028\u2029 " \\ \u0001 </script> e\u0301 \U0010fffd'
    async with holding(feed(peer, texts("texts"))) as hold:
        await subscribed(hold, peer, "texts")
        peer.publish("texts", said, field="text")
        peer.publish_size("texts", 2 * MIB)
        await wait_until(lambda: len(events(hold)) == 2)
        first, second = sorted(events(hold), key=len)
        assert first == said
        assert second == "x" * (2 * MIB)
        assert max(hold.taken.sizes) > 2 * MIB


async def test_a_message_over_the_limit(peer: Server) -> None:
    """It ends the session, and the sentence names the setting that would let it pass."""
    async with holding(feed(peer, texts("big"), max_message_mb=1.0)) as hold:
        await subscribed(hold, peer, "big")
        peer.publish_size("big", MIB + 100)
        error = await hold.ended()
    assert type(error) is Retry
    assert "raise `ws_max_message_mb`" in str(error)


async def test_an_operation_ended_by_the_server(peer: Server) -> None:
    """It is started again on the same socket, what was missed is read again; the other operation goes on."""
    before = peer.facts()["connections"]
    async with holding(feed(peer, numbered("ended"), numbered("other"))) as hold:
        await subscribed(hold, peer, "ended", "other")
        peer.publish("ended", 1)
        await wait_until(lambda: events(hold, "ended") == [1])
        peer.finish("ended")
        await wait_until(lambda: hold.taken.reasons)
        await wait_until(lambda: peer.listening("ended") == 1)
        peer.publish("ended", 2)
        peer.publish("other", 3)
        await wait_until(lambda: events(hold, "ended") == [1, 2])
        await wait_until(lambda: events(hold, "other") == [3])
        assert len(hold.taken.reasons) == 1
        assert "the server ended operation ended" in hold.taken.reasons[0]
        assert hold.feed.statistics.resubscriptions == 1  # type: ignore[attr-defined]
        assert peer.facts()["connections"] == before + 1


@pytest.mark.parametrize("document", ["subscription { nothing }", "subscription { n }", BROKEN])
async def test_an_invalid_document(peer: Server, document: str) -> None:
    """The operation is refused, and asked no more; the other one goes on."""
    if document is BROKEN and peer.subprotocol == TRANSPORT:
        # This server answers a syntax error by ending the whole session. `bridged check` does not let one through.
        assert "close code 4500" in str(await failure(peer, Operation("wrong", document)))
        return
    async with holding(feed(peer, Operation("wrong", document), numbered("right"))) as hold:
        await subscribed(hold, peer, "right")
        await wait_until(lambda: "wrong" in hold.feed.statistics.off)  # type: ignore[attr-defined]
        peer.publish("right", 1)
        await wait_until(lambda: events(hold, "right") == [1])
        assert not hold.over.is_set()
    assert type(await failure(peer, Operation("wrong", document))) is Refused


async def test_leaving_is_understood(peer: Server) -> None:
    """The server ends both operations at once, and the socket is closed politely."""
    before = peer.facts()["ended"]
    async with holding(feed(peer, numbered("leave-1"), numbered("leave-2"))) as hold:
        await subscribed(hold, peer, "leave-1", "leave-2")
        assert await hold.leave() < 5
    await wait_until(lambda: peer.facts()["ended"] == before + 2)
    assert not {"leave-1", "leave-2"} & peer.facts()["subscribed"].keys()


async def test_signs_of_life_and_their_absence(subprotocol: Subprotocol) -> None:
    """`ka` and `ping` are seen; a server that stands still with its sockets open is noticed by the lack of them."""
    with server(subprotocol) as peer:
        async with holding(feed(peer, numbered("life"), beat_timeout_s=2.0)) as hold:
            await hold.wait_settled()
            beats = set()

            def beaten() -> bool:
                beats.add(hold.feed.statistics.last_beat)  # type: ignore[attr-defined]
                return len(beats - {None}) >= 3

            await wait_until(beaten)
            if subprotocol == TRANSPORT:
                await wait_until(lambda: peer.facts()["pongs"] >= 2)
            peer.freeze()
            began = anyio.current_time()
            error = await hold.ended()
            assert type(error) is Retry
            assert "nothing was heard for 2 s" in str(error)
            assert hold.over_at - began >= 1.5


async def test_a_rejected_channel(gems: None) -> None:
    """Rails: a channel that says no to this user."""
    with server(CABLE) as peer:
        error = await failure(peer, numbered("rejected"), channel="ForbiddenChannel")
    assert type(error) is Unauthorized
    assert "rejected by the channel" in str(error)


@pytest.mark.parametrize("how", ["leave", "kill"])
async def test_a_server_that_restarts(subprotocol: Subprotocol, how: str) -> None:
    """Whether it says good-bye or dies: connect again; the next session lives, and gets nothing under old ids."""
    with server(subprotocol) as first:
        async with holding(feed(first, numbered("restart"))) as hold:
            await subscribed(hold, first, "restart")
            first.publish("restart", 1)
            await wait_until(lambda: events(hold) == [1])
            if how == "leave":
                first.leave()
            else:
                first.kill()
            error = await hold.ended()
        assert type(error) is Retry
        first.kill()
        assert type(await failure(first, numbered("restart"))) is Retry
        with server(subprotocol, first.port) as second:
            async with holding(feed(second, numbered("restart"))) as again:
                await subscribed(again, second, "restart")
                second.publish("restart", 2)
                await wait_until(lambda: events(again) == [2])


@pytest.mark.parametrize("spoken", [LEGACY, TRANSPORT, CABLE])
async def test_the_wrong_sub_protocol(peer: Server, spoken: Subprotocol) -> None:
    """A server that does not speak ours: a human is called, who is told what to look at."""
    if spoken == peer.subprotocol:
        async with holding(feed(peer, numbered("spoken"))) as hold:
            await hold.wait_settled()
        return
    session = GraphqlSession(peer.url, spoken, [numbered("spoken")], ack_timeout_s=2.0)
    async with holding(GraphqlFeed(session, sockets(), NUMBERS)) as hold:
        error = await hold.ended()
    assert type(error) is Refused
    assert "ws_subprotocol" in str(error)
