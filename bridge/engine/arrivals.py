"""Which of two states of an entity is the newer one, where the vendor's records carry no version that says so."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from bridge.core.record import Head, Key
from bridge.engine.scribe import Note

MOST_FORMER = 8
"""So many former states of an entity are remembered."""
MOST_DOUBTS = 10_000
PATIENCE_S = 10.0
"""What was pushed and doubted is believed when so long after its time no page has said anything of the entity."""


@dataclass(slots=True)
class _Known:
    """What an entity was last said to be (a digest), when, and what else it was said to be before that."""

    at: float
    digest: str
    former: tuple[tuple[float, str], ...] = ()


class Arrivals:
    """Remembers in which order things were pushed, read and stored. One per opened book.

    Four rules. What was pushed after a pass began is newer than what the pass reads; and what a page says is newer than
    what was pushed before it was asked for, though the push be looked at later. Where a vendor's queries lag, what they
    say is believed only of entities that have been as we know them for longer than that. And where pushes
    may overtake one another, a push is believed only of an entity that has been at rest, and not if it tells a state
    the entity has just left: that is a reason to read. Only where reading has nothing to say is it believed after all.
    """

    def __init__(self) -> None:
        self._tick = 0
        self._pushed: dict[Key, int] = {}
        self._asked_at: float | None = None
        self._opened_at = anyio.current_time()
        # Linked, as a plain dictionary whose first is taken again and again looks further for it each time.
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._disorder_s = self._memory_s = 0.0
        self._readable: frozenset[str] = frozenset()
        self._spoken: dict[Key, float] = {}
        self.waiting_since: Callable[[], float | None] = lambda: None
        """Since when a push has been waiting to be looked at; None if none is."""
        self._doubts: dict[Key, tuple[float, Note]] = {}
        self._doubted = anyio.Event()

    def prepare(self, *, lag_s: float, disorder_s: float, readable: Iterable[str]) -> None:
        """Queries may lag by `lag_s`, and pushes that are less than `disorder_s` apart may change places.

        `readable`: the kinds of things that can be read; of others a push is all there is.
        """
        self._disorder_s = disorder_s
        self._memory_s = max(lag_s, disorder_s)
        self._readable = frozenset(readable)

    # --- pushes and passes ---

    def tick(self) -> int:
        """A mark in the order of arrival."""
        return self._tick

    def pushed(self, keys: Iterable[Key]) -> None:
        """Live records of these entities have arrived together."""
        self._tick += 1
        for key in keys:
            self._pushed[key] = self._tick

    def forget(self, since: int) -> None:
        """No pass that began at `since` or before is under way any more."""
        self._pushed = {key: tick for key, tick in self._pushed.items() if tick > since}

    def pushed_since(self, key: Key, since: int) -> bool:
        """Whether a live record of the entity has arrived after the mark `since`."""
        return self._pushed.get(key, 0) > since

    # --- states ---

    def stored(self, changes: Iterable[tuple[Key, str, Head | None]]) -> None:
        """Events of these entities were stored now: the digest of each, and what was known of it until then."""
        if self._memory_s:
            now = anyio.current_time()
            for key, digest, before in changes:
                self._remember(key, digest, before, now)

    def asked(self) -> float:
        """A page is asked for now: until `answered`, what it may contradict is remembered. Returns the moment."""
        self._asked_at = anyio.current_time()
        return self._asked_at

    def answered(self) -> None:
        """What the page asked for last says has been dealt with."""
        self._asked_at = None

    @property
    def doubting(self) -> bool:
        """Whether pushes may be such that they are not believed."""
        return self._disorder_s > 0

    def believable(self, key: Key, digest: str, before: Head | None, arrived_at: float, now: float) -> bool:
        """Whether a push that says this of the entity can be taken as its newest state. `before`: what is known.

        `arrived_at`: when it came. It may have waited for long since: what counts is how soon it followed what is
        known.
        """
        if not self._disorder_s or key.entity not in self._readable or len(self._doubts) >= MOST_DOUBTS:
            return True
        known = self._known.get(key)
        if known is not None and digest != known.digest:
            recent = {former for at, former in known.former if now - at < self._memory_s}
            if arrived_at - known.at < self._disorder_s or digest in recent:
                known.former = (*known.former, (now, digest))[-MOST_FORMER:]
                return False
        if known is None or digest != known.digest:
            self._remember(key, digest, before, now)
        self._doubts.pop(key, None)
        return True

    def _remember(self, key: Key, digest: str, before: Head | None, now: float) -> None:
        known = self._known.pop(key, None)
        former = known.former if known else ()
        if before is not None and before.digest != digest:
            former = (*former, (now, before.digest))[-MOST_FORMER:]
        self._known[key] = _Known(now, digest, former)
        needed = now if self._asked_at is None else self._asked_at
        while needed - self._known[oldest := next(iter(self._known))].at > self._memory_s:
            del self._known[oldest]

    # --- doubts ---

    def doubt(self, note: Note) -> None:
        """What this push says waits for a page that says something of its entity."""
        self._doubts.pop(note.key, None)
        self._doubts[note.key] = (anyio.current_time(), note)
        self._doubted.set()

    def doubt_again(self) -> set[str]:
        """Nothing could be read for a while: what is doubted begins to wait anew. Returns the kinds of things it is."""
        now = anyio.current_time()
        self._doubts = {key: (now, note) for key, (_, note) in self._doubts.items()}
        return {key.entity for key in self._doubts}

    @property
    def attentive(self) -> bool:
        """Whether what a page says of an entity could matter to a push that waits, or is doubted."""
        return bool(self._doubts or self._spoken) or self.waiting_since() is not None

    def spoken(self, key: Key, asked_at: float, lag_s: float) -> None:
        """A page that was asked for at `asked_at`, and may be `lag_s` old, says what the entity is."""
        waiting_since = self.waiting_since()
        if waiting_since is None:
            self._spoken.clear()
        elif waiting_since <= asked_at - lag_s:
            self._spoken[key] = asked_at - lag_s
        if key in self._doubts and self._doubts[key][0] <= asked_at - lag_s:
            del self._doubts[key]

    def outdated(self, key: Key, arrived_at: float) -> bool:
        """Whether a page has said something newer of the entity than a push that arrived then."""
        return self._spoken.get(key, -math.inf) >= arrived_at

    async def overdue(self) -> list[Note]:
        """Wait for pushes that were doubted, and of which no page has said anything for too long; at least one."""
        while True:
            # A page may settle a doubt in the very moment in which it arose, before we are back here.
            while not self._doubts:
                self._doubted = anyio.Event()
                await self._doubted.wait()
            oldest_at = next(iter(self._doubts.values()))[0]
            due_at = oldest_at + 2 * self._memory_s + PATIENCE_S
            await anyio.sleep(max(0.0, due_at - anyio.current_time()))
            if due := [key for key, (at, _) in self._doubts.items() if at <= oldest_at]:
                return [self._doubts.pop(key)[1] for key in due]

    def unsettled(self, key: Key, asked_at: float, lag_s: float) -> bool:
        """Whether a query sent at `asked_at` may show the entity older than it is known to be.

        When an entity changed before the book was opened nobody remembers: it may have been a moment ago.
        """
        known = self._known.get(key)
        return asked_at - (known.at if known else self._opened_at) < lag_s
