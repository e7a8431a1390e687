"""The judgement of what happens once at the played platform: events, packets, and rows that nobody reads as rows.

Independent of the adapter on purpose, as `platform_view` is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from bridge.sandbox import oracle_once, platform_view
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from bridge.sandbox.oracle_once import Issued, Once

PACKET: Final = "packet"


def happened(issued: Mapping[str, Any]) -> list[Change]:
    """What the sandbox's `issued` holds, as entries of a ledger: `operation` is `occurred`.

    Of a packet `scope` is `packet` and `id` `<_oid>-<_ts>`; of all else `scope` is the event type. `kind` of a packet
    is its object, of a row's change `rows of <store>`.
    """
    packets = [
        Change(0, int(ts) // 1000, PACKET, f"{oid}-{ts}", "occurred", oid, data)
        for oid, of_one in issued["packets"].items()
        for ts, data in of_one.items()
    ]
    rows = [
        Change(0, event["time"], event["event"], event["_msgid"], "occurred", f"rows of {store}", event)
        for store, event in issued["rows"]
    ]
    return [*(Change.from_json(change) for change in issued["occurred"]), *rows, *packets]


def judge(
    ledger: Sequence[Change],
    events: Iterable[Once],
    *,
    stores: Collection[str],
    since_ms: int = 0,
    types: Collection[str] | None = None,
) -> Report:
    """What happened once, by the whole ledger, against the `occurred` events of both streams, in stream order.

    `stores`: those that the source reads; of others, events tell that their rows changed. `since_ms`: what happened
    before the source's windows reach back is left out on either side. `types`: those that the source's filters let
    through, `packet` among them; None: all.
    """
    read = {f"rows of {store}" for store in stores}
    gone = {change.id for change in ledger if change.operation == "deleted" and change.scope == "objects"}
    once = [change for change in ledger if change.operation == "occurred" and change.kind not in read]
    issued = [
        # Of an object that is gone nobody can read the packets any more.
        Issued((change.scope, change.id), change.at_ms, _content(change), optional=change.kind in gone)
        for change in once
        if _happened_ms(change) >= since_ms and (types is None or change.scope in types)
    ]
    before = {(change.scope, change.id) for change in once if _happened_ms(change) < since_ms}
    mine = (event for event in events if event.key not in before)
    return oracle_once.once(issued, mine, carries=platform_view.carries)


def _happened_ms(change: Change) -> int:
    record = change.record or {}
    return change.at_ms if change.scope == PACKET else int(record["time"])


def _content(change: Change) -> Mapping[str, Any]:
    """What the event must say. A packet's `_ts` is in its id."""
    record = change.record or {}
    if change.scope == PACKET:
        return {name: value for name, value in record.items() if name != "_ts"}
    hidden = platform_view.PERSONAL if change.scope.startswith("user-") else frozenset()
    return {name: value for name, value in record["data"].items() if name not in hidden}
