"""Shows how far the passes have come that an operator has asked for: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bridge.cli import output
from bridge.cli.plain import plain
from bridge.core.record import Json
from bridge.edge.operator.resync import Cursors

POLL_S = 0.5
"""How often the cursors are read. They are written every few pages, and at the end of a pass."""


class Shown(Protocol):
    """Where progress is shown."""

    def at(self, walk: str, rows: int, total: int | None, *, done: bool) -> None:
        """So many rows of a walk's pass are read; `total`: the vendor's count, if it says."""
        ...


class Lines:
    """One line whenever something has changed."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def at(self, walk: str, rows: int, total: int | None, *, done: bool) -> None:
        """See `Shown.at`."""
        of = f" of {total}" if total is not None else ""
        text = "done" if done else f"{rows}{of} rows read" if rows else "waiting"
        if self._last.get(walk) != text:
            self._last[walk] = text
            output.say(plain(f"  {walk}: {text}"))


class Bars:
    """One bar for each walk."""

    def __init__(self, progress: Progress, walks: Sequence[str]) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {
            walk: progress.add_task(plain(walk), total=None, note="waiting") for walk in walks
        }

    def at(self, walk: str, rows: int, total: int | None, *, done: bool) -> None:
        """See `Shown.at`."""
        bar = self._bars[walk]
        if done:
            self._progress.update(bar, total=1, completed=1, note="done")
        elif rows:
            of = f" of {total}" if total is not None else ""
            # What the vendor counts may be less than it gives.
            most = None if total is None else max(total, rows)
            self._progress.update(bar, total=most, completed=rows, note=f"{rows}{of} rows")


class Silence:
    """Nobody watches."""

    def at(self, walk: str, rows: int, total: int | None, *, done: bool) -> None:
        """See `Shown.at`."""


async def follow(cursors: Cursors, walks: Sequence[str], mark: str, deadline_s: float, *, quiet: bool) -> list[str]:
    """Wait until none of these walks' cursors holds the key `mark` any more. Returns the walks that still do by then.

    Raises what `Cursors` raises.
    """
    if quiet:
        return await _watch(cursors, walks, mark, deadline_s, Silence())
    if not sys.stdout.isatty():
        return await _watch(cursors, walks, mark, deadline_s, Lines())
    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console()) as progress:
        return await _watch(cursors, walks, mark, deadline_s, Bars(progress, walks))


async def _watch(cursors: Cursors, walks: Sequence[str], mark: str, deadline_s: float, shown: Shown) -> list[str]:
    left = list(walks)
    with anyio.move_on_after(deadline_s):
        while True:
            left = _look(await cursors.values(), left, mark, shown)
            if not left:
                break
            await anyio.sleep(POLL_S)
    return left


def _look(values: Mapping[str, Mapping[str, Json]], walks: Collection[str], mark: str, shown: Shown) -> list[str]:
    left = []
    for walk in walks:
        value = values.get(walk, {})
        done = mark not in value
        shown.at(walk, _count(value.get("rows")) or 0, _count(value.get("total")), done=done)
        left += [] if done else [walk]
    return left


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None
