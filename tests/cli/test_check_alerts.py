"""What `bridged check` says of alerts: what they are, and whether NATS lets their channels be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli.check_alerts import facts, places, rows
from bridge.core.alerts.settings import AlertSettings, AlertWebhook
from bridge.core.secret import Secret
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.post import JetStreamPost
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.edge.operator.inspection import Inspection
from tests.support.asking import plain_client, plain_jetstream
from tests.support.nats_server import nats_server

pytestmark = pytest.mark.anyio

HOOK = AlertWebhook(name="hook", url="https://example.org", secret=Secret("x" * 32, "env KEY"))
OPS = AlertSettings(name="ops", where="true", notify=[Secret("json://h", "env OPS_URL")], webhook=[HOOK])
PAIRS = [("ops", "env OPS_URL"), ("ops", "hook")]


def test_an_alert_is_explained() -> None:
    """What it is about and whom it tells; an address is named by where it comes from."""
    told = facts(OPS)
    assert told == {
        "name": "ops", "about": "events.> where true", "severity": "info", "channels": ["env OPS_URL", "hook"],
    }  # fmt: skip
    assert rows(told) == [("tells", "env OPS_URL"), ("tells", "hook")]
    assert rows(facts(AlertSettings(name="x", preset="health"))) == [("tells", "nobody; it is only stored")]


async def test_the_places_of_channels(tmp_path: Path) -> None:
    """What is missing is made by `run`, or named where it may not be, and so is what differs; nothing is written."""
    async with nats_server(tmp_path) as server, connect(NatsOptions(urls=(server.url,))) as connection:
        client = connection.client
        verify = Inspection(connection, replace(LedgerNames(), manage="verify"))
        assert (await verify.consumer("ops", "hook")).state == "missing", "nor is there a stream"
        await JetStreamLedger(client).open("bridge", "alerts", {})
        post = JetStreamPost(client)
        async with post.deliveries("ops", "hook"):
            pass
        (found,) = await places(Inspection(connection, LedgerNames()), [OPS], "create")
        assert (found.ok, found.says) == (
            True,
            "1 of its channels have their place in the stream; `bridged run` makes 1 of 2",
        )
        (found,) = await places(verify, [OPS, AlertSettings(name="quiet")], "verify")
        assert (found.what, found.ok, found.exit) == ("alert ops", False, 78)
        assert found.says.splitlines()[1:] == ["bridged-alert-ops-env=20OPS_URL"]
        async with post.deliveries("ops", "env OPS_URL"):
            pass
        (found,) = await places(verify, [OPS], "verify")
        assert (found.ok, found.says) == (True, "2 of its channels have their place in the stream")
        async with plain_client(server.url) as plain:
            js = plain_jetstream(plain)
            config = (await js.consumer_info("BRIDGE", "bridged-alert-ops-hook")).config
            config.max_ack_pending = 7
            await js.add_consumer("BRIDGE", config)
        (found,) = await places(verify, [OPS], "verify")
        assert found.exit == 78
        assert "bridged-alert-ops-hook: max_ack_pending is 7, must be 1" in found.says


async def test_permissions_that_alerts_need(tmp_path: Path) -> None:
    """They are tried where there are alerts, and only there; nothing is fetched, made or removed by that."""
    deny = '["$JS.API.CONSUMER.INFO.BRIDGE.>", "$JS.API.CONSUMER.CREATE.BRIDGE.>", "$JS.ACK.>"]'
    users = (
        f"authorization {{ users = [ {{ user: u, password: pw, permissions: {{ publish: {{ deny: {deny} }} }} }} ] }}"
    )
    async with nats_server(tmp_path, extra=users) as server:
        options = NatsOptions(urls=(server.url,), user="u", password=Secret("pw", "env PW"))
        async with connect(options) as connection:
            inspection = Inspection(connection, LedgerNames())
            assert await inspection.denied([("v", "s")]) == []
            assert [one.subject for one in await inspection.denied([("v", "s")], PAIRS)] == [
                "$JS.API.CONSUMER.INFO.BRIDGE.bridged-alert-ops-env=20OPS_URL",
                "$JS.API.CONSUMER.INFO.BRIDGE.bridged-alert-ops-hook",
                "$JS.API.CONSUMER.CREATE.BRIDGE.bridged-check",
                "$JS.ACK.BRIDGE.bridged-alert-ops-env=20OPS_URL.bridged-check",
                "$JS.ACK.BRIDGE.bridged-alert-ops-hook.bridged-check",
            ]
