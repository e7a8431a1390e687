"""What is said of a source: as events to its consumers, and in the log to whoever looks after the daemon."""

from __future__ import annotations

import re
from collections.abc import Sequence

import anyio
import structlog

from bridge.core.event import timestamp
from bridge.core.lifecycle import Signal
from bridge.core.record import Json, Key
from bridge.core.secret import Masker
from bridge.engine import departures
from bridge.engine.departures import HeldBack
from bridge.engine.outage import Outage
from bridge.engine.ports import Book, Wall
from bridge.engine.refusals import MOST_NAMED, Refusals
from bridge.engine.scribe import OWN_VENDOR
from bridge.engine.sequencer import Sequencer
from bridge.engine.source import Status

MOST_KINDS = 20
"""So many kinds of complaints are told apart, at most, until all is well; more are not said."""

_ATTEMPT = (Signal.FAILED, Signal.NATS_LOST, Signal.RETRY, Signal.OPENED, Signal.CONNECTED)
"""What a source goes through again and again while its vendor or NATS fails."""
_FAILURES = ("lost", "blocked")
_PARTS = ("reading", "deletes")
"""The halves that are blocked while everything else goes on."""
_PLACE = re.compile(r"[a-z][a-z0-9+.-]{0,30}://\S+|\bwalk \S+|\bpage \d+", re.IGNORECASE)
"""What tells one complaint from another of the same kind: an address, a walk's name, the number of its page."""

log = structlog.get_logger()


class Bulletin:
    """Of one source. `change` and `half`: what was announced last, as far as this process knows.

    A half is `live`, `reading`, `deletes` (they are held back, and nothing else is wrong) or "" for all of it.
    """

    def __init__(self, status: Status, wall: Wall, masker: Masker, refusals: Refusals, outage: Outage) -> None:
        self._status = status
        self._wall = wall
        self._masker = masker
        self._refusals = refusals
        self._outage = outage
        self._turn = anyio.Lock()
        self._log = log.bind(source=status.name)
        self.change = self.half = ""
        self._held: Sequence[HeldBack] = ()
        self._named: Sequence[str] = ()
        self._said = ("", "", "")
        self._complaint: tuple[Signal, str] | None = None
        self._kinds: set[str] = set()

    @property
    def failing(self) -> str | None:
        """The half of what was announced last; None if that was no failure of the vendor's."""
        return self.half if self.change in _FAILURES and self.half != "deletes" else None

    def forget(self) -> None:
        """What the stream says counts."""
        self.change = self.half = ""
        self._held = self._named = ()
        self._status.deletes_held = 0

    async def recall(self, sequencer: Sequencer, book: Book) -> None:
        """Learn from the stream what was announced last and still waits for somebody. Raises Away."""
        self.forget()
        if await sequencer.announced("source", self._status.name) not in _FAILURES:
            return
        key = Key(OWN_VENDOR, self._status.name, "source", self._status.name)
        head = await book.head(key)
        after: Json = None if head is None else await book.after(key, head)
        if head is None or not isinstance(after, dict):
            return
        self._refusals.recall(after)
        if head.change == "blocked" and after.get("half") in _PARTS:
            self.change, self.half, self._held = "blocked", after["half"], _held(after.get("held"))
            self._status.deletes_held = sum(one.count for one in self._held)
            # Before anybody was asked anew these are those of the event.
            self._named = _named(self._refusals)

    def recovered(self) -> None:
        """What fails from now on is said again."""
        self._kinds.clear()

    def complain(self, event: str, reason: str) -> None:
        """Log what keeps happening: each kind of it once until all is well, wherever it happens."""
        reason = self._masker.mask(reason)
        kind = f"{event} {_PLACE.sub('', reason)}"
        if kind not in self._kinds and len(self._kinds) < MOST_KINDS:
            self._kinds.add(kind)
            self._log.warning(event, reason=reason, advice="it is tried again, and said again when the reason changes")

    async def announce(
        self, sequencer: Sequencer, change: str, reason: str, *, half: str = "", again_s: float | None = None
    ) -> None:
        """Publish `change` of the source, unless that is what was published last of the same half. Raises Away.

        `again_s`: seconds until it is tried again.
        """
        async with self._turn:
            await self._announce(sequencer, change, reason, half=half, again_s=again_s)

    async def well(self, sequencer: Sequencer, held: Sequence[HeldBack] = ()) -> None:
        """Everything that is not refused was read: publish that, or what is refused or held back. Raises Away."""
        self._status.deletes_held = sum(one.count for one in held)
        async with self._turn:
            why = [departures.reason(held, self._status.name)] if held else []
            if self._refusals.names:
                if self._refusals.sure:
                    reason, wait_s = "; ".join([self._refusals.reason(), *why]), self._refusals.wait_s()
                    await self._announce(sequencer, "blocked", reason, half="reading", again_s=wait_s, held=held)
            elif held:
                await self._announce(sequencer, "blocked", why[0], half="deletes", held=held)
            elif self.change not in ("connected", "recovered"):
                # The stream remembers it, also where another process wrote it, and may have forgotten it, too.
                before = await sequencer.announced("source", self._status.name)
                if before in ("connected", "recovered"):
                    self.change, self.half = before, ""
                else:
                    await self._announce(sequencer, "recovered" if before in _FAILURES else "connected", "")

    async def watch(self, sequencer: Sequencer) -> None:
        """Publish what has failed for long enough, also while an attempt hangs. Never returns; raises Away."""
        while True:
            changed = self._outage.changed
            await self.judge(sequencer, ended=False)
            with anyio.move_on_after(self._outage.left_s()):
                await changed.wait()

    async def judge(self, sequencer: Sequencer, *, ended: bool) -> None:
        """Publish which half has failed for long enough, if any has; `ended` as of `Outage.half`. Raises Away."""
        outage = self._outage
        async with self._turn:
            # Decided when it is our turn: all may be well by then.
            half = None if outage.forbidden else outage.half(self.failing, ended=ended)
            if half is None:
                return
            if half == "live" and outage.again_at is not None:
                again_s = max(0.0, outage.again_at - anyio.current_time())
                await self._announce(sequencer, "blocked", outage.reason(half), half=half, again_s=again_s)
            else:
                await self._announce(sequencer, "lost", outage.reason(half), half=half)

    async def _announce(
        self,
        sequencer: Sequencer,
        change: str,
        reason: str,
        *,
        half: str = "",
        again_s: float | None = None,
        held: Sequence[HeldBack] = (),
    ) -> None:
        reason = self._masker.mask(reason)
        now_ms = self._wall()
        # Nothing of the vendor's fails while deletes are held back.
        since = self._refusals.since if (change, half) == ("blocked", "reading") else self._outage.began(half)
        held = list(held)[:MOST_NAMED]
        times: dict[str, Json] = {}
        if since is not None:
            times["failing_since"] = timestamp(now_ms - round((anyio.current_time() - since) * 1000))
        if again_s is not None:
            times["again"] = timestamp(now_ms + round(again_s * 1000))
        # One more walk that is refused is news; that of several one can be read again is not, until all can.
        named = _named(self._refusals) if half == "reading" else ()
        news = (self.change, self.half, list(self._held)) != (change, half, held)
        news = news or not set(named) <= set(self._named)
        if news:
            after: dict[str, Json] = {
                "vendor": self._status.vendor,
                "state": str(self._status.state),
                "reason": reason,
                "half": half,
                **times,
            }
            if names := self._refusals.names[:MOST_NAMED]:
                after["walks"] = names
            if held:
                after["held"] = [{"walk": one.walk, "entity": one.entity, "count": one.count} for one in held]
            await sequencer.announce("source", change, self._status.name, after)
            self.change, self.half, self._held, self._named = change, half, held, named
        if change in _FAILURES and (news or (change == "blocked" and half not in _PARTS)):
            self._tell(change, half, reason, times, news)

    def _tell(self, change: str, half: str, reason: str, times: dict[str, Json], news: bool) -> None:
        # What is refused again for another reason is no event, but whoever is to mend it must know.
        if news or self._said != (change, half, reason):
            again = {"again": times["again"]} if "again" in times else {}
            self._log.warning(f"source.{change}", half=half or "all", reason=reason, **again)
        self._said = (change, half, reason)

    def signal(self, signal: Signal, reason: str = "") -> None:
        """Move the source by the table of states, and log that."""
        reason = self._masker.mask(reason)
        if not self._status.signal(signal, self._wall(), reason):
            return
        said = (signal, reason)
        again = signal in _ATTEMPT and (self._complaint is not None and (not reason or said == self._complaint))
        if signal in (Signal.FAILED, Signal.NATS_LOST, Signal.REFUSED):
            self._complaint = said
        elif signal not in _ATTEMPT:
            self._complaint = None
        if signal is Signal.REFUSED:
            # It is announced, and said then.
            return
        # Said once when it breaks and once when it heals: the attempts in between are for whoever looks closely.
        level = "debug" if again else "warning" if reason and signal is not Signal.HELD else "info"
        getattr(self._log, level)(f"source.{self._status.state}", **({"reason": reason} if reason else {}))


def _named(refusals: Refusals) -> Sequence[str]:
    return tuple(sorted(refusals.names)[:MOST_NAMED])


def _held(value: Json) -> list[HeldBack]:
    """What an event said is held back; what cannot be read is not there, and is said anew."""
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    return [HeldBack(f"{row.get('walk')}", f"{row.get('entity')}", row.get("count", 0)) for row in rows]
