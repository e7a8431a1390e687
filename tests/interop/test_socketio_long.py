"""Our Socket.IO sessions against npm's servers: hundreds of heartbeats, and servers that stand still again and again.

For `make interop` alone. On another Python version: `make interop PYTHON=python3.13 VENV=../venv-3.13
ARGS="-k socketio_long"`.
"""

from __future__ import annotations

import anyio
import pytest

from bridge.core.errors import Retry
from tests.interop.peers import running
from tests.interop.socketio_peers import PAIRS, Pair, SocketioServer, connected, events, feed, pair_name
from tests.support.holding import holding
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("pair", PAIRS, ids=pair_name)]

FREEZES = 12
INTERVAL_S = 0.25


async def test_hundreds_of_heartbeats(packages: None, pair: Pair) -> None:
    """400, of 50 ms each and with a time-out of one second, beside events: the same session all the time, none lost."""
    with running(SocketioServer(pair, interval_s=0.05, timeout_s=1.0)) as npm:
        async with holding(feed(npm)) as hold:
            await connected(hold, npm)
            sent: list[list[object]] = []

            def all_there() -> bool:
                return len(hold.taken.frames) == len(sent)

            while npm.facts()["beats"] < 400:
                more = [["event", n, {"base64": "AAEC"}] for n in range(len(sent), len(sent) + 5)]
                npm.emit(*more)
                sent.extend(more)
                await wait_until(all_there)
            assert events(hold) == sent
            assert hold.feed.statistics.odd == 0  # type: ignore[attr-defined]
            facts = npm.facts()
            assert (facts["connections"], facts["ended"]) == (["/"], [])


@pytest.mark.timeout(180)
async def test_a_server_that_freezes_again_and_again(packages: None, pair: Pair) -> None:
    """12 times, each time at another moment of the heartbeat and with events on their way: noticed, and back after it.

    Every freeze is noticed within interval and time-out, and every event that arrives does so once and in order.
    """
    with running(SocketioServer(pair, interval_s=INTERVAL_S, timeout_s=1.0)) as npm:
        for turn in range(FREEZES):
            npm.forget()
            async with holding(feed(npm)) as hold:
                await connected(hold, npm)
                await wait_until(lambda: npm.facts()["beats"] >= 2)
                # Waits for nothing: which moment of the heartbeat it is is what differs.
                await anyio.sleep(INTERVAL_S * turn / FREEZES)
                npm.tell("emit", namespace="/", events=[["flood", n, "x" * 1000] for n in range(turn * 20)])
                npm.freeze()
                began = anyio.current_time()
                error = await hold.ended()
            assert type(error) is Retry
            reason = {3: "no answer to our ping within 1 s", 4: "no ping of the server's within 1.25 s"}[pair[0]]
            assert reason in str(error)
            # 1.25 s, a second look of 0.1 s, and at most 2 s for closing.
            assert 0.9 < hold.over_at - began < 3.35 + 1.5
            assert [event[1] for event in events(hold)] == list(range(len(events(hold))))
            npm.thaw()
            assert npm.hear() == {}
            await wait_until(lambda: npm.present() == 0)
