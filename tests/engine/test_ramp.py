"""How many sources are begun with at once."""

from __future__ import annotations

import math

from bridge.engine.ramp import Ramp


def test_more_are_taken_each_time_up_to_fifty() -> None:
    """Ten, then two more each quarter of a second."""
    ramp = Ramp()
    assert ramp.count == 10
    assert not ramp.rests(0.0)
    ramp.took(1.0)
    assert ramp.count == 12
    assert ramp.rests(1.2)
    assert not ramp.rests(1.25)
    for _ in range(30):
        ramp.took(2.0)
    assert ramp.count == 50


def test_half_as_many_are_taken_where_looks_are_slow_and_others_are_there() -> None:
    """Down to one; an answer that never came is the slowest."""
    ramp = Ramp()
    ramp.looked(0.25, alone=False)
    assert ramp.count == 10
    ramp.looked(0.26, alone=False)
    assert ramp.count == 5
    for _ in range(5):
        ramp.looked(math.inf, alone=False)
    assert ramp.count == 1


def test_one_that_is_alone_takes_no_fewer_than_at_first() -> None:
    """Nobody would take the others; and being alone gives back nothing that was lost in company."""
    ramp = Ramp()
    for _ in range(10):
        ramp.took(0.0)
    assert ramp.count == 30
    for _ in range(5):
        ramp.looked(1.0, alone=True)
    assert ramp.count == 10
    ramp.looked(1.0, alone=False)
    ramp.looked(1.0, alone=True)
    assert ramp.count == 5
