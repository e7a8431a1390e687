"""Instances that share, on a virtual clock, where a look fails, a place is missing, or a source must not move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
from structlog.testing import capture_logs

from bridge.core.errors import Away, BridgeError, Unfit
from bridge.core.lease import Seen
from bridge.core.member import PLACES, Member
from tests.support.memory_leases import claim
from tests.support.sharers import LEASE_S, Fleet, Sharer


def fails_once(fleet: Fleet, sharer: Sharer, error: BridgeError, *, places: int, of_places: bool) -> list[str]:
    """Its next look at the places, or at sources, fails if there are so many places by then. Returns what failed."""
    look, failed = sharer.leases.look, list[str]()

    async def failing(sources: Sequence[str]) -> Mapping[str, Seen]:
        if not failed and len(fleet.places()) == places and sources[0].startswith("@") == of_places:
            failed.extend(sources)
            raise error
        return await look(sources)

    sharer.leases.look = failing  # type: ignore[method-assign]
    return failed


def test_leases_of_one_that_died_long_ago_are_taken_when_its_place_was_cleared() -> None:
    """They last much longer than its place, which is gone: a fresh instance waits for one lease, not for two."""
    fleet = Fleet(30)

    async def script() -> None:
        for source in fleet.sources:
            fleet.bucket.store(source, replace(claim("gone", lease_s=100.0), at="@07"))
        await anyio.sleep(1.3)
        fleet.start("north")
        with anyio.fail_after(LEASE_S + 4):
            while fleet.counts() != [30] or set(fleet.held().values()) != {"north"}:  # noqa: ASYNC110
                await anyio.sleep(0.05)

    fleet.play(script)


def test_a_look_that_fails_is_made_again_at_once() -> None:
    """The one by which they would have seen that the leases of a dead one have ended."""
    fleet = Fleet(30)

    async def script() -> None:
        for name in ("north", "south", "west"):
            fleet.start(name)
        await fleet.until([10, 10, 10], 5)
        await anyio.sleep(33)
        fleet.sharers[0].kill()
        others = fleet.sharers[1:]
        failed = [fails_once(fleet, one, Away("for the test"), places=2, of_places=False) for one in others]
        await fleet.until([15, 15], LEASE_S + 1.5)
        assert all(failed)

    fleet.play(script)


def test_what_a_handover_loses_something_of_stays_where_it_is() -> None:
    """The rest moves, so that all have about as many as can be, and then nothing moves any more."""
    fleet = Fleet(30)
    fixed = fleet.sources[:20]

    async def script() -> None:
        north = fleet.start("north", fixed=fixed)
        await fleet.until([30], 3)
        fleet.start("south", fixed=fixed)
        await fleet.until([20, 10], 20)
        fleet.start("west", fixed=fixed)
        await fleet.until([20, 5, 5], 20)
        changes = len(fleet.bucket.history)
        await anyio.sleep(60)
        assert len(fleet.bucket.history) == changes
        assert {source for source, who in fleet.held().items() if who == "north"} == set(fixed)
        assert north.given == 10
        # Whoever dies or stops leaves them to the others all the same.
        north.kill()
        await fleet.until([15, 15], LEASE_S + 2)

    fleet.play(script)


def test_what_only_an_operator_can_change_is_no_bug() -> None:
    """A look is refused for the layout of the bucket: it is tried again, and what is held is held."""
    fleet = Fleet(3)

    async def script() -> None:
        north = fleet.start("north")
        await fleet.until([3], 3)
        failed = fails_once(fleet, north, Unfit("the bucket is not as it must be"), places=1, of_places=True)
        await anyio.sleep(20)
        assert failed
        assert fleet.counts() == [3]
        assert north.given == 0

    with capture_logs() as logs:
        fleet.play(script)
    assert [line for line in logs if line["event"] == "sharing.bug"] == []


def test_one_that_is_alone_takes_all_though_looks_are_slow() -> None:
    """No slower than at first: there is nobody else to take them."""
    fleet = Fleet(200)

    async def script() -> None:
        north = fleet.start("north")
        look = north.leases.look

        async def slow(sources: Sequence[str]) -> Mapping[str, Seen]:
            await anyio.sleep(0.3)
            return await look(sources)

        north.leases.look = slow  # type: ignore[method-assign]
        await fleet.until([200], 25)

    fleet.play(script)


def test_one_without_a_place_shares_as_soon_as_there_is_one() -> None:
    """All places are taken: it takes what nobody holds. One is given up: it has it, and its sources go by it."""
    fleet = Fleet(30)

    async def script() -> None:
        for number, name in enumerate(PLACES):
            there = claim(f"other-{number}", lease_s=1e6, member=Member("other sources", 1, 0))
            fleet.bucket.store(name, there)
        fleet.start("north")
        await fleet.until([30], 10)
        await anyio.sleep(25)
        assert {fleet.bucket.last(source).claim.at for source in fleet.sources} == {""}  # type: ignore[union-attr]
        fleet.bucket.store("@20", None)
        await anyio.sleep(2 * LEASE_S)
        begun = len(fleet.begun)
        assert {fleet.bucket.last(source).claim.at for source in fleet.sources} == {"@20"}  # type: ignore[union-attr]
        fleet.bucket.store("@21", None)
        fleet.start("south")
        await fleet.until([15, 15], 20)
        assert len(fleet.begun) - begun == 15

    with capture_logs() as logs:
        fleet.play(script)
    assert len([line for line in logs if line["event"] == "sharing.full"]) == 1


def test_a_lease_whose_claim_names_no_place_is_kept_when_a_place_is_lost() -> None:
    """Taken while there was no place, nobody goes by the place yet: its work goes on, and ends with the next one."""
    fleet = Fleet(30)

    async def script() -> None:
        for number, name in enumerate(PLACES):
            there = claim(f"other-{number}", lease_s=1e6, member=Member("other sources", 1, 0))
            fleet.bucket.store(name, there)
        north = fleet.start("north").sharing
        assert north is not None
        await fleet.until([30], 10)
        await anyio.sleep(25)
        begun = len(fleet.begun)
        fleet.bucket.store("@20", None)
        with anyio.fail_after(2 * LEASE_S):
            while north.place is None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        lost = north.place
        lost.lost = "it was cleared, or is another's"
        fleet.bucket.store("@20", None)
        assert {fleet.bucket.last(source).claim.at for source in fleet.sources} == {""}  # type: ignore[union-attr]
        await anyio.sleep(2 * LEASE_S)
        assert north.place is not lost
        assert len(fleet.begun) == begun
        assert {fleet.bucket.last(source).claim.at for source in fleet.sources} == {"@20"}  # type: ignore[union-attr]
        north.place.lost = "it was cleared, or is another's"
        await anyio.sleep(LEASE_S)
        assert len(fleet.begun) == begun + 30

    fleet.play(script)


def test_one_that_waits_without_a_place_gets_its_part_when_it_has_one() -> None:
    """What it waited for by itself it waits for in turn then."""
    fleet = Fleet(30)

    async def script() -> None:
        fleet.start("north")
        await fleet.until([30], 5)
        free = [name for name in PLACES if not fleet.bucket.last(name).held]
        for number, name in enumerate(free):
            there = claim(f"other-{number}", lease_s=1e6, member=Member("other sources", 1, 0))
            fleet.bucket.store(name, there)
        fleet.start("south")
        await anyio.sleep(25)
        assert fleet.counts() == [30]
        fleet.bucket.store("@20", None)
        await fleet.until([15, 15], LEASE_S + 20)

    fleet.play(script)
