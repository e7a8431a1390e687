"""Who takes events, in a process of its own: `python -m tests.bench.throughput_taker KIND PORT NATS_URL`.

`bridge`: the daemon's parts, from the vendor's socket to the ledger's acknowledgement. `script`: one written by hand,
see `throughput_script`. Either listens as `KIND` to the vendor at PORT from its start on, says so, and takes orders, a
line of JSON each: `expect` a run, `read` the rows that the vendor has, and `settle`, which tells what became of it all.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

import anyio
import structlog
from nats.aio.client import Client

from adapters import pcvisit, platform
from bridge.adapter import Json, Request, Response, Secret
from bridge.cli.sessions import Sessions
from bridge.core.event import Event
from bridge.core.settings import Subscription
from bridge.edge.http import HttpClient
from bridge.edge.ledger.book import JetStreamBook
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.edge.process import spare_collector
from bridge.edge.websocket import WebSockets
from bridge.engine.ports import Cursor, Http, Outcome, Receipt, Stored
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.bench.stage import world
from tests.bench.throughput_script import script
from tests.bench.throughput_tally import Tally
from tests.bench.vendor import MemoryVendor
from tests.support.waiting import wait_until

START_S = 60.0
READ_S = 120.0
PAGE = 1000
Read = Callable[[str], Awaitable[None]]
"""Reads the rows of the store that the vendor has, under this name; returns when all of them are stored."""
_SECRET = Secret("secret-of-the-bench", "bench")


class _Ledger(JetStreamLedger):
    """The ledger with a tally of what it was given and has stored."""

    def __init__(self, nc: Client, tally: Tally) -> None:
        super().__init__(nc)
        self._tally = tally

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> JetStreamBook:
        """See `Ledger.open`."""
        book = self._watched(await super().open(vendor, source, owner))
        telemetry = book.telemetry

        async def aside() -> JetStreamBook:
            return self._watched(await telemetry())

        book.telemetry = aside  # type: ignore[method-assign]
        return book

    def _watched(self, book: JetStreamBook) -> JetStreamBook:
        append, commit, tally = book.append, book.commit, self._tally

        async def appended(events: Sequence[Event]) -> list[Outcome]:
            outcomes = await append(events)
            tally.note(
                event.key.id for event, outcome in zip(events, outcomes, strict=True) if isinstance(outcome, Stored)
            )
            return outcomes

        async def committed(events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
            receipt = await commit(events, walk, cursor)
            tally.note(event.key.id for event in events)
            return receipt

        book.append, book.commit = appended, committed  # type: ignore[method-assign]
        return book


class _Empty:
    """An `Http` behind which a platform has nothing to read."""

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        await anyio.lowlevel.checkpoint()
        return Response(200, {}, b"[]", [])


def _sessions(port: int) -> pcvisit.Adapter:
    """GraphQL: pcvisit's own mapping of what one subscription tells."""
    return pcvisit.Adapter(
        pcvisit.Settings(
            name="sessions",
            adapter="pcvisit",
            http_url=f"http://127.0.0.1:{port}/bridge/graphql",
            integrator_token=_SECRET,
            user_token=_SECRET,
            requests_per_minute=1_000_000,
            ws_url=f"ws://127.0.0.1:{port}/bridge/graphql",
            ws_subprotocol="graphql-transport-ws",
            ws_settle_s=0.1,
            subscription=[Subscription(name="changes", document="subscription { change { id } }", shape="session")],
        )
    )


def _platform(name: str, port: int, *, at: str, live: bool) -> platform.Adapter:
    """Socket.IO's packets and rows; or, not live, rows by REST."""
    return platform.Adapter(
        platform.Settings(
            name=name,
            adapter="platform",
            base_url=f"http://127.0.0.1:{port}/{at}",
            auth="issued",
            token=_SECRET,
            transport="socketio" if live else "none",
            stores=["objects"],
            packets=False,
            page_size=PAGE,
            requests_per_minute=1_000_000,
            ws_settle_s=0.1,
        )
    )


@asynccontextmanager
async def bridge(port: int, url: str, tally: Tally) -> AsyncIterator[Read]:
    """Two sources that are live, as the daemon composes them; a third for each reading."""
    spare_collector()
    sessions = Sessions(WebSockets(), Random(0).random)
    async with connect(NatsOptions(urls=(url,))) as connection, HttpClient() as http:
        ledger = _Ledger(connection.client, tally)
        await ledger.prepare()

        def runner(source: Source, vendor: Http) -> Runner:
            return Runner(source, world(ledger, vendor))

        async def read(name: str) -> None:
            reading = runner(sessions.source(_platform(f"rows-{name}", port, at=name, live=False)), http)
            async with anyio.create_task_group() as group:
                group.start_soon(reading.run)
                await tally.settled()
                group.cancel_scope.cancel()

        live = [
            runner(sessions.source(_sessions(port)), MemoryVendor([])),
            runner(sessions.source(_platform("things", port, at="bridge", live=True)), _Empty()),
        ]
        async with anyio.create_task_group() as group:
            for one in live:
                group.start_soon(one.run)
            await wait_until(lambda: all(one.status.state == "live" for one in live), START_S, "sources to be live")
            yield read
            group.cancel_scope.cancel()


async def _obey(order: Mapping[str, Any], tally: Tally, read: Read) -> dict[str, Any]:
    match order["do"]:
        case "expect":
            tally.expect(order["base"], order["count"])
            return {}
        case "read":
            with anyio.fail_after(READ_S):
                await read(order["name"])
            return {}
        case _:
            await tally.settled()
            return tally.account(order["start_ns"], order["rate"])


async def main(kind: str, port: int, url: str) -> None:
    """Take orders until there are no more."""
    tally = Tally()
    kinds: Mapping[str, Callable[[int, str, Tally], AbstractAsyncContextManager[Read]]]
    kinds = {"bridge": bridge, "script": script}
    async with kinds[kind](port, url, tally) as read, await anyio.open_file(0, "rb", closefd=False) as orders:
        _say({"ready": True})
        async for line in orders:
            _say(await _obey(json.loads(line), tally, read))
    os._exit(0)


def _say(what: Mapping[str, Any]) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    anyio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3], backend="asyncio", backend_options={"use_uvloop": True})
