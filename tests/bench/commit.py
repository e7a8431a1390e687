"""What an atomic batch costs, by its size: on one server, and on three replicas."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.core.event import Event
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Book, Cursor
from tests.bench.report import Figure, Line, median, percentile
from tests.bench.stage import scribe
from tests.bench.vendor import adapter, sessions
from tests.support.nats_cluster import nats_cluster
from tests.support.nats_server import nats_server

SIZES = (1, 10, 100, 500, 900)
WARM_UP = 2
"""Batches of each size that do not count."""


@asynccontextmanager
async def opened(folder: Path, replicas: int, sync_always: bool) -> AsyncIterator[tuple[JetStreamLedger, Book, str]]:
    """A ledger on a fresh server, or on a fresh cluster; a book, and its source's name."""
    if replicas == 1:
        async with nats_server(folder, sync_always=sync_always) as server, _book((server.url,), 1) as found:
            yield found
        return
    async with (
        nats_cluster(folder, size=replicas, sync_always=sync_always) as servers,
        _book(tuple(server.url for server in servers), replicas) as found,
    ):
        yield found


@asynccontextmanager
async def _book(urls: tuple[str, ...], replicas: int) -> AsyncIterator[tuple[JetStreamLedger, Book, str]]:
    async with connect(NatsOptions(urls=urls)) as connection:
        ledger = JetStreamLedger(connection.client, LedgerNames(replicas=replicas), deadline_s=30)
        await ledger.wait_ready()
        yield ledger, await ledger.open("pcvisit", "commit", {"instance": "bench"}), "commit"


def events(source: str, limit: int, count: int, seed: int) -> list[Event]:
    """So many new sessions, sealed."""
    maker = adapter(source)
    writer = scribe(maker, limit)
    notes = [writer.note(maker.live(row)[0], "snapshot", first_read=True) for row in sessions(count, seed)]
    return [writer.seal(note, "snapshot", None, None)[1] for note in notes]


async def measure(folder: Path, rounds: int) -> Figure:
    """Sizes interleaved, each batch with its cursor; one server and three replicas one after the other."""
    lines = []
    for sync_always in (True, False):
        for replicas in (1, 3):
            place = folder / f"commit-{sync_always}-{replicas}"
            place.mkdir()
            async with opened(place, replicas, sync_always) as (ledger, book, source):
                taken = await _rounds(book, source, ledger.max_payload, rounds)
            where = "one server" if replicas == 1 else "three replicas"
            for size, (seconds, cpu) in taken.items():
                ms = median(seconds) * 1e3
                lines.append(
                    Line(
                        f"{where}, {'always' if sync_always else 'default'}, {size}",
                        {
                            "ms per batch": ms,
                            "p90 ms": percentile(seconds, 90) * 1e3,
                            "us per event": ms * 1e3 / size,
                            "own CPU us per event": median(cpu) * 1e6 / size,
                        },
                    )
                )
    return Figure(
        "commit cost by batch size",
        f"`Book.commit` of new events of about 600 bytes sealed beforehand, with their cursor, one batch after the "
        f"other; {rounds} batches of each size, interleaved, medians; by where, sync_interval, number of events; all "
        "three replicas are on this machine, and so share its disk and its cores",
        lines,
    )


async def _rounds(book: Book, source: str, limit: int, rounds: int) -> dict[int, tuple[list[float], list[float]]]:
    taken: dict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    place = Cursor({})
    for number in range(rounds + WARM_UP):
        for size in SIZES:
            batch = events(source, limit, size, number * 1000 + size)
            start, cpu = time.perf_counter_ns(), time.process_time_ns()
            receipt = await book.commit(batch, "walk", Cursor({"n": number}, place.seq))
            if number >= WARM_UP:
                taken[size][0].append((time.perf_counter_ns() - start) / 1e9)
                taken[size][1].append((time.process_time_ns() - cpu) / 1e9)
            place = Cursor({"n": number}, receipt.cursor_seq)
    return taken
