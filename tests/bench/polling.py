"""A collection read again though nothing has changed: what that costs, by stage, and what is remembered of it.

From decoded rows on, so HTTP and JSON are left out. Beside it what a script would do at least: spell each row with its
keys sorted, hash it, and compare that with what it was.
"""

from __future__ import annotations

import gc
import hashlib
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

import msgspec

from adapters import prosonata
from bridge.adapter import Ask, Json, Response, Secret, Token
from bridge.core.canonical import digest
from bridge.core.differ import judge
from bridge.core.heads import MARK_BYTES, Heads
from bridge.core.omit import omit, parse
from bridge.core.record import Head
from bridge.core.secret import Masker
from bridge.core.walk import Pass
from bridge.edge.codec import encode, exact
from bridge.engine.aliases import Aliases
from bridge.engine.rows import read_rows
from bridge.engine.scribe import Scribe
from bridge.engine.sequencer import Counts, Sequencer
from bridge.engine.unchanged import Unchanged
from tests.bench.report import Figure, Line, median
from tests.support.memory_ledger import MemoryLedger

PAGE = 1000
PROMISED_S = 1.0
"""CPU of one unchanged walk over 100,000 rows; and the memory that what is known of them may take."""
PROMISED_MB = 25.0
FIRST = "a walk that knows no row yet, as the first of a process"
WALK = "an unchanged walk"


def adapter() -> prosonata.Adapter:
    """ProSonata, whose time entries are the largest collection an agency has."""
    return prosonata.Adapter(
        prosonata.Settings(name="agency", adapter="prosonata", subdomain="agency", api_key=Secret("key-of-the-bench"))
    )


def entries(count: int) -> list[Json]:
    """Time entries as the vendor gives them: twenty-one fields, some 500 bytes of JSON."""
    rng = Random(0)
    rows: list[Json] = []
    for id_ in range(1, count + 1):
        project, person = rng.randrange(900), rng.randrange(60)
        day = f"20{rng.randrange(20, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        rows.append({
            "timeID": id_, "category": rng.randrange(12), "categoryName": "Gestaltung", "date": day,
            "detail": f"Entwürfe und Abstimmung {id_}", "workingTime": f"{rng.randrange(1, 33) / 4:.2f}",
            "projectID": project, "projectNo": f"P-{project:04}", "projectName": f"Projekt {project}",
            "customerID": project % 80, "customerName": f"Kunde {project % 80}", "userID": person,
            "username": f"user{person}", "linkedTaskID": 0, "notInvoiceable": id_ % 2, "isInvoiced": 1,
            "workingTimeStart": "09:00:00", "workingTimeEnd": "10:15:00", "freeTimeInput": "", "timeViaApi": 0,
            "creationDate": f"{day} {rng.randrange(7, 20):02}:{rng.randrange(60):02}:{rng.randrange(60):02}",
        })  # fmt: skip
    return rows


async def measure(count: int, rounds: int) -> Figure:
    """Medians of `rounds`, in seconds of CPU for one unchanged walk over `count` rows."""
    maker, rows = adapter(), entries(count)
    walk = next(one for one in maker.walks(Token(Secret("x"))) if one.name == "projecttimes-slow")
    ask, paths = Ask(walk, None), [parse(path) for path in maker.omit]
    scribe = _scribe(maker)
    book = await MemoryLedger().open(maker.vendor, "agency", {})
    records = [maker.record(ask, row) for row in rows]
    notes = [scribe.note(record, "catchup") for record in records]
    bytes_known = _fill(book.memory.heads, [(note.key.entity, note.key.id, note.digest) for note in notes])
    heads = [Head(1, "0" * 32, "snapshot", None, note.digest) for note in notes]
    sequencer = Sequencer(book, scribe, Counts())
    after = [record.after for record in records]
    hashes = [_hashed(row) for row in rows]
    steps: dict[str, Callable[[], Any]] = {
        "a bare loop: sorted JSON, hash, compare": lambda: [
            None for row, old in zip(rows, hashes, strict=True) if _hashed(row) != old
        ],
        "record: the adapter's mapping": lambda: _each(lambda row: maker.record(ask, row), rows),
        "omit: what is private out": lambda: _each(lambda one: omit(one, paths), after),
        "digest: canonical JSON and its hash": lambda: _each(lambda one: digest(one, "1"), after),
        "note: omit, digest, secrets": lambda: _each(lambda one: scribe.note(one, "catchup"), records),
        "judge: against what is known": lambda: [
            None for note, head in zip(notes, heads, strict=True) if judge(note.record, note.digest, head)
        ],
    }  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in [*steps, FIRST, WALK]}
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            for name, step in steps.items():
                start = time.process_time_ns()
                step()
                taken[name].append((time.process_time_ns() - start) / 1e9)
            unchanged = Unchanged(maker, sequencer, Aliases(sequencer, {}), exact)
            for name in (FIRST, WALK):
                start = time.process_time_ns()
                await _pages(maker, ask, rows, sequencer, unchanged)
                taken[name].append((time.process_time_ns() - start) / 1e9)
    finally:
        gc.unfreeze()
    if sequencer.counts.unchanged != 2 * rounds * count:
        raise RuntimeError(f"{sequencer.counts.unchanged} of {2 * rounds * count} rows were unchanged")
    bare = median(taken[next(iter(steps))])
    lines = [
        Line(
            name,
            {
                "x bare loop": median(values) / bare,
                "s": median(values),
                "least s": min(values),
                "us/row": median(values) / count * 1e6,
                "rows/s": count / median(values),
            },
        )
        for name, values in taken.items()
    ]
    lines.append(Line("what is known", {"MB": bytes_known / 1e6, "bytes/entity": bytes_known / count}))
    promised_s, promised_mb = PROMISED_S * count / 100_000, PROMISED_MB * count / 100_000
    broken = [
        f"{what} {value:.2f} {unit}, promised were {promised:g}"
        for what, value, unit, promised in (
            # What else the machine does only adds.
            ("a walk took", min(taken[WALK]), "s", promised_s),
            ("what is known takes", bytes_known / 1e6, "MB", promised_mb),
        )
        if value > promised
    ]
    return Figure(
        f"an unchanged walk over {count:,} rows",
        f"ProSonata's time entries in pages of {PAGE}, from decoded rows on, CPU of this process, median of {rounds}; "
        f"promised for 100,000: {PROMISED_S:g} s for a walk (HTTP and JSON decoding apart) and {PROMISED_MB:g} MB",
        lines,
        "; ".join(broken),
    )


async def _pages(
    maker: prosonata.Adapter, ask: Ask, rows: Sequence[Json], sequencer: Sequencer, unchanged: Unchanged
) -> None:
    """One pass, page by page, as the walker makes it."""
    state = Pass(ask.walk, None, 0)
    for at in range(0, len(rows), PAGE):
        body = {"meta": {"status": 200, "totalCount": len(rows)}, "data": rows[at : at + PAGE]}
        ask = state.ask()
        page = maker.page(ask, Response(200, {}, b"", body))
        found = await read_rows(maker, ask, page, unchanged.marks(ask, page))
        state.take(page, [*found.passed, *(record.id for record in found.records)], found.listed)
        await sequencer.page(
            found.records, found.unreadable, walk=ask.walk.name, cursor={"part": at}, part_cursor={"part": at},
            cursor_alone=False, first_read=False, since=sequencer.arrivals.tick(), marks=found.marks,
        )  # fmt: skip
        sequencer.counts.unchanged += len(found.passed)


def _scribe(maker: prosonata.Adapter) -> Scribe:
    """The scribe a runner would make for this adapter."""
    return Scribe(
        vendor=maker.vendor, source=maker.settings.name, type_prefix=maker.type_prefix,
        mapping_version=maker.mapping_version, omits=[parse(path) for path in maker.omit], keep_raw=False,
        encode=encode, limit=1_048_576, wall=lambda: 0, masker=Masker([maker.settings.api_key]),
        schema=maker.schema, edition=cache(maker.edition),
    )  # fmt: skip


def _fill(heads: Heads, known: Sequence[tuple[str, str, str]]) -> int:
    """Put in what is known of entities; returns how many bytes that takes, ids included."""
    gc.collect()
    tracemalloc.start()
    try:
        for number, (entity, id_, content) in enumerate(known, 1):
            # A text of its own, as one that was read from the stream is.
            heads[entity, "".join(list(id_))] = Head(number, content.rpartition(":")[2], "snapshot", None, content)
            heads.mark(entity, id_, bytes(MARK_BYTES))
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def _hashed(row: Json) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(row, order="sorted"), digest_size=16).digest()


def _each(work: Callable[[Any], Any], items: Sequence[Any]) -> None:
    for item in items:
        work(item)
