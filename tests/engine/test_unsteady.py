"""Operations that the server does not let run, beside others that do: what is said, and who need not suffer for it."""

from __future__ import annotations

from collections.abc import MutableMapping
from itertools import count
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.core.errors import Unauthorized
from bridge.core.facts import GraphqlSession, Operation, Subprotocol
from bridge.engine.subscriptions import GraphqlFeed
from bridge.engine.vigil import SessionStatistics
from tests.support.dialects import ALL, GRAPHQL, Peer, Speaker
from tests.support.engine import on_virtual_clock
from tests.support.holding import holding
from tests.support.memory_socket import MemorySockets, memory_sockets
from tests.support.waiting import wait_until

OPERATIONS = (Operation("good", "subscription { a { id } }"), Operation("bad", "subscription { b { id } }"))
FORBIDDEN = [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]

Lines = list[MutableMapping[str, Any]]


def feed(
    sockets: MemorySockets, subprotocol: Subprotocol, statistics: SessionStatistics, *, settle_s: float = 3.0
) -> GraphqlFeed:
    """One attempt. Every back-off lasts exactly as long as its ceiling."""
    session = GraphqlSession(
        "wss://api.example.com/graphql", subprotocol, OPERATIONS, ping_interval_s=None, settle_s=settle_s
    )
    return GraphqlFeed(session, sockets, count(1), statistics=statistics, roll=lambda: 1.0)


def named(logs: Lines, event: str) -> Lines:
    return [line for line in logs if line["event"] == event]


@pytest.mark.parametrize("subprotocol", ALL)
def test_an_operation_that_never_settles_is_told_of(subprotocol: Subprotocol) -> None:
    """At its third end in a row, once: logged, in the figures, and what is missed is read; until it held a minute."""

    async def main() -> None:
        statistics, ends = SessionStatistics(), 8

        async def script(peer: Peer) -> None:
            speaker = Speaker(peer, subprotocol)
            await speaker.accept()
            await speaker.subscribed()
            for _ in range(ends):
                await speaker.complete(await speaker.subscribed())
            await speaker.subscribed()
            await speaker.until_gone()

        async with memory_sockets(script) as sockets:
            with capture_logs() as logs:
                async with holding(feed(sockets, subprotocol, statistics)) as hold:
                    await hold.wait_settled()
                    await anyio.sleep(6)  # two ends, and two starts
                    assert (statistics.off, hold.taken.reasons) == ({}, [])
                    await anyio.sleep(24)
                    assert list(statistics.off) == ["bad"]
                    assert "times in a row: without a reason" in statistics.off["bad"]
                    assert len(hold.taken.reasons) == 1
                    await wait_until(lambda: statistics.resubscriptions == ends, 1_000)
                    await anyio.sleep(50)
                    assert list(statistics.off) == ["bad"]
                    await anyio.sleep(12)
                    assert statistics.off == {}
        (line,) = named(logs, "session.operation_unsteady")
        assert (line["operation"], line["session"]) == ("bad", "api.example.com/graphql")
        assert "ended it 3 times in a row" in line["reason"]
        assert "`bridged check --online`" in line["advice"]
        assert len(named(logs, "session.operation_steady")) == 1

    on_virtual_clock(main)


@pytest.mark.parametrize("subprotocol", GRAPHQL)
def test_one_forbidden_operation_does_not_end_the_others_for_long(subprotocol: Subprotocol) -> None:
    """The token is renewed once for it; with the new one only this operation is off, and says whom to ask."""

    async def main() -> None:
        statistics = SessionStatistics()

        async def script(peer: Peer) -> None:
            speaker = Speaker(peer, subprotocol)
            await speaker.accept()
            good, bad = await speaker.subscribed(), await speaker.subscribed()
            await speaker.fail(bad, FORBIDDEN)
            await speaker.number(good, 1)
            await speaker.until_gone()

        async with memory_sockets(script) as sockets:
            async with holding(feed(sockets, subprotocol, statistics)) as hold:
                assert type(await hold.ended()) is Unauthorized
            for _ in range(3):  # and so with every later session, however long the last one lasted
                with capture_logs() as logs:
                    async with holding(feed(sockets, subprotocol, statistics)) as hold:
                        await hold.wait_settled()
                        await anyio.sleep(1_000)
                        assert not hold.over.is_set()
                        assert hold.taken.numbers("good") == [1]
                (line,) = named(logs, "session.operation_off")
                assert line["operation"] == "bad"
                assert "ask `bridged check --online`" in line["advice"]
                assert list(statistics.off) == ["bad"]

    on_virtual_clock(main)


@pytest.mark.parametrize("subprotocol", GRAPHQL)
def test_a_token_that_has_merely_expired_is_renewed_again(subprotocol: Subprotocol) -> None:
    """What ran for a minute ran with a good token; so the next refusal is a reason to renew it, as the first was."""

    async def main() -> None:
        statistics = SessionStatistics()

        async def script(peer: Peer) -> None:
            speaker = Speaker(peer, subprotocol)
            await speaker.accept()
            await speaker.subscribed()
            bad = await speaker.subscribed()
            await anyio.sleep(5 if peer.number == 1 else 500)
            await speaker.fail(bad, FORBIDDEN)
            await speaker.until_gone()

        async with memory_sockets(script) as sockets:
            for after in (5, 500):
                async with holding(feed(sockets, subprotocol, statistics)) as hold:
                    began = anyio.current_time()
                    assert type(await hold.ended(600)) is Unauthorized
                    assert hold.over_at - began == pytest.approx(after, abs=0.1)

    on_virtual_clock(main)
