"""From a vendor's frame to the call of a channel, at a fixed rate, beside a script that subscribes and calls.

Both take the same way to the stream: a live frame through the bridge. Then one decides, stores the alert and posts it
signed; the other is told by NATS, without any promise, and posts what it got.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import nats
from aiohttp import web
from nats.aio.msg import Msg

from bridge.core.alerts.machine import machine
from bridge.core.alerts.settings import AlertSettings, AlertWebhook, is_alone
from bridge.core.secret import Secret
from bridge.edge.alert_webhook import WebhookChannel
from bridge.edge.http import HttpClient
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.post import JetStreamPost
from bridge.edge.ledger.trail import JetStreamTrails
from bridge.engine.alerts import Alarm, Alerts
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.bench.latency import PacedFeed
from tests.bench.report import Figure, Line, median, percentile
from tests.bench.stage import Stage, world
from tests.bench.vendor import MemoryVendor, adapter
from tests.support.waiting import wait_until
from tests.support.web import serving

RATE = 100
WARM_UP = 0.1
COLUMNS = ("p50 / script", "p99 / script", "p50 ms", "p99 ms")
KEY = Secret("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "bench")


class Heard:
    """What the receiver has heard: by the vendor's id, when its request came."""

    def __init__(self) -> None:
        self.at: dict[str, int] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Note the moment at which the request was there."""
        at = time.perf_counter_ns()
        body = json.loads(await request.read())
        self.at.setdefault(body["data"]["title"] if "specversion" in body else body["id"], at)
        return web.Response()


@asynccontextmanager
async def ours(stage: Stage, ledger: JetStreamLedger, source: str, url: str) -> AsyncIterator[None]:
    """Alerts as the daemon runs them."""
    async with HttpClient() as http:
        around = world(ledger, http)
        name = stage.fresh("told")
        settings = AlertSettings(name=name, subjects=[f"events.*.{source}.session.>"], title="{id}")
        channel = WebhookChannel(AlertWebhook(name="hook", url=url, secret=KEY), http, around.wall)
        client = stage.client
        alarm = Alarm(machine(settings), [channel], alone=is_alone(settings))
        alerts = Alerts([alarm], JetStreamTrails(client), JetStreamPost(client), around)
        async with anyio.create_task_group() as group:
            group.start_soon(alerts.run)
            await wait_until(lambda: alerts.decider.begun, 30, "the alerts to begin")
            yield
            group.cancel_scope.cancel()


@asynccontextmanager
async def script(stage: Stage, source: str, url: str) -> AsyncIterator[None]:
    """What is written in five minutes: subscribe, and post what comes."""
    client = await nats.connect(stage.server.url)
    async with aiohttp.ClientSession() as session:

        async def told(message: Msg) -> None:
            async with session.post(url, data=message.data) as answer:
                await answer.read()

        await client.subscribe(f"live.*.{source}.session.>", cb=told)
        await client.flush()
        try:
            yield
        finally:
            await client.close()


async def latencies(stage: Stage, count: int, seed: int, *, by_script: bool) -> list[int]:
    """From when each frame was due to the request about it (ns)."""
    ledger, heard, source = JetStreamLedger(stage.client), Heard(), stage.fresh("alert")
    feed = PacedFeed(RATE, count, seed)
    runner = Runner(Source(adapter(source), lambda _: feed), world(ledger, MemoryVendor([])))
    async with serving(heard.answer) as port, anyio.create_task_group() as group:
        url = f"http://127.0.0.1:{port}/"
        group.start_soon(runner.run)
        await wait_until(lambda: runner.status.state == "live", 30, "the source to be live")
        async with script(stage, source, url) if by_script else ours(stage, ledger, source, url):
            feed.go.set()
            with anyio.fail_after(count / RATE + 60):
                await feed.over.wait()
            await wait_until(lambda: len(heard.at) >= count, 60, "every call")
        group.cancel_scope.cancel()
    taken = [heard.at[id_] - tick for id_, tick in feed.due.items()]
    return taken[int(len(taken) * WARM_UP) :]


async def measure(stage: Stage, seconds: float, rounds: int) -> Figure:
    """Interleaved rounds of `seconds` each; medians of each round's percentiles."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        count = int(RATE * seconds)
        alert = await latencies(stage, count, number, by_script=False)
        bare = await latencies(stage, count, number, by_script=True)
        for percent in (50, 99):
            values["alert, signed webhook"][f"p{percent} / script"].append(
                percentile(alert, percent) / percentile(bare, percent)
            )
            for name, taken in (("alert, signed webhook", alert), ("script: subscribe and post", bare)):
                values[name][f"p{percent} ms"].append(percentile(taken, percent) / 1e6)
        await stage.settle()
    lines = [
        Line(name, {column: median(columns[column]) for column in COLUMNS if column in columns})
        for name, columns in values.items()
    ]
    return Figure(
        f"vendor frame to the call of a channel at {RATE}/s, sync_interval {stage.sync}",
        f"from the time a frame is due (open loop) to the request at the receiver, {seconds:g} s, {rounds} interleaved "
        "rounds, medians; the receiver shares the process, with both",
        lines,
    )
