"""Shares the sources with the other instances: says how many we hold, takes our share, gives back what is above it.

`Ground` knows what lies in the bucket; this decides by it what to take and what to give, and keeps our place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from bridge.engine.place import Place, join
from bridge.engine.ports import Leases, Wall

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
FIRST_TAKES, MORE_TAKES, MOST_TAKES = 10, 2, 50
"""Sources that are taken at first, by how many more a quarter of a second later, and at most: each has much to do when
it begins, and whoever has begun too many does not get to say that it lives."""
SLOW_S = 0.25
"""A look that takes longer tells that there is too much to do: half as many are taken next."""
GIVES = 2
"""Sources that are given back at one look, at most."""
ON_THE_WAY = 8
"""Sources between two holders at a time, of those that we give back."""
GIVEN_S = 60.0
"""One that nobody was seen to take counts as such no longer than this."""
KEPT_S = 600.0
"""One that nobody took in turn is not given back for so long."""
OFFERED_S = 3.0
MOST_OFFERS = 200
RENEWED_PER_S = 30.0
"""Leases that are renewed in a second, in the long run: whoever holds many has them last longer. It is the place that
tells whether we live, and how long it lasts does not depend on how many they are."""

log = structlog.get_logger()


class Recallable(Protocol):
    """A lease that is held."""

    def recall(self, reason: str) -> None:
        """It is to be given back, if it is held still. Returns at once."""
        ...


class _Wait:
    def __init__(self, held: Callable[[str], None]) -> None:
        self.held = held
        self.done = anyio.Event()
        self.found: tuple[Seen, Verdict] | None = None
        self.error: BridgeError | None = None


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
        self._waits: dict[str, _Wait] = {}
        self._claiming = set[str]()
        self._held: dict[str, Recallable] = {}
        self._given: dict[str, float] = {}
        self._kept: dict[str, float] = {}
        self._free, self._progress_at = 0, 0.0
        self._offers: dict[str, float] = {}
        self._free_from = 0.0
        self._takes = FIRST_TAKES
        self._next_take = 0.0
        self._woken = anyio.Event()
        self._dirty = anyio.Event()
        self.place: Place | None = None
        self.on = False

    # What the office asks and tells.

    def shares(self, source: str) -> bool:
        """Whether this source is taken by turns."""
        return self.on and source in self._names

    def roster(self, names: Iterable[str]) -> None:
        """These are the sources we are configured with."""
        self._names = frozenset(names)
        self._digest = fairness.digest(self._names)
        self._changed()

    async def turn(self, source: str, held: Callable[[str], None]) -> tuple[Seen, Verdict] | None:
        """Wait until the source is ours to claim, and what lies there. `claimed` must follow. Raises Away.

        None: nobody shares any more.
        """
        wait = self._waits[source] = _Wait(held)
        self._ground.ask(source)
        self._changed()
        try:
            await wait.done.wait()
        except BaseException:
            self._claiming.discard(source)
            raise
        finally:
            if self._waits.get(source) is wait:
                del self._waits[source]
        if wait.error is not None:
            raise wait.error
        return wait.found

    def claimed(self, source: str, lease: Recallable | None) -> None:
        """What came of it; None: somebody was faster."""
        self._claiming.discard(source)
        if lease is not None:
            self._held[source] = lease
            self._given.pop(source, None)
        self._changed()

    def dropped(self, source: str) -> None:
        """The lease is ours no more."""
        if self._held.pop(source, None) is not None:
            self._offers[source] = self._clock()
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
        for wait in list(self._waits.values()):
            wait.done.set()

    async def _serve(self) -> None:
        while True:
            try:
                self._ground = Ground(self._me, self._lease_s, self._alive)
                for source in self._waits:
                    self._ground.ask(source)
                self.place = await join(
                    self._leases, self._me, self._ground.attendance, self._member(),
                    lease_s=self._lease_s, wall=self._wall, clock=self._clock, alive=self._alive,
                )  # fmt: skip
                if self.place is None:
                    log.warning("sharing.full", places=len(PLACES), advice="it only takes what nobody else holds")
                    self._stop()
                    return
                log.info("sharing.joined", place=self.place.name)
                self._free_from = self._clock() + self.roll() * JITTER_S
                await self._attend(self.place)
                log.warning("sharing.lost", place=self.place.name, reason=self.place.lost)
            except Away as error:
                self._fail(error)
                await anyio.sleep(AGAIN_S)
            except BridgeError as error:
                # What only an operator can change: whoever wants a source says so, and ends or waits.
                self._fail(error)
                await anyio.sleep(BUG_S)
            except Exception:
                log.exception("sharing.bug", advice="please report this")
                await anyio.sleep(BUG_S)
            finally:
                self._lose()

    def _fail(self, error: BridgeError) -> None:
        for wait in list(self._waits.values()):
            if not wait.done.is_set():
                wait.error = error
                wait.done.set()

    def _lose(self) -> None:
        """Every lease ends with the place."""
        if self.place is not None and self.place.over(self._clock()):
            for lease in list(self._held.values()):
                lease.recall("the place of this instance was lost")

    async def _attend(self, place: Place) -> None:
        """Returns once the place is lost."""
        async with anyio.create_task_group() as group:
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
        now = self._clock()
        self._offers = {name: at for name, at in self._offers.items() if now - at < OFFERED_S}
        offers = list(self._offers)[-MOST_OFFERS:]
        return Member(self._digest, len(self._held) + len(self._claiming), len(self._waits), tuple(offers))

    async def _look_around(self, place: Place) -> None:
        while True:
            self._woken = anyio.Event()
            try:
                await self._look(place)
                self._settle(place)
                await anyio.sleep(DIRTY_S)
                with anyio.move_on_after(POLL_S if self._waits else ALONE_S):
                    await self._woken.wait()
            except Away:
                # Those who wait need not know: if it lasts, the place is lost.
                self._takes = max(1, self._takes // 2)
                await anyio.sleep(AGAIN_S)

    async def _look(self, place: Place) -> None:
        ground = self._ground
        start = self._clock()
        ground.places(await self._leases.look(PLACES), self._clock(), self._digest)
        if self._clock() - start > SLOW_S:
            self._takes = max(1, self._takes // 2)
        for name, seq in ground.attendance.silent(self._clock(), but=place.name):
            # Refused where it was renewed meanwhile, whatever a replica that lags has told us.
            if await self._leases.drop(name, seq):
                log.warning("sharing.cleared", place=name, advice="see why the instance there has not renewed it")
        waiting = [name for name in self._waits if name not in self._claiming]
        names = ground.wanted(waiting, self._given.keys(), self._clock())
        if names:
            found = await self._leases.look(names)
            ground.sources({name: found.get(name, Seen()) for name in names}, self._clock(), place.name)

    def _settle(self, place: Place) -> None:
        """Take and give by what is known now."""
        now, ground = self._clock(), self._ground
        pause = now < self._next_take
        if not pause:
            self._begin(ground.own)
        for name, told in ground.news():
            if (wait := self._waits.get(name)) is not None and not wait.done.is_set():
                wait.held(told)
        if pause or now < self._free_from:
            return
        for name, at in list(self._given.items()):
            if name not in self._held and (ground.verdict(name) is Verdict.TAKEN or now - at > GIVEN_S):
                del self._given[name]
        waiting = [name for name in self._waits if name not in self._claiming]
        loads = {name: Load(member.holds, member.waits) for name, member in ground.members.items()}
        loads[place.name] = Load(len(self._held) + len(self._claiming), len(waiting))
        names = sorted(loads)
        total = len(self._names) - ground.foreign(waiting)
        targets = dict(zip(names, fairness.shares(total, [loads[name] for name in names]), strict=True))
        room = {name: targets[name] - loads[name].held for name in names}
        self._take(room, place.name, now)
        if room[place.name] < 0 and any(lacks > 0 for lacks in room.values()):
            self._give(-room[place.name], place.name, now)

    def _take(self, room: Mapping[str, int], me: str, now: float) -> None:
        free = [name for name in self._ground.free() if name in self._waits and name not in self._claiming]
        taker = fairness.dealt((name for name in free if name not in self._given), room)
        mine = [name for name in free if taker.get(name) == me]
        if len(free) < self._free:
            self._progress_at = now
        self._free = len(free)
        if not mine and now - self._progress_at >= self._lease_s:
            # Whoever was to take them does not: better some too many here than some that nobody reads.
            mine = [name for name in free if self._ground.free_s(name, now) >= self._lease_s][: self._takes]
            self._kept |= dict.fromkeys(mine, now)
        self._begin(mine)

    def _begin(self, names: Sequence[str]) -> None:
        """It is the turn of these, as far as we can begin with them now; of the others a moment later."""
        waits = [(name, self._waits[name]) for name in names if name in self._waits]
        waits = [(name, wait) for name, wait in waits if not wait.done.is_set()][: self._takes]
        for name, wait in waits:
            wait.found = self._ground.found(name)
            self._claiming.add(name)
            self._given.pop(name, None)
            wait.done.set()
        if waits:
            self._next_take = self._clock() + POLL_S
            self._takes = min(MOST_TAKES, self._takes + MORE_TAKES)

    def _give(self, surplus: int, me: str, now: float) -> None:
        count = min(surplus - len(self._given.keys() & self._held.keys()), GIVES, ON_THE_WAY - len(self._given))
        self._kept = {name: at for name, at in self._kept.items() if now - at < KEPT_S}
        spare = [name for name in self._held if name not in self._given and name not in self._kept]
        for name in fairness.spared(spare, me, count):
            self._given[name] = now
            log.info("lease.given", source=name, holds=len(self._held), surplus=surplus)
            self._held[name].recall("another instance is to work for it, so that all have about as many")
