"""Plays what a seed comes to, and has it judged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

import anyio
import structlog

from bridge.adapter import Json
from bridge.core.lifecycle import State
from bridge.core.subject import TELEMETRY, cursor_subject
from bridge.engine import sharing, tenancy
from tests.simulation.fate import IDS, NAMES, Deed, Fate, draw
from tests.simulation.judge import final, judge, stored
from tests.simulation.loop import Spinning, outside, play
from tests.simulation.process import Process
from tests.simulation.sender import Sender
from tests.simulation.shop import Shop
from tests.support.memory_leases import Bucket
from tests.support.memory_ledger import MemoryLedger

POLL_S = 2.5
"""Between two looks at a lease that another holds: in place of four a second, which would be most of what is done."""
ALONE_S = 5.0
"""Between two looks of those that share at who is there, in place of one a second."""
SETTLES_S = 2 * 3600.0
"""Once misfortune has ended, all is well after so long: the longest back-off is an hour."""
EVENS_S = 900.0
"""Where sources are shared, sooner: nobody is refused there."""
CATCHES_UP_S = 5.0
"""Who stood still has looked at the clock by then."""
STIRRINGS = 4
"""So often what seemed to have come to rest may stir once more."""


@dataclass(slots=True)
class Outcome:
    """How a story ended. `wrong`: which promises were broken. `digest`: of everything that happened, in order."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    digest: str = ""
    steps: int = 0
    virtual_s: float = 0.0
    crashes: int = 0
    told: list[str] = field(default_factory=list)


class Story:
    """One or several vendors, one ledger, one bucket of leases, and one to three processes."""

    def __init__(self, fate: Fate, *, verbose: bool = False) -> None:
        self.fate = fate
        self.chance = Random(f"story {fate.seed}")
        self.ledger = MemoryLedger()
        self.bucket = Bucket(expires=True)
        self.quiet = False
        self.crashes = 0
        self.bugs: list[str] = []
        self.told: list[str] = []
        self._verbose = verbose
        self._digest = hashlib.blake2b(digest_size=8)
        self._seq = self._aside_seq = 0
        self.journal_ms: int | None = None
        """Since when the journal is followed: what happened longer before than it is read back is not owed."""
        self.processes = [Process(self, NAMES[number], number) for number in range(fate.processes)]
        self.shops = {name: self._shop(name) for name in fate.names}

    def _shop(self, name: str) -> Shop:
        if not self.fate.pushed:
            return Shop(name, self.fate)
        return Sender(name, self.fate, self.processes, lambda row: stored(self, row))

    def tell(self, who: str, what: str) -> None:
        """One line of the story."""
        at = anyio.current_time()
        self._watch(at)
        self._line(f"{at:10.3f} {who:>4} {what}")

    def _watch(self, at: float) -> None:
        aside = self.ledger.aside
        if self.ledger.last_seq == self._seq and (aside is None or aside.last_seq == self._aside_seq):
            return
        for entry in self.ledger.events_after(self._seq):
            self._line(f"{at:10.3f}      stored {entry.seq} {entry.subject} {entry.data['after']}")
        self._seq = self.ledger.last_seq
        if aside is not None:
            for entry in aside.events_after(self._aside_seq):
                self._line(f"{at:10.3f}      stored aside {entry.seq} {entry.subject}")
            self._aside_seq = aside.last_seq
        if self.journal_ms is None and (cursor := self._journal_cursor()) is not None:
            self.journal_ms = cursor.get("completed_ms")

    def _journal_cursor(self) -> Json:
        if not self.fate.telemetry:
            return self.ledger.cursor(self.fate.names[0], "journal")
        aside = self.ledger.aside
        seq = None if aside is None else aside._last.get(cursor_subject(self.fate.names[0], "journal", TELEMETRY))
        return None if aside is None or seq is None else aside._messages[seq].data

    def _line(self, line: str) -> None:
        self._digest.update(line.encode())
        if self._verbose:
            self.told.append(line)

    def trouble(self, process: Process) -> None:
        """A process begins: as much happens to it as the fate says, or nothing any more."""
        fate, wire, line = self.fate, process.wire, process.line
        quiet = self.quiet
        wire.slow_s, wire.doubt, wire.dies = (0.0, 0, 0) if quiet else (fate.wire_slow_s, fate.doubt, fate.dies)
        wire.faults = fate.faults
        line.slow_s, line.faulty = (0.0, 0) if quiet else (fate.slow_s, fate.faulty)

    def works(self, process: Process, name: str) -> None:
        """A process asks the vendor of a source: its lease may be another's by then, but not for longer than it lasts
        and not where the process has gone on for a while since it stood still.
        """
        fate, now = self.fate, anyio.current_time()
        if fate.processes < 2 or now < process.woken_at + CATCHES_UP_S:
            return
        for at, source, holder in reversed(self.bucket.history):
            if source == name:
                if holder not in ("", process.name) and now > at + fate.lease_s + CATCHES_UP_S:
                    self.bugs.append(f"{process.name} works for {name}, which {holder} has had since {at:.1f}")
                return

    # --- what happens ---

    async def play(self) -> Outcome:
        """From the beginning until all is judged."""
        fate = self.fate
        for shop in self.shops.values():
            for id_ in self.chance.sample(IDS, 3):
                shop.put(id_, "0")
        for process in self.processes:
            process.start()
        for deed in fate.deeds:
            await asyncio.sleep(max(0.0, deed.at - anyio.current_time()))
            self.do(deed)
        self.quiet = True
        self.tell("", "nothing bad happens any more")
        for shop in self.shops.values():
            shop.pushes.lossy = False
        self.ledger.come_back()
        for process in self.processes:
            process.leases.cut = False
            if process.life is not None:
                process.life.dies_at = 0
                process.wake()
            self.trouble(process)
        wrong = await self._settle()
        wrong += judge(self)
        wrong += [f"bug: {bug}" for bug in self.bugs]
        self.tell("", "the end")
        loop = asyncio.get_running_loop()
        steps = getattr(loop, "steps", 0)
        return Outcome(fate.seed, wrong, self._digest.hexdigest(), steps, anyio.current_time(), self.crashes, self.told)

    async def _settle(self) -> list[str]:
        """Wait until all is well, and a pass longer: what the stream has lost is noticed at the next write."""
        begun, step_s = anyio.current_time(), 1.0
        ends = begun + (EVENS_S if self.fate.shared else SETTLES_S)
        for _ in range(STIRRINGS):
            while (still := self.unsettled()) and anyio.current_time() < ends:
                await asyncio.sleep(step_s)
                step_s = min(5.0 if anyio.current_time() < begun + 120.0 else 30.0, step_s * 1.3)
            if still:
                return [f"does not come to rest within {ends - begun:.0f} s: {still}"]
            before = self.ledger.last_seq
            await asyncio.sleep(1.2 * self.fate.longest_s)
            new = [entry.subject for entry in self.ledger.events_after(before)]
            if not new and not self.unsettled():
                return []
        return [f"nothing happens at the vendor, and yet something is told: {new}, or undone: {self.unsettled()}"]

    def unsettled(self) -> str:
        """What is missing until all is well; "" when it is."""
        fate = self.fate
        states = [process.states() for process in self.processes]
        for name in fate.names:
            live = [one[name] for one in states if name in one].count(State.LIVE)
            if live != (fate.processes if fate.pushed else 1):
                return f"source {name} is {[str(one.get(name)) for one in states]}"
        if fate.shared and (uneven := self._uneven()):
            return uneven
        for shop in self.shops.values():
            if missing := shop.settled or final(self, shop):
                return missing
        return ""

    def _uneven(self) -> str:
        counts = Counter(self.bucket.owner(name) for name in self.fate.names)
        held = [counts[process.name] for process in self.processes]
        return f"they hold {held} sources" if max(held) - min(held) > 1 else ""

    def do(self, deed: Deed) -> None:
        """One deed."""
        self.tell("*", str(deed))
        shop = self.shops[self.fate.names[deed.where]]
        if deed.what in ("put", "late", "tie"):
            known = shop.things.get(deed.who)
            if known is None or known.value != deed.value:
                shop.put(deed.who, deed.value, position={"late": 1, "tie": 5}.get(deed.what))
            return
        what: dict[str, Callable[[], object]] = {
            "drop": lambda: shop.drop(deed.who),
            "happen": lambda: shop.happen(round(deed.how * 1000)),
            "hang up": shop.hang_up,
            "cut": self._cut,
            "lose": self._lose,
            "revoke": shop.revoke,
            "load": lambda: shop.load(deed.how),
            "hide": lambda: shop.hide(deed.who, deed.how),
            "away": lambda: self._away(deed.how),
            "lapse": lambda: self.bucket.store(shop.name, None),
        }
        if deed.what in what:
            what[deed.what]()
            return
        process = self.processes[NAMES.index(deed.who)]
        life = process.life
        if life is None or life.dead:
            return
        if deed.what == "kill":
            life.doom(round(deed.how))
        elif deed.what == "stop":
            process.stop()
        elif deed.what == "still":
            life.sleep()
            self._later(deed.how, process.wake)
        elif deed.what == "astray":
            leases = process.leases
            leases.cut = True
            self._later(deed.how, lambda: setattr(leases, "cut", False))
        else:
            raise AssertionError(deed.what)

    def _lose(self) -> None:
        self.ledger.lose_tail(max(0, self.ledger.last_seq - self.chance.randrange(1, 6)), as_it_was=True)
        if self._journal_cursor() is None:
            # What has lost its only cursor is followed anew: nobody knows any more that it was.
            self.journal_ms = None

    def _cut(self) -> None:
        self.ledger.drop_connection()
        if self.ledger.aside is not None:
            self.ledger.aside.drop_connection()

    def _away(self, seconds: float) -> None:
        self.ledger.go_away()
        self._later(seconds, self.ledger.come_back)

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(seconds, what, context=outside())


def hush() -> None:
    """Log nothing but what is critical: writing costs more than all the rest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def tell(seed: int, *, verbose: bool = False) -> Outcome:
    """Play one seed."""
    fate = draw(seed)
    story: list[Story] = []

    async def main() -> Outcome:
        story.append(Story(fate, verbose=verbose))
        return await story[0].play()

    with (
        patch.object(tenancy, "POLL_S", POLL_S),
        patch.object(sharing, "POLL_S", POLL_S),
        patch.object(sharing, "ALONE_S", ALONE_S),
    ):
        try:
            return play(main, Random(f"order {seed}") if fate.shuffled else None)
        except Spinning as error:
            return Outcome(seed, [f"spins: {error}"], told=story[0].told)
