"""An operator's rehearsal with the embedded server: its store is copied while the daemon stands still, and put back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.ordeal import Ordeal, ordeal
from tests.support.program import Child
from tests.support.stream import Stored, stream_reader
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

VIEW = "jetstream/$G/streams/KV_bridge-state"


async def stopped(scene: Ordeal, daemon: Child) -> list[Stored]:
    """What it had stored a moment before it was stopped."""
    url, user, password = scene._address()
    async with stream_reader(url, user, password) as reader:
        events = await reader.events()
    assert await daemon.terminate() == 0
    return events


async def test_a_store_that_was_copied_is_gone_on_with_elsewhere(tmp_path: Path) -> None:
    """The store alone is put back, on a machine that has nothing else, and without the view in it: the view is made
    anew, a gap says from when on something may be missing, what has happened since is read from the vendor again, and
    nothing that the copy holds is told twice."""
    copy = tmp_path / "copy"
    async with ordeal("restore", tmp_path, seed=63, embedded=True, sync_always=False) as scene:
        daemon = scene.daemon()
        daemon.start()
        # What is told later than the first reading is news.
        await wait_until(lambda: daemon.said("source.live"), 150, "the first reading to end")
        await scene.progress(10)
        copied = await stopped(scene, daemon)
        shutil.copytree(daemon.state_dir / "nats", copy)
        daemon.start()
        await wait_until(lambda: daemon.said("source.live", -1), 150, "the source to be live again")
        await scene.progress(10)
        before = await stopped(scene, daemon)
        assert len(copied) > 50
        assert before[: len(copied)] == copied
        assert not [event for event in before if event.tokens[3] == "gap"]

        daemon.state_dir.rename(tmp_path / "old")
        daemon.state_dir.mkdir()
        shutil.copytree(copy, daemon.state_dir / "nats")
        shutil.rmtree(daemon.state_dir / "nats" / VIEW)
        daemon.start()
        await wait_until(lambda: daemon.said("source.live", -1), 150, "the source to be live elsewhere")
        verdict = await scene.verdict()
        verdict.must_be_faithful()

        assert verdict.events[: len(copied)] == copied
        assert verdict.events[: len(before)] != before, "nothing was stored after the copy was made"
        since = verdict.events[len(copied) :]
        gap = [event for event in since if event.tokens[3] == "gap"]
        assert [event.change for event in gap] == ["opened", "closed"]
        assert all("was missing" in event.data["after"]["reason"] for event in gap)
        assert len(daemon.said("view.remade", -1)) == 1
        # It was no first reading: what is new to the restored stream is news.
        assert {event.change for event in since} <= {"created", "updated", "connected", "opened", "closed"}
        assert await daemon.terminate() == 0
