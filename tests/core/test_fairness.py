"""Fair shares: from any beginning, by finitely many steps, everybody holds as many as the others, and little moves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.fairness import Load, dealt, digest, shares, spared

loads = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: Load(*pair)), min_size=1, max_size=8
)
sources = st.sets(st.integers(0, 400).map(lambda number: f"s{number}"), max_size=60)
members = st.lists(st.sampled_from([f"@{number:02d}" for number in range(12)]), min_size=1, max_size=6, unique=True)


def test_shares_in_plain_numbers() -> None:
    """What is even stays; the one more stays where it is; a newcomer gets what the others have too many."""
    assert shares(30, [Load(10, 20), Load(10, 20), Load(10, 20)]) == [10, 10, 10]
    assert shares(31, [Load(10, 21), Load(11, 20), Load(10, 21)]) == [10, 11, 10]
    assert shares(30, [Load(15, 15), Load(15, 15), Load(0, 30)]) == [10, 10, 10]
    assert shares(10, [Load(5, 5), Load(5, 5), Load(0, 10)]) == [4, 3, 3]
    assert shares(1, [Load(0, 1), Load(1, 0)]) == [0, 1]
    assert shares(0, [Load(0, 0)]) == [0]
    # One keeps more than its part: the others share the rest. One that has fewer such than its part has as many as all.
    assert shares(30, [Load(20, 10, 20), Load(10, 20), Load(0, 30)]) == [20, 5, 5]
    assert shares(30, [Load(30, 0, 7), Load(0, 30)]) == [15, 15]
    assert shares(30, [Load(30, 0, 30), Load(0, 30)]) == [30, 0]
    assert shares(30, [Load(18, 12, 18), Load(12, 18, 11), Load(0, 30)]) == [18, 11, 1]
    # One that can have no more than three leaves the rest to the others.
    assert shares(30, [Load(3, 0), Load(10, 20), Load(0, 30)]) == [3, 14, 13]


@given(loads, st.integers(0, 500))
def test_shares_differ_by_at_most_one(all_of: list[Load], total: int) -> None:
    """All is given out that can be held; nobody gets more than it could hold, nor less than another gets less one."""
    most = [load.held + load.waiting for load in all_of]
    found = shares(total, all_of)
    assert sum(found) == min(total, sum(most))
    assert all(share <= limit for share, limit in zip(found, most, strict=True))
    fullest = max(found)
    assert all(share >= fullest - 1 or share == limit for share, limit in zip(found, most, strict=True))


@given(st.lists(st.tuples(*[st.integers(0, 60)] * 3).map(lambda three: Load(*three)), min_size=1), st.integers(0, 500))
def test_who_keeps_some_keeps_them_and_the_rest_is_even(all_of: list[Load], total: int) -> None:
    """Nobody has to give what it keeps; all else is as if those that keep more than their part were not there."""
    found = shares(total, all_of)
    kept = [min(load.held, load.fixed) for load in all_of]
    assert sum(found) == max(sum(kept), min(total, sum(load.held + load.waiting for load in all_of)))
    assert all(share >= least for share, least in zip(found, kept, strict=True))
    highest = max((share for share, least in zip(found, kept, strict=True) if share > least), default=0)
    for share, load in zip(found, all_of, strict=True):
        assert share >= highest - 1 or share == load.held + load.waiting


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_no_more_is_moved_than_has_to_be(held: list[int]) -> None:
    """No even division of what is held takes fewer sources from anybody."""
    total, count = sum(held), len(held)
    found = shares(total, [Load(one, total) for one in held])
    moved = sum(max(0, one - share) for one, share in zip(held, found, strict=True))
    even, more = divmod(total, count)
    best = sum(max(0, one - even) for one in held) - min(more, sum(one > even for one in held))
    assert moved == best
    assert shares(total, [Load(share, total) for share in found]) == found


@given(sources, members, st.data())
def test_what_is_dealt_goes_to_whoever_has_room(free: set[str], who: list[str], data: st.DataObject) -> None:
    """Each once, to nobody more than there is room for, and all of it where there is room; in whatever order."""
    room = {one: data.draw(st.integers(-2, 20)) for one in who}
    found = dealt(free, room)
    assert set(found) <= free
    assert all(count <= max(0, room[one]) for one, count in Counter(found.values()).items())
    assert len(found) == min(len(free), sum(max(0, count) for count in room.values()))
    assert dealt(sorted(free, reverse=True), dict(reversed(room.items()))) == found


def test_what_is_dealt_is_spread() -> None:
    """Nobody is first in line for everything, and most stays where it was dealt when one more joins."""
    assert dealt(["a", "b", "c"], {"@00": 1}) == dealt(["c", "b", "a"], {"@00": 1}) == {"a": "@00"}
    names = [f"source-{number}" for number in range(900)]
    three = dealt(names, {"@00": 900, "@01": 900, "@02": 900})
    assert all(240 <= count <= 360 for count in Counter(three.values()).values())
    four = dealt(names, {"@00": 900, "@01": 900, "@02": 900, "@03": 900})
    assert all(three[name] == taker for name, taker in four.items() if taker != "@03")


@given(sources, members, st.data())
def test_from_any_beginning_all_is_even_after_finitely_many_steps(
    names: set[str], who: list[str], data: st.DataObject
) -> None:
    """One acts at a time, by what is so at that moment: takes what it is dealt, or gives one back. Nobody ever takes
    what another holds; at rest every source is held once, evenly, and no more was given back than had to move.
    """
    held: dict[str, set[str]] = {one: set() for one in who}
    for name in sorted(names):
        owner = data.draw(st.sampled_from([*who, ""]))
        if owner:
            held[owner].add(name)
    total = len(names)
    even, more = divmod(total, len(who))
    counts = [len(held[one]) for one in who]
    excess = sum(max(0, count - even) for count in counts) - min(more, sum(count > even for count in counts))
    given_back, quiet = 0, 0
    for step in range(40 * (total + len(who)) + 40):
        me = who[step % len(who)] if quiet else data.draw(st.sampled_from(who))
        free = names - set().union(*held.values())
        order = sorted(who)
        targets = dict(
            zip(order, shares(total, [Load(len(held[one]), total - len(held[one])) for one in order]), strict=True)
        )
        room = {one: targets[one] - len(held[one]) for one in who}
        mine = [name for name, one in dealt(free, room).items() if one == me]
        if mine:
            held[me].update(mine)
            quiet = 0
        elif room[me] < 0:
            for name in spared(held[me], me, 1):
                held[me].discard(name)
                given_back += 1
            quiet = 0
        else:
            quiet += 1
        if quiet > len(who):
            break
    assert sum(len(one) for one in held.values()) == total
    assert set().union(*held.values()) == names
    sizes = [len(one) for one in held.values()]
    assert max(sizes) - min(sizes) <= 1
    assert given_back == excess


def test_a_digest_tells_which_sources_they_are() -> None:
    """The order does not count; each name does, and where it ends."""
    assert digest(["a", "b"]) == digest(["b", "a"])
    assert len({digest(names) for names in ([], ["a"], ["a", "b"], ["ab"], ["a", "b", ""])}) == 5
    assert digest(["a", "b"]) == "ad2fbbf2e07b42c7"
