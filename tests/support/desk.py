"""A sequencer on the in-memory ledger, without a vendor: for tests of what it writes, and in which order."""

from __future__ import annotations

import json
from typing import Any

from bridge.core.event import Event
from bridge.core.omit import parse
from bridge.core.record import Head, Json, Record
from bridge.core.secret import Masker
from bridge.engine.scribe import Note, Scribe
from bridge.engine.sequencer import Counts, Sequencer
from tests.support.memory_ledger import Entry, MemoryBook, MemoryLedger

NOW_MS = 1_700_000_000_000
WALK = "things"


def encode(value: Json) -> bytes:
    """JSON, strict: what is not JSON raises ValueError."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def scribe(**settings: Any) -> Scribe:
    """A scribe of vendor `acme`, source `main`, with a wall clock that stands still."""
    settings = {"limit": 1_048_576, "masker": Masker(), "omits": [], "keep_raw": False, **settings}
    settings["omits"] = [parse(path) for path in settings["omits"]]
    return Scribe(
        vendor="acme",
        source="main",
        type_prefix="test.acme",
        mapping_version="1",
        encode=encode,
        wall=lambda: NOW_MS,
        **settings,
    )


def thing(id_: str, value: Json, version: int | None = None) -> Record:
    """A record as an adapter maps it."""
    return Record("thing", id_, {"value": value}, version=None if version is None else str(version))


def once(id_: str, value: Json = "x") -> Record:
    """A record of something that happens once."""
    return Record("beep", id_, {"value": value}, occurred=True)


def gone(id_: str, version: int | None = None) -> Record:
    """What says that an entity was deleted."""
    return Record("thing", id_, None, version=None if version is None else str(version), gone=True)


class Desk:
    """One ledger; `open` gives a sequencer that knows what the stream holds now, as a fresh process would."""

    def __init__(self, *, max_payload: int = 1_048_576, **settings: Any) -> None:
        self.ledger = MemoryLedger(max_payload)
        self.scribe = scribe(limit=max_payload, **settings)
        self.book: MemoryBook

    async def open(self) -> Sequencer:
        """A new book, and a sequencer over it."""
        self.book = await self.ledger.open("acme", "main", {"instance": "test"})
        return Sequencer(self.book, self.scribe, Counts())

    async def page(self, sequencer: Sequencer, *records: Record, cursor: Json = None, **how: Any) -> None:
        """Store one page, the last of its pass."""
        how = {
            "unreadable": (),
            "walk": WALK,
            "cursor": cursor or {"completed_ms": 1},
            "part_cursor": {"part": True},
            "cursor_alone": True,
            "first_read": False,
            "since": sequencer.arrivals.tick(),
            **how,
        }
        await sequencer.page(records, **how)

    def foreign(self, record: Record, change: str, head: Head | None = None) -> int:
        """Another process stores the change that it makes of `record` after `head`. Returns its sequence."""
        return self.ledger.inject(self.event(record, change, head))

    def event(self, record: Record, change: str, head: Head | None = None) -> Event:
        """The event that our own scribe would write."""
        note: Note = self.scribe.note(record, "live")
        return self.scribe.seal(note, change, head, None)[1]

    # --- what the stream says ---

    def told(self) -> list[tuple[str, str, Json]]:
        """(id, change, value) of every event about things and beeps, in stream order."""
        return [
            (entry.data["id"], entry.change, (entry.data["after"] or {}).get("value"))
            for entry in self.entries("events.acme.main.")
        ]

    def entries(self, prefix: str) -> list[Entry]:
        """Every event whose subject begins so."""
        return [entry for entry in self.ledger.events if entry.subject.startswith(prefix)]

    def quarantined(self) -> list[Json]:
        """The `after` of every quarantine event."""
        return [entry.data["after"] for entry in self.entries("events.bridge.main.quarantine.")]

    def cursor(self) -> Json:
        """The walk's cursor as it lies in the stream."""
        return self.ledger.cursor("main", WALK)
