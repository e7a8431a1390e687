"""How current state is shown: a table that grows as it is read, one entity whole, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from bridge.cli.plain import escaped, plain
from bridge.cli.tail_line import COLOURS, FAINT, contents, shortened, when
from bridge.core.event import timestamp
from bridge.edge.operator.state import Entry

WIDEST_KIND = 40
WIDEST_ID = 40
ID_SHARE = 4
"""On a terminal an id has this part of the columns at most."""


@dataclass
class Shown:
    """What may be shown, and a count of what was: with `deleted` entities that are gone, too."""

    deleted: bool
    count: int = 0
    hidden: int = 0

    def passes(self, entry: Entry) -> bool:
        """Whether to show it."""
        if entry.deleted and not self.deleted:
            self.hidden += 1
            return False
        self.count += 1
        return True


def as_json(entry: Entry) -> dict[str, Any]:
    """One line for programs. `seq`: of its last event in the stream."""
    event = entry.event
    return {
        "key": entry.key,
        "vendor": event.vendor,
        "source": event.source,
        "entity": event.entity,
        "id": event.id,
        "change": event.change,
        "deleted": entry.deleted,
        "seq": entry.seq,
        "ce_id": event.ce_id,
        "time": _stamp(event.time),
        "observed": _stamp(event.observed),
        "version": event.version,
        "after": event.after,
    }


def print_whole(entry: Entry) -> None:
    """One entity: what is known of it, then `after` as indented JSON."""
    event = entry.event
    head = f"{event.vendor}/{event.source} {event.entity} {event.id}"
    facts = f"{event.change} {_stamp(event.time)}, seen {_stamp(event.observed)} ({event.via}), event {entry.seq}"
    if event.version is not None:
        facts += f", version {event.version}"
    body = json.dumps(event.after, ensure_ascii=False, indent=2, default=str)
    # Line by line: a line feed that is printed is ours, one in a value is escaped already.
    text = Text("\n").join([
        Text(plain(head), "bold"),
        Text(plain(facts), COLOURS.get(event.change, "")),
        *(Text(escaped(line)) for line in body.split("\n")),
    ])  # fmt: skip
    if sys.stdout.isatty():
        Console(highlight=False).print(text, soft_wrap=True)
    else:
        print(text.plain)


class Table:
    """Rows as they come: the first portion says how wide the columns are. Without a console, whole and plain.

    `kinds`: rows say of which vendor, source and entity they are.
    """

    def __init__(self, console: Console | None, *, kinds: bool) -> None:
        self._console = console
        self._kinds = kinds
        self._widths: tuple[int, int] | None = None

    def add(self, entries: Sequence[Entry]) -> None:
        """Print these rows."""
        rows = [(_kind(entry), plain(entry.event.id), entry) for entry in entries]
        if self._widths is None and rows:
            kind = min(WIDEST_KIND, max(len(kind) for kind, _, _ in rows))
            most = WIDEST_ID if self._console is None else max(8, min(WIDEST_ID, self._console.width // ID_SHARE))
            self._widths = kind, min(most, max(len(id_) for _, id_, _ in rows))
        for row in rows:
            text = self._line(*row)
            if self._console is None:
                print(text.plain.rstrip())
            else:
                self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        sys.stdout.flush()

    def _line(self, kind: str, id_: str, entry: Entry) -> Text:
        event, widths = entry.event, self._widths or (0, 0)
        cut = id_ if self._console is None else shortened(id_, widths[1])
        after = event.after if isinstance(event.after, dict) else {}
        return Text.assemble(
            (when(round(event.observed.timestamp() * 1000), fractions=False), FAINT),
            f"  {kind:<{widths[0]}}" if self._kinds else "",
            f"  {cut:<{widths[1]}}  ",
            ("deleted", COLOURS["deleted"]) if entry.deleted else plain(contents(after)),
        )


def _kind(entry: Entry) -> str:
    event = entry.event
    return plain(f"{event.vendor}/{event.source} {event.entity}")


def _stamp(moment: datetime) -> str:
    return timestamp(round(moment.timestamp() * 1000))
