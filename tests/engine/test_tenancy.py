"""Leases around runners, on a virtual clock: one of several processes works, the others take over in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
import pytest

from bridge.core.errors import Away, Retry
from bridge.core.lease import LeaseLost
from bridge.core.lifecycle import State
from bridge.core.vitals import Vitals
from bridge.engine.ports import Cursor
from bridge.engine.tenancy import Lease, LeasedBook, LeaseOffice, Measure
from bridge.engine.vigil import SessionStatistics
from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_leases import Bucket, MemoryLeases, claim, tenant
from tests.support.sealing import SOURCE, VENDOR, key, sealed

LEASE_S = 10.0
NAME = "acme"


class Process:
    """One daemon: its own way to the bucket, its own runner. Vendor, ledger and bucket are shared by the scene."""

    def __init__(self, scene: Scene, instance: str, pid: int) -> None:
        self.instance = instance
        self.pid = pid
        self.leases = MemoryLeases(scene.bucket)
        self.office = scene.office(self.leases, instance, pid)
        self.bench = Bench(beside=scene.bench, tenancies=self.office, **scene.settings)
        self._scene = scene
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Until killed or stopped."""
        self._scene.pids.add(self.pid)
        with self._scope:
            await self.bench.run()

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more, not even what gives the lease back."""
        self.leases.cut = True
        self._scene.pids.discard(self.pid)
        self._scope.cancel()

    def stop(self) -> None:
        """SIGTERM."""
        self._scene.pids.discard(self.pid)
        self._scope.cancel()

    @property
    def state(self) -> State:
        return self.bench.runner.status.state

    @property
    def stored(self) -> int:
        return self.bench.runner.status.counts.stored


class Scene:
    """What several processes share."""

    def __init__(self, *, expires: bool = True, **settings: Any) -> None:
        self.bucket = Bucket(expires=expires)
        self.settings = settings
        self.bench = Bench(**settings)
        self.vendor = self.bench.vendor
        self.pids: set[int] = set()
        self.make_office = LeaseOffice
        self._group: Any = None
        self._n = 0

    def office(self, leases: MemoryLeases, instance: str, pid: int) -> LeaseOffice:
        return self.make_office(
            leases,
            tenant(instance, pid=pid, started=pid),
            lease_s=LEASE_S,
            wall=sim.wall,
            roll=Random(pid).random,
            alive=lambda other: other.pid in self.pids,
        )

    async def start(self, instance: str) -> Process:
        """A process that has come as far as it comes in a moment."""
        self._n += 1
        process = Process(self, instance, self._n)
        self._group.start_soon(process.run)
        await anyio.sleep(1)
        return process

    def play(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run `script`, then end everything."""

        async def main() -> None:
            async with anyio.create_task_group() as group:
                self._group = group
                await script()
                group.cancel_scope.cancel()

        on_virtual_clock(main)

    async def owned_by(self, instance: str, within_s: float) -> float:
        """Wait until the lease is that instance's; after how many seconds."""
        start = anyio.current_time()
        with anyio.fail_after(within_s):
            while self.bucket.owner(NAME) != instance:  # noqa: ASYNC110 - virtual time costs nothing
                await anyio.sleep(0.05)
        return anyio.current_time() - start

    def changes_of_holder(self) -> list[str]:
        return [instance for _, _, instance in self.bucket.history]


def test_of_two_exactly_one_works() -> None:
    """The second stands by, asks the vendor nothing, opens nothing, announces nothing; the first renews and stays."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        second = await scene.start("south")
        for n in range(2, 40):
            scene.vendor.put("a", str(n))
            await anyio.sleep(25)
            assert (first.state, second.state) == (State.LIVE, State.STANDBY)
        assert second.bench.runner.status.reason == "held by instance north (process 1 on h)"
        assert second.stored == 0
        assert scene.bench.ledger.opened == 1

    scene.play(script)
    assert scene.changes_of_holder() == ["north", ""]
    assert scene.bench.own() == ["source.connected"]
    scene.bench.check()


@pytest.mark.parametrize("expires", [True, False], ids=["by TTL", "by observation only"])
@pytest.mark.parametrize("after_s", [0.0, 0.4, 1.7, 3.2, 5.0])
def test_after_a_crash_another_takes_over_within_the_lease_and_a_second(expires: bool, after_s: float) -> None:
    """Whenever the holder dies, and also where the server removes nothing; and not before its lease has passed."""
    scene = Scene(expires=expires)
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        second = await scene.start("south")
        await anyio.sleep(40 + after_s)
        first.kill()
        scene.vendor.put("a", "2")
        took_s = await scene.owned_by("south", LEASE_S + 1)
        assert took_s >= LEASE_S * 2 / 3 - 0.1
        await anyio.sleep(15)
        assert second.state is State.LIVE

    scene.play(script)
    assert scene.bench.values() == {"a": ["1", "2"]}
    scene.bench.check()


def test_one_that_stops_hands_over_at_once() -> None:
    """SIGTERM gives the lease back: the other has it within half a second."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        await scene.start("south")
        await anyio.sleep(33)
        first.stop()
        assert await scene.owned_by("south", 0.5) <= 0.5
        scene.vendor.put("a", "2")
        await anyio.sleep(15)

    scene.play(script)
    assert scene.changes_of_holder() == ["north", "", "south", ""]
    scene.bench.check()


def test_a_restarted_one_takes_its_own_back_at_once() -> None:
    """The name is the same and the old process is gone: no lease has to run out."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        await anyio.sleep(12)
        first.kill()
        scene.vendor.put("a", "2")
        again = await scene.start("north")
        assert again.state is State.LIVE
        await anyio.sleep(15)

    scene.play(script)
    scene.bench.check()


def test_two_living_namesakes_do_not_fight() -> None:
    """Started twice by mistake under one name: one works, one stands by, and takes over when the first is gone."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        second = await scene.start("north")
        await anyio.sleep(500)
        assert (first.state, second.state) == (State.LIVE, State.STANDBY)
        assert scene.bench.ledger.opened == 1
        first.kill()
        await anyio.sleep(1)
        assert second.state is State.LIVE

    scene.play(script)


class Deaf(LeaseOffice):
    """Leases whose renewal sleeps, as in a process that stands still: nothing but the check before writing is left."""

    deaf = True

    async def take(self, source: str, held: Callable[[str], None], measure: Measure | None = None) -> Lease:
        return DeafLease(await super().take(source, held, measure))


class DeafLease:
    def __init__(self, lease: Lease) -> None:
        self.check = lease.check
        self.release = lease.release

    async def keep(self) -> None:
        await anyio.sleep_forever()


def test_one_that_stood_still_refuses_its_own_next_write() -> None:
    """Its lease has run out unnoticed and another works: it notices before it writes, stores nothing, and stands by."""
    scene = Scene(every_s=60.0)
    scene.vendor.put("a", "1")

    async def script() -> None:
        scene.make_office = Deaf
        first = await scene.start("north")
        scene.make_office = LeaseOffice
        second = await scene.start("south")
        await scene.owned_by("south", 12)
        await anyio.sleep(1)
        assert (first.state, second.state, first.stored) == (State.LIVE, State.LIVE, 2)
        for value in "2345":
            scene.vendor.put("a", value)
            await anyio.sleep(65)
        assert (first.state, second.state, first.stored) == (State.STANDBY, State.LIVE, 2)
        # It has gone on well ever since, and takes over again when it is needed.
        second.kill()
        await scene.owned_by("north", LEASE_S + 1)

    scene.play(script)
    assert scene.bench.values() == {"a": list("12345")}


def test_a_lease_that_cannot_be_renewed_is_given_up_in_time() -> None:
    """Cut off from the bucket alone, the holder stops before anybody may take over, and stands in line again."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        second = await scene.start("south")
        await anyio.sleep(20)
        first.leases.cut = True
        stopped = False
        while scene.bucket.owner(NAME) == "north":
            stopped = stopped or first.state is not State.LIVE
            await anyio.sleep(0.02)
        assert stopped, "it still worked when its lease was over"
        assert first.state is State.AWAY
        await scene.owned_by("south", 1)
        first.leases.cut = False
        await anyio.sleep(30)
        assert (first.state, second.state) == (State.STANDBY, State.LIVE)

    scene.play(script)


def test_short_absences_of_nats_do_not_cost_the_lease() -> None:
    """Away for less than a lease, the source re-opens and stays where it is; longer, whoever is there first has it."""
    scene = Scene()
    scene.vendor.put("a", "1")

    async def script() -> None:
        first = await scene.start("north")
        await scene.start("south")
        for _ in range(5):
            await anyio.sleep(20)
            scene.bench.ledger.go_away()
            first.leases.cut = True
            await anyio.sleep(4)
            scene.bench.ledger.come_back()
            first.leases.cut = False
        await anyio.sleep(20)
        assert first.state is State.LIVE

    scene.play(script)
    assert scene.changes_of_holder() == ["north", ""]


def test_a_lost_answer_is_not_a_lost_lease() -> None:
    """A claim or a renewal that was stored without our hearing of it is found to be ours."""
    scene = Scene()

    async def script() -> None:
        first = Process(scene, "north", 1)
        first.leases.lose_answers = 1
        scene._group.start_soon(first.run)
        await anyio.sleep(3)
        assert first.state is State.LIVE
        for _ in range(20):
            first.leases.lose_answers = 1
            await anyio.sleep(3.7)
        assert first.state is State.LIVE
        assert scene.bench.ledger.opened == 1

    scene.play(script)
    assert scene.changes_of_holder() == ["north", ""]


def test_a_claim_that_somebody_removes_is_noticed() -> None:
    """A claim that is gone or another's at the next renewal is lost; the session ends and the place in line is new."""
    scene = Scene()

    async def script() -> None:
        first = await scene.start("north")
        scene.bucket.store(NAME, claim("hand", lease_s=20.0))
        await anyio.sleep(LEASE_S / 3 + 0.5)
        assert first.bench.runner.status.reason.startswith("held by instance hand")
        states = [first.state]
        await anyio.sleep(21)
        states.append(first.state)
        assert states == [State.STANDBY, State.LIVE]

    scene.play(script)


def test_two_that_start_together_share() -> None:
    """Each takes some of twenty free sources, nobody takes one twice, and looks are shared by all who wait."""
    bucket = Bucket()
    got: dict[str, list[str]] = {"north": [], "south": []}
    clients = {name: MemoryLeases(bucket) for name in got}

    async def take(office: LeaseOffice, instance: str, source: str) -> None:
        await office.take(source, lambda _: None)
        got[instance].append(source)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for n, instance in enumerate(got):
                office = LeaseOffice(
                    clients[instance],
                    tenant(instance, pid=n),
                    lease_s=1000.0,
                    wall=sim.wall,
                    roll=Random(n).random,
                    alive=lambda _: True,
                )
                for source in range(20):
                    group.start_soon(take, office, instance, f"s{source}")
                await anyio.sleep(0.04)
            await anyio.sleep(60)
            group.cancel_scope.cancel()

    on_virtual_clock(main)
    assert sorted(got["north"] + got["south"]) == sorted(f"s{n}" for n in range(20))
    assert min(map(len, got.values())) >= 3
    assert all(client.looks <= 60 / 0.25 + 2 for client in clients.values())


def test_every_write_checks_the_lease_first() -> None:
    """Appending and committing raise before anything is sent; looking is still allowed."""
    bench = Bench()
    leases = MemoryLeases()

    async def main() -> None:
        office = LeaseOffice(leases, tenant("a"), lease_s=10, wall=sim.wall, roll=lambda: 0.0, alive=lambda _: True)
        lease = await office.take(SOURCE, lambda _: None)
        book = LeasedBook(await bench.ledger.open(VENDOR, SOURCE, {}), lease)
        await book.append([sealed(key("1"))])
        await anyio.sleep(9.5)
        with pytest.raises(LeaseLost, match="ran out"):
            await book.append([sealed(key("2"))])
        with pytest.raises(LeaseLost, match="ran out"):
            await book.commit([sealed(key("2"))], "walk", Cursor({}))
        assert await book.head(key("1")) is not None
        assert await book.stored([key("1")]) is not None

    on_virtual_clock(main)
    assert len(bench.ledger.events) == 1


def test_a_released_lease_writes_nothing_more() -> None:
    """After it was given back it does not count any more, and giving it back again, or without NATS, is no error."""
    bucket = Bucket()
    leases = MemoryLeases(bucket)

    async def main() -> None:
        office = LeaseOffice(leases, tenant("a"), lease_s=10, wall=sim.wall, roll=lambda: 0.0, alive=lambda _: True)
        lease = await office.take("s", lambda _: None)
        await lease.release()
        assert bucket.owner("s") == ""
        with pytest.raises(LeaseLost, match="given back"):
            lease.check()
        await lease.release()
        lease = await office.take("s", lambda _: None)
        # A renewal on its way was stored, and nobody heard of it.
        bucket.store("s", bucket.last("s").claim)
        await lease.release()
        assert bucket.owner("s") == ""
        lease = await office.take("s", lambda _: None)
        leases.cut = True
        await lease.release()
        assert bucket.owner("s") == "a"
        with pytest.raises(Away):
            await office.take("s", lambda _: None)

    on_virtual_clock(main)


def test_told_to_stop_while_claiming_it_still_gives_back() -> None:
    """A claim that was on its way when we were told to stop is not left behind."""
    scene = Scene()

    async def script() -> None:
        process = Process(scene, "north", 1)
        process.leases.on_write = process.stop
        await process.run()
        assert scene.bucket.owner(NAME) == ""
        assert scene.changes_of_holder() == ["north", ""]

    scene.play(script)


def test_a_renewal_tells_what_the_live_session_measures() -> None:
    """Moments are those of the wall clock, as of that very renewal; a session that is down is not called open."""
    scene = Scene(live=True)
    seen: list[Vitals | None] = []

    def refuse(step: str) -> None:
        if step == "connect":
            raise Retry("down")

    async def script() -> None:
        process = Process(scene, "north", 1)
        session = process.bench.session = SessionStatistics(sessions=2, frames=1234, odd=3, acks=7)
        session.beat_interval_s, session.beat_timeout_s, session.round_trip_s = 25.0, 20.0, 0.0123456
        scene._group.start_soon(process.run)
        await anyio.sleep(1)
        held = scene.bucket.last(NAME)
        assert held.claim is not None
        assert held.claim.session is None
        session.last_frame = session.last_beat = anyio.current_time() - 0.5
        for _ in range(2):
            await anyio.sleep(LEASE_S / 3)
            session.last_frame = anyio.current_time()
            claim = scene.bucket.last(NAME).claim
            assert claim is not None
            seen.append(claim.session)
        scene.vendor.on_step = refuse
        scene.vendor.hang_up()
        await anyio.sleep(LEASE_S / 3)
        claim = scene.bucket.last(NAME).claim
        assert claim is not None
        seen.append(claim.session)

    scene.play(script)
    first, second, down = seen
    assert first is not None
    assert second is not None
    assert down is not None
    assert first.last_frame_ms == first.last_beat_ms
    assert first.last_beat_ms is not None
    # One moment, told twice: the same stamp, though the second renewal is later.
    assert second.last_beat_ms is not None
    assert abs(second.last_beat_ms - first.last_beat_ms) <= 1
    assert 3000 <= second.at_ms - first.at_ms <= 3700
    assert 2000 <= first.at_ms - first.last_beat_ms <= 4000
    assert second.last_frame_ms is not None
    assert second.last_frame_ms > second.last_beat_ms
    assert (first.live, second.live, down.live) == (True, True, False)
    assert (first.sessions, first.frames, first.odd, first.acks) == (2, 1234, 3, 7)
    assert (first.round_trip_ms, first.beat_interval_ms, first.beat_timeout_ms) == (12.3, 25_000, 20_000)


def test_a_renewal_tells_what_a_polled_source_reads() -> None:
    """Its walks and its quota, as of that very renewal, and nothing of a live session."""
    scene = Scene()
    seen: list[Vitals] = []

    async def script() -> None:
        await scene.start("north")
        before = scene.bucket.last(NAME)
        for _ in range(2):
            await anyio.sleep(LEASE_S / 3)
            held = scene.bucket.last(NAME)
            assert held.claim is not None
            assert held.claim.session is not None
            seen.append(held.claim.session)
        assert before.claim is not None
        assert held.claim == before.claim

    scene.play(script)
    first, second = seen
    assert (first.polled, first.live, first.frames) == (True, False, 0)
    assert [(walk.name, walk.wish_s, walk.every_s) for walk in first.walks] == [("things", 10.0, 10.0)]
    assert first.quota is not None
    assert (first.quota.walks, first.quota.refused, first.quota.reserve) == (1, 0, 0)
    assert 3000 <= second.at_ms - first.at_ms <= 3700


def test_what_cannot_be_measured_does_not_cost_the_lease() -> None:
    """A measurement that fails is told once; the lease is renewed without it, and when it was due."""
    bucket = Bucket()
    asked: list[float] = []

    def broken() -> Vitals | None:
        asked.append(anyio.current_time())
        raise ZeroDivisionError

    async def main() -> None:
        office = LeaseOffice(
            MemoryLeases(bucket), tenant("a"), lease_s=9, wall=sim.wall, roll=lambda: 0.0, alive=lambda _: True
        )
        lease = await office.take("s", lambda _: None, broken)
        start, seq = anyio.current_time(), bucket.last("s").seq
        with anyio.move_on_after(10):
            await lease.keep()
        lease.check()
        assert bucket.last("s").seq == seq + 3
        assert [round(at - start, 3) for at in asked] == [3.0]

    on_virtual_clock(main)


def test_a_contender_is_not_disturbed_by_measurements() -> None:
    """Claims that say more at every renewal keep a contender off, and a dead one's is taken over as early as ever."""
    scene = Scene(live=True, expires=False)

    async def script() -> None:
        first = Process(scene, "north", 1)
        first.bench.session = SessionStatistics(frames=1)
        scene._group.start_soon(first.run)
        await anyio.sleep(1)
        second = await scene.start("south")
        for _ in range(10):
            first.bench.session.frames += 1
            await anyio.sleep(LEASE_S / 3)
        assert (first.state, second.state) == (State.LIVE, State.STANDBY)
        first.kill()
        took_s = await scene.owned_by("south", LEASE_S + 1)
        assert took_s >= LEASE_S * 2 / 3 - 0.1

    scene.play(script)
    assert scene.changes_of_holder() == ["north", "south", ""]
