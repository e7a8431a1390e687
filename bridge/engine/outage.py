"""What of a source fails, and since when: its live session, its reading, or both. Says when that is worth an event."""

from __future__ import annotations

import anyio

LOST_AFTER_S = 30.0
"""A vendor that fails for less is not worth an event: consumers would hear of every hiccup."""


class Outage:
    """Of one source, over all its sessions. `live`: whether it has live sessions at all.

    Times are seconds of the event loop's clock; None: well. `since`: the first failure since everything was read.
    `forbidden`: the vendor refused everything when it was asked last, which somebody else announces.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self.changed = anyio.Event()
        self.over()

    def over(self) -> None:
        """Everything was read, or somebody else may have gone on from here."""
        self.since: float | None = None
        self._answered = False
        self.pause()

    def pause(self) -> None:
        """Nothing can be tried for now: what counts is what the next attempts come to."""
        self._shut_since: float | None = None
        self._unread_since: float | None = None
        self._mute_since: float | None = None
        self._live_reason = self._read_reason = ""
        self.again_at: float | None = None
        self.forbidden = False
        self._change()

    # --- what happened ---

    def failed(self) -> None:
        """Something failed."""
        if self.since is None:
            self.since, self._answered = anyio.current_time(), False

    def shut(self, reason: str, again_s: float | None = None) -> None:
        """A live session ended or did not come about. `again_s`: it is refused, and tried again after so long."""
        self.failed()
        now = anyio.current_time()
        if self._live and self._shut_since is None:
            self._shut_since = now
        self._live_reason, self.again_at = reason, None if again_s is None else now + again_s
        self._change()

    def opened(self) -> None:
        """A live session is open."""
        self._shut_since = self.again_at = None
        self._change()

    def unread(self, reason: str) -> None:
        """Reading failed."""
        self.failed()
        self._read_reason, self.forbidden = reason, False
        if self._unread_since is None:
            self._unread_since = self._silent_since()
        if self._mute_since is None:
            self._mute_since = self._silent_since()
        self._change()

    def forbid(self, reason: str) -> None:
        """Nothing may be read."""
        self.failed()
        self._read_reason, self.forbidden = reason, True
        self._change()

    def asked(self) -> None:
        """The vendor is asked beside a session that failed; it may well be cut short before it answers."""
        if self._mute_since is None:
            self._mute_since = self._silent_since()
            self._change()

    def answered(self) -> None:
        """A page was read."""
        if self.since is not None and (self._mute_since is not None or not self._answered):
            self._answered, self._mute_since = True, None
            self._change()

    def read(self) -> None:
        """Everything that was due was read, though the live session is down."""
        # Where nothing was due this says nothing of the vendor yet: `_answered` stays as it is.
        self._unread_since = self._mute_since = None
        self.forbidden = False
        self._change()

    # --- what it comes to ---

    def half(self, said: str | None, *, ended: bool) -> str | None:
        """Which half has failed for LOST_AFTER_S: "live", "reading", or "" for all of it; None: none has, or not yet.

        `said`: the half of what is announced, None if that is no failure. `ended`: an attempt has just failed, so
        that a vendor which answers now and then counts as failing, too; while one is under way an answer is hope.
        """
        reading = self._reading_since(ended)
        unread, shut = _long(reading), _long(self._shut_since)
        if unread and not self._live:
            return ""
        if unread and self._shut_since is None:
            return "reading"
        if unread:
            # What is pushed comes again in a moment, as a rule: then nothing changes.
            return None if said == "reading" and not shut else ""
        if shut and (ended or self._unread_since is None or self._mute_since is not None):
            return "live"
        flaps = ended and said is None and self._shut_since is not None and self._unread_since is None
        return "live" if flaps and _long(self.since) else None

    def reason(self, half: str) -> str:
        """Why that half fails."""
        texts = (self._live_reason, self._read_reason) if half == "live" else (self._read_reason, self._live_reason)
        return texts[0] or texts[1]

    def began(self, half: str) -> float | None:
        """Since when that half fails."""
        reading = None if half else self._reading_since(True)
        return self.since if reading is None or self.since is None else max(reading, self.since)

    def left_s(self) -> float:
        """Seconds until what fails now has failed for long enough, infinite if nothing does."""
        now = anyio.current_time()
        marks = [mark for mark in (self._shut_since, self._unread_since, self._mute_since) if mark is not None]
        return min((left for mark in marks if (left := mark + LOST_AFTER_S - now) > 0), default=float("inf"))

    def _silent_since(self) -> float:
        # Where nothing was read since the first failure, there have been nothing but failures since then.
        return anyio.current_time() if self._answered or self.since is None else self.since

    def _reading_since(self, ended: bool) -> float | None:
        marks = [self._mute_since, self._unread_since if ended or self._mute_since is not None else None]
        return min((mark for mark in marks if mark is not None), default=None)

    def _change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


def _long(since: float | None) -> bool:
    return since is not None and since + LOST_AFTER_S - anyio.current_time() <= 0
