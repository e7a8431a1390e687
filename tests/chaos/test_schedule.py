"""Blows are drawn from the seed alone, before anything starts."""

from __future__ import annotations

import pytest

from tests.chaos.schedule import INSTANCES, LEASE_S, schedule

LANES = {
    "instances": {"killed", "paused", "stopped", "clock stepped"},
    "ways": {"refused", "delayed", "trickled", "cut", "half-closed", "reset", "silent", "deaf"},
    "support": {"storm", "poison", "quota cut", "revoked", "withheld", "doubled", "reordered", "dropped"},
    "travel": {"storm", "poison", "quota cut", "revoked", "withheld", "doubled", "reordered", "dropped"},
    "plant": {"storm", "poison", "quota cut", "revoked", "withheld", "doubled", "reordered", "dropped"},
    "roster": {"storm", "poison", "quota cut", "revoked"},
    "office": {"storm", "poison", "quota cut"},
    "shop": {"withheld", "doubled", "reordered", "poison"},
}
BROKER = {1: {"killed", "frozen", "away", "rolled back", "full"}, 3: {"killed", "frozen", "deposed", "away", "full"}}


def test_the_same_seed_draws_the_same_blows() -> None:
    """And another draws others, in every lane."""
    assert schedule(7, 120) == schedule(7, 120)
    other = schedule(8, 120)
    assert all(blows != other.lanes[lane] for lane, blows in schedule(7, 120).lanes.items())


@pytest.mark.parametrize("replicas", [1, 3])
def test_every_kind_comes_in_the_first_round(replicas: int) -> None:
    """However short the run, and each once before any comes again."""
    for seed in range(30):
        drawn = schedule(seed, 0, replicas)
        assert set(drawn.lanes) == {*LANES, "broker"}
        for lane, kinds in {**LANES, "broker": BROKER[replicas]}.items():
            first = drawn.lanes[lane][: drawn.first_round(lane)]
            assert sorted(blow.kind for blow in first) == sorted(kinds)


def test_a_schedule_is_as_long_as_it_is_to_be() -> None:
    """Lanes run beside each other; in each the blows and the rest between them fill the time."""
    for lane, blows in schedule(3, 600).lanes.items():
        lasts = sum(blow.after_s + blow.seconds for blow in blows)
        assert 400 < lasts < 640, lane


def test_pauses_outlast_the_lease_and_an_absent_broker_every_window() -> None:
    """The lease is five seconds, and the server gives up a batch after ten."""
    drawn = schedule(5, 1200)
    pauses = [blow for blow in drawn.lanes["instances"] if blow.kind == "paused"]
    assert pauses
    assert all(blow.seconds > LEASE_S == 5.0 for blow in pauses)
    aways = [blow for blow in drawn.lanes["broker"] if blow.kind == "away"]
    assert aways
    assert all(blow.seconds > 10 for blow in aways)
    assert {blow.target for blow in drawn.lanes["ways"]} == {*INSTANCES, "both"}
    assert {blow.sign for blow in drawn.lanes["instances"] if blow.kind == "clock stepped"} == {-1, 1}
