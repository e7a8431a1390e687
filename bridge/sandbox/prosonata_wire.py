"""How the played ProSonata writes: envelopes, errors, numbers that are texts in the next answer, odd rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from bridge.sandbox.faults import SHAPES, Fault
from bridge.sandbox.prosonata_fields import Resource
from bridge.sandbox.prosonata_options import Options
from bridge.sandbox.prosonata_quota import Standing

JSON: Final = "application/json; charset=utf-8"
MESSAGES: Final = {
    400: "Bad request.",
    401: "Unauthorized.",
    403: "Access denied.",
    404: "Data not found.",
    405: "Method not allowed.",
}


@dataclass(slots=True)
class Reply:
    """One answer. `told`: writes down that the client has it. `struck`: what the wire does to it on its way, if its
    stage is `send`, or instead of it, if its stage is `answer`. `rows`: how many it holds.
    """

    status: int
    body: bytes = b""
    kind: str = JSON
    told: Callable[[], None] = field(default=lambda: None)
    struck: Fault | None = None
    rows: int | None = None


def reply(meta: Mapping[str, Any], data: Any, **more: Any) -> Reply:
    """An answer in the vendor's envelope."""
    return Reply(meta["status"], msgspec.json.encode({"meta": meta, "data": data}), **more)


def error(status: int, message: str = "") -> Reply:
    """A refusal in the vendor's envelope."""
    return reply({"status": status, "message": message or MESSAGES[status]}, [])


def limited(standing: Standing, tells: str) -> Reply:
    """Over the limit: German prose, and perhaps the figures."""
    text = "API-Limit überschritten."
    if tells in ("message", "both"):
        text += f" Der Zugriff ist in {standing.reset_s} Sekunden wieder möglich."
    meta: dict[str, Any] = {"status": 429, "message": text}
    if tells in ("meta", "both"):
        meta |= {"apiLimitRemaining": 0, "apiLimitReset": standing.reset_s}
    return reply(meta, [])


def page_of_html(title: str, status: int = 200) -> Reply:
    """No answer of the API's at all."""
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, text.encode(), "text/html; charset=utf-8")


def written(
    rows: Sequence[Mapping[str, Any]], resource: Resource, options: Options, rng: random.Random
) -> list[dict[str, Any]]:
    """The rows of one answer: each field has one type in all of them, and perhaps another in the next answer."""
    kinds = {**resource.fields, "timeNeeded": "hours"}
    flipped = {name: kind for name, kind in kinds.items() if rng.random() < options.flips}
    found = [
        {name: _flipped(value, flipped[name]) if name in flipped else value for name, value in row.items()}
        for row in rows
    ]
    if options.nulls == "mixed":
        for row in found:
            for name, value in row.items():
                if (value is None or value == "") and kinds.get(name, "text") != "text":
                    row[name] = rng.choice((None, "", "0000-00-00") if kinds.get(name) == "date" else (None, ""))
    if not options.stamps:
        for row in found:
            row.pop("taskEditDate", None)
    return found


def _flipped(value: Any, kind: str) -> Any:
    if kind in ("id", "int") and isinstance(value, int):
        return str(value)
    if kind in ("hours", "money") and isinstance(value, str):
        return float(value)
    if kind == "code" and isinstance(value, str) and value.isdigit() and not value.startswith("0"):
        return int(value)
    return value


def spoil(fault: Fault, rows: list[Any], key: str, rng: random.Random) -> None:
    """Apply a fault of stage `rows` to the rows of an answer, which has at least one."""
    if fault.kind == "doubled":
        rows.insert(1, rows[0])
        return
    named = [place for place, row in enumerate(rows) if fault.id and fault.id == str(row.get(key))]
    for place in named or rng.sample(range(len(rows)), min(1 if fault.rows is None else fault.rows, len(rows))):
        rows[place] = (
            None if fault.kind == "partial" else _unreadable(fault.shape or rng.choice(SHAPES), rows, place, key)
        )


def _unreadable(shape: str, rows: list[Any], place: int, key: str) -> Any:
    row = rows[place]
    match shape:
        case "null_id":
            return {**row, key: None}
        case "wrong_types":
            return {name: value if name == key else {"no": "such"} for name, value in row.items()}
        case "text_nan":
            # The id, too, where it is a text in this answer: else the row could be read, and would tell what never was.
            return {name: "NaN" if isinstance(value, int) or name == key else value for name, value in row.items()}
        case "nan_literal":
            return {**row, key: msgspec.Raw(b"NaN")}
    return "deleted"
