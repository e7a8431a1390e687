"""What lies in the bucket, seen by one that waits: who counts, and when everything is to be looked at anew."""

from __future__ import annotations

from dataclasses import replace

from bridge.core.lease import Seen, Verdict
from bridge.core.member import Member
from bridge.engine.ground import Ground
from tests.support.memory_leases import claim, tenant

LEASE_S = 10.0
HERE = Member("digest", 3, 4)
NAMES = [f"s{number}" for number in range(3)]


def ground() -> Ground:
    return Ground(tenant("me", pid=9), LEASE_S, lambda _: True)


def looked(one: Ground, found: dict[str, Seen], now: float) -> None:
    """It looks at all the sources it waits for."""
    assert one.wanted(NAMES, (), now) == NAMES
    one.sources({name: found.get(name, Seen()) for name in NAMES}, now, "@01")


def test_all_is_looked_at_as_soon_as_it_is_known_of_somebody_that_they_are_gone() -> None:
    """A lease names a place where nobody is: once that was cleared it is free, and not a lease later."""
    one = ground()
    lease = Seen(5, True, replace(claim("b", lease_s=100.0), at="@07"))
    one.places({}, 0.0, "digest")
    looked(one, dict.fromkeys(NAMES, lease), 0.0)
    for second in range(1, 11):
        one.places({}, second, "digest")
        looked(one, dict.fromkeys(NAMES, lease), second)
    assert one.attendance.silent(10.0) == [("@07", 0)]
    assert one.free() == []
    one.places({"@07": Seen(6)}, 10.1, "digest")
    looked(one, dict.fromkeys(NAMES, lease), 10.1)
    assert one.free() == NAMES
    assert one.verdict("s0") is Verdict.LAPSED
    assert one.wanted(NAMES, (), 10.2) == []


def test_what_was_not_seen_is_wanted_again_at_once() -> None:
    """Else a look that failed would be made up for a lease later."""
    one = ground()
    one.places({}, 0.0, "digest")
    lease = Seen(5, True, claim("b", lease_s=100.0, member=HERE))
    sign = {"@00": lease}
    one.places(sign, 0.0, "digest")
    at = Seen(6, True, replace(claim("b", lease_s=100.0), at="@00"))
    looked(one, dict.fromkeys(NAMES, at), 0.0)
    assert one.wanted(NAMES, (), 0.1) == []
    one.places({"@00": Seen(7)}, 0.2, "digest")
    assert one.wanted(NAMES, (), 0.2) == NAMES
    one.missed()
    assert one.wanted(NAMES, (), 0.3) == NAMES


def test_whoever_is_silent_for_its_lease_does_not_count() -> None:
    """Its place is missing from then on, of which nothing was seen: as it may not be cleared it would stay for ever."""
    one = ground()
    sign = Seen(5, True, claim("b", lease_s=20.0, member=HERE))
    one.places({"@00": sign}, 0.0, "digest")
    one.places({}, 19.9, "digest")
    assert one.members == {"@00": HERE}
    one.places({}, 20.0, "digest")
    assert one.members == {}
