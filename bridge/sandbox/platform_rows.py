"""Rows of the played platform's lists that cannot be read, or come twice: the faults of stage `rows`."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from bridge.sandbox.faults import SHAPES, Fault


def spoil(fault: Fault, rows: list[Any], rng: random.Random) -> None:
    """Apply a fault to the rows of an answer, which has at least one."""
    if fault.kind == "doubled":
        rows.insert(1, rows[0])
        return
    named = [place for place, row in enumerate(rows) if fault.id and fault.id in (row.get("_id"), row.get("_msgid"))]
    for place in named or rng.sample(range(len(rows)), min(1 if fault.rows is None else fault.rows, len(rows))):
        rows[place] = None if fault.kind == "partial" else _unreadable(fault.shape or rng.choice(SHAPES), rows[place])


def _unreadable(shape: str, row: dict[str, Any]) -> Any:
    match shape:
        case "null_id":
            return {**row, **{key: None for key in ("_id", "_msgid", "_ts") if key in row}}
        case "wrong_types":
            return {**row, **{key: {"no": "such"} for key in ("time", "_ts", "name", "event") if key in row}}
        case "text_nan":
            return {**row, "time": "NaN"}
        case "nan_literal":
            return {**row, "time": msgspec.Raw(b"NaN")}
    return "deleted"
