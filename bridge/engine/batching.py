"""How notes are put together: one per entity, as many as fit into a batch, looked up side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from bridge.core.event import Event
from bridge.core.record import Key
from bridge.engine.groups import task_group
from bridge.engine.scribe import Note

BATCH_EVENTS = 500
BATCH_BYTES = 4 * 1024 * 1024
LOOKS = 32
"""How many look-ups run side by side."""

T = TypeVar("T")
Sealed = tuple[Note, Event]


def rounds(notes: Iterable[Note]) -> list[list[Note]]:
    """The notes in rounds that hold each entity once: its first note in the first round, its next in the second.

    What occurs once is once in all of them, however often a page repeats it.
    """
    found: list[list[Note]] = []
    times: Counter[Key] = Counter()
    for note in notes:
        number = times[note.key]
        if number and note.record.occurred:
            continue
        times[note.key] += 1
        if number == len(found):
            found.append([])
        found[number].append(note)
    return found


def one_per_entity(notes: Sequence[Note]) -> tuple[list[Note], list[Note]]:
    """The first note of every entity, and the rest in order."""
    first: dict[Key, Note] = {}
    rest: list[Note] = []
    for note in notes:
        if note.key in first:
            rest.append(note)
        else:
            first[note.key] = note
    return list(first.values()), rest


def fitting(events: Sequence[Event], most: int) -> int:
    """How many of these, from the first on, fit into one batch; at least one, if there is one."""
    size = 0
    for count, event in enumerate(events):
        size += event.size
        if count == most or (count and size > BATCH_BYTES):
            return count
    return len(events)


def cut(sealed: list[Sealed], most: int) -> tuple[list[Sealed], list[Sealed]]:
    """As many events as fit into one batch, at least one, and the rest."""
    count = fitting([event for _, event in sealed], most)
    return sealed[:count], sealed[count:]


async def side_by_side(work: Callable[[Key, T], Awaitable[None]], items: Sequence[tuple[Key, T]]) -> None:
    """Run `work` over the items, a bounded number at a time. The first failure ends all and is raised as it is."""
    if len(items) <= 1:
        for item in items:
            await work(*item)
        return
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(*item)

    async with task_group() as group:
        for _ in range(min(LOOKS, len(items))):
            group.start_soon(worker)
