"""Rows of the played AgyleTime that cannot be read, come twice, or change their types: the faults of stage `rows`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from bridge.sandbox.faults import SHAPES, Fault


def spoil(fault: Fault, rows: Sequence[Any], rng: random.Random) -> Any:
    """What stands in `data` in place of these rows, of which there is at least one."""
    if fault.kind == "misshapen":
        return {"items": list(rows)}
    if fault.kind == "retyped":
        return [{name: _retyped(value) for name, value in row.items()} for row in rows]
    spoilt: list[Any] = list(rows)
    if fault.kind == "doubled":
        return [spoilt[0], *spoilt]
    named = [place for place, row in enumerate(spoilt) if fault.id and fault.id == str(row["id"])]
    for place in named or rng.sample(range(len(spoilt)), min(1 if fault.rows is None else fault.rows, len(spoilt))):
        spoilt[place] = (
            None if fault.kind == "partial" else _unreadable(fault.shape or rng.choice(SHAPES), spoilt[place])
        )
    return spoilt


def _retyped(value: Any) -> Any:
    """Whole numbers as text, as vendors written in loosely typed languages send them now and then."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _unreadable(shape: str, row: dict[str, Any]) -> Any:
    match shape:
        case "null_id":
            return {**row, "id": None, "_id": None}
        case "wrong_types":
            return {**row, "id": {"no": "such"}}
        case "text_nan":
            return {**row, "id": [], "startTime": "NaN"}
    return "deleted"
