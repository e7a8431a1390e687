"""A disk that takes no more: which lines say so, and when it counts as well again."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from bridge.edge.embedded import disk
from bridge.edge.embedded.server import EmbeddedNats, embedded_nats
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

SAID = "[7] [ERR] Filestore [BRIDGE] Critical write error: write /x/1.blk: "


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Critical write error: write /x/1.blk: no space left on device", "no space left on device"),
        ("JetStream failed to store a msg on stream 'A > B': write /x: disk quota exceeded", "disk quota exceeded"),
        ("JetStream stream '$G > B' critical write error: something new", "critical write error"),
        ("open /x: read-only file system", "read-only file system"),
        ("JetStream out of File resources, will be DISABLED", "jetstream out of file resources"),
        ("maximum subscriptions exceeded", ""),
    ],
)
def test_which_lines_are_about_the_disk(line: str, why: str) -> None:
    """The reason as the system calls it, or the server's own words."""
    assert disk.refuses(line) == why


def test_room_is_tried_by_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of it, whether it goes well or not; a folder that is gone is no room."""
    assert disk.trouble(tmp_path) == ""
    assert disk.trouble(tmp_path / "gone") == "no such file or directory"

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bridge.edge.embedded.disk.os.write", full)
    assert disk.trouble(tmp_path) == "no space left on device"
    assert [*tmp_path.iterdir()] == []


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedNats]:
    monkeypatch.setattr("bridge.edge.embedded.server._LOOK_S", 0.05)
    async with embedded_nats(tmp_path) as running:
        yield running


async def test_it_is_started_anew_once_there_is_room_and_not_before(
    server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it complains that is said once; what it says each time is detail."""
    looks: list[Path] = []
    full = True

    def look(folder: Path) -> str:
        looks.append(folder)
        return "no space left on device" if full else ""

    monkeypatch.setattr("bridge.edge.embedded.disk.trouble", look)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            server._take_line(f"{SAID}no space left on device")
        await wait_until(lambda: len(looks) >= 3, what="the disk to be tried")
        assert server.restarts == 0
        full = False
        await wait_until(lambda: server.restarts == 1 and server.pid is not None, what="it to be started anew")
        await wait_until(lambda: any(line["event"] == "nats_server.restarted" for line in logs), what="it to be ready")
    news = [line["event"] for line in logs if line["event"] != "nats_server.log"]
    assert news == ["nats_server.cannot_write", "nats_server.renewed", "nats_server.restarted"]
    assert {line["log_level"] for line in logs if "no space" in line.get("line", "")} == {"debug"}


async def test_what_ended_while_its_disk_was_full_is_healed_by_that(server: EmbeddedNats) -> None:
    """A child that dies of it, or is killed meanwhile, is started as ever; then nothing need be done any more."""
    pid = server.pid
    assert pid is not None
    with structlog.testing.capture_logs() as logs:
        server._take_line(f"{SAID}input/output error")
        os.kill(pid, 9)
        await wait_until(lambda: server.pid not in (None, pid), what="another one")
        await wait_until(lambda: any(line["event"] == "nats_server.restarted" for line in logs), what="it to be ready")
    assert server.restarts == 1
