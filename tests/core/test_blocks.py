"""Quotas in fixed blocks of time, against a vendor that counts so: nothing foreseeable is refused."""

from __future__ import annotations

import heapq
import math
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bridge.core.budget import Block, Budget, Limit
from tests.support.blocks import BlockVendor, humans
from tests.support.thorough import tries

QUICK = settings(max_examples=tries(10, 30), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Each example takes a good part of a second: a failing one need not be made smaller."""


def play(
    budget: Budget, vendor: BlockVendor, roll: Random, *, until_s: float, readers: int, latency_s: float, silent: float
) -> list[float]:
    """Readers that ask as soon as they may. Of their answers a share is silent; the way takes up to `latency_s`."""
    events = [(0.0, reader, "want", 0) for reader in range(readers)]
    starts: list[float] = []
    told: dict[int, Block] = {}
    while events:
        now, reader, what, ticket = heapq.heappop(events)
        if now >= until_s:
            break
        if what == "want":
            wait = budget.wait(now)
            if wait > 0:
                heapq.heappush(events, (now + wait, reader, "want", 0))
                continue
            ticket = budget.spend(now)
            starts.append(now)
            heapq.heappush(events, (now + roll.random() * latency_s, reader, "arrive", ticket))
        elif what == "arrive":
            told[ticket] = vendor.ask(now, rounded=roll.random() < 0.7)[1]
            heapq.heappush(events, (now + roll.random() * latency_s, reader, "answer", ticket))
        else:
            answer = told.pop(ticket)
            budget.settle(ticket, now, None if roll.random() < silent else answer)
            heapq.heappush(events, (now, reader, "want", 0))
    return starts


@QUICK
@given(
    requests=st.sampled_from([50, 100, 500]),
    share=st.sampled_from([0, 10, 5]),
    readers=st.integers(1, 4),
    latency=st.floats(0.0, 5.0),
    silent=st.sampled_from([0.0, 0.2, 0.9]),
    phase=st.floats(0.0, 900.0),
    seed=st.integers(0, 10_000),
)
def test_nothing_is_refused_and_the_reserve_is_left(
    requests: int, share: int, readers: int, latency: float, silent: float, phase: float, seed: int
) -> None:
    """Whenever blocks begin, whatever the way takes; others keep to the reserve, and some answers are silent."""
    roll, reserve = Random(seed), requests // share if share else 0
    vendor = BlockVendor(requests, 900.0, phase - 900.0)
    vendor.others = humans(roll, until_s=20_000.0, period_s=900.0, phase_s=phase, most=reserve)
    budget = Budget(Limit(requests, 900.0, reserve=reserve))
    play(budget, vendor, roll, until_s=18_000.0, readers=readers, latency_s=latency, silent=silent)
    assert vendor.refused == vendor.shut_out == 0
    assert vendor.peak <= requests - reserve
    # The reserve stays whole to the end of each block, so what others use of it is not ours either.
    assert vendor.accepted >= 0.7 * 20 * min(requests - 2 * reserve, readers * 900.0 / max(latency, 0.1))


@QUICK
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_others_who_take_what_they_like_cost_one_refusal_a_block_at_most(seed: int, latency: float) -> None:
    """What they took is seen with each answer; only what they take between two answers cannot be foreseen."""
    roll = Random(seed)
    vendor = BlockVendor(50, 900.0, -roll.random() * 900)
    vendor.others = humans(roll, until_s=20_000.0, period_s=900.0, phase_s=0.0, most=90)
    play(Budget(Limit(50, 900.0)), vendor, roll, until_s=18_000.0, readers=1, latency_s=latency, silent=0.0)
    assert vendor.refused <= 21
    assert vendor.accepted + vendor.refused > 0


@QUICK
@given(st.lists(st.sampled_from([20, 50, 100, 500]), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 10_000))
def test_a_quota_that_changes_is_followed(sizes: list[int], readers: int, seed: int) -> None:
    """From block to block, up and down: its first answer tells, and nobody goes before it has."""
    roll = Random(seed)
    vendor = BlockVendor(sizes[0], 900.0, -roll.random() * 900, sizes=sizes)
    budget = Budget(Limit(100, 900.0, 2))
    play(budget, vendor, roll, until_s=12 * 900.0, readers=readers, latency_s=1.0, silent=0.0)
    assert vendor.refused == 0
    assert vendor.accepted >= 0.8 * 10 * min(sizes)


@given(st.floats(0.0, 899.0), st.integers(0, 10_000))
def test_a_block_is_used_evenly(phase: float, seed: int) -> None:
    """Alone and with answers at once: in every whole block all of it goes, and no tenth of it holds more than its share
    and the burst."""
    roll = Random(seed)
    vendor = BlockVendor(50, 900.0, phase - 900.0)
    starts = play(Budget(Limit(50, 900.0)), vendor, roll, until_s=9_000.0, readers=1, latency_s=0.2, silent=0.0)
    for number in range(2, 9):
        begin = phase + number * 900.0
        block = [at for at in starts if begin <= at < begin + 900.0]
        assert 48 <= len(block) <= 50
        for tenth in range(10):
            among = [at for at in block if begin + tenth * 90 <= at < begin + tenth * 90 + 90]
            assert len(among) <= 5 + 6


def told(*answers: Block, limit: Limit | None = None) -> Budget:
    """After requests that went at 0 and were answered so at once."""
    budget = Budget(limit or Limit(50, 900.0))
    for answer in answers:
        budget.settle(budget.spend(0.0), 0.0, answer)
    return budget


def test_what_is_left_is_spread_over_what_remains() -> None:
    """Nine left and 300 seconds to go: one every 30 seconds, and none of them beyond the block's end."""
    budget, now, starts = told(Block(9, 300.0)), 0.0, []
    for _ in range(10):
        now += budget.wait(now)
        starts.append(now)
        budget.settle(budget.spend(now), now, None)
    assert starts[:9] == pytest.approx([30.1 * n for n in range(1, 10)])
    # Seconds are rounded by the vendor.
    assert starts[9] == pytest.approx(301.0)


def test_what_others_take_is_seen_with_the_next_answer() -> None:
    """Forty are left, then two: the pace is that of two."""
    budget = told(Block(40, 600.5))
    assert budget.wait(0.0) == pytest.approx(600.5 / 41, abs=0.01)
    budget.settle(budget.spend(20.0), 20.0, Block(2, 580.5))
    assert budget.wait(20.0) > 100


def test_with_only_the_reserve_left_nothing_goes_until_the_next_block() -> None:
    """Ten of fifty are reserved and eleven left: one more."""
    budget = told(Block(11, 600.5), limit=Limit(50, 900.0, reserve=10))
    now = budget.wait(0.0)
    assert now < 600
    budget.settle(budget.spend(now), now, Block(10, 600.5 - now))
    assert now + budget.wait(now) == pytest.approx(600.5, abs=0.01)
    gauge = budget.gauge(now)
    assert (gauge.left, gauge.limit.reserve) == (10, 10)
    assert gauge.resets_s == pytest.approx(600.5 - now, abs=0.01)


def test_what_is_on_its_way_is_not_granted_twice() -> None:
    """Two left, two sent and not answered: a third has to wait until the block ends, whatever the first answer says."""
    budget = told(Block(4, 100.5))
    one, other = budget.spend(1.0), budget.spend(1.0)
    budget.settle(budget.spend(1.0), 2.0, Block(2, 98.5))
    assert budget.wait(60.0) == 1.0  # looked at again: it may be heard of
    budget.settle(one, 60.0, Block(1, 40.5))
    assert budget.wait(60.0) == 1.0
    budget.settle(other, 61.0, Block(0, 39.5))
    assert budget.wait(61.0) == pytest.approx(39.5, abs=0.01)


def test_what_is_spared_is_left_to_urgent_walks() -> None:
    """Five left: a walk that spares three takes two of them, and others may take them all."""
    budget, now = told(Block(5, 300.5), limit=Limit(50, 900.0, 5)), 0.0
    for left in (4, 3):
        now += budget.wait(now, spares=3)
        assert now < 300
        budget.settle(budget.spend(now), now, Block(left, 300.5 - now))
    assert now + budget.wait(now, spares=3) == pytest.approx(300.5, abs=0.01)
    assert now + budget.wait(now) < 300
    # Who spares more than there can be still gets a turn.
    assert told(Block(5, 300.5), limit=Limit(50, 900.0, 1)).wait(0.0, spares=9) < 300


def test_of_answers_that_overtake_one_another_the_least_counts() -> None:
    """The vendor counted the second one later, and it came sooner: what the first one says is old."""
    budget = told(Block(9, 100.5))
    one, other = budget.spend(1.0), budget.spend(1.0)
    budget.settle(other, 2.0, Block(5, 98.5))
    budget.settle(one, 3.0, Block(8, 98.5))
    assert budget.gauge(3.0).left == 5


def test_an_answer_that_says_nothing_counts_until_another_speaks() -> None:
    """Two left, and two answers of 204: nothing goes any more. Where the next answer shows them, they count once."""
    budget = told(Block(2, 100.5))
    for _ in range(2):
        budget.settle(budget.spend(1.0), 1.0, None)
    assert budget.wait(2.0) == pytest.approx(98.5, abs=0.01)
    budget = told(Block(5, 100.5))
    budget.settle(budget.spend(1.0), 1.0, None)
    budget.settle(budget.spend(2.0), 2.0, Block(3, 98.5))
    assert budget.gauge(2.0).left == 3


def test_an_answer_of_the_block_before_says_nothing_of_this_one() -> None:
    """It went before the block ended and came after: that there was nothing left is over."""
    budget = told(Block(2, 10.5))
    late = budget.spend(9.0)
    now = 11.0
    assert budget.wait(now) == 1.0  # one is on its way, and nobody has told of the new block
    budget.settle(late, now, Block(0, 0.5))
    assert budget.wait(now) == 0.0
    budget.settle(budget.spend(now), now, Block(48, 899.5))
    assert budget.gauge(now).left == 48


def test_a_new_block_is_asked_about_by_one_request() -> None:
    """Others may have used it already: who comes second waits for what the first is told."""
    budget = told(Block(0, 10.5))
    first = budget.spend(20.0)
    assert budget.wait(20.0) == 1.0
    budget.settle(first, 20.5, Block(0, 890.5))
    assert budget.wait(20.5) == pytest.approx(890.5, abs=0.6)


@pytest.mark.parametrize(
    "nonsense",
    [
        Block(-1, 100.0), Block(10, -1.0), Block(10**9, 100.0), Block(0, 31_536_000.0), Block(0, math.nan),
        Block(0, math.inf), Block(5_001, 100.0), Block(0, 3_601.0),
    ],
)  # fmt: skip
def test_nonsense_is_not_believed(nonsense: Block) -> None:
    """Negative, huge, a year: the quota as configured counts on."""
    budget = told(nonsense)
    assert budget.gauge(0.0).left is None
    assert budget.wait(0.0) <= 900.0 / 46
    believed = told(Block(30, 300.5), nonsense)
    assert believed.gauge(0.0).left == 29  # it was a request all the same
    assert believed.wait(0.0) < 60


@settings(max_examples=tries(40, 200))
@given(
    st.lists(
        st.tuples(
            st.floats(0, 2_000),
            st.none() | st.builds(Block, st.integers(-5, 6_000), st.floats(-10, 10_000)),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_whatever_is_told_nothing_waits_for_more_than_an_hour(
    answers: list[tuple[float, Block | None, bool]],
) -> None:
    """However answers contradict one another, and waiting comes to an end."""
    budget, now, waiting = Budget(Limit(50, 900.0, reserve=5)), 0.0, 0
    for later, answer, keep in answers:
        ticket = budget.spend(now)
        now += later
        waiting += keep
        if not keep:
            budget.settle(ticket, now, answer)
        assert 0 <= budget.wait(now) <= 3_602
        assert budget.rate(now) > 0
    if not waiting:
        for _ in range(10):
            now += budget.wait(now)
        assert budget.wait(now) == 0.0


def test_a_refusal_that_names_no_time_ends_with_the_block() -> None:
    """Where blocks are known; else nobody knows."""
    budget = told(Block(30, 300.5))
    assert budget.exhausted(0.0) == pytest.approx(300.5, abs=0.01)
    assert budget.wait(0.0) == pytest.approx(300.5, abs=0.01)
    assert Budget(Limit(50, 900.0)).exhausted(0.0) is None


def test_the_rate_is_what_others_leave() -> None:
    """Before anything was told what is configured; then what a whole block left beside the reserve and the others."""
    vendor, roll = BlockVendor(100, 900.0), Random(1)
    vendor.others = sorted(begin + roll.random() * 900 for begin in range(0, 9_000, 900) for _ in range(30))
    budget = Budget(Limit(100, 900.0, reserve=20))
    assert budget.rate(0.0) == pytest.approx(71 / 900, rel=0.05)
    play(budget, vendor, roll, until_s=8_900.0, readers=1, latency_s=0.1, silent=0.0)
    # Thirty are the others': of these some come when nothing but the reserve is left, and take nothing from us.
    assert 49 <= 900 * budget.rate(8_900.0) <= 57
