"""Mistakes made on purpose in the product: each must be found, and by how many seeds says what a run is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bridge.core import differ
from bridge.core import walk as core_walk
from bridge.core.event import Event
from bridge.core.facts import Page
from bridge.core.walk import Pass
from bridge.engine import clerk, run
from bridge.engine.inbox import Inbox
from bridge.engine.keeper import TokenKeeper as Keeper
from bridge.engine.ports import Book, Cursor, Outcome, Receipt, Stale, Stored, Unknown
from bridge.engine.sequencer import Sequencer
from bridge.engine.tenancy import LeasedBook
from tests.simulation.story import Outcome as Ending
from tests.simulation.story import tell
from tests.support import memory_ledger

Mutation = Callable[[], Any]
_commit, _append, _offer, _take, _open = (
    LeasedBook.commit, LeasedBook.append, Inbox.__call__, Pass.take, LeasedBook.__init__
)  # fmt: skip
_write, _window, _begin, _differ = memory_ledger._write, core_walk.window_of, run.begin, differ.judge


def _unexpecting(event: Event) -> Any:
    write = _write(event)
    write.expected = None
    return write


async def _cursor_first(self: LeasedBook, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
    if cursor is None or not events:
        return await _commit(self, events, walk, cursor)
    first = await _commit(self, [], walk, cursor)
    return Receipt((await _commit(self, events, walk, None)).seqs, first.cursor_seq)


async def _cursor_after(self: LeasedBook, events: Sequence[Event], walk: str, cursor: Cursor | None) -> Receipt:
    # One by one, and without the cursor that covers them: what a batch is for.
    if cursor is None or not events:
        return await _commit(self, events, walk, cursor)
    for event in events[:-1]:
        await _commit(self, [event], walk, None)
    return await _commit(self, events, walk, cursor)


def _append_as(kind: type[Unknown] | type[Stale]) -> Any:
    async def append(self: LeasedBook, events: Sequence[Event]) -> list[Outcome]:
        return [Stored(1) if isinstance(outcome, kind) else outcome for outcome in await _append(self, events)]

    return append


def _forgetful(self: Inbox, frame: Any, size: int, *rest: Any) -> None:
    if not self._offered % 3:
        self._offered += 1
        return
    _offer(self, frame, size, *rest)


def _heedless(self: Pass, page: Page, ids: Sequence[str], listed: Sequence[str] | None = None) -> None:
    _take(self, replace(page, complete=True), ids, listed)


def _newborn(self: LeasedBook, book: Book, *rest: Any, **more: Any) -> None:
    book.memory.heads.clear()
    _open(self, book, *rest, **more)


def _narrow(walk: Any, *rest: Any, **more: Any) -> Any:
    return _window(replace(walk, overlap_s=0.0), *rest, **more)


def _from_now(walk: Any, now_ms: int, completed_ms: int | None, **more: Any) -> Any:
    return _window(walk, now_ms, None, **more)


async def _idle(*_: Any, **__: Any) -> None:
    return


async def _same_token(self: Keeper, refused: Any) -> Any:
    return refused


def _unversioned(record: Any, *rest: Any, **more: Any) -> Any:
    return _differ(replace(record, version=None), *rest, **more)


def _all_news(record: Any, digest: str, head: Any, **more: Any) -> Any:
    return _differ(record, f"{digest}x", head, **more)


MUTATIONS: dict[str, Mutation] = {
    "nothing is expected of what lies there": lambda: patch.object(memory_ledger, "_write", _unexpecting),
    "the cursor is stored before what it covers": lambda: patch.object(LeasedBook, "commit", _cursor_first),
    "a window has no overlap": lambda: patch.object(run, "window_of", _narrow),
    "a window reaches back from now, not from the last pass": lambda: patch.object(run, "window_of", _from_now),
    "every third push is dropped silently": lambda: patch.object(Inbox, "__call__", _forgetful),
    "an unknown outcome counts as stored": lambda: patch.object(LeasedBook, "append", _append_as(Unknown)),
    "a refused write counts as stored": lambda: patch.object(LeasedBook, "append", _append_as(Stale)),
    "a vendor that is still loading has told all": lambda: patch.object(Pass, "take", _heedless),
    "what the stream knows is not read at the start": lambda: patch.object(LeasedBook, "__init__", _newborn),
    "after a refusal nobody looks": lambda: patch.object(Sequencer, "_look_at", _idle),
    "a refused token is used again": lambda: patch.object(Keeper, "renew", _same_token),
    "versions are not compared": lambda: patch.object(clerk, "judge", _unversioned),
    "what is known counts as news": lambda: patch.object(clerk, "judge", _all_news),
}


def found(name: str, seeds: Iterable[int]) -> Ending | None:
    """The first of these stories that shows the mistake."""
    with planted(name):
        return next((outcome for outcome in map(tell, seeds) if outcome.wrong), None)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The product has this mistake meanwhile."""
    with MUTATIONS[name]():
        yield
