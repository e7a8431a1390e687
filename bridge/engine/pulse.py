"""Whether every supervised loop makes progress: for the watchdog of whoever started us.

A loop makes progress as long as nothing that must end takes longer than it may. What must end is marked as a section
with a limit: the deadline it has anyway, and some slack. So a loop is stuck only where a deadline did not work, and one
that merely waits (for its vendor, its quota, NATS, a lease) stands in no section and never is.

Nothing is timed when a section begins: whoever asks notes when it saw each first. What has begun and ended between two
looks costs an entry in a dictionary, and where nobody asks at all not even that. And a process that stood still as a
whole has not looked meanwhile, either: that time is nobody's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType

SLACK_S = 30.0
"""How much longer than its own deadline something may take: a machine that swaps is no reason for a restart."""
STORE_S = 300.0
"""For a page or a burst: the ledger gives each write seconds, and there may be some dozens."""
LOOK_S = 30.0
"""Between two looks no more than this is counted. Whoever asks does so more often."""
OPEN_S = 1_800.0
"""For opening a source: of a million entities it takes a minute where nothing else is done. Each read is bounded."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A loop that stands: in what, for how long at least, and how long it was to take. In seconds."""

    loop: str
    what: str
    for_s: float
    limit_s: float


class Section:
    """Something that must end. A context manager, to be entered once."""

    __slots__ = ("_open", "for_s", "limit_s", "loop", "what")

    def __init__(self, open_: dict[Section, None], loop: str, what: str, limit_s: float) -> None:
        self._open = open_
        self.loop = loop
        self.what = what
        self.limit_s = limit_s
        self.for_s: float | None = None
        """How long it has been seen; None: not yet."""

    def __enter__(self) -> None:
        self._open[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.pop(self, None)


class Beat:
    """One loop's."""

    __slots__ = ("_loop", "_pulse")

    def __init__(self, pulse: Pulse, loop: str) -> None:
        self._pulse = pulse
        self._loop = loop

    def busy(self, what: str, limit_s: float) -> AbstractContextManager[None]:
        """What the block does must end within so many seconds. `what`: as it is said of the loop, no secret in it."""
        if not self._pulse.asked:
            return _NOTHING
        return Section(self._pulse.open, self._loop, what, limit_s)


class Pulse:
    """All loops of this process. `asked`: whether anybody wants to know; to be set before anything runs."""

    def __init__(self, *, asked: bool = False) -> None:
        self.asked = asked
        self.open: dict[Section, None] = {}
        self._looked = 0.0

    def of(self, loop: str) -> Beat:
        """The door for one loop, such as `source acme`."""
        return Beat(self, loop)

    def stuck(self, now: float) -> tuple[Stuck, ...]:
        """Who stands, the longest first. To be asked every few seconds: what is seen first now begins now.

        `now`: any clock that goes on while loops are stuck; seconds.
        """
        passed_s, self._looked = min(now - self._looked, LOOK_S), now
        found: list[Stuck] = []
        for section in self.open:
            section.for_s = 0.0 if section.for_s is None else section.for_s + passed_s
            if section.for_s > section.limit_s:
                found.append(Stuck(section.loop, section.what, section.for_s, section.limit_s))
        return tuple(sorted(found, key=lambda one: -one.for_s))


_NOTHING = nullcontext()
SILENT = Pulse().of("")
"""For whoever runs outside of the daemon: nobody asks."""
