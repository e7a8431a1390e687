"""One event as one line for people: when, of whom, what happened, and what changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from bridge.cli.filters import TOKENS
from bridge.cli.plain import plain
from bridge.edge.operator.tail import Seen

LONGEST_VALUE = 60
NARROW = 100
"""Columns of a terminal on which long ids, and the fractions of a second, leave too little for what changed."""
NARROW_ID = 14

COLOURS = {
    "created": "green",
    "updated": "yellow",
    "deleted": "red",
    "snapshot": "bright_black",
    "occurred": "cyan",
}
OWN_COLOUR = "magenta"
FAINT = "bright_black"


def line(seen: Seen, width: int | None = None) -> Text:
    """The line. With the columns of a narrow terminal as `width` less is said of time and id; cutting is not done."""
    tokens = [*map(plain, seen.subject.split(".")), *[""] * TOKENS]
    _, vendor, source, entity, change, id_ = tokens[:TOKENS]
    data: Mapping[str, Any] = seen.data if isinstance(seen.data, dict) else {}
    name = plain(str(data.get("id", id_)))
    narrow = width is not None and width < NARROW
    return Text.assemble(
        (when(seen.stored_ms, fractions=not narrow), FAINT),
        f" {vendor}/{source} ",
        (f"{entity}.{change}", COLOURS.get(change, OWN_COLOUR)),
        f" {shortened(name, NARROW_ID) if narrow else name} ",
        (plain(_details(data)), FAINT),
    )


def when(stored_ms: int, *, fractions: bool = True) -> str:
    """The local time; with its date when that is not today."""
    moment = datetime.fromtimestamp(stored_ms / 1000, UTC).astimezone()
    today = moment.date() == datetime.now(UTC).astimezone().date()
    if not today:
        return moment.strftime("%Y-%m-%d %H:%M:%S")
    return moment.strftime("%H:%M:%S.%f")[:-3] if fractions else moment.strftime("%H:%M:%S")


def contents(after: Mapping[str, Any]) -> str:
    """What there is, without what is empty."""
    return ", ".join(f"{name}: {_short(value)}" for name, value in after.items() if value not in (None, "", [], {}))


def shortened(text: str, most: int) -> str:
    """At most so many characters: beginning and end, by which ids are told apart."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def _details(data: Mapping[str, Any]) -> str:
    """What changed, from what to what; else what there is."""
    after, before = data.get("after"), data.get("before")
    if not isinstance(after, dict):
        return ""
    changed = data.get("changed")
    if isinstance(changed, list) and changed:
        known = before if isinstance(before, dict) else {}
        return ", ".join(
            f"{name}: {_short(known[name])} → {_short(after.get(name))}"
            if known.get(name) is not None
            else f"{name}: {_short(after.get(name))}"
            for name in map(str, changed)
        )
    return contents(after)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
