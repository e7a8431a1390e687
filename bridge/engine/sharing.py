"""Shares the sources with the other instances: says how many we hold, takes our share, gives back what is above it.

`Ground` knows what lies in the bucket; this decides by it what to take and what to give, and keeps our place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import anyio
import structlog
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from bridge.core import fairness
from bridge.core.errors import Away, BridgeError
from bridge.core.fairness import Load
from bridge.core.lease import RENEWALS, Seen, Tenant, Verdict
from bridge.core.member import PLACES, Member
from bridge.engine.ground import Ground
from bridge.engine.groups import task_group
from bridge.engine.place import Place, join
from bridge.engine.ports import Leases, Wall
from bridge.engine.ramp import Ramp
from bridge.engine.surplus import Surplus
from bridge.engine.turns import Found, Turns

POLL_S = 0.25
"""Between two looks at the places while sources are waited for: a release is noticed after half of it on average."""
ALONE_S = 1.0
"""The same while nothing is waited for."""
JITTER_S = 0.2
"""Before the first free source is taken, at most: instances that start together then know of each other."""
AGAIN_S = 0.2
"""Between attempts while NATS does not answer."""
BUG_S = 5.0
DIRTY_S = 0.1
"""Nothing is looked at or told more often than this."""
RENEWED_PER_S = 30.0
"""Leases that are renewed in a second, in the long run: whoever holds many has them last longer. It is the place that
tells whether we live, and how long it lasts does not depend on how many they are."""

log = structlog.get_logger()


class Recallable(Protocol):
    """A lease that is held."""

    def recall(self, reason: str) -> None:
        """It is to be given back, if it is held still. Returns at once."""
        ...

    def settle(self, place: Place) -> None:
        """Taken while there was no place for us, it is to end with this one. Does nothing where it has one already."""
        ...

    def forsake(self, place: Place, reason: str) -> None:
        """That place is lost. It is given back where its claim names the place: the others take it as free by now."""
        ...


class Sharing:
    """One per process. `roster` says what to share; `run` does it. Until it runs, and where there is no place for us,
    it is not `on`, and leases are taken as if nobody shared.
    """

    def __init__(
        self,
        leases: Leases,
        me: Tenant,
        *,
        lease_s: float,
        wall: Wall,
        roll: Callable[[], float],
        alive: Callable[[Tenant], bool],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """As of a `LeaseOffice`."""
        self._leases = leases
        self._me = me
        self._lease_s = lease_s
        self._wall = wall
        self.roll = roll
        self._alive = alive
        self._clock = clock
        self._ground = Ground(me, lease_s, alive)
        self._names: frozenset[str] = frozenset()
        self._digest = fairness.digest(())
        self._turns = Turns()
        self._held: dict[str, Recallable] = {}
        self._surplus = Surplus()
        self._ramp = Ramp()
        self._free, self._progress_at = 0, 0.0
        self._free_from = 0.0
        self._full = False
        self._woken = anyio.Event()
        self._dirty = anyio.Event()
        self.place: Place | None = None
        self.on = False

    # What the office asks and tells.

    def shares(self, source: str) -> bool:
        """Whether this source is taken by turns."""
        return self.on and source in self._names

    def lists(self, source: str) -> bool:
        """Whether it is one of those that are shared, if we do share."""
        return source in self._names

    def roster(self, names: Iterable[str], fixed: Collection[str] = ()) -> None:
        """These are the sources we are configured with. `fixed`: those that whoever has them keeps while it is there,
        as a handover loses something of them; how many the others have is made even without them.
        """
        self._names = frozenset(names)
        self._surplus.fixed = self._names.intersection(fixed)
        self._digest = fairness.digest(self._names)
        self._changed()

    async def turn(self, source: str, held: Callable[[str], None]) -> Found | None:
        """Wait until the source is ours to claim, and what lies there. `claimed` must follow. Raises Away.

        None: nobody shares any more.
        """

        def asked() -> None:
            self._ground.ask(source)
            self._changed()

        return await self._turns.wait(source, held, asked)

    def claimed(self, source: str, lease: Recallable | None) -> None:
        """What came of it; None: somebody was faster."""
        self._turns.claiming.discard(source)
        if lease is not None:
            self._held[source] = lease
            self._surplus.given.pop(source, None)
            if self.place is not None:
                lease.settle(self.place)
        self._changed()

    def dropped(self, source: str) -> None:
        """The lease is ours no more."""
        if self._held.pop(source, None) is not None:
            self._surplus.dropped(source, self._clock())
            self._changed()

    @property
    def lease_s(self) -> float:
        """How long a lease that is claimed or renewed now is to last."""
        return max(self._lease_s, RENEWALS * len(self._held) / RENEWED_PER_S)

    def _changed(self) -> None:
        self._woken.set()
        self._dirty.set()

    async def run(self, over: anyio.Event, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Share until `over` is set: by then every lease has been given back. Cancelled, it goes on till then."""
        self.on = True
        task_status.started()
        try:
            with anyio.CancelScope(shield=True) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._serve)
                    await over.wait()
                    scope.cancel()
        finally:
            self._stop()
            if self.place is not None:
                await self.place.leave()

    def _stop(self) -> None:
        self.on = False
        self._turns.stop()

    async def _serve(self) -> None:
        while True:
            try:
                self._ground = Ground(self._me, self._lease_s, self._alive)
                for source in self._turns.names:
                    self._ground.ask(source)
                self.place = await join(
                    self._leases, self._me, self._ground.attendance, self._member(),
                    lease_s=self._lease_s, wall=self._wall, clock=self._clock, alive=self._alive,
                )  # fmt: skip
                if self.place is None:
                    self._stand_by()
                    await anyio.sleep(self._lease_s)
                    continue
                log.info("sharing.joined", place=self.place.name)
                self.on, self._full = True, False
                for lease in list(self._held.values()):
                    lease.settle(self.place)
                self._free_from = self._clock() + self.roll() * JITTER_S
                await self._attend(self.place)
                log.warning("sharing.lost", place=self.place.name, reason=self.place.lost)
            except Away as error:
                self._turns.fail(error)
                await anyio.sleep(AGAIN_S)
            except BridgeError as error:
                # What only an operator can change: whoever wants a source says so, and ends or waits.
                self._turns.fail(error)
                await anyio.sleep(BUG_S)
            except Exception:
                log.exception("sharing.bug", advice="please report this")
                await anyio.sleep(BUG_S)
            finally:
                self._lose()

    def _stand_by(self) -> None:
        """There is no place for us now: nobody waits for a turn."""
        if not self._full:
            log.warning(
                "sharing.full", places=len(PLACES), again_every_s=self._lease_s,
                advice="it only takes what nobody else holds",
            )  # fmt: skip
        self._full = True
        self._stop()

    def _lose(self) -> None:
        """Every lease whose claim names the place ends with it."""
        if self.place is not None and self.place.over(self._clock()):
            for lease in list(self._held.values()):
                lease.forsake(self.place, "the place of this instance was lost")

    async def _attend(self, place: Place) -> None:
        """Returns once the place is lost. Raises what `Leases` raises, but for Away."""
        async with task_group() as group:
            group.start_soon(self._look_around, place)
            group.start_soon(self._renew, place)
            while not place.over(self._clock()):
                with anyio.move_on_after(max(0.01, place.term.ends - self._clock())):
                    await anyio.sleep(POLL_S)
            group.cancel_scope.cancel()

    async def _renew(self, place: Place) -> None:
        while True:
            with anyio.move_on_after(max(0.0, place.term.due - self._clock())):
                await self._dirty.wait()
            self._dirty = anyio.Event()
            try:
                await place.renew(self._member(), self._clock)
                await anyio.sleep(min(DIRTY_S, self._lease_s / 10))
            except Away:
                self._dirty.set()
                await anyio.sleep(AGAIN_S)

    def _member(self) -> Member:
        offers, load = self._surplus.offers(self._clock()), self._load(len(self._turns))
        return Member(self._digest, load.held, load.waiting, offers, load.fixed)

    def _load(self, waiting: int) -> Load:
        holds = self._held.keys() | self._turns.claiming
        return Load(len(holds), waiting, len(holds & self._surplus.fixed))

    async def _look_around(self, place: Place) -> None:
        while True:
            self._woken = anyio.Event()
            try:
                await self._look(place)
                self._settle(place)
                await anyio.sleep(DIRTY_S)
                with anyio.move_on_after(POLL_S if len(self._turns) else ALONE_S):
                    await self._woken.wait()
            except Away:
                # Those who wait need not know: if it lasts, the place is lost.
                self._ramp.looked(math.inf, alone=self._alone(place))
                await anyio.sleep(AGAIN_S)

    def _alone(self, place: Place) -> bool:
        return not self._ground.members.keys() - {place.name}

    async def _look(self, place: Place) -> None:
        ground = self._ground
        start = self._clock()
        ground.places(await self._leases.look(PLACES), self._clock(), self._digest)
        self._ramp.looked(self._clock() - start, alone=self._alone(place))
        for name, seq in ground.attendance.silent(self._clock(), but=place.name):
            # Refused where it was renewed meanwhile, whatever a replica that lags has told us.
            if await self._leases.drop(name, seq):
                log.warning("sharing.cleared", place=name, advice="see why the instance there has not renewed it")
        names = ground.wanted(self._turns.waiting, self._surplus.given.keys(), self._clock())
        if names:
            try:
                found = await self._leases.look(names)
            except Away:
                ground.missed()
                raise
            ground.sources({name: found.get(name, Seen()) for name in names}, self._clock(), place.name)

    def _settle(self, place: Place) -> None:
        """Take and give by what is known now."""
        now, ground = self._clock(), self._ground
        pause = self._ramp.rests(now)
        if not pause:
            self._begin(ground.own)
        for name, told in ground.news():
            self._turns.tell(name, told)
        if pause or now < self._free_from:
            return
        self._surplus.arrived(lambda name: ground.verdict(name) is Verdict.TAKEN, self._held, now)
        waiting = self._turns.waiting
        loads = {name: Load(member.holds, member.waits, member.fixed) for name, member in ground.members.items()}
        loads[place.name] = self._load(len(waiting))
        names = sorted(loads)
        total = len(self._names) - ground.foreign(waiting)
        targets = dict(zip(names, fairness.shares(total, [loads[name] for name in names]), strict=True))
        room = {name: targets[name] - loads[name].held for name in names}
        self._take(room, place.name, now)
        if room[place.name] < 0 and any(lacks > 0 for lacks in room.values()):
            self._give(-room[place.name], place.name, now)

    def _take(self, room: Mapping[str, int], me: str, now: float) -> None:
        free = [name for name in self._ground.free() if name in self._turns and name not in self._turns.claiming]
        taker = fairness.dealt((name for name in free if name not in self._surplus.given), room)
        mine = [name for name in free if taker.get(name) == me]
        if len(free) < self._free:
            self._progress_at = now
        self._free = len(free)
        if not mine and now - self._progress_at >= self._lease_s:
            # Whoever was to take them does not: better some too many here than some that nobody reads.
            mine = [name for name in free if self._ground.free_s(name, now) >= self._lease_s][: self._ramp.count]
            self._surplus.keep(mine, now)
        self._begin(mine)

    def _begin(self, names: Sequence[str]) -> None:
        """It is the turn of these, as far as we can begin with them now; of the others a moment later."""
        begun = self._turns.open(names)[: self._ramp.count]
        for name in begun:
            self._turns.begin(name, self._ground.found(name))
            self._surplus.given.pop(name, None)
        if begun:
            self._ramp.took(self._clock())

    def _give(self, surplus: int, me: str, now: float) -> None:
        for name in self._surplus.give(self._held, surplus, me, now):
            log.info("lease.given", source=name, holds=len(self._held), surplus=surplus)
            self._held[name].recall("another instance is to work for it, so that all have about as many")
