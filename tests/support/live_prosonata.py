"""The played ProSonata in a scene: what makes a source of it quick, and how all its collections are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.sandbox import oracle, prosonata_view
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from tests.support.stream import Stored

PACE: Mapping[str, Mapping[str, Any]] = {
    "projects": {"every_s": 1.0},
    "projecttasks": {"every_s": 1.0, "probe_every_s": 1.0},
    **{name: {"every_s": 1.0, "slow_every_s": 2.0} for name in ("projecttimes", "workingtimes", "crmevents")},
    **{name: {"every_s": 2.0} for name in ("quotations", "customers", "contacts", "addresses", "externalcosts")},
}


def paged(size: int) -> list[dict[str, Any]]:
    """`resource` with pages of this size."""
    return [{"name": name, **pace, "page_size": size} for name, pace in PACE.items()]


QUICK: Mapping[str, Any] = {"request_timeout_s": 15.0, "resource": paged(20)}


def keys(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a source that reads it, beside `name` and `adapter`."""
    return {"base_url": facts["url"], "requests_per_block": facts["quota"], "block_s": facts["block_s"]}


def secrets() -> dict[str, str]:
    """Its secret keys, and the variables that hold them."""
    return {"api_key": "PROSONATA_API_KEY", "app_id": "PROSONATA_APP_ID"}


def judge(ledger: Sequence[Change], events: Iterable[Stored], source: str) -> Report:
    """Ledger against one source's events, collection by collection. What is told deleted before it was is invented."""
    mine = [event for event in events if event.tokens[1:3] == ["prosonata", source]]
    reports = []
    for scope, entity in prosonata_view.ENTITIES.items():
        seen = [
            oracle.Seen(event.data["id"], event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
            for event in mine
            if event.tokens[3] == entity
        ]
        changes = [change for change in ledger if change.scope == scope]
        report = oracle.compare(changes, seen, view=prosonata_view.as_issued, seen=prosonata_view.as_seen)
        for event in false_deletes(changes, seen):
            report.invented += 1
            report.found(f"{scope} {event.id}: told deleted while it was there")
        reports.append(report)
    return oracle.total(reports)


def false_deletes(changes: Iterable[Change], seen: Iterable[oracle.Seen]) -> list[oracle.Seen]:
    """Events that say `deleted` of what was not, at any time before they were stored. Ids are never used again."""
    gone_ms = {change.id: change.at_ms for change in changes if change.operation == "deleted"}
    return [
        event for event in seen if event.change == "deleted" and gone_ms.get(event.id, event.at_ms + 1) > event.at_ms
    ]
