"""The metrics of a real daemon, in process: against what a played vendor issued and what webhooks were sent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import pytest

from bridge.cli.daemon import Daemon, daemon
from bridge.cli.metering import metering
from bridge.core.measures import METRICS
from bridge.core.secret import Masker
from bridge.edge.config.loader import load
from tests.support.alert_receiver import Receiver, alert_receiver
from tests.support.command import SOURCE, Setup
from tests.support.live_webhooks import EVENTS, KEY, Sender, payments
from tests.support.nats_server import free_port, nats_server
from tests.support.program import PlayedVendor
from tests.support.scraping import Scrape
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

STAGE = "bridged_stage_duration_seconds_count"
ALERT_KEY = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAx"


class Scene:
    """A daemon that reads a played vendor, takes webhooks and tells alerts, and whoever scrapes it."""

    def __init__(self, running: Daemon, vendor: PlayedVendor, port: int, status: int) -> None:
        self.daemon = running
        self.vendor = vendor
        self.hooks = f"http://127.0.0.1:{port}/hooks/shop"
        self.url = f"http://127.0.0.1:{status}/metrics"
        self._expose = metering(running)

    def scrape(self) -> Scrape:
        """What Prometheus would read now."""
        kind, body = self._expose("text/plain")
        assert kind.startswith("text/plain")
        return Scrape(body.decode())


@asynccontextmanager
async def scene(folder: Path, alert_url: str) -> AsyncIterator[Scene]:
    """It has read everything once when the block begins; the vendor changes nothing from then on."""
    vendor, port, status = PlayedVendor(folder, rate=0, seed=7), free_port(), free_port()
    try:
        await vendor.begin()
        async with nats_server(folder) as server:
            listen = f'listen = "127.0.0.1:{status}"'
            setup = Setup(folder, vendor, nats=f'url = "{server.url}"', status=listen, history_page_size=20)
            setup.write(f"""
[[source]]
name = "shop"
adapter = "webhook"
verify = "standard"
secrets = [{{ env = "SHOP_KEY" }}]
{EVENTS}
[[alert]]
name = "paid"
subjects = ["webhook.shop.payment.>"]
title = "paid"
[[alert.webhook]]
name = "desk"
url = "{alert_url}"
secret = {{ env = "ALERT_KEY" }}
[ingress]
listen = "127.0.0.1:{port}"
""")
            keys = {"SHOP_KEY": f"whsec_{KEY}", "ALERT_KEY": ALERT_KEY}
            config = load(setup.path, {**os.environ, **setup.environ, **keys})
            masker = Masker(config.secrets)
            async with daemon(config, masker) as running, anyio.create_task_group() as group:
                group.start_soon(running.run)
                await wait_until(
                    lambda: {runner.status.state for runner in running.supervisor.runners()} == {"live"},
                    what="both sources to be live",
                )
                alerts = running.alerts
                assert alerts is not None
                await wait_until(lambda: alerts.decider.begun, what="the alerts to begin")
                yield Scene(running, vendor, port, status)
                group.cancel_scope.cancel()
    finally:
        vendor.close()


async def test_what_is_told_of_a_daemon_at_work(tmp_path: Path) -> None:
    """In one scene, as it takes a while to set: what the three below say."""
    async with alert_receiver() as receiver, scene(tmp_path, receiver.url("/desk")) as at:
        await the_figures_are_those_of_the_vendor_and_the_senders(at, receiver)
        await prometheus_scrapes_the_status_address(at)
        await a_scrape_tells_no_secret_no_id_and_no_address(at)


async def the_figures_are_those_of_the_vendor_and_the_senders(at: Scene, receiver: Receiver) -> None:
    """Every session read, every webhook answered, every request counted once; what came again was not published."""
    ledger = await at.vendor.ledger()
    issued = len({change.id for change in ledger if change.served_ms is not None})
    assert issued > 0
    await at.vendor.asked(4)
    sender = Sender(at.hooks, again=0)
    sent = payments(3)
    await sender.send(sent)
    await sender.send(sent)
    await wait_until(lambda: len(receiver.told["/desk"]) == 3, what="three alerts to be told")
    await wait_until(
        lambda: at.scrape().value("bridged_alerts_delivered_total", alert="paid", channel="desk") == 3,
        what="the channel to be told of",
    )
    requests = await at.vendor.requests()
    found = at.scrape()
    at_most = await at.vendor.requests() + 1
    acme, shop = {"source": SOURCE, "vendor": "pcvisit"}, {"source": "shop", "vendor": "webhook"}

    snapshots = next(one for one in at.daemon.supervisor.statuses() if one.name == SOURCE).counts.by_change
    assert snapshots["snapshot"] == issued
    # Beside the vendor's events there is the bridge's own word that the source is connected.
    assert found.value("bridged_events_published_total", **acme) == issued + 1
    unchanged = found.value("bridged_duplicates_avoided_total", reason="unchanged", **acme)
    assert unchanged > 0, "it was read again, and told once"
    assert found.value("bridged_records_received_total", **acme) == issued + 1 + unchanged
    assert found.value("bridged_records_quarantined_total", **acme) == 0
    assert requests <= found.value("bridged_requests_total", **acme) <= at_most, "one may be on its way"
    assert found.value(STAGE, stage="request", **acme) == pytest.approx(
        found.value("bridged_requests_total", **acme), abs=1
    )
    assert found.value(STAGE, stage="page_stored", **acme) <= found.value(STAGE, stage="page_answered", **acme)
    assert found.value(STAGE, stage="page_stored", **acme) > 0
    assert found.value("bridged_ledger_commit_duration_seconds_count", stage="batch", **acme) > 0
    assert found.value("bridged_freshness_late", **acme) == 0
    assert 0 <= found.value("bridged_freshness_seconds", **acme) < 60
    assert found.value("bridged_token_renewals_total", **acme) >= 1
    assert found.value("bridged_quota_limit_requests", **acme) > 0

    assert found.value("bridged_webhook_replies_total", status="2xx", **shop) == 6
    assert found.value(STAGE, stage="webhook_answered", **shop) == 6
    assert found.value(STAGE, stage="frame_taken", **shop) == 6
    assert found.value(STAGE, stage="frame_stored", **shop) == 6
    assert found.value("bridged_events_published_total", **shop) == 3 + 1
    assert found.value("bridged_duplicates_avoided_total", reason="stored", **shop) == 3
    assert found.value("bridged_session_open", **shop) == 1
    assert found.value("bridged_ledger_commit_duration_seconds_count", stage="single", **shop) > 0

    assert found.value("bridged_alerts_decided_total") == 3
    assert found.value("bridged_sources") == 2
    assert found.value("bridged_ready") == 1
    assert found.value("bridged_condition", condition="nats") == 1
    assert found.value("bridged_nats_connected") == 1
    assert found.value("bridged_nats_reconnects_total") == 0
    assert found.value("bridged_bugs_total") == 0
    assert found.value("process_resident_memory_bytes") > 0


async def a_scrape_tells_no_secret_no_id_and_no_address(at: Scene) -> None:
    """Labels hold names of the configuration and words of ours; their number does not grow with what comes."""
    before = at.scrape()
    await Sender(at.hooks, again=0).send(payments(40))
    after = at.scrape()
    ids = {change.id for change in await at.vendor.ledger()} | {f"msg_{number:06}" for number in range(40)}
    companies = {str(one) for one in at.vendor.facts["companies"]}
    secrets = {*at.vendor.secrets, KEY, ALERT_KEY}
    values = {
        value
        for name, labels in after.labels().items()
        for label, found in labels.items()
        for value in found
        if label != "le"
    }
    assert {"acme", "shop", "pcvisit", "webhook", "paid", "desk"} <= values
    assert not values & (ids | companies)
    assert not [value for value in values if "://" in value or "/" in value or "127.0.0.1" in value]
    for secret in secrets:
        assert secret not in after.text
    # What came has changed figures, and made no series.
    assert after.labels() == before.labels()
    assert after.value("bridged_webhook_replies_total", status="2xx") == 6 + 40
    assert list(after.names)[: len(METRICS)] == [metric.name for metric in METRICS]


async def prometheus_scrapes_the_status_address(at: Scene) -> None:
    """`GET /metrics` answers the same, in the format that is asked for; readiness is what `/readyz` says."""
    await wait_until(lambda: at.daemon.readiness.ready, what="the instance to be ready")
    async with aiohttp.ClientSession() as http:
        async with http.get(at.url) as response:
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/plain; version=")
            found = Scrape(await response.text())
        openmetrics = {"accept": "application/openmetrics-text;version=1.0.0"}
        async with http.get(at.url, headers=openmetrics) as response:
            assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
            assert (await response.text()).endswith("# EOF\n")
        async with http.get(at.url.replace("metrics", "readyz?verbose")) as response:
            listed = await response.text()
    assert found.names == at.scrape().names
    assert found.value("bridged_ready") == 1
    conditions = found.labels()["bridged_condition"]["condition"]
    assert conditions == {"nats", "webhooks", "status", "ledger"}
    assert all(f"[+]{name} ok" in listed for name in conditions)
