"""The played platform in a live scene: its source's keys, its whole ledger, and the judgement of its events."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.sandbox import oracle, platform_judge, platform_view
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from bridge.sandbox.oracle_once import Once
from tests.support.stream import Stored

QUICK: Mapping[str, Any] = {
    "requests_per_minute": 1_000_000,
    "request_timeout_s": 15.0,
    "stores_every_s": 1.0,
    "journal_every_s": 1.0,
    "packets_every_s": 1.0,
    "ws_settle_s": 0.2,
}
"""What makes a source quick enough for a test."""
STORES = {"objects": "object", "models": "model", "users": "user", "groups": "group"}


def keys(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a source that reads it, beside `name` and `adapter`."""
    return {
        "base_url": facts["url"],
        "auth": "token",
        "login": facts["login"],
        "transport": "socketio",
        "engineio": 3,
        "stores": ["objects"],
    }


def secrets() -> dict[str, str]:
    """Its secret keys, and the variables that hold them."""
    return {"password": "PLATFORM_PASSWORD"}


def judge(
    ledger: Sequence[Change],
    events: Iterable[Stored],
    source: str,
    *,
    stores: Collection[str] = ("objects",),
    since_ms: int = 0,
    types: Collection[str] | None = None,
) -> Report:
    """Ledger and `once` together against one source's events of both streams.

    `stores`: those that the source reads; of others, events tell that their rows changed. `since_ms`: what happened
    before the source's windows reach back is left out on either side. `types`: those that the source's filters let
    through, `packet` among them; None: all.
    """
    mine = [event for event in events if event.tokens[1:3] == ["platform", source]]
    entities = {STORES[store] for store in stores}
    states = [
        oracle.Seen(event.data["id"], event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in mine
        if event.change != "occurred"
    ]
    strays = {event.tokens[3] for event in mine if event.change != "occurred"} - entities
    changes = [change for change in ledger if change.operation != "occurred" and change.scope in stores]
    report = oracle.compare(changes, states, view=platform_view.as_issued, seen=platform_view.as_seen)
    for stray in sorted(strays):
        report.found(f"{stray}: no entity of a store that is read")

    once = [
        Once(_key(event), event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in mine
        if event.change == "occurred"
    ]
    happened = platform_judge.judge(ledger, once, stores=stores, since_ms=since_ms, types=types)
    return oracle.total([report, happened])


def _key(event: Stored) -> tuple[str, str]:
    # A token is percent-encoding with another sign; event types are too short to be hashed.
    return urllib.parse.unquote(event.tokens[3].replace("=", "%")), str(event.data["id"])
