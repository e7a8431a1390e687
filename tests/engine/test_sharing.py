"""Several instances share thirty sources, on a virtual clock: evenly, with few moves, and never one of them twice."""

from __future__ import annotations

import anyio
import pytest

from bridge.core.lease import LeaseLost
from bridge.engine.held import HeldLease
from tests.support.memory_leases import claim
from tests.support.sharers import LEASE_S, Fleet

EVEN = [10, 10, 10]


async def three(fleet: Fleet) -> list[str]:
    """Three that share evenly, and have for a while."""
    for name in ("north", "south", "west"):
        fleet.start(name)
    await fleet.until(EVEN, 5)
    await anyio.sleep(30)
    return [one.instance for one in fleet.sharers]


def test_three_that_start_together_share_evenly_at_once() -> None:
    """Within a second or two each has a third, and from then on nothing moves."""
    fleet = Fleet(30)

    async def script() -> None:
        for name in ("north", "south", "west"):
            fleet.start(name)
        await fleet.until(EVEN, 3)
        changes = len(fleet.bucket.history)
        await anyio.sleep(60)
        assert fleet.counts() == EVEN
        assert len(fleet.bucket.history) == changes

    fleet.play(script)


def test_one_alone_has_all_and_one_that_joins_gets_its_share() -> None:
    """The first gives back as many as the second lacks, a few at a time, and not one more."""
    fleet = Fleet(30)

    async def script() -> None:
        first = fleet.start("north")
        await fleet.until([30], 2)
        await anyio.sleep(60)
        begun = len(fleet.begun)
        fleet.start("south")
        took_s = await fleet.until([15, 15], 20)
        assert took_s >= 1.0, "all at once"
        fleet.start("west")
        await fleet.until(EVEN, 20)
        await anyio.sleep(60)
        # 15 for the second; of those two five each for the third.
        assert len(fleet.begun) - begun == 15 + 10
        assert first.given == 20

    fleet.play(script)


@pytest.mark.parametrize("expires", [True, False], ids=["by TTL", "by observation only"])
@pytest.mark.parametrize("after_s", [0.0, 1.9])
def test_after_a_crash_the_others_take_over_within_the_lease_and_a_second(expires: bool, after_s: float) -> None:
    """Each takes its part of what the dead one had, and nothing else moves."""
    fleet = Fleet(30, expires=expires)

    async def script() -> None:
        await three(fleet)
        await anyio.sleep(after_s)
        before = fleet.held()
        fleet.sharers[0].kill()
        begun = len(fleet.begun)
        took_s = await fleet.until([15, 15], LEASE_S + 1)
        assert took_s >= LEASE_S * 2 / 3 - 0.1
        await anyio.sleep(30)
        assert len(fleet.begun) - begun == 10
        assert {s: who for s, who in fleet.held().items() if before[s] != "north"} == {
            s: who for s, who in before.items() if who != "north"
        }

    fleet.play(script)


def test_one_that_stops_hands_over_at_once() -> None:
    """Its session ends, then its leases are given back, then its place: the others have all of it within a second."""
    fleet = Fleet(30)

    async def script() -> None:
        await three(fleet)
        fleet.sharers[1].stop()
        took_s = await fleet.until([15, 15], 1.5)
        assert took_s <= 1.5
        await anyio.sleep(5)
        assert len(fleet.places()) == 2

    fleet.play(script)


def test_a_restarted_one_takes_its_own_back_at_once() -> None:
    """Killed and started again under its name it has the same sources as before, long before its lease runs out."""
    fleet = Fleet(30)

    async def script() -> None:
        await three(fleet)
        before = fleet.held()
        fleet.sharers[0].kill()
        fleet.start("north")
        await anyio.sleep(1)
        assert fleet.held() == before
        assert len(fleet.sharers[3].working) == 10
        await anyio.sleep(60)
        assert fleet.held() == before

    fleet.play(script)


def test_an_instance_that_does_not_share_keeps_what_it_has() -> None:
    """As an older build: it is neither asked for anything nor counted; those who share divide the rest."""
    fleet = Fleet(30)

    async def script() -> None:
        old = fleet.start("old", shares=False)
        await fleet.until([30], 2)
        fleet.start("north")
        fleet.start("south")
        await anyio.sleep(60)
        assert fleet.counts() == [30]
        old.kill()
        await fleet.until([15, 15], LEASE_S + 4)
        # And one that comes later takes nothing from them, until they are gone.
        late = fleet.start("late", shares=False)
        await anyio.sleep(60)
        assert fleet.counts() == [15, 15]
        fleet.sharers[1].kill()
        fleet.sharers[2].kill()
        await anyio.sleep(LEASE_S + 2)
        assert len(late.working) == 30

    fleet.play(script)


def test_one_with_fewer_sources_has_no_part_in_the_others_balance() -> None:
    """What it alone is configured with it has; what others hold it does not get, and takes over when they are gone."""
    fleet = Fleet(30)

    async def script() -> None:
        fleet.start("north")
        fleet.start("south")
        await fleet.until([15, 15], 20)
        few = fleet.start("few", sources=fleet.sources[:5])
        await anyio.sleep(60)
        assert fleet.counts() == [15, 15]
        for one in fleet.sharers[:2]:
            one.kill()
        await anyio.sleep(LEASE_S + 2)
        assert len(few.working) == 5

    fleet.play(script)


def test_one_that_is_cut_off_stops_before_the_others_begin() -> None:
    """NATS does not answer it for longer than its lease: its work has ended by then. It joins again, and shares."""
    fleet = Fleet(30)

    async def script() -> None:
        await three(fleet)
        cut = fleet.sharers[0]
        cut.leases.cut = True
        await fleet.until([15, 15], LEASE_S + 1)
        assert not cut.working
        await anyio.sleep(20)
        cut.leases.cut = False
        await fleet.until(EVEN, 30)

    fleet.play(script)


def test_no_lease_outlives_the_place_of_its_instance() -> None:
    """Whatever its own time: a process that stood still, and whose place was cleared, writes nothing by it."""
    fleet = Fleet(1)

    async def script() -> None:
        sharing = fleet.start("north").sharing
        await fleet.until([1], 2)
        assert sharing is not None
        assert sharing.place is not None
        lease = sharing._held["s0000"]
        assert isinstance(lease, HeldLease)
        lease.check()
        sharing.place.lost = "it was cleared, or is another's"
        with pytest.raises(LeaseLost, match="lease of source s0000 ended with the place of this instance"):
            lease.check()

    fleet.play(script)


def test_short_absences_of_nats_move_nothing() -> None:
    """Shorter than a lease, for one or for all: everybody keeps what it has."""
    fleet = Fleet(30)

    async def script() -> None:
        await three(fleet)
        before, begun = fleet.held(), len(fleet.begun)
        for _ in range(3):
            for one in fleet.sharers:
                one.leases.cut = True
            await anyio.sleep(4)
            for one in fleet.sharers:
                one.leases.cut = False
            await anyio.sleep(20)
        assert fleet.held() == before
        assert len(fleet.begun) == begun

    fleet.play(script)


def test_lost_answers_cost_nothing() -> None:
    """Renewals of places and leases that were stored without our hearing of it."""
    fleet = Fleet(30)

    async def script() -> None:
        await three(fleet)
        begun = len(fleet.begun)
        for _ in range(8):
            for one in fleet.sharers:
                one.leases.lose_answers = 2
            await anyio.sleep(3.7)
        await anyio.sleep(10)
        assert fleet.counts() == EVEN
        assert len(fleet.begun) == begun

    fleet.play(script)


def test_a_source_nobody_takes_in_turn_is_taken_all_the_same() -> None:
    """An instance that does not go for its part, though it is there, does not keep it from the others for long."""
    fleet = Fleet(30)

    async def script() -> None:
        # It says that it waits for all of them, and is renewed by hand; it takes none.
        digest = fleet.start("north")
        await fleet.until([30], 2)
        place = fleet.places()[0]
        assert place.member is not None
        await anyio.sleep(1)
        fleet.bucket.store("@05", claim("lazy", lease_s=1e6, member=place.member.__class__(place.member.roster, 0, 30)))
        await anyio.sleep(90)
        assert digest.given > 0
        assert len(digest.working) >= 30 - 8
        assert all(fleet.held().values()) or digest.given

    fleet.play(script)


@pytest.mark.chaos
def test_many_sources_cost_few_looks_and_long_leases() -> None:
    """Whoever waits for many looks at the places alone; whoever holds many renews them seldom, and its place often."""
    fleet = Fleet(400)

    async def script() -> None:
        one, other = fleet.start("north"), fleet.start("south")
        await fleet.until([200, 200], 60)
        await anyio.sleep(30)
        writes, looks = one.leases.writes, one.leases.looks
        await anyio.sleep(30)
        # Thirty renewals a second, some earlier than due, and those of the place; as a lease for each it would be 60.
        assert 850 <= one.leases.writes - writes <= 1_250
        assert one.leases.looks - looks <= 4 * 30 + 10
        held = fleet.bucket.last(next(iter(other.working))).claim
        assert held is not None
        assert held.lease_s == 20.0
        other.kill()
        await fleet.until([400], LEASE_S + 5)

    fleet.play(script)
