"""Leases as decisions: who may take what it saw, and when one's own has run out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.core.lease import (
    Seen,
    Tenant,
    Term,
    Verdict,
    Watch,
    judge,
    patience,
    read_claim,
    time_to_live,
)
from bridge.core.record import Json
from bridge.core.vitals import Vitals
from tests.support.memory_leases import claim, tenant

ME = tenant("a", pid=7, started=700)
NOON_MS = 1_767_268_800_000


def held(**life: str | int | float) -> Seen:
    return Seen(5, True, claim(**{"lease_s": 10.0, **life}))  # type: ignore[arg-type]


def verdict(seen: Seen, *, unchanged_s: float = 0.0, alive: bool = True) -> Verdict:
    return judge(seen, ME, unchanged_s=unchanged_s, lease_s=10.0, alive=lambda _: alive)


CASES: list[tuple[str, Seen, float, bool, Verdict]] = [
    ("nothing there", Seen(), 0, True, Verdict.FREE),
    ("a mark: given up, or run out", Seen(9), 0, True, Verdict.FREE),
    ("another instance", held(instance="b"), 0, True, Verdict.TAKEN),
    ("another instance, its process gone", held(instance="b"), 9.9, False, Verdict.TAKEN),
    ("another instance, silent for its lease", held(instance="b"), 10.0, True, Verdict.LAPSED),
    ("another instance with a longer lease", held(instance="b", lease_s=60.0), 59.0, True, Verdict.TAKEN),
    ("another instance with a shorter lease", held(instance="b", lease_s=3.0), 3.0, True, Verdict.LAPSED),
    ("our name, our place, process gone", held(pid=3), 0, False, Verdict.OWN),
    ("our name, our place, process there", held(pid=3), 0, True, Verdict.TAKEN),
    ("our name and pid, other start, gone", held(pid=7, started=1), 0, False, Verdict.OWN),
    ("our name in another place", held(pid=3, place="elsewhere"), 0, False, Verdict.TAKEN),
    ("ourselves, its answer was lost", held(instance="a", pid=7, started=700), 0, True, Verdict.OWN),
    ("somebody else's writing", Seen(5, True, None), 9.0, True, Verdict.TAKEN),
    ("somebody else's writing, for a lease", Seen(5, True, None), 10.0, True, Verdict.LAPSED),
]


@pytest.mark.parametrize(
    ("seen", "unchanged_s", "alive", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_may_be_taken(seen: Seen, unchanged_s: float, alive: bool, expected: Verdict) -> None:
    """Free and lapsed claims may be taken, and those of an earlier life that is proven to be over."""
    assert verdict(seen, unchanged_s=unchanged_s, alive=alive) is expected


def test_a_place_nobody_can_name_proves_nothing() -> None:
    """Where processes cannot be told apart, a namesake's lease has to run out."""
    me = tenant("a", place="", pid=7)
    found = Seen(5, True, claim("a", place="", pid=3))
    assert judge(found, me, unchanged_s=0, lease_s=10, alive=lambda _: False) is Verdict.TAKEN


def test_two_living_namesakes_leave_each_other_alone() -> None:
    """Two daemons with one name on one host: neither takes what the other holds."""
    both = [tenant("a", pid=1), tenant("a", pid=2)]
    for me, other in (both, both[::-1]):
        found = Seen(5, True, claim("a", pid=other.pid))
        assert judge(found, me, unchanged_s=9, lease_s=10, alive=lambda _: True) is Verdict.TAKEN


def test_a_claim_survives_its_way_through_the_bucket() -> None:
    """What is written is read again."""
    mine = claim("é", lease_s=2.5, pid=12)
    assert read_claim(json.loads(json.dumps(mine.to_json()))) == mine


def test_what_was_measured_is_read_again_and_nothing_else_depends_on_it() -> None:
    """A claim of an older build has none; one that says nonsense there is still that claim."""
    vitals = Vitals(at_ms=NOON_MS, live=True, frames=3, round_trip_ms=0.4, last_frame_ms=NOON_MS - 5)
    mine = replace(claim(), session=vitals)
    told = json.loads(json.dumps(mine.to_json()))
    assert told["session"] == {
        "at_ms": NOON_MS, "live": True, "sessions": 0, "frames": 3, "odd": 0, "unreadable": 0, "filtered": 0,
        "acks": 0, "last_frame_ms": NOON_MS - 5, "round_trip_ms": 0.4,
    }  # fmt: skip
    again = read_claim(told)
    assert again is not None
    assert again.session == vitals
    assert again == mine == claim()
    older = read_claim(claim().to_json())
    assert older is not None
    assert older.session is None
    assert "session" not in claim().to_json()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (7, None), ([], None), ({}, None), ({"at_ms": "1"}, None), ({"at_ms": -1}, None),
        ({"at_ms": True}, None), ({"at_ms": 10**15}, None), ({"at_ms": 1.5}, None),
        ({"at_ms": 9}, Vitals(at_ms=9)),
        ({"at_ms": 9, "live": 1, "frames": "many", "odd": -2, "acks": 10**30, "color": "red"}, Vitals(at_ms=9)),
        ({"at_ms": 9, "last_beat_ms": 10**15, "round_trip_ms": float("nan"), "frames": 2}, Vitals(at_ms=9, frames=2)),
        ({"at_ms": 9, "round_trip_ms": 10**400}, Vitals(at_ms=9)),
    ],
)  # fmt: skip
def test_measurements_that_cannot_be_read_are_none(value: Json, expected: Vitals | None) -> None:
    """Part by part; the claim stands in any case."""
    found = read_claim({**claim().to_json(), "session": value})
    assert found == claim()
    assert found is not None
    assert found.session == expected


BROKEN: list[Json] = [
    None, 7, "x", [], {}, {**claim().to_json(), "lease_s": 0}, {**claim().to_json(), "lease_s": -1},
    {**claim().to_json(), "lease_s": "nan"}, {**claim().to_json(), "lease_s": float("inf")},
    {**claim().to_json(), "lease_s": 10**400},
    {**claim().to_json(), "lease_s": None}, {**claim().to_json(), "pid": "1"}, {**claim().to_json(), "boot": 1},
]  # fmt: skip


@pytest.mark.parametrize("value", BROKEN)
def test_what_is_no_claim_is_none(value: Json) -> None:
    """Whatever somebody else wrote is no claim, and no error; it counts as lapsed after our own lease."""
    assert read_claim(value) is None
    assert patience(Seen(1, True, None), 10.0) == 10.0


def test_a_claim_may_know_more_than_we() -> None:
    """Fields of a later version do no harm."""
    assert read_claim({**claim().to_json(), "zone": "north"}) == claim()


def test_the_watch_counts_from_the_first_sight_of_this_very_claim() -> None:
    """A renewal, a new holder and a bucket made anew start the time over; another look does not."""
    watch = Watch(held(instance="b"), 100.0)
    watch.look(held(instance="b"), 105.0)
    assert watch.since == 100.0
    watch.look(Seen(6, True, claim("b")), 108.0)
    assert watch.since == 108.0
    watch.look(Seen(6, True, claim("c")), 109.0)
    assert watch.since == 109.0


@pytest.mark.parametrize("lease_s", [1.0, 3.0, 10.0, 600.0])
def test_the_holder_stops_before_anybody_may_take_over(lease_s: float) -> None:
    """Two renewals may fail, then the holder stops: before a lease has passed since it sent the last one that worked,
    and so before the server removes the claim and before a contender may."""
    term = Term(lease_s, 50.0)
    assert term.due == pytest.approx(50.0 + lease_s / 3)
    assert term.due + lease_s / 3 < term.ends < 50.0 + lease_s
    assert not term.over(term.ends - 0.01)
    assert term.over(term.ends)
    assert float(time_to_live(lease_s).removesuffix("s")) >= lease_s


@pytest.mark.parametrize(("lease_s", "ttl"), [(0.5, "1s"), (1, "1s"), (2.5, "3s"), (10.0, "10s")])
def test_the_servers_time_is_whole_seconds_rounded_up(lease_s: float, ttl: str) -> None:
    """The server cuts fractions off and refuses less than a second."""
    assert time_to_live(lease_s) == ttl


def test_tenants_of_two_starts_differ() -> None:
    """The same process number with another start time is another life."""
    assert tenant("a", started=1) != tenant("a", started=2)
    assert isinstance(ME, Tenant)
