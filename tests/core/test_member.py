"""Who is there, from what lies in the places: believed when it is new, and never concluded from what may be old."""

from __future__ import annotations

import pytest

from bridge.core.lease import Seen
from bridge.core.member import PLACES, Attendance, Member, read_member
from bridge.core.subject import token
from tests.support.memory_leases import claim

LEASE_S = 10.0
HERE = Member("digest", 3, 4, ("a", "b"))


def sign(seq: int, instance: str = "a", pid: int = 1) -> Seen:
    """A sign of life."""
    return Seen(seq, True, claim(instance, pid=pid, member=HERE))


def boot(instance: str = "a", pid: int = 1) -> str:
    return claim(instance, pid=pid).tenant.boot


def test_a_place_has_a_name_that_no_source_can_have() -> None:
    """Names of sources are letters, digits, `_` and `-`; and each place is one token, as the permissions want it."""
    assert len(set(map(token, PLACES))) == 32
    assert all(name.startswith("@") and "." not in token(name) for name in PLACES)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"roster": "x"},
        {**HERE.to_json(), "holds": -1},
        {**HERE.to_json(), "offers": "a"},
        {**HERE.to_json(), "fixed": "1"},
    ],
)
def test_what_somebody_else_wrote_is_no_member(value: object) -> None:
    """It is read as it was written; anything else is not a member."""
    assert read_member(HERE.to_json()) == HERE
    fixed = Member("digest", 3, 4, ("a", "b"), 2)
    assert read_member(fixed.to_json()) == fixed
    assert read_member(value) is None


def test_one_that_is_renewed_is_there_and_one_that_is_not_is_cleared_first() -> None:
    """After a lease without a sign of life its place is to be cleared; it is gone once that was seen, not before."""
    attendance = Attendance(LEASE_S)
    for second in range(0, 30, 3):
        attendance.look({"@00": sign(100 + second)}, second)
        assert attendance.silent(second) == []
    assert attendance.silent(36.9) == []
    assert attendance.silent(37.0) == [("@00", 127)]
    assert not attendance.gone("@00", boot(), 1000.0)
    attendance.look({"@00": Seen(128)}, 37.1)
    assert attendance.gone("@00", boot(), 37.1)
    assert attendance.silent(38) == []
    assert attendance.claims() == {}


def test_a_replica_that_lags_makes_nobody_gone() -> None:
    """What is older than what was seen is not believed: neither an empty place nor another's sign of life."""
    attendance = Attendance(LEASE_S)
    attendance.look({"@00": sign(50)}, 0)
    for old in ({}, {"@00": Seen(49)}, {"@00": sign(48, "b", 2)}):
        attendance.look(old, 1)
        assert not attendance.gone("@00", boot(), 1)
        assert attendance.claims()["@00"].tenant.instance == "a"


def test_one_that_was_never_seen_has_a_lease_to_show_itself() -> None:
    """A claim names a place where nothing is: it may be that the replica lags. It is written there first."""
    attendance = Attendance(LEASE_S)
    attendance.look({}, 0)
    assert not attendance.gone("@07", boot(), 0)
    assert attendance.unsure(0)
    assert not attendance.gone("@07", boot(), 9.9)
    assert attendance.silent(9.9) == []
    assert not attendance.gone("@07", boot(), 10.0)
    assert attendance.silent(10.0) == [("@07", 0)]
    attendance.look({"@07": Seen(5)}, 10.1)
    assert attendance.gone("@07", boot(), 10.1)
    assert not attendance.unsure(10.1)


def test_one_whose_place_another_has_is_gone() -> None:
    """At once where it was seen there before; after a lease where it never was, if the other still shows itself."""
    attendance = Attendance(LEASE_S)
    attendance.look({"@00": sign(1)}, 0)
    attendance.look({"@00": sign(2, "b", 2)}, 1)
    assert attendance.gone("@00", boot(), 1)
    assert not attendance.gone("@00", boot("b", 2), 1)
    assert not attendance.gone("@00", boot("c", 3), 1)
    attendance.look({"@00": sign(3, "b", 2)}, 5)
    assert not attendance.gone("@00", boot("c", 3), 10.9)
    assert attendance.gone("@00", boot("c", 3), 11.0)


def test_our_own_place_is_not_ours_to_clear() -> None:
    """We know by our own clock whether it has run out."""
    attendance = Attendance(LEASE_S)
    attendance.look({"@00": sign(1), "@01": sign(2, "b", 2)}, 0)
    assert attendance.silent(20, but="@00") == [("@01", 2)]


def test_a_place_is_cleared_by_the_time_of_whoever_is_there_now() -> None:
    """A lease names the place of an instance that was never seen; there is another, which lasts longer."""
    attendance = Attendance(LEASE_S)
    other = Seen(7, True, claim("b", pid=2, lease_s=30.0, member=HERE))
    attendance.look({"@00": other}, 0)
    assert not attendance.gone("@00", boot(), 0)
    assert attendance.silent(29.9) == []
    assert attendance.silent(30.0) == [("@00", 7)]


def test_it_is_not_known_of_one_whose_place_another_has_until_it_had_a_lease_to_show_itself() -> None:
    """Then it is for certain, and whoever asks learns that there is something to be judged anew."""
    attendance = Attendance(LEASE_S)
    attendance.look({"@00": sign(2, "b", 2)}, 0)
    assert not attendance.gone("@00", boot(), 0)
    attendance.look({"@00": sign(3, "b", 2)}, 3)
    assert attendance.unsure(9.9)
    assert not attendance.unsure(10.0)
    # And at once where it does show itself.
    assert not attendance.gone("@01", boot("c", 3), 20)
    assert attendance.unsure(21)
    attendance.look({"@01": sign(9, "c", 3)}, 21)
    assert not attendance.unsure(21)
