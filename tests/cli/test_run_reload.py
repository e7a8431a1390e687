"""`bridged run` and its signals: SIGHUP at any moment, what it cannot take over, and what NATS denies a newcomer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.command import SOURCE, Setup
from tests.support.nats_server import NatsServer, nats_server
from tests.support.program import Child, PlayedVendor
from tests.support.reloads import reloads, sighup
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def live(daemon: Child, source: str = SOURCE) -> None:
    """Returns when the source has read everything once."""
    await wait_until(
        lambda: not daemon.running or any(line["source"] == source for line in daemon.said("source.live", -1)),
        what=f"{source} to be live",
    )
    assert daemon.running, daemon.tail()


async def test_a_reload_that_is_asked_for_before_it_has_started_is_done_after_that(
    tmp_path: Path, vendor: PlayedVendor
) -> None:
    """Also while NATS is away; several are one; the daemon lives on, and told to stop meanwhile it stops."""
    broker = NatsServer(tmp_path)
    setup = Setup(tmp_path, vendor, nats=f'url = "{broker.url}"')
    daemon = setup.daemon()
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("nats.away", -1), what="NATS to be missed")
        for _ in range(3):
            daemon.send(signal.SIGHUP)
        await broker.start()
        await live(daemon)
        await wait_until(lambda: reloads(daemon), what="the reload")
        assert [line["unchanged"] for line in reloads(daemon)] == [[SOURCE]]
        daemon.send(signal.SIGHUP)
        assert await daemon.terminate() == 0
        broker.kill_blocking()
        daemon.start()
        await wait_until(lambda: daemon.said("nats.away", -1), what="NATS to be missed again")
        daemon.send(signal.SIGHUP)
        assert await daemon.terminate() == 0
        assert reloads(daemon) == []
    finally:
        daemon.close()
        broker.kill_blocking()


async def test_logging_is_taken_over_and_what_takes_a_restart_is_named(tmp_path: Path, vendor: PlayedVendor) -> None:
    """The level counts at once; an instance's name does not, and is told again with the next reload."""
    async with nats_server(tmp_path) as broker:
        setup = Setup(tmp_path, vendor, nats=f'url = "{broker.url}"')
        daemon = setup.daemon()
        daemon.start()
        try:
            await live(daemon)
            setup.text = setup.text.replace("[daemon]", '[daemon]\nlog_level = "warning"\ninstance = "else"')
            setup.write()
            daemon.send(signal.SIGHUP)
            await wait_until(lambda: daemon.said("reload.restart_needed", -1), what="the reload")
            daemon.send(signal.SIGHUP)
            await wait_until(lambda: len(daemon.said("reload.restart_needed", -1)) == 2, what="the next reload")
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        assert [line["keys"] for line in daemon.said("reload.restart_needed")] == [["daemon.instance"]] * 2
        assert daemon.said("reload.applied") == []
        assert daemon.said("bridged.stopped") == []


async def test_files_on_a_mount_that_hangs_hold_up_nobody(tmp_path: Path, vendor: PlayedVendor) -> None:
    """The daemon goes on, says so, and ends when it is told to."""
    async with nats_server(tmp_path) as broker:
        setup = Setup(tmp_path, vendor, nats=f'url = "{broker.url}"')
        daemon = setup.daemon()
        daemon.start()
        try:
            await live(daemon)
            setup.path.unlink()
            # Whoever opens it to read waits until somebody writes.
            os.mkfifo(setup.path)
            daemon._living().send_signal(signal.SIGHUP)
            await vendor.asked(10)
            await wait_until(lambda: reloads(daemon), what="it to be given up")
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        (refused,) = reloads(daemon)
        assert refused["event"] == "reload.refused"
        assert "were not read within 10 s" in refused["reason"]


async def test_a_source_that_lacks_a_permission_does_not_end_those_that_were_there(
    tmp_path: Path, vendor: PlayedVendor
) -> None:
    """What to grant is said, and the daemon goes on; a start with it would be refused."""
    permissions = 'permissions: { publish: { deny: ["bridge.owner.late"] } }'
    users = f"authorization {{ users = [ {{ user: bridge, password: pw-of-tests, {permissions} }} ] }}"
    async with nats_server(tmp_path, extra=users) as broker:
        keys = f'url = "{broker.url}"\nuser = "bridge"\npassword = {{ env = "NATS_PASSWORD" }}'
        setup = Setup(tmp_path, vendor, nats=keys)
        daemon = setup.daemon(NATS_PASSWORD="pw-of-tests")
        daemon.start()
        try:
            await live(daemon)
            table = setup.text[setup.text.index("[[source]]") :]
            setup.write(table.replace(f'name = "{SOURCE}"', 'name = "late"'))
            assert (await sighup(daemon))["added"] == ["late"]
            await wait_until(lambda: daemon.said("reload.denied", -1), what="it to be said")
            await vendor.asked(10)
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        (denied,) = daemon.said("reload.denied")
        assert "grant publish on bridge.owner.late;" in denied["advice"]
