"""Rows of an X-Assist page that are wrong on purpose."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from bridge.sandbox.faults import SHAPES, Fault


def spoil(
    fault: Fault,
    result: dict[str, Any],
    name: str,
    nodes: list[Any],
    ids: list[str],
    seqs: list[int],
    rng: random.Random,
) -> None:
    """Apply a fault of stage `rows` to the nodes of an answer, which has at least one.

    `ids` and `seqs` run parallel to the nodes; a seq of 0 means that the row no longer shows its version.
    """
    if fault.kind == "doubled":
        nodes.insert(1, nodes[0])
        ids.insert(1, ids[0])
        seqs.insert(1, seqs[0])
        return
    places = [place for place, id_ in enumerate(ids) if id_ == fault.id] if fault.id else []
    for place in places or rng.sample(range(len(nodes)), min(1 if fault.rows is None else fault.rows, len(nodes))):
        seqs[place] = 0
        if fault.kind == "partial":
            nodes[place] = None
            message = {"message": "Could not be loaded", "path": [name, "nodes", place]}
            result["errors"] = [*result.get("errors", []), message]
        else:
            nodes[place] = _unreadable(fault.shape or rng.choice(SHAPES), nodes[place])


def _unreadable(shape: str, node: Any) -> Any:
    match shape:
        case "null_id":
            return {**node, "id": None}
        case "wrong_types":
            return {**node, "name": {"text": "?"}, "createdAt": "yesterday"}
        case "text_nan":
            return {**node, "createdAt": "NaN"}
        case "nan_literal":
            return {**node, "createdAt": msgspec.Raw(b"NaN")}
    return "deleted"
