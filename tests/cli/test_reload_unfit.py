"""Alerts that come by a reload and that the server lacks something for: said, and whoever runs goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_run_reload import live
from tests.support.command import Setup
from tests.support.nats_server import nats_server
from tests.support.program import PlayedVendor
from tests.support.reloads import sighup
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ALERT = '[[alert]]\nname = "health"\npreset = "health"\nnotify = [{ env = "OPS" }]\n'


async def test_alerts_whose_consumers_are_missing_do_not_end_the_sources(tmp_path: Path, vendor: PlayedVendor) -> None:
    """With `manage = "verify"` nothing is made: what is missing is said, and the daemon goes on."""
    async with nats_server(tmp_path) as broker:
        setup = Setup(tmp_path, vendor, nats=f'url = "{broker.url}"')
        first = setup.daemon("first")
        first.start()
        try:
            await live(first)
            assert await first.terminate() == 0
        finally:
            first.close()
        setup.text = setup.text.replace("[nats]", '[nats]\nmanage = "verify"')
        setup.write()
        daemon = setup.daemon(OPS="json://127.0.0.1:9/")
        daemon.start()
        try:
            await live(daemon)
            setup.write(ALERT)
            await sighup(daemon)
            await wait_until(lambda: daemon.said("alerts.unfit", -1) or not daemon.running, what="it to be said")
            await vendor.asked(10)
            assert daemon.running, daemon.tail()
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        (said,) = daemon.said("alerts.unfit")
        assert "bridged-alert-health-env=20OPS of stream BRIDGE is missing" in said["reason"]
