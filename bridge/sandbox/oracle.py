"""The judge: compares what a vendor issued (its sandbox's ledger) with what the stream says happened.

Pure. Per entity, consecutive ledger versions that look the same to a consumer count as one *state*. A faithful
stream shows, for each entity, some of its states, in their order, none twice in a row, and the last one last.

Which states may be absent: those that were overwritten before an answer or a push carried them (`superseded`: a push
was withheld, or nobody listened, and no query came in between), and, unless it is called strict, those that were
carried but got lost with their reader or their socket, or came with a replica's answer when newer ones were known
already (`lapsed`). The last state is never among them, and nothing that is published may be older, or other, than the
vendor's own versions in the vendor's own order.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.sandbox.ledger import Change

GONE: Final = "deleted"
MOST_FINDINGS: Final = 50

View = Callable[[Mapping[str, Any]], Any]
"""Turns a record, or an event's `after`, into a JSON value to compare. Nulls and empties count as absent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of the stream: the vendor's id, the subject's change, its `after`, when the stream stored it."""

    id: str
    change: str
    after: Mapping[str, Any] | None
    at_ms: int
    ce_id: str


@dataclass(slots=True)
class Report:
    """What the comparison found. `faithful` if nothing is missing, doubled, out of order or invented.

    `changes`: ledger entries. `events`: events judged. `missing`: final states that are not their entity's last
    event, and, if strict, served or pushed states that never appear. `duplicates`: events that say nothing new, or
    repeat a `ce-id`. `out_of_order`: events older than one before them. `invented`: events the ledger knows nothing of.
    `superseded`: states neither an answer nor a push carried before they were overwritten. `lapsed`: states that were
    carried, but not stored before they were overwritten (a killed reader's, a dropped socket's; 0 if strict).
    `latencies_ms`: from change to stream, for each state published as news (not as `snapshot`).
    """

    changes: int = 0
    events: int = 0
    superseded: int = 0
    lapsed: int = 0
    missing: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    invented: int = 0
    latencies_ms: list[int] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """The first errors in words, at most `MOST_FINDINGS`. They name ids, not contents."""
    lost: list[tuple[str, int]] = field(default_factory=list)
    """What is missing: the entity's id, or what happened once, and when it was made, in ms. As many as `missing`."""

    @property
    def faithful(self) -> bool:
        """Whether the stream may stand as it is."""
        return not (self.missing or self.duplicates or self.out_of_order or self.invented)

    def percentile(self, percent: float) -> int | None:
        """A percentile of the latencies (nearest rank), in ms; None if there are none."""
        ranked = sorted(self.latencies_ms)
        if not ranked:
            return None
        return ranked[min(len(ranked), max(1, math.ceil(len(ranked) * percent / 100))) - 1]

    def found(self, what: str) -> None:
        """Put an error into words."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(what)


@dataclass(slots=True)
class _State:
    """Consecutive versions that look alike. `at_ms` is the first's; `seq` the last's."""

    content: str
    at_ms: int
    seq: int
    served: bool
    pushed: bool
    published: bool = False

    def told(self) -> bool:
        """Whether anything carried it."""
        return self.served or self.pushed


def compare(
    changes: Iterable[Change],
    events: Iterable[Seen],
    *,
    view: View,
    seen: View | None = None,
    strict_served: bool = False,
    strict_pushed: bool = False,
    expects_deletes: bool = True,
) -> Report:
    """Judge `events`, in stream order, by `changes`, in ledger order.

    `view` says what of a vendor record a consumer must see, written independently of the code under test;
    `seen` the same of an event's `after` (default: all of it). `strict_served`: every state that some answer
    carried in full must appear; use it only if no reader was killed between an answer and the stream, and no
    answer was stale. `strict_pushed`: every state that was pushed must appear; use it only if no socket ended.
    `expects_deletes`: whether a deletion must be told; if not, the state before it is the final one.

    Judge a stream that has come to rest, and leave out what the reader's windows cannot reach. Ids are
    unique within one call: a vendor with several sources of overlapping ids is judged source by source.
    """
    report = Report()
    histories: dict[str, list[_State]] = defaultdict(list)
    for change in changes:
        report.changes += 1
        if change.record is None and not expects_deletes:
            continue
        content = GONE if change.record is None else plain(view(change.record))
        states = histories[change.id]
        if states and states[-1].content == content:
            states[-1].seq = change.seq
            states[-1].served |= change.served_ms is not None
            states[-1].pushed |= change.pushed_ms is not None
        else:
            served, pushed = change.served_ms is not None, change.pushed_ms is not None
            states.append(_State(content, change.at_ms, change.seq, served, pushed))
    stories: dict[str, list[tuple[str, Seen]]] = defaultdict(list)
    known: set[str] = set()
    for event in events:
        report.events += 1
        if event.ce_id in known:
            report.duplicates += 1
            report.found(f"{event.id}: ce-id {event.ce_id} appears twice")
            continue
        known.add(event.ce_id)
        after = event.after or {}
        content = GONE if event.change == "deleted" else plain(seen(after) if seen else after)
        stories[event.id].append((content, event))
    for id_, states in histories.items():
        _follow(id_, states, stories.get(id_, []), report)
        _account(id_, states, stories.get(id_, []), report, strict_served, strict_pushed)
    for id_ in stories.keys() - histories.keys():
        report.invented += len(stories[id_])
        report.found(f"{id_}: the ledger knows no such entity")
    return report


def plain(value: Any) -> str:
    """One text for equal contents: keys sorted, whole floats as integers, nulls and empties left out."""
    return json.dumps(_pruned(value), sort_keys=True, ensure_ascii=False)


def _follow(id_: str, states: Sequence[_State], story: Sequence[tuple[str, Seen]], report: Report) -> None:
    """Walk through one entity's events. Each takes the earliest state it can: if any assignment fits, this one does."""
    at = -1
    previous: str | None = None
    for content, event in story:
        ahead = next((n for n in range(at + 1, len(states)) if states[n].content == content), None)
        if content == previous:
            report.duplicates += 1
            report.found(f"{id_}: an event repeats the one before it")
        elif ahead is not None:
            at = ahead
            states[at].published = True
            if event.change != "snapshot":
                report.latencies_ms.append(event.at_ms - states[at].at_ms)
        elif at >= 0 and states[at].content == content:
            report.duplicates += 1
            report.found(f"{id_}: change {states[at].seq} appears a second time")
        elif any(state.content == content for state in states[: max(at, 0)]):
            report.out_of_order += 1
            report.found(f"{id_}: an older version follows change {states[at].seq}")
        else:
            report.invented += 1
            report.found(f"{id_}: an event equals no version in the ledger")
        previous = content


def _account(
    id_: str,
    states: Sequence[_State],
    story: Sequence[tuple[str, Seen]],
    report: Report,
    strict_served: bool,
    strict_pushed: bool,
) -> None:
    """What of one entity's states is absent, and whose fault that is."""
    final = states[-1] if states else None
    missing: set[int] = set()
    # An entity that is gone, and that the stream never told of, need not appear at all.
    untold = final is not None and final.content == GONE and not story
    if final is not None and not untold and (not story or story[-1][0] != final.content):
        missing.add(final.seq)
    contents = [content for content, _ in story]
    unheard = _unheard(states, contents, _State.told)
    if strict_served:
        missing |= _unheard(states, contents, lambda state: state.served)
    if strict_pushed:
        missing |= _unheard(states, contents, lambda state: state.pushed)
    made_ms = {state.seq: state.at_ms for state in states}
    for seq in sorted(missing):
        report.found(f"{id_}: change {seq} is missing")
        report.lost.append((id_, made_ms[seq]))
    report.missing += len(missing)
    report.lapsed += len(unheard - missing)
    report.superseded += sum(not state.published and state.seq not in unheard | missing for state in states)


def _unheard(states: Sequence[_State], contents: Sequence[str], told: Callable[[_State], bool]) -> set[int]:
    """States of which the reader was told that do not appear in order.

    Two in a row that look alike are one to it, unless the stream shows that it learnt of another between them.
    """
    unheard: set[int] = set()
    place = 0
    previous = ""
    for state in states:
        if not told(state):
            previous = "" if state.published else previous
            continue
        if state.content == previous:
            continue
        previous = state.content
        if state.content in contents[place:]:
            place = contents.index(state.content, place) + 1
        else:
            unheard.add(state.seq)
    return unheard


def total(reports: Iterable[Report]) -> Report:
    """Several vendors' reports as one."""
    whole = Report()
    for report in reports:
        for name in ("changes", "events", "superseded", "lapsed", "missing", "duplicates", "out_of_order", "invented"):
            setattr(whole, name, getattr(whole, name) + getattr(report, name))
        whole.latencies_ms += report.latencies_ms
        whole.lost += report.lost
        for finding in report.findings:
            whole.found(finding)
    return whole


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        items = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None and item not in ({}, [])}
    if isinstance(value, (list, tuple)):
        return [_pruned(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
