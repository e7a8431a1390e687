"""What several instances tell, and what the stream does, put together: each source once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

INSIDE = ("state", "state_since", "state_reason", "here", "token", "inbox", "counts", "rate")
"""What only the instance knows that works for a source."""
FRESHER = ("freshness", "session", "quota")
"""What its lease tells as well, if later; taken from the instance where it tells."""

_NOTHING: Json = {
    **dict.fromkeys((
        "adapter", "owner", "holder", "takes", "since", "failing_since", "again", "seen", "last_quarantine",
        "last_event", "freshness", "session", "quota", "state", "state_since", "state_reason", "token", "inbox",
        "counts", "rate",
    )),
    **dict.fromkeys(("vendor", "condition", "reason", "half"), ""),
    "here": False,
    "quarantined": 0,
}  # fmt: skip
_LISTS = ("problems", "walks", "subscriptions", "open_gaps")
"""What an older build does not tell."""


def merged(told: Sequence[tuple[str, Mapping[str, Any]]], described: Iterable[Json]) -> list[Json]:
    """Every source: those of `described`, what the stream tells of the sources configured here, in their order, then
    those that only instances tell of.

    `told`: of each instance its name and report. Of a source that one instance works for, that one counts; where
    several do, as for webhooks, they are added up. `told_by` names them. What nobody works for is told by the stream.
    """
    working: dict[str, list[tuple[str, Json]]] = {}
    idle: dict[str, Json] = {}
    for name, report in told:
        for source in _sources(report):
            if source.get("here"):
                working.setdefault(source["name"], []).append((name, source))
            else:
                idle.setdefault(source["name"], source)
    found = []
    for source in described:
        telling = working.pop(source["name"], [])
        idle.pop(source["name"], None)
        found.append(_overlaid(source, telling))
    for telling in working.values():
        idle.pop(telling[0][1]["name"], None)
        found.append(_overlaid(telling[0][1], telling))
    return found + [_overlaid({**source, "state": None}, []) for source in idle.values()]


def spread(sources: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many sources each instance works for, by name; "" for those that nobody does. What comes by webhook is taken
    by all of them, and counts nowhere.
    """
    found: Counter[str] = Counter()
    for source in sources:
        if not source.get("takes"):
            telling = source.get("told_by") or [(source.get("holder") or {}).get("instance", "")]
            found[telling[0]] += 1
    return dict(sorted(found.items(), key=lambda one: (one[0] == "", one[0])))


def only(told: Sequence[tuple[str, Mapping[str, Any]]]) -> set[str]:
    """The names of the sources that these instances work for."""
    return {source["name"] for _, report in told for source in _sources(report) if source.get("here")}


def _sources(report: Mapping[str, Any]) -> list[Json]:
    sources = report.get("sources")
    found = [one for one in sources if isinstance(one, dict) and one.get("name")] if isinstance(sources, list) else []
    return [{**_NOTHING, **{key: [] for key in _LISTS}, **one} for one in found]


def _overlaid(source: Json, telling: Sequence[tuple[str, Json]]) -> Json:
    found = {**source, "told_by": [name for name, _ in telling]}
    if not telling:
        return found
    first = telling[0][1]
    if first.get("seen") and not first.get("shortened"):
        # It has looked at the stream as well, and knows what has happened since. But for ids, which it tells nobody.
        found |= first | {"last_event": _later(first.get("last_event"), source.get("last_event"))}
    found |= {key: first.get(key) for key in INSIDE}
    found |= {key: first[key] for key in FRESHER if first.get(key) is not None}
    for _, other in telling[1:]:
        found["rate"] = _added(found["rate"], other.get("rate"))
        found["counts"] = _added(found["counts"], other.get("counts"))
    return found


def _later(one: Json | None, other: Json | None) -> Json | None:
    if one is None or other is None:
        return one or other
    return one if one.get("seq", 0) > other.get("seq", 0) else other


def _added(one: Any, other: Any) -> Any:
    """Numbers added, in lists place by place, in objects key by key; what is only on one side stays as it is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _added(one.get(key), other.get(key)) for key in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [_added(left, right) for left, right in zip(one, other, strict=False)]
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one + other
    return other if one is None else one
