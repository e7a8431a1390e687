"""An operator's rehearsals, with real daemons and a played vendor: restore a back-up, have everything read again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.support.asking import plain_client
from tests.support.backup import Backup, back_up, restore
from tests.support.nats_server import nats_server
from tests.support.ordeal import ordeal
from tests.support.program import SOURCE, Child
from tests.support.stream import stream_reader
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


async def backed_up(url: str) -> Backup:
    async with plain_client(url) as nc:
        return await back_up(nc, "BRIDGE")


async def restored(url: str, backup: Backup) -> None:
    async with plain_client(url) as nc:
        state = await restore(nc, backup)
    # It was taken while the daemon wrote: what a roll-up replaced meanwhile may count in the one and not in the other.
    assert state["last_seq"] == backup.state["last_seq"]
    assert 0 <= backup.state["messages"] - state["messages"] <= 5


async def test_a_restored_stream_is_gone_on_with(tmp_path: Path) -> None:
    """`BRIDGE` alone is backed up, in the midst of a daemon's work, and restored on an empty server: the view is made
    from it, cursors and history are there, what has happened since is read from the vendor again, and nothing is
    doubled."""
    async with (
        ordeal("restore", tmp_path, seed=61, sync_always=False) as scene,
        nats_server(tmp_path, name="fresh") as fresh,
    ):
        daemon = scene.daemon()
        daemon.start()
        # What is told later than the first reading is news.
        await wait_until(lambda: daemon.said("source.live"), 150, "the first reading to end")
        await scene.progress(10)
        # A cursor that is replaced while the back-up is taken may be in it neither old nor new, and its walk would be
        # read as if for the first time: the daemon is held still for that moment.
        daemon.pause()
        backup = await backed_up(scene.broker.url)
        daemon.resume()
        await scene.progress(10)
        assert await daemon.terminate() == 0
        async with stream_reader(scene.broker.url) as reader:
            before = await reader.events()
        await scene.broker.kill()
        await restored(fresh.url, backup)
        last = backup.state["last_seq"]
        kept = [event for event in before if event.seq <= last]
        lost = [event for event in before if event.seq > last]
        assert len(kept) > 50
        assert lost, "nothing was stored after the back-up"
        async with stream_reader(fresh.url) as reader:
            assert [(event.seq, event.headers) for event in await reader.events()] == [
                (event.seq, event.headers) for event in kept
            ]
            assert len(await reader.cursors()) == 2 * len(scene.vendor.facts["companies"])
        scene._broker = fresh
        scene.daemon("second").start()
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        # It was no first reading: what is new to the restored stream is news. What the stream has lost nobody can tell.
        since = [event for event in verdict.events if event.seq > last]
        assert {event.change for event in since} <= {"created", "updated", "connected", "opened", "closed"}
        assert all("was missing" in event.data["after"]["reason"] for event in since if event.change == "opened")
        assert len(verdict.events) > len(kept)


async def resync(daemon: Child, *more: str) -> subprocess.CompletedProcess[bytes]:
    """`bridged resync` with the daemon's own configuration."""
    config = daemon.folder / f"{daemon.name}.toml"
    command = [sys.executable, "-m", "bridge.cli.main", "resync", "--json", "--config", str(config), *more]
    with anyio.fail_after(120):
        return await anyio.run_process(command, check=False, env={**os.environ, **daemon._environ})


@pytest.mark.chaos
async def test_what_the_windows_never_held_is_found_by_a_resync(tmp_path: Path) -> None:
    """A daemon that only looks back a minute misses what the vendor books late; told to read everything again while
    it runs, it finds all of that, tells it as news, and doubles nothing of what it knows."""
    async with ordeal("resync", tmp_path, seed=62, sync_always=False, rate=5.0) as scene:
        daemon = scene.daemon(history_fast_reach_s=60, history_slow_reach_s=60, history_overlap_s=1)
        daemon.start()
        await scene.progress(20)
        for _ in range(10):
            await scene.vendor.call("POST", "change", {"kind": "late"})
        await scene.vendor.asked(10)
        async with stream_reader(scene.broker.url) as reader:
            known = {event.data["id"] for event in await reader.events()}
            late = {change.id for change in await scene.vendor.ledger() if change.kind == "late"}
            assert len(late) >= 10
            assert not late & known
            result = await resync(daemon, SOURCE)
            assert result.returncode == 0, result.stderr
            assert len(json.loads(result.stdout)["walks"]) == 2 * len(scene.vendor.facts["companies"])

            async def found() -> bool:
                return late <= {event.data["id"] for event in await reader.events() if event.change == "created"}

            await wait_until(found, 150, "what was booked late")
        await scene.vendor.calm()
        await resync(daemon, SOURCE)
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert [line["reason"] for line in daemon.said("source.away")]
