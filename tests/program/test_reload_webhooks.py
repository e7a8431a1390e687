"""Webhooks while the configuration changes under them, and while the program is told to stop. Real processes."""

from __future__ import annotations

import base64
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp
import anyio
import pytest

from tests.program.test_live_webhooks import missing
from tests.support.alert_receiver import alert_receiver
from tests.support.live_webhooks import KEY, SOURCE, Delivery, Sender, orders, payments, signed, webhook_daemon
from tests.support.nats_server import free_port, nats_server
from tests.support.program import Child
from tests.support.reloads import reloads, sighup
from tests.support.stream import stream_reader
from tests.support.waiting import wait_until

OTHER_KEY = base64.b64encode(b"another key of the tests, 32 b..").decode()
IN_FLIGHT = 1000
BUDGET_S = 40.0

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def post(url: str, delivery: Delivery, key: str = KEY) -> int:
    """The status of one attempt; 0 where nobody listens."""
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(url, data=delivery.body, headers=signed(delivery, key=key)) as response,
        ):
            return response.status
    except aiohttp.ClientConnectionError:
        return 0


async def listens(daemon: Child) -> None:
    """Returns when its door is open."""
    await wait_until(lambda: daemon.said("source.live", -1) or not daemon.running, what="the door to open")
    assert daemon.running, daemon.tail()


def rewrite(folder: Path, *changes: tuple[str, str]) -> None:
    """Replace texts in the configuration, each of which is there."""
    path = folder / "daemon.toml"
    text = path.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


async def test_secret_and_port_change_and_an_invalid_file_changes_nothing(tmp_path: Path) -> None:
    """A secret whose file changed counts from the next delivery on, and neither is ever logged; an invalid file is
    told line by line and leaves all as it was; a port that moved is open at the new place, and closed at the old one;
    a source that is gone is not found there."""
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        secret = tmp_path / "key"
        secret.write_text(f"whsec_{KEY}")
        secret.chmod(0o600)
        rewrite(tmp_path, ('[{ env = "SHOP_KEY" }]', '[{ file = "key" }]'))
        one, two, three, four, five = payments(5)
        try:
            daemon.start()
            await listens(daemon)
            assert await post(url, one) == 202

            secret.write_text(f"whsec_{OTHER_KEY}")
            assert (await sighup(daemon))["changed"] == {SOURCE: ["secrets"]}
            assert await post(url, two, KEY) == 401
            assert await post(url, two, OTHER_KEY) == 202

            rewrite(tmp_path, ('verify = "standard"', 'verify = "standard"\nno_such_key = 1'), ("lease_s = 30.0", ""))
            refused = await sighup(daemon)
            assert (refused["event"], refused["level"]) == ("reload.refused", "error")
            assert len(refused["errors"]) == 1
            assert f"{tmp_path}/daemon.toml:" in refused["errors"][0]
            assert "no_such_key" in refused["errors"][0]
            assert await post(url, three, OTHER_KEY) == 202

            port, elsewhere = url.split(":")[2].partition("/")[0], free_port()
            rewrite(tmp_path, ("\nno_such_key = 1", ""), (f"127.0.0.1:{port}", f"127.0.0.1:{elsewhere}"))
            applied = await sighup(daemon)
            assert (applied["ingress"], applied["unchanged"]) == (True, [SOURCE])
            assert applied["restart"] == ["daemon.lease_s"]
            assert await post(url.replace(port, str(elsewhere)), four, OTHER_KEY) == 202
            assert await post(url, five, OTHER_KEY) == 0

            url = url.replace(port, str(elsewhere))
            rewrite(tmp_path, (f'name = "{SOURCE}"', 'name = "market"'))
            applied = await sighup(daemon)
            assert (applied["added"], applied["removed"]) == (["market"], [SOURCE])
            assert await post(url, five, OTHER_KEY) == 404
            assert await post(url.replace(SOURCE, "market"), five, OTHER_KEY) == 202
            async with stream_reader(broker.url) as reader:
                events = [event for event in await reader.events() if event.tokens[1] == "webhook"]
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        assert [(event.tokens[2], event.data["id"]) for event in events] == [
            *((SOURCE, delivery.id) for delivery in (one, two, three, four)),
            ("market", five.id),
        ]
        assert KEY not in daemon.text()
        assert OTHER_KEY not in daemon.text()
        assert not [line for line in daemon.lines() if line["event"].endswith(".bug")]


ALERT = """
[[alert]]
name = "each"
subjects = ["webhook.>"]
[[alert.webhook]]
name = "hook"
url = "URL"
secret = { file = "alert-key" }
"""


async def test_alerts_come_change_and_go(tmp_path: Path) -> None:
    """What waits for a channel is told where that is now; the door stays open all the time, and once alerts are gone
    nobody is told."""
    async with nats_server(tmp_path) as broker, alert_receiver() as receiver:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        (tmp_path / "alert-key").write_text(f"whsec_{OTHER_KEY}")
        (tmp_path / "alert-key").chmod(0o600)
        path = tmp_path / "daemon.toml"
        text = path.read_text("utf-8")
        first, second, third = payments(3)
        try:
            daemon.start()
            await listens(daemon)
            path.write_text(text + ALERT.replace("URL", receiver.url("/old")), encoding="utf-8")
            assert (await sighup(daemon))["alerts"] is True
            await wait_until(lambda: daemon.said("alerts.begin", -1), what="the alerts to begin")
            assert await post(url, first) == 202
            await wait_until(lambda: len(receiver.told["/old"]) == 1, what="the first to be told")

            receiver.down.add("/old")
            assert await post(url, second) == 202
            await wait_until(lambda: receiver.refused, what="the second to be refused")
            path.write_text(text + ALERT.replace("URL", receiver.url("/new")), encoding="utf-8")
            applied = await sighup(daemon)
            assert (applied["alerts"], applied["unchanged"]) == (True, [SOURCE])
            await wait_until(lambda: len(receiver.told["/new"]) == 1, 60, "the second to be told at the new place")

            path.write_text(text, encoding="utf-8")
            assert (await sighup(daemon))["alerts"] is True
            await wait_until(
                lambda: [line["source"] for line in daemon.said("lease.released", -1)].count("alerts") == 2,
                what="the lease to be given back",
            )
            assert await post(url, third) == 202
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
    assert (len(receiver.told["/old"]), len(receiver.told["/new"])) == (1, 1)
    assert not [line for line in daemon.lines() if line["event"].endswith(".bug")]


async def test_changed_while_webhooks_arrive_each_is_stored_once(tmp_path: Path) -> None:
    """Its patience and its filters change, and come back, while sixteen senders post: each delivery once."""
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        happened, things, versions = 500, 20, 5
        sender = Sender(url, seed=3)
        text = (tmp_path / "daemon.toml").read_text("utf-8")
        try:
            daemon.start()
            await listens(daemon)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sender.send, [*payments(happened), *orders(things, versions)])
                for number in range(2):
                    confirmed = len(sender.confirmed)
                    await wait_until(lambda: len(sender.confirmed) >= confirmed + 100, what="deliveries")  # noqa: B023
                    changed = text.replace('verify = "standard"', 'verify = "standard"\ntolerance_s = 299')
                    (tmp_path / "daemon.toml").write_text(text if number % 2 else changed, encoding="utf-8")
                    assert (await sighup(daemon))["changed"] == {SOURCE: ["tolerance_s"]}
            async with stream_reader(broker.url) as reader:
                assert missing(await reader.events(), happened, things, versions) == []
            assert await daemon.terminate() == 0
        finally:
            daemon.close()
        # A door is closed for no longer than a sender waits, so nobody was sent away.
        assert {answer: count for answer, count in sender.answers.items() if answer != "202"} == {}


@pytest.mark.chaos
async def test_told_to_stop_with_a_thousand_deliveries_in_flight_nothing_confirmed_is_lost(tmp_path: Path) -> None:
    """A thousand are under way, as the broker stands still, when SIGTERM comes: what comes then is asked to come again,
    those under way are stored and confirmed, each once, and the program ends by itself with 0 within its budget."""
    async with nats_server(tmp_path) as broker:
        daemon, url = webhook_daemon(tmp_path, broker.url)
        rewrite(tmp_path, ("[ingress]\n", "[ingress]\nmax_connections = 1100\nanswer_timeout_s = 30\n"))
        # Of one more than may be under way, one is put off; so it is known when all the others are.
        what = {delivery.id: delivery for delivery in payments(IN_FLIGHT + 1)}
        answers: dict[str, int] = {}

        async def send(http: aiohttp.ClientSession, delivery: Delivery) -> None:
            async with http.post(url, data=delivery.body, headers=signed(delivery)) as response:
                answers[delivery.id] = response.status

        try:
            daemon.start()
            await listens(daemon)
            broker.pause()
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT + 1)) as http,
                anyio.create_task_group() as tasks,
            ):
                for delivery in what.values():
                    tasks.start_soon(send, http, delivery)
                await wait_until(lambda: answers, what="one to be put off")
                assert [*answers.values()] == [429]
                daemon.send(signal.SIGTERM)
                began = time.monotonic()
                await wait_until(lambda: daemon.said("bridged.stopping", -1), what="the daemon to stop")
                # A reload that is asked for now neither ends it nor holds it up.
                daemon.send(signal.SIGHUP)
                assert await post(url, payments(1, "late")[0]) == 503
                broker.resume()
            await wait_until(lambda: not daemon.running, BUDGET_S, "the daemon to end")
            lasted_s = time.monotonic() - began
            assert daemon.exit_code == 0
            async with stream_reader(broker.url) as reader:
                events = [event for event in await reader.events() if event.tokens[1] == "webhook"]
        finally:
            broker.resume()
            daemon.close()
        confirmed = {id_ for id_, status in answers.items() if status == 202}
        stored = Counter(event.data["id"] for event in events)
        print(f"{len(confirmed)} confirmed, {len(stored)} stored, ended after {lasted_s:.1f} s")
        assert set(answers.values()) <= {202, 429, 503}
        assert confirmed <= stored.keys()
        assert set(stored.values()) == {1}
        # All of them, unless the machine stands still for seconds.
        assert len(confirmed) > IN_FLIGHT // 2
        assert lasted_s < BUDGET_S
        assert daemon.lines()[-1]["event"] == "bridged.stopped"
        assert reloads(daemon) == []
