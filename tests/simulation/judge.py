"""What must hold at the end of every story: the vendor's own account against what lies in the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.support.memory_ledger import Entry
from tests.support.sim_vendor import GONE

if TYPE_CHECKING:
    from tests.simulation.story import Story


def things(story: Story) -> dict[str, list[Entry]]:
    """Per thing, its events in stream order."""
    told: dict[str, list[Entry]] = {}
    for entry in story.ledger.events:
        if entry.subject.startswith("events.sim.acme.thing."):
            told.setdefault(entry.data["id"], []).append(entry)
    return told


def beeps(story: Story) -> list[str]:
    """What is told of the journal, in stream order."""
    events = [entry for entry in story.ledger.events if entry.subject.startswith("events.sim.acme.beep.")]
    return [entry.data["id"] for entry in events]


def value(entry: Entry) -> str:
    """What an event says a thing is."""
    said: str = GONE if entry.change == "deleted" else entry.data["after"]["value"]
    return said


def final(story: Story) -> str:
    """What the stream lacks of what the vendor has now; "" when it is all there."""
    view = {
        key.rsplit(".", 1)[1]: after["value"]
        for key, (change, after) in story.ledger.state().items()
        if change != "deleted" and after is not None and "value" in after
    }
    if view != story.shop.state():
        return f"the view says {view}, the vendor {story.shop.state()}"
    if story.fate.journal_every_s:
        missing = owed(story) - set(beeps(story))
        if missing:
            return f"of the journal {sorted(missing)} is not told"
    return ""


def owed(story: Story) -> set[str]:
    """What of the journal must be told: all since it is followed, but for what a gap admits."""
    if story.journal_ms is None:
        return set(story.shop.journal)
    since = story.journal_ms - round((story.fate.reach_s + story.fate.overlap_s) * 1000)
    gaps = list(_gaps(story))
    return {
        id_
        for id_, (at, _) in story.shop.journal.items()
        if at >= since and not any(start <= at <= end for start, end in gaps)
    }


def _gaps(story: Story) -> Iterator[tuple[int, int]]:
    for entry in story.ledger.events:
        if entry.subject.startswith("events.bridge.acme.gap."):
            said = entry.data["after"]
            yield _ms(said["from"]), 1 << 62 if said["to"] is None else _ms(said["to"])


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def judge(story: Story) -> list[str]:
    """Every promise that was broken."""
    wrong: list[str] = []
    for id_, entries in things(story).items():
        told, issued = [value(entry) for entry in entries], story.shop.history.get(id_, [])
        if any(before == after for before, after in pairwise(told)):
            wrong.append(f"twice: {id_} is told as {told}")
        if set(told) - set(issued):
            wrong.append(f"invented: {id_} is told as {told}, and was {issued}")
        elif story.fate.ordered and not _in_order(told, issued):
            wrong.append(f"out of order: {id_} is told as {told}, and was {issued}")
        if told.count(GONE) > issued.count(GONE):
            wrong.append(f"a deletion that was none: {id_} is told as {told}, and was {issued}")
        if story.fate.calm and told != issued:
            wrong.append(f"lost: nothing bad happened, and {id_} is told as {told}, and was {issued}")
        lived = False
        for entry in entries:
            if entry.change not in (("updated", "deleted") if lived else ("created", "snapshot")):
                wrong.append(f"no life: {id_} is {[one.change for one in entries]}")
                break
            lived = entry.change != "deleted"
        if (told[-1] if told[-1] != GONE else None) != story.shop.state().get(id_):
            wrong.append(f"lost: {id_} is told as {told}, and is {story.shop.state().get(id_)}")
    for id_, count in Counter(beeps(story)).items():
        if count > 1:
            wrong.append(f"twice: {id_} of the journal is told {count} times")
        if id_ not in story.shop.journal:
            wrong.append(f"invented: {id_} of the journal")
    ids = Counter(entry.ce_id for entry in story.ledger.events)
    wrong += [f"twice: the ce-id {ce_id}" for ce_id, count in ids.items() if count > 1]
    return wrong


def _in_order(told: list[str], issued: list[str]) -> bool:
    rest = iter(issued)
    return all(value in rest for value in told)
