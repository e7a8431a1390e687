"""Plays what a seed comes to, and has it judged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import anyio
import structlog

from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine import tenancy
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from bridge.engine.tenancy import Freehold, LeaseOffice
from tests.simulation.fate import Deed, Fate, draw
from tests.simulation.judge import final, judge
from tests.simulation.loop import LIFE, Life, Spinning, outside, play
from tests.simulation.shop import Line, Pushes, Shop, ShopAdapter, ShopSettings
from tests.simulation.wire import Wire, WiredLeases, WiredLedger
from tests.support.memory_leases import Bucket, MemoryLeases, tenant
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import wall

SOURCE = "acme"
POLL_S = 1.0
"""Between two looks at a lease that another holds: in place of four a second, which would be most of what is done."""
SETTLES_S = 2 * 3600.0
"""Once misfortune has ended, all is well after so long: the longest back-off is an hour."""


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


class Process:
    """One instance: when it dies it is started again."""

    def __init__(self, story: Story, name: str, number: int) -> None:
        self.story = story
        self.name = name
        self.skew_ms = story.fate.skew_ms[number]
        self.lives = 0
        self.life: Life | None = None
        self.runner: Runner | None = None
        self.wire: Wire
        self.line: Line
        self.leases: MemoryLeases

    def start(self) -> None:
        """A new life, in a context of its own."""
        story = self.story
        self.lives += 1
        life = self.life = Life(f"{self.name}{self.lives}")
        story.tell(life.name, "starts")
        self.wire = Wire(life, Random(f"wire {story.fate.seed} {life.name}"), lambda what: story.tell(life.name, what))
        self.line = Line(story.shop, self.wire)
        self.leases = MemoryLeases(story.bucket)
        story.trouble(self)
        life.ends = self._ended
        context = outside()
        context.run(LIFE.set, life)
        context.run(asyncio.ensure_future, self._live(life))

    def stop(self) -> None:
        """SIGTERM: it may clean up. It is started again soon."""
        if self.life is not None and not self.life.dead:
            self.story.tell(self.life.name, "is told to stop")
            self.life.wake()
            self.life.scope.cancel()

    def _ended(self) -> None:
        assert self.life is not None
        self.story.crashes += 1
        self.story.tell(self.life.name, "dies")

    async def _live(self, life: Life) -> None:
        story = self.story
        try:
            with life.scope:
                self.runner = story.runner(self, life)
                await self.runner.run()
        except asyncio.CancelledError:
            # The story is over.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a bug
            if not life.dead:
                story.bugs.append("".join(traceback.format_exception(error)))
            story.tell(life.name, f"fails: {error!r}")
        life.dead = True
        if self.runner is not None:
            self.runner = None
        pause_s = story.chance.choice([0.05, 1.0, 10.0])
        asyncio.get_running_loop().call_later(pause_s, self.start, context=outside())


class Story:
    """One vendor, one ledger, one bucket of leases, and one or two processes."""

    def __init__(self, fate: Fate, *, verbose: bool = False) -> None:
        self.fate = fate
        self.chance = Random(f"story {fate.seed}")
        self.shop = Shop()
        self.shop.offset = fate.offset
        self.shop.token_life_s = fate.token_life_s
        self.pushes = Pushes(Random(f"push {fate.seed}"), reorders=fate.versioned)
        self.pushes.lossy = fate.lossy
        self.shop.push = self.pushes
        self.ledger = MemoryLedger()
        self.bucket = Bucket(expires=True)
        self.quiet = False
        self.crashes = 0
        self.bugs: list[str] = []
        self.told: list[str] = []
        self._verbose = verbose
        self._digest = hashlib.blake2b(digest_size=8)
        self._seq = 0
        self.journal_ms: int | None = None
        """Since when the journal is followed: what happened longer before than it is read back is not owed."""
        self.processes = [Process(self, "AB"[number], number) for number in range(fate.processes)]

    def tell(self, who: str, what: str) -> None:
        """One line of the story."""
        at = anyio.current_time()
        self._watch(at)
        self._line(f"{at:10.3f} {who:>4} {what}")

    def _watch(self, at: float) -> None:
        if self.ledger.last_seq == self._seq:
            return
        for entry in self.ledger.events_after(self._seq):
            after = entry.data["after"]
            self._line(f"{at:10.3f}      stored {entry.seq} {entry.subject} {after}")
        self._seq = self.ledger.last_seq
        if self.journal_ms is None and (cursor := self.ledger.cursor(SOURCE, "journal")) is not None:
            self.journal_ms = cursor.get("completed_ms")

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

    def runner(self, process: Process, life: Life) -> Runner:
        """What a process runs."""
        fate = self.fate
        chance = Random(f"roll {fate.seed} {life.name}")
        settings = ShopSettings(
            name=SOURCE, adapter="sim", page_size=fate.page_size, every_s=fate.every_s, versioned=fate.versioned,
            deletes=fate.deletes, slow_walk=fate.slow_walk, journal_every_s=fate.journal_every_s,
            reach_s=fate.reach_s, overlap_s=fate.overlap_s, delete_brake_count=1000,
        )  # fmt: skip

        def clock() -> int:
            return wall() + process.skew_ms

        tenancies: Freehold | LeaseOffice = Freehold()
        if fate.processes > 1:
            me = tenant(process.name, pid=process.lives, started=process.lives, place=process.name)
            leases = WiredLeases(process.leases, process.wire)
            tenancies = LeaseOffice(
                leases, me, lease_s=fate.lease_s, wall=clock, roll=chance.random, alive=lambda other: False
            )
        world = World(
            ledger=WiredLedger(self.ledger, process.wire), http=process.line, quotas=Quotas(), encode=encode,
            wall=clock, roll=chance.random, masker=Masker(), owner={"instance": process.name}, tenancies=tenancies,
        )  # fmt: skip
        return Runner(Source(ShopAdapter(settings), self.shop.feed if fate.live else None), world)

    # --- what happens ---

    async def play(self) -> Outcome:
        """From the beginning until all is judged."""
        fate = self.fate
        for id_ in self.chance.sample("abcdefg", 3):
            self.shop.put(id_, "0")
        for process in self.processes:
            process.start()
        for deed in fate.deeds:
            await asyncio.sleep(max(0.0, deed.at - anyio.current_time()))
            self.do(deed)
        self.quiet = True
        self.tell("", "nothing bad happens any more")
        self.pushes.lossy = False
        self.ledger.come_back()
        for process in self.processes:
            process.leases.cut = False
            if process.life is not None:
                process.life.dies_at = 0
                process.life.wake()
            self.trouble(process)
        wrong = await self._settle()
        if not wrong:
            wrong = await self._rest()
        wrong += judge(self)
        wrong += [f"bug: {bug}" for bug in self.bugs]
        self.tell("", "the end")
        loop = asyncio.get_running_loop()
        steps = getattr(loop, "steps", 0)
        return Outcome(fate.seed, wrong, self._digest.hexdigest(), steps, anyio.current_time(), self.crashes, self.told)

    async def _settle(self) -> list[str]:
        # What the stream has lost is noticed at the next write.
        await asyncio.sleep(1.2 * max(self.fate.every_s, self.fate.journal_every_s))
        step_s = 1.0
        ends = anyio.current_time() + SETTLES_S
        while (still := self.unsettled()) and anyio.current_time() < ends:
            await asyncio.sleep(step_s)
            step_s = min(30.0, step_s * 1.5)
        return [f"does not come to rest within {SETTLES_S:.0f} s: {still}"] if still else []

    async def _rest(self) -> list[str]:
        before = self.ledger.last_seq
        await asyncio.sleep(2.5 * max(self.fate.every_s, self.fate.journal_every_s))
        new = [entry.subject for entry in self.ledger.events_after(before)]
        if new:
            return [f"nothing happens at the vendor, and yet something is told: {new}"]
        still = self.unsettled()
        return [f"was settled, and is no more: {still}"] if still else []

    def unsettled(self) -> str:
        """What is missing until all is well; "" when it is."""
        states = [process.runner.status.state for process in self.processes if process.runner is not None]
        if states.count(State.LIVE) != 1:
            return f"the processes are {[str(state) for state in states]}"
        shown = max((shown for _, shown in self.shop.journal.values()), default=0)
        if wall() < shown + 2000 * self.fate.journal_every_s:
            return "the journal has not told everything"
        return final(self)

    def do(self, deed: Deed) -> None:
        """One deed."""
        self.tell("*", str(deed))
        shop, ledger = self.shop, self.ledger
        if deed.what in ("put", "late", "tie"):
            known = shop.things.get(deed.who)
            if known is None or known.value != deed.value:
                shop.put(deed.who, deed.value, position={"late": 1, "tie": 5}.get(deed.what))
            return
        what: dict[str, Callable[[], object]] = {
            "drop": lambda: shop.drop(deed.who),
            "happen": lambda: shop.happen(round(deed.how * 1000)),
            "hang up": shop.hang_up,
            "cut": ledger.drop_connection,
            "lose": lambda: ledger.lose_tail(max(0, ledger.last_seq - self.chance.randrange(1, 6)), as_it_was=True),
            "revoke": shop.revoke,
            "load": lambda: shop.load(deed.how),
            "away": lambda: self._away(deed.how),
        }
        if deed.what in what:
            what[deed.what]()
            return
        process = self.processes["AB".index(deed.who)]
        life = process.life
        if life is None or life.dead:
            return
        if deed.what == "kill":
            life.doom(round(deed.how))
        elif deed.what == "stop":
            process.stop()
        elif deed.what == "still":
            life.sleep()
            self._later(deed.how, life.wake)
        elif deed.what == "astray":
            leases = process.leases
            leases.cut = True
            self._later(deed.how, lambda: setattr(leases, "cut", False))
        elif deed.what == "lapse":
            self.bucket.store(SOURCE, None)
        else:
            raise AssertionError(deed.what)

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

    poll_s, tenancy.POLL_S = tenancy.POLL_S, POLL_S
    try:
        return play(main, Random(f"order {seed}") if fate.shuffled else None)
    except Spinning as error:
        return Outcome(seed, [f"spins: {error}"], told=story[0].told)
    finally:
        tenancy.POLL_S = poll_s
