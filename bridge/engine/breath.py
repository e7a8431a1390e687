"""Work that comes by the page takes breaths, so that what is live waits for a slice of a page and not for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio.lowlevel

SLICE = 16
"""Records handled before the event loop gets its turns: 25 to 60 us each, so about a millisecond at most."""
TURNS = 4
"""Turns of the event loop per breath. A live event goes through several tasks, from frame to sent and from answer to
settled: with one turn a breath, it would wait for a slice at each."""

T = TypeVar("T")
U = TypeVar("U")


async def breathe() -> None:
    """Let everybody else go on, and what they set going too."""
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()


async def in_slices(work: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """`work` of each item, in order, with a breath between slices. Few items are done at once."""
    done: list[U] = []
    for at in range(0, len(items), SLICE):
        if at:
            await breathe()
        done += map(work, items[at : at + SLICE])
    return done
