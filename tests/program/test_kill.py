"""The whole program under blows: SIGKILL, SIGTERM, SIGSTOP, two at a time, NATS away. Each change is stored once.

One scene has a blow of each kind; the long suite has many of each, and two daemons that do not know of each other.
Real processes throughout. The sandbox's ledger says what happened, the stream is read by nats-py alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.ordeal import ordeal
from tests.support.program import elapse
from tests.support.stream import duplicate_window_s, narrow_duplicate_window

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

WINDOW_S = 0.5


async def test_one_blow_of_each_kind_and_everything_is_stored_once(tmp_path: Path) -> None:
    """SIGKILL of the daemon, of the server, and of both for three times the stream's duplicate window; SIGTERM, which
    ends with 0; SIGSTOP; and a daemon that dies with what a frozen server has received. The vendor errs all the time:
    nothing lost, nothing twice, in order, and the view equals the vendor's state."""
    async with ordeal("one of each", tmp_path, seed=11, sync_always=False) as scene:
        daemon = scene.daemon()
        daemon.start()
        await scene.progress()
        await narrow_duplicate_window(scene.broker.url, WINDOW_S)
        await scene.misbehave()
        blows = ["daemon", "broker", "both", "stop", "freeze", "limbo"]
        scene.dice.shuffle(blows)
        for blow in blows:
            await scene.progress()
            match blow:
                case "daemon":
                    await scene.kill_daemon(daemon)
                case "broker":
                    await scene.kill_broker(scene.dice.uniform(0, 0.5))
                case "both":
                    await scene.kill_both(daemon, 3 * WINDOW_S)
                case "stop":
                    await scene.stop_daemon(daemon)
                case "freeze":
                    await scene.freeze_daemon(daemon, 2.0)
                case "limbo":
                    scene.broker.pause()
                    await elapse(scene.dice.uniform(0, 0.5))
                    await scene.kill_daemon(daemon, 3 * WINDOW_S)
                    scene.broker.resume()
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert verdict.blows == {"daemon killed": 3, "broker killed": 2, "daemon stopped": 1, "daemon frozen": 1}
        assert await duplicate_window_s(scene.broker.url) == WINDOW_S
        assert not [event for event in verdict.events if "Nats-Msg-Id" in event.headers]
        # The vendor's own counters say that every daemon lived, logged in anew, and met its mistakes.
        assert verdict.counters["logins"] >= daemon.lives - 1
        assert len(verdict.counters["faults"]) >= 2
        assert verdict.recovery_ms
        assert await daemon.terminate() == 0
        assert sum(len(daemon.said("bridged.stopped", life)) for life in range(daemon.lives)) == 2


@pytest.mark.chaos
@pytest.mark.parametrize("sync_always", [True, False], ids=["sync_always", "sync_default"])
async def test_killed_at_random_moments_everything_is_stored_once(tmp_path: Path, sync_always: bool) -> None:
    """Six SIGKILLs of the daemon and three of the server (half of that, where the server flushes now and then), while
    sessions change and the vendor errs: nothing lost, nothing twice, in order, and the view equals the vendor's state.
    """
    async with ordeal("killed", tmp_path, seed=11 + sync_always, sync_always=sync_always, companies=2) as scene:
        daemon = scene.daemon()
        daemon.start()
        await scene.misbehave()
        daemons, brokers = (5, 2) if sync_always else (2, 1)
        blows = ["daemon"] * daemons + ["broker"] * brokers + ["both"]
        scene.dice.shuffle(blows)
        for blow in blows:
            await scene.progress()
            away_s = scene.dice.uniform(0, 0.6)
            if blow == "daemon":
                await scene.kill_daemon(daemon, away_s / 3)
            elif blow == "broker":
                await scene.kill_broker(away_s)
            else:
                await scene.kill_both(daemon, away_s)
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert (verdict.blows["daemon killed"], verdict.blows["broker killed"]) == (daemons + 1, brokers + 1)
        # The vendor's own counters say that the daemons lived, logged in anew, and met its mistakes.
        assert verdict.counters["logins"] >= daemons
        assert verdict.counters["history_requests"] > 4 * daemons
        assert len(verdict.counters["faults"]) >= daemons - 2 + (not sync_always)
        assert len(verdict.recovery_ms) >= daemons - 2 + (not sync_always)


@pytest.mark.chaos
async def test_stopped_or_frozen_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """SIGTERM ends with exit code 0 in time, SIGSTOP for seconds is survived, in any order."""
    async with ordeal("stopped and frozen", tmp_path, seed=21, sync_always=True) as scene:
        daemon = scene.daemon()
        daemon.start()
        blows = ["stop"] * 2 + ["freeze"] * 2
        scene.dice.shuffle(blows)
        for blow in blows:
            await scene.progress()
            await (scene.stop_daemon(daemon) if blow == "stop" else scene.freeze_daemon(daemon, 2.0))
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert await daemon.terminate() == 0
        assert [len(daemon.said("bridged.stopped", life)) for life in range(daemon.lives)] == [1] * 3


@pytest.mark.chaos
async def test_nats_away_for_longer_than_any_duplicate_window(tmp_path: Path) -> None:
    """Daemon and server killed together, the server away for three times the stream's duplicate window: no event is
    stored twice, and none ever bears an id that such a window could compare."""
    async with ordeal("away", tmp_path, seed=31, sync_always=False) as scene:
        daemon = scene.daemon()
        daemon.start()
        await scene.progress()
        await narrow_duplicate_window(scene.broker.url, WINDOW_S)
        for _ in range(2):
            await scene.progress()
            await scene.kill_both(daemon, 3 * WINDOW_S)
        # What the frozen server has received, and the killed daemon never heard of, is dealt with afterwards.
        await scene.progress()
        scene.broker.pause()
        await elapse(scene.dice.uniform(0, 0.5))
        await scene.kill_daemon(daemon, 3 * WINDOW_S)
        scene.broker.resume()
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert await duplicate_window_s(scene.broker.url) == WINDOW_S
        assert not [event for event in verdict.events if "Nats-Msg-Id" in event.headers]
        assert verdict.blows == {"daemon killed": 3, "broker killed": 2}


PACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # Both read everything: they meet at every cursor.
    "alike": ({"leases": "first"}, {"leases": "second"}),
    # One reads the short window, one the long one: no cursor stands between them, each entity's expectation does.
    "unlike": (
        {"leases": "first", "history_slow_every_s": 3600.0},
        {"leases": "second", "history_fast_every_s": 3600.0, "history_slow_every_s": 1.0},
    ),
    # They agree on who works; one that sleeps for longer than its lease wakes up as a former owner.
    "in turn": ({"lease_s": 1.0}, {"lease_s": 1.0}),
}


@pytest.mark.chaos
@pytest.mark.parametrize("pace", PACES)
async def test_two_daemons_for_one_source_double_nothing(tmp_path: Path, pace: str) -> None:
    """One is killed, one sleeps while the other goes on and wakes with old knowledge: without any agreement between
    them, and with one, nothing is lost, doubled, or overwritten by something older."""
    async with ordeal(f"two, {pace}", tmp_path, seed=41, sync_always=False) as scene:
        first, second = (scene.daemon(name, **how) for name, how in zip(("first", "second"), PACES[pace], strict=True))
        first.start()
        second.start()
        await scene.misbehave()
        for daemon in (first, second):
            await scene.progress(8)
            await scene.freeze_daemon(daemon, 2.0 if pace == "in turn" else 1.0)
            await scene.progress(8)
            await scene.kill_daemon(daemon)
        await scene.progress(8)
        (await scene.verdict()).must_be_faithful()


async def test_an_embedded_server_goes_with_its_daemon_and_comes_back_with_its_store(tmp_path: Path) -> None:
    """SIGKILL of a daemon ends its own nats-server too; the next one goes on with the same stream, SIGKILL of that
    server alone is healed by its daemon, and nothing is lost or doubled."""
    async with ordeal("embedded", tmp_path, seed=51, embedded=True) as scene:
        daemon = scene.daemon()
        daemon.start()
        await scene.progress()
        for blow in ("daemon", "server"):
            pid = scene.embedded_server()
            assert pid is not None
            if blow == "daemon":
                await scene.kill_daemon(daemon)
            else:
                scene.kill_embedded_server()
            await scene.another_embedded_server(pid)
            await scene.progress()
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert verdict.blows == {"daemon killed": 1, "broker killed": 1}
        assert await daemon.terminate() == 0
        assert scene.embedded_server() is None
