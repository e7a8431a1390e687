"""What must hold at the end of every story: the vendor's own account against what lies in the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from bridge.adapter import Json
from tests.simulation.sender import Sender
from tests.simulation.shop import Shop
from tests.support.memory_ledger import Entry
from tests.support.sim_vendor import GONE

if TYPE_CHECKING:
    from tests.simulation.story import Story


def _kind(story: Story, shop: Shop, entity: str) -> str:
    vendor = "webhook" if story.fate.pushed else "sim"
    return f"{vendor}.{shop.name}.{entity}."


def things(story: Story, shop: Shop) -> dict[str, list[Entry]]:
    """Per thing, its events in stream order."""
    told: dict[str, list[Entry]] = {}
    prefix = f"events.{_kind(story, shop, 'thing')}"
    for entry in story.ledger.events:
        if entry.subject.startswith(prefix):
            told.setdefault(entry.data["id"], []).append(entry)
    return told


def beeps(story: Story, shop: Shop) -> list[str]:
    """What is told of the journal, in stream order."""
    prefix = _kind(story, shop, "beep")
    if not story.fate.telemetry or story.fate.pushed:
        return [entry.data["id"] for entry in story.ledger.events if entry.subject.startswith(f"events.{prefix}")]
    aside = story.ledger.aside
    return [] if aside is None else [entry.data["id"] for entry in aside.events if f".{prefix}" in entry.subject]


def value(entry: Entry) -> str:
    """What an event says a thing is."""
    said: str = GONE if entry.change == "deleted" else entry.data["after"]["value"]
    return said


def stored(story: Story, row: Json) -> bool:
    """Whether the stream holds what a webhook told, or what is newer."""
    shop = story.shops[story.fate.names[0]]
    if "at" in row:
        return row["id"] in beeps(story, shop)
    told = things(story, shop).get(row["id"], [])
    # Of a deletion of what was never told there is nothing to tell.
    return any(int(entry.headers["Bridge-Version"]) >= row["n"] for entry in told) or row["value"] == GONE


def final(story: Story, shop: Shop) -> str:
    """What the stream lacks of what the vendor has now; "" when it is all there."""
    prefix = _kind(story, shop, "thing")
    view = {
        key.rsplit(".", 1)[1]: after["value"]
        for key, (change, after) in story.ledger.state().items()
        if key.startswith(prefix) and change != "deleted" and after is not None
    }
    if view != shop.state():
        return f"the view of {shop.name} says {view}, the vendor {shop.state()}"
    if story.fate.journal_every_s or story.fate.pushed:
        missing = owed(story, shop) - set(beeps(story, shop))
        if missing:
            return f"of the journal {sorted(missing)} is not told"
    return ""


def owed(story: Story, shop: Shop) -> set[str]:
    """What of the journal must be told: all since it is followed, but for what a gap admits."""
    if story.fate.pushed or story.journal_ms is None:
        return set(shop.journal)
    since = story.journal_ms - round((story.fate.reach_s + story.fate.overlap_s) * 1000)
    gaps = list(_gaps(story, shop))
    return {
        id_
        for id_, (at, _) in shop.journal.items()
        if at >= since and not any(start <= at <= end for start, end in gaps)
    }


def _gaps(story: Story, shop: Shop) -> Iterator[tuple[int, int]]:
    for entry in story.ledger.events:
        if entry.subject.startswith(f"events.bridge.{shop.name}.gap."):
            said = entry.data["after"]
            yield _ms(said["from"]), 1 << 62 if said["to"] is None else _ms(said["to"])


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def judge(story: Story) -> list[str]:
    """Every promise that was broken."""
    wrong: list[str] = []
    for shop in story.shops.values():
        for id_, entries in things(story, shop).items():
            wrong += _judge_thing(story, shop, f"{shop.name} {id_}", shop.history.get(id_, []), entries)
            if (told := value(entries[-1])) != shop.state().get(id_, GONE):
                wrong.append(f"lost: {id_} is told last as {told}, and is {shop.state().get(id_)}")
        for id_, count in Counter(beeps(story, shop)).items():
            if count > 1:
                wrong.append(f"twice: {id_} of the journal is told {count} times")
            if id_ not in shop.journal:
                wrong.append(f"invented: {id_} of the journal")
        wrong += _judge_manners(story, shop)
        wrong += shop.broken if isinstance(shop, Sender) else []
    events = [*story.ledger.events, *(story.ledger.aside.events if story.ledger.aside else ())]
    ids = Counter(entry.ce_id for entry in events)
    wrong += [f"twice: the ce-id {ce_id}" for ce_id, count in ids.items() if count > 1]
    return wrong


def _judge_thing(story: Story, shop: Shop, name: str, issued: list[str], entries: list[Entry]) -> Iterator[str]:
    told = [value(entry) for entry in entries]
    if story.fate.pushed:
        # Where nothing can be read again, what is told is all that is remembered: a newer version is told though it
        # says the same, and so is a deletion of what nobody knew, lest what is older comes late and counts.
        versions = [int(entry.headers["Bridge-Version"]) for entry in entries]
        if any(before >= after for before, after in pairwise(versions)):
            yield f"twice or out of order: {name} is told in versions {versions}"
    elif any(before == after for before, after in pairwise(told)):
        yield f"twice: {name} is told as {told}"
    if set(told) - set(issued):
        yield f"invented: {name} is told as {told}, and was {issued}"
    elif story.fate.ordered and not _in_order(told, issued):
        yield f"out of order: {name} is told as {told}, and was {issued}"
    if told.count(GONE) > issued.count(GONE):
        yield f"a deletion that was none: {name} is told as {told}, and was {issued}"
    if story.fate.calm and told != issued:
        yield f"lost: nothing bad happened, and {name} is told as {told}, and was {issued}"
    lived = False
    for entry in entries:
        allowed = ("updated", "deleted") if lived else ("created", "snapshot")
        if entry.change not in allowed and not (story.fate.pushed and entry.change == "deleted"):
            yield f"no life: {name} is {[one.change for one in entries]}"
            break
        lived = entry.change != "deleted"


def _judge_manners(story: Story, shop: Shop) -> Iterator[str]:
    """How the vendor was asked."""
    fate = story.fate
    if not fate.mannerly:
        return
    if shop.early:
        yield f"impatient: {shop.early} requests came before the vendor would take them"
    if shop.outlived and not (fate.faulty or fate.slow_s):
        yield f"interrupted: {shop.outlived} sessions lasted until their token's time was over"
    if shop.lapsed and not (fate.faulty or fate.quota or fate.slow_s):
        yield f"stale: {shop.lapsed} times a token was used whose time was over"


def _in_order(told: list[str], issued: list[str]) -> bool:
    rest = iter(issued)
    return all(value in rest for value in told)
