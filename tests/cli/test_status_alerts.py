"""What `bridged status` says of the channels of alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.cli.status_alerts import alerts, rows
from bridge.core.alerts.settings import AlertSettings, AlertWebhook
from bridge.core.record import Key
from bridge.core.secret import Secret
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.post import JetStreamPost
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from tests.support.nats_server import nats_server
from tests.support.sealing import sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

HOOK = AlertWebhook(name="hook", url="https://example.org", secret=Secret("x" * 32, "env KEY"))
OPS = AlertSettings(name="ops", notify=[Secret("json://h", "env OPS_URL")], webhook=[HOOK])


async def test_each_channel_as_the_stream_knows_it(tmp_path: Path) -> None:
    """Without a place, with nothing waiting, and with an alert that was tried and not taken, and since when."""
    async with nats_server(tmp_path) as server, connect(NatsOptions(urls=(server.url,))) as connection:
        client, js = connection.client, JetStream(connection.client)
        ledger, post = JetStreamLedger(client), JetStreamPost(client)
        book = await ledger.open("bridge", "alerts", {})

        async def told() -> dict[str, object]:
            (alert,) = await alerts([OPS], js, LedgerNames(), datetime.now(UTC))
            return {one["name"]: one for one in alert["channels"]} | {"": rows(alert)}

        async with post.deliveries("ops", "hook") as deliveries:
            found = await told()
            assert "no place in the stream yet" in found["env OPS_URL"]["problem"]  # type: ignore[index]
            assert found[""][1] == ("hook", "nothing waits")  # type: ignore[index]
            await book.commit([sealed(Key("bridge", "ops", "alert", n), "occurred", {}) for n in "ab"], "w", None)
            for _ in range(2):
                delivery = await deliveries.next(wait_s=30)
                assert delivery is not None
                await delivery.nak(0.1)

            async def failing() -> bool:
                return bool((await told())["hook"]["failing"])  # type: ignore[index]

            await wait_until(failing, what="the server to count it")
            hook = (await told())["hook"]
            assert hook["waiting"] == 2  # type: ignore[index]
            assert "2 waiting, the first for 0 s: the channel has not taken it" in hook["problem"]  # type: ignore[index]
            age_s = (datetime.now(UTC) - datetime.fromisoformat(hook["since"])).total_seconds()  # type: ignore[index]
            assert 0 <= age_s < 60


async def test_an_alert_that_tells_nobody() -> None:
    """It is listed all the same."""
    assert rows({"name": "x", "channels": []}) == [("", "no channel: nobody is told")]
