"""The judge of what happens once: occurred events and telemetry, each of which must lie in the stream exactly once.

Pure. Unlike an entity's states, nothing here can be overwritten: what the vendor issued, its journal or its packet
history shows to everyone who asks, so it is missing if it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.sandbox.oracle import Report

Carries = Callable[[Mapping[str, Any] | None, Mapping[str, Any]], bool]
"""Whether an event's `after` says what was issued."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a vendor issued once. `key`: its type and id. `optional`: nobody can read it any more, so it may lack."""

    key: tuple[str, str]
    at_ms: int
    data: Mapping[str, Any]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Once:
    """One event of the stream, in the same terms. `at_ms`: when the stream stored it."""

    key: tuple[str, str]
    change: str
    after: Mapping[str, Any] | None
    at_ms: int
    ce_id: str


def once(issued: Iterable[Issued], events: Iterable[Once], *, carries: Carries | None = None) -> Report:
    """Judge `events` in stream order: each of `issued` exactly once, as `occurred`, and nothing else.

    `missing`: issued, not stored. `duplicates`: stored again, or under a `ce-id` that was there before. `invented`:
    stored, never issued, or with another content. `lapsed`: optional, and not stored. Order is not judged: events
    found later by reading are stored later. Judge a stream that has come to rest.
    """
    report = Report()
    known = {each.key: each for each in issued}
    report.changes = len(known)
    stored: set[tuple[str, str]] = set()
    ce_ids: set[str] = set()
    for event in events:
        report.events += 1
        name = ".".join(event.key)
        if event.ce_id in ce_ids:
            report.duplicates += 1
            report.found(f"{name}: ce-id {event.ce_id} appears twice")
            continue
        ce_ids.add(event.ce_id)
        origin = known.get(event.key)
        if origin is None:
            report.invented += 1
            report.found(f"{name}: the vendor issued no such thing")
        elif event.key in stored:
            report.duplicates += 1
            report.found(f"{name}: stored a second time")
        elif event.change != "occurred":
            report.invented += 1
            report.found(f"{name}: happened once, but is told as {event.change}")
        elif carries is not None and not carries(event.after, origin.data):
            report.invented += 1
            report.found(f"{name}: says something else than what was issued")
        else:
            report.latencies_ms.append(event.at_ms - origin.at_ms)
        stored.add(event.key)
    for key, origin in known.items():
        if key in stored:
            continue
        if origin.optional:
            report.lapsed += 1
        else:
            report.missing += 1
            report.found(f"{'.'.join(key)}: is missing")
            report.lost.append((key[1], origin.at_ms))
    return report
