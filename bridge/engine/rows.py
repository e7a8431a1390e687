"""Reads the rows of a page: records, what could not be read, and nothing that the stream may have forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.adapter import Adapter, Ask, Page
from bridge.core.canonical import legible
from bridge.core.errors import Malformed, Retry
from bridge.core.record import Json, Record
from bridge.engine.breath import SLICE, breathe
from bridge.engine.unchanged import Marks

MOST_ROWS = 1000
"""A page of this many rows, and ten times as many as were asked for, is a mistake or an attack."""
LIGHT = 16
"""So many rows that are passed over take as long as one that is mapped, judged and stored."""


@dataclass(slots=True)
class Rows:
    """What a page holds.

    `records`: in the order of their rows; `unreadable`: why others are none. `passed`: the ids of rows that are as they
    were when they were no news. `listed`: all ids in the order of the rows. `marks`: by entity and id, what to
    remember of a record's row once it is stored or known to be no news.
    """

    records: list[Record] = field(default_factory=list)
    unreadable: list[Malformed] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    marks: Mapping[tuple[str, str], bytes] = field(default_factory=dict)


async def read_rows(adapter: Adapter[Any], ask: Ask, page: Page, marks: Marks | None = None) -> Rows:
    """Read a page, past those rows that `marks` knows. Raises Retry for a page beyond reason."""
    if len(page.rows) > MOST_ROWS + 10 * ask.walk.page_size:
        raise Retry(
            f"walk {ask.walk.name}: the vendor sent {len(page.rows)} rows where {ask.walk.page_size} were asked for"
        )
    found = Rows()
    effort = 0
    for row in page.rows:
        effort += 1
        if effort >= SLICE * LIGHT:
            effort = 0
            await breathe()
        if marks is not None and (id_ := marks.known(row)) is not None:
            found.passed.append(id_)
            found.listed.append(id_)
            continue
        effort += LIGHT - 1
        record = _record(adapter, ask, row, found.unreadable)
        if record is not None:
            found.records.append(record)
            found.listed.append(record.id)
            if marks is not None:
                marks.learn(row, record)
    if marks is not None:
        found.marks = marks.learned
        if not marks.apart(found.passed):
            return await read_rows(adapter, ask, page)
    return found


def _record(adapter: Adapter[Any], ask: Ask, row: Json, unreadable: list[Malformed]) -> Record | None:
    try:
        record = adapter.record(ask, row)
    except Malformed as error:
        unreadable.append(Malformed(str(error), raw=error.raw or legible(row)))
        return None
    return None if _too_old(ask, record) else record


def _too_old(ask: Ask, record: Record) -> bool:
    """Whether the vendor gave more than was asked for, and the stream no longer knows whether it holds it."""
    if not ask.walk.once or ask.window is None or record.at_ms is None:
        return False
    return record.at_ms < ask.window.start_ms
