"""The played AgyleTime in a scene: what makes a source of it quick, and how all its collections are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.sandbox import agyletime_view, oracle
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from tests.support.stream import Stored

PACE: Mapping[str, Mapping[str, Any]] = {
    "shifts": {"every_s": 1.0},
    "tasks": {"every_s": 1.0, "slow_every_s": 2.0},
    "users": {"every_s": 1.0},
    "business-roles": {"every_s": 2.0},
    "system-roles": {"every_s": 2.0},
    "definitions": {"every_s": 2.0},
}
QUICK: Mapping[str, Any] = {
    "requests_per_30s": 1_000_000,
    "request_timeout_s": 15.0,
    "resource": [{"name": name, **pace} for name, pace in PACE.items()],
}


def paged(size: int) -> list[dict[str, Any]]:
    """`resource` as in `QUICK`, with pages of this size."""
    return [{"name": name, **pace, "page_size": size} for name, pace in PACE.items()]


def keys(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a source that reads it, beside `name` and `adapter`."""
    return {name: facts[name] for name in ("tenant_url", "regional_url", "key_id")}


def secrets() -> dict[str, str]:
    """Its secret keys, and the variables that hold them."""
    return {"secret": "AGYLETIME_SECRET"}


def judge(ledger: Sequence[Change], events: Iterable[Stored], source: str) -> Report:
    """Ledger against one source's events, collection by collection."""
    mine = [event for event in events if event.tokens[1:3] == ["agyletime", source]]
    reports = []
    for scope in agyletime_view.READ:
        entity = agyletime_view.ENTITIES[scope]
        seen = [
            oracle.Seen(event.data["id"], event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
            for event in mine
            if event.tokens[3] == entity
        ]
        changes = [change for change in ledger if change.scope == scope]
        reports.append(oracle.compare(changes, seen, view=agyletime_view.as_issued, seen=agyletime_view.as_seen))
    return oracle.total(reports)
