"""CPU per event by stage: each step of a page's way, alone, on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from bridge.adapter import Ask, Response, Walk
from bridge.core.differ import judge
from bridge.core.event import Event
from bridge.core.record import Head
from bridge.edge import process
from bridge.edge.ledger.message import Outgoing, command
from bridge.engine.scribe import Note
from tests.bench.report import Figure, Line, median
from tests.bench.stage import scribe
from tests.bench.vendor import COMPANY, BenchAdapter, adapter, sessions

ROWS = 500
LIMIT = 1_048_576
_ASK = Ask(Walk("sessions", "session", 60, page_size=ROWS, scope=COMPANY), None)


def measure(rounds: int) -> Figure:
    """Medians of `rounds`, in microseconds of CPU per event."""
    maker = adapter("bench", page=ROWS)
    writer = scribe(maker, LIMIT)
    nodes = [{"cursor": str(number), "value": row} for number, row in enumerate(sessions(ROWS, 0))]
    answer = {"data": {"AcQuerySessionsHistory": {"totalCount": ROWS, "nodes": nodes}}}
    response = Response(200, {}, b"", answer)
    rows = maker.page(_ASK, response).rows
    records = [maker.record(_ASK, row) for row in rows]
    trace = process.trace()
    notes = [writer.note(record, "catchup", first_read=True, traceparent=trace) for record in records]
    events = [writer.seal(note, "snapshot", None, None)[1] for note in notes]
    heads = [Head(1, event.ce_id, "snapshot", None, event.digest) for event in events]
    steps: dict[str, Callable[[], Any]] = {
        "page: the answer taken apart": lambda: maker.page(_ASK, response),
        "record: the adapter's mapping": lambda: _map(maker, rows),
        "note: personal data out, digest": lambda: [writer.note(record, "catchup") for record in records],
        "judge: against what is known": lambda: _judge(notes, heads),
        "seal: ce-id, headers, JSON": lambda: [writer.seal(note, "snapshot", None, None) for note in notes],
        "seal: an update, with `before`": lambda: [
            writer.seal(note, "updated", head, note.record.after) for note, head in zip(notes, heads, strict=True)
        ],
        "size: against max_payload and the batch's 4 MiB": lambda: [event.size for event in events],
        "command: the protocol's bytes": lambda: _commands(events),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time_ns()
            step()
            taken[name].append((time.process_time_ns() - start) / ROWS / 1000)
    return Figure(
        "CPU per event by stage",
        f"each stage alone over {ROWS} sessions, median of {rounds}; what is missing to the whole is the event loop, "
        "nats-py's connection, the socket and the answers",
        [Line(name, {"us": median(values)}) for name, values in taken.items()],
    )


def _map(maker: BenchAdapter, rows: Sequence[Any]) -> None:
    for row in rows:
        maker.record(_ASK, row)


def _judge(notes: Sequence[Note], heads: Sequence[Head]) -> None:
    for note, head in zip(notes, heads, strict=True):
        judge(note.record, note.digest, head)


def _commands(events: Sequence[Event]) -> None:
    for event in events:
        command(Outgoing(event.subject, event.headers, event.payload), "_INBOX.bench.1")
