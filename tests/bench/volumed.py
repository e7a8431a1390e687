"""Packets into the stream, by a process of its own: `python -m tests.bench.volumed KIND PORT NATS_URL ORDERS RISING`.

`bridge`: the daemon's parts, from the socket to the ledger. `bare`: a script of a few lines that guarantees nothing.
ORDERS is JSON, `[[packets a second, seconds], …]`. Prints a line of JSON with what was seen after each of them; with
RISING it ends with the first that was not sustained.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import Any

import anyio
import nats
import structlog
from nats.aio.client import Client
from websockets.asyncio.client import connect as dial

from adapters.platform import Adapter, Settings
from bridge.adapter import Json, Request, Response, Secret
from bridge.cli.sessions import Sessions
from bridge.core.event import Event
from bridge.edge.ledger.book import JetStreamBook
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.edge.process import spare_collector
from bridge.edge.websocket import WebSockets
from bridge.engine.inbox import InboxStatistics
from bridge.engine.ports import Cursor, Receipt
from bridge.engine.runner import Runner
from tests.bench.idler import resident
from tests.bench.report import percentile
from tests.bench.stage import world
from tests.support.waiting import wait_until

SUSTAINED_S = 1.0
"""What is not stored so long after the last packet was sent was not stored as fast as it came."""
STALLED_S = 5.0
"""Without a packet stored, what is missing will not come."""
OVERHEAD_S = 30.0
"""Of one order at most: a process that starts, a source that connects, what is stored when the last packet is sent."""
SAMPLE = 8
"""One packet of so many is timed."""
TS_DIGITS = 16
"""Of a packet's `_ts`, with which its id ends."""


class Tally:
    """What is known to be stored: how many, and how long (ms) some of them took from when they were due."""

    def __init__(self) -> None:
        self.stored = 0
        self.took: list[float] = []

    def note(self, stamps: Sequence[str]) -> None:
        """Of these, each ends with its `_ts`, the stream has acknowledged."""
        now = time.time_ns() / 1000
        self.stored += len(stamps)
        self.took += [(now - int(stamp[-TS_DIGITS:])) / 1000 for stamp in stamps[::SAMPLE]]


class _Ledger(JetStreamLedger):
    """The ledger with a tally of the telemetry that it was given and has stored."""

    def __init__(self, nc: Client, tally: Tally) -> None:
        super().__init__(nc)
        self._tally = tally

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> JetStreamBook:
        book = await super().open(vendor, source, owner)
        telemetry = book.telemetry

        async def watched() -> JetStreamBook:
            aside = await telemetry()
            commit = aside.commit

            async def counted(events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
                receipt = await commit(events, walk, cursor)
                self._tally.note([event.key.id for event in events])
                return receipt

            append = aside.append

            async def appended(events: Sequence[Event]) -> Any:
                outcomes = await append(events)
                self._tally.note([event.key.id for event in events])
                return outcomes

            aside.commit, aside.append = counted, appended  # type: ignore[method-assign]
            return aside

        book.telemetry = watched  # type: ignore[method-assign]
        return book


class _Empty:
    """An `Http` behind which there is nothing to read."""

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        await anyio.lowlevel.checkpoint()
        return Response(200, {}, b"[]", [])


Inboxes = Callable[[], InboxStatistics | None]


@asynccontextmanager
async def bridge(port: int, url: str, tally: Tally) -> AsyncIterator[Inboxes]:
    """A source that is live, as the daemon composes it. Yields what tells how full its inbox is."""
    adapter = Adapter(
        Settings(
            name="volume",
            adapter="platform",
            base_url=f"http://127.0.0.1:{port}",
            auth="issued",
            token=Secret("token-of-the-bench", "bench"),
            packets=False,
            ws_settle_s=0.1,
        )
    )
    spare_collector()
    async with connect(NatsOptions(urls=(url,))) as connection:
        ledger = _Ledger(connection.client, tally)
        await ledger.prepare()
        runner = Runner(Sessions(WebSockets(), Random(0).random).source(adapter), world(ledger, _Empty()))
        async with anyio.create_task_group() as group:
            group.start_soon(runner.run)
            await wait_until(lambda: runner.status.state == "live", 20, "the source to be live")
            yield lambda: runner.status.inbox
            group.cancel_scope.cancel()


@asynccontextmanager
async def bare(port: int, url: str, tally: Tally) -> AsyncIterator[Inboxes]:
    """A receive loop that publishes without waiting, and lets nats-py count what is under way."""
    client = await nats.connect(url)
    js = client.jetstream()

    async def receive() -> None:
        async with dial(f"ws://127.0.0.1:{port}/socket.io/?EIO=3&transport=websocket") as socket:
            beating = asyncio.create_task(beat(socket))
            try:
                async for message in socket:
                    if message[:2] == "42":
                        event = json.loads(message[2:])[1]
                        ts = str(event["data"]["_ts"])
                        payload = json.dumps(event["data"]).encode()
                        future = await js.publish_async(f"bare.{event['_oid']}.{ts}", payload)
                        future.add_done_callback(partial(done, ts))
            finally:
                beating.cancel()

    async def beat(socket: Any) -> None:
        while True:
            await asyncio.sleep(20)
            await socket.send("2")

    def done(ts: str, _: object) -> None:
        tally.stored += 1
        if tally.stored % SAMPLE == 0:
            tally.took.append(time.time_ns() / 1e6 - int(ts) / 1000)

    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await anyio.sleep(0.5)
        yield lambda: None
        group.cancel_scope.cancel()
    await client.close()


async def pushed(control: Any, rate: float, seconds: float, tally: Tally, inboxes: Inboxes) -> dict[str, float]:
    """One order, carried out and stored, or not."""
    tally.stored, tally.took = 0, []
    cpu, start, sizes, fullest = time.process_time(), time.perf_counter(), [resident()], 0
    queued = queued_s()
    before = inboxes()
    await control.send(json.dumps({"rate": rate, "seconds": seconds}))
    account: dict[str, float] = {}

    async def hear() -> None:
        account.update(json.loads(await control.recv()))

    async with anyio.create_task_group() as group:
        group.start_soon(hear)
        while not account:
            await anyio.sleep(0.1)
            sizes.append(resident())
            fullest = max(fullest, getattr(inboxes(), "frames", 0))
    sent_at, seen, seen_at = time.perf_counter(), -1, time.perf_counter()
    while tally.stored < account["sent"] and time.perf_counter() - seen_at < STALLED_S:
        if tally.stored != seen:
            seen, seen_at = tally.stored, time.perf_counter()
        await anyio.sleep(0.02)
    ended = time.perf_counter() if tally.stored >= account["sent"] else seen_at
    used, after = time.process_time() - cpu, inboxes()
    return account | {
        "stored": tally.stored,
        "seconds": ended - start,
        "behind_at_end_s": ended - sent_at,
        "cpu": used,
        "queued_s": queued_s() - queued,
        "overruns": getattr(after, "overruns", 0) - getattr(before, "overruns", 0),
        "fullest": fullest,
        "rss_start": sizes[0],
        "rss_middle": sizes[len(sizes) // 2],
        "rss_end": resident(),
        "p50": percentile(tally.took or [0.0], 50),
        "p99": percentile(tally.took or [0.0], 99),
    }


def queued_s() -> float:
    """Seconds for which this process could have run, and others had the processors; 0 where nobody tells."""
    try:
        with open("/proc/self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


def sustained(seen: Mapping[str, float]) -> bool:
    """Whether it was stored as fast as it came, whole."""
    return seen["stored"] == seen["sent"] and not seen["overruns"] and seen["behind_at_end_s"] <= SUSTAINED_S


async def main(kind: str, port: int, url: str, orders: Sequence[Sequence[float]], rising: bool) -> None:
    """Carry out the orders and print what was seen."""
    tally = Tally()
    kinds = {"bridge": bridge, "bare": bare}
    async with kinds[kind](port, url, tally) as inboxes, dial(f"ws://127.0.0.1:{port}/control") as control:
        for rate, seconds in orders:
            seen = await pushed(control, rate, seconds, tally, inboxes)
            with suppress(BrokenPipeError):
                os.write(1, (json.dumps(seen) + "\n").encode())
            if rising and not sustained(seen):
                break
    os._exit(0)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    anyio.run(
        main,
        sys.argv[1],
        int(sys.argv[2]),
        sys.argv[3],
        json.loads(sys.argv[4]),
        sys.argv[5] == "1",
        backend="asyncio",
        backend_options={"use_uvloop": True},
    )
