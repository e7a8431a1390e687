"""Mistakes made on purpose in the product: each must be found, and by how many seeds says what a run is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bridge.core import differ
from bridge.core import walk as core_walk
from bridge.core.budget import Budget
from bridge.core.event import Event
from bridge.core.facts import Page, Response
from bridge.core.subject import TELEMETRY
from bridge.core.walk import Pass
from bridge.engine import clerk, conditional, run, runner
from bridge.engine.conditional import Conditional
from bridge.engine.departures import Inquiry
from bridge.engine.held import HeldLease
from bridge.engine.inbox import Inbox
from bridge.engine.intake import Intake
from bridge.engine.keeper import TokenKeeper as Keeper
from bridge.engine.ports import Book, Cursor, Feed, Outcome, Receipt, Stale, Stored, Unknown
from bridge.engine.sequencer import Sequencer
from bridge.engine.sharing import Sharing
from bridge.engine.tenancy import LeasedBook
from tests.simulation.story import Outcome as Ending
from tests.simulation.story import tell
from tests.support import memory_ledger

Mutation = Callable[[], Any]
_commit, _append, _offer, _take, _open = (
    LeasedBook.commit, LeasedBook.append, Inbox.__call__, Pass.take, LeasedBook.__init__
)  # fmt: skip
_token, _response, _inquiry, _hold, _close, _telemetry = (
    Keeper.token, Conditional.response, Inquiry.__init__, Intake.offer, Intake.close, LeasedBook.telemetry
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


async def _old_token(self: Keeper) -> Any:
    return self._token if self._token is not None else await _token(self)


class _Plain:
    """A session that nobody replaces before its token's time is over."""

    def __init__(self, open: Callable[[Any], Feed], keeper: Keeper, **_: Any) -> None:
        self._open = open
        self._keeper = keeper
        self.token: Any = None

    async def hold(self, offer: Any, *, task_status: Any) -> None:
        self.token = await self._keeper.token()
        await self._open(self.token).hold(offer, task_status=task_status)


def _emptied(self: Conditional, request: Any, response: Response) -> Response:
    found = _response(self, request, response)
    return replace(found, json={**found.json, "rows": []}) if found is not response else found


def _gone_unheard(self: Inquiry) -> None:
    self.answered(gone=True)


def _unasked(self: Inquiry, waiting: Sequence[str], witness: str | None = None) -> None:
    _inquiry(self, [], None)
    self.gone = list(waiting)


def _only_paused(self: Budget, now: float, **_: Any) -> float:
    return max(0.0, self._paused_until - now)


def _confirmed(self: Intake, *rest: Any) -> Any:
    delivery = _hold(self, *rest)
    delivery.left = 0
    delivery.settled.set()
    return delivery


def _closed(self: Intake) -> None:
    for delivery in self._under_way:
        delivery.left = 0
    _close(self)


async def _cursorless(self: LeasedBook) -> Any:
    book = await _telemetry(self)
    book.memory.cursors.clear()
    return book


def _unexpecting_aside(event: Event) -> Any:
    return _unexpecting(event) if event.lane is TELEMETRY else _write(event)


async def _nothing_stored(*_: Any) -> set[Any]:
    return set()


@contextmanager
def _blind_aside() -> Iterator[None]:
    with (
        patch.object(memory_ledger, "_write", _unexpecting_aside), patch.object(LeasedBook, "stored", _nothing_stored)
    ):  # fmt: skip
        yield


def _keeps(*_: Any) -> None:
    return


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
    "what has not changed counts as empty": lambda: patch.object(Conditional, "response", _emptied),
    "kept answers are mixed up": lambda: patch.object(conditional, "_key", lambda _: ("", ())),
    "whoever is not told of by id counts as gone": lambda: patch.object(Inquiry, "unclear", _gone_unheard),
    "who is absent is not asked for by id": lambda: patch.object(Inquiry, "__init__", _unasked),
    "the quota is not kept": lambda: patch.object(Budget, "wait", _only_paused),
    "a pause that the vendor wants is not kept": lambda: patch.object(Budget, "pause", _keeps),
    "a webhook is confirmed before it is stored": lambda: patch.object(Intake, "offer", _confirmed),
    "what a closing door had taken in counts as stored": lambda: patch.object(Intake, "close", _closed),
    "how far telemetry was read is forgotten": lambda: patch.object(LeasedBook, "telemetry", _cursorless),
    "telemetry is stored whatever lies there": _blind_aside,
    "a token is used beyond its time": lambda: patch.object(Keeper, "token", _old_token),
    "a session ends with its token": lambda: patch.object(runner, "Handover", _Plain),
    "nobody gives a source back": lambda: patch.object(Sharing, "_give", _keeps),
    "a lease that is lost is worked on": lambda: patch.object(HeldLease, "check", _keeps),
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
