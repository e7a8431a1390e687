"""Deletion by absence: twice, and never many at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.absence import Absence

ids = st.sets(st.sampled_from([f"i{number}" for number in range(30)]))


def test_first_absence_proves_nothing() -> None:
    """One complete pass without a record is not a deletion."""
    assert Absence().confirm({"a"}, 100) == ([], 0)


def test_second_absence_in_a_row_is_a_deletion() -> None:
    """Two complete passes in a row without a record are."""
    absence = Absence()
    absence.confirm({"b", "a"}, 100)
    assert absence.confirm({"a", "b", "c"}, 100) == (["a", "b"], 0)


def test_a_record_seen_in_between_starts_over() -> None:
    """What came back must be absent twice again."""
    absence = Absence()
    absence.confirm({"a"}, 100)
    absence.confirm(set(), 100)
    assert absence.confirm({"a"}, 100) == ([], 0)


@pytest.mark.parametrize(
    ("absent", "known", "held"),
    [
        (10, 11, 0),  # few enough
        (10, 10, 10),  # everything at once: an empty answer is likelier
        (1, 1, 0),
        (11, 11, 11),
        (11, 54, 11),  # 20.4 %
        (11, 55, 0),  # exactly the share
        (200, 1000, 0),
        (201, 1000, 201),
        (11, 0, 11),
    ],
)
def test_brake_holds_many_at_once(absent: int, known: int, held: int) -> None:
    """More than the share and more than the count: all of them are held back, and counted."""
    absence, names = Absence(), {f"{number:04}" for number in range(absent)}
    absence.confirm(names, known)
    gone, held_back = absence.confirm(names, known)
    assert held_back == held
    assert gone == ([] if held else sorted(names))


def test_brake_lets_go_when_fewer_are_absent() -> None:
    """Held records are not forgotten: what is still absent once the many are back counts as deleted."""
    absence, many = Absence(), {f"{number}" for number in range(50)}
    absence.confirm(many, 100)
    assert absence.confirm(many, 100) == ([], 50)
    assert absence.confirm({"3", "4"}, 100) == (["3", "4"], 0)


@given(st.lists(ids, max_size=8))
def test_deleted_was_absent_from_the_last_two_passes(passes: list[set[str]]) -> None:
    """Whatever the history, only what both of the last two passes lacked is ever named."""
    absence, before = Absence(brake_count=1_000), set[str]()
    for absent in passes:
        gone, held = absence.confirm(absent, 1_000)
        assert (gone, held) == (sorted(absent & before), 0)
        before = absent


def test_a_pass_that_could_not_see_counts_neither_way() -> None:
    """Absent, not to be told, absent: that makes two. Not to be told twice makes none."""
    absence = Absence()
    absence.confirm({"a"}, 100)
    assert absence.confirm((), 100, unproven={"a", "b"}) == ([], 0)
    assert absence.confirm((), 100, unproven={"a", "b"}) == ([], 0)
    assert absence.confirm({"a", "b"}, 100) == (["a"], 0)


def test_who_was_found_must_be_absent_twice_again() -> None:
    """The vendor was asked for it by its id."""
    absence = Absence()
    absence.confirm({"a", "b"}, 100)
    absence.confirm({"a", "b"}, 100)
    absence.seen(["a"])
    assert absence.missed
    assert absence.confirm({"a", "b"}, 100) == (["b"], 0)
    assert absence.confirm({"a"}, 100) == (["a"], 0)


@pytest.mark.parametrize(
    ("absent", "accepted", "held"),
    [(50, 50, 0), (60, 50, 0), (61, 50, 61), (50, 0, 50), (10, 0, 0), (100, 100, 0), (100, 20, 100)],
)
def test_what_an_operator_accepted_passes_the_brake(absent: int, accepted: int, held: int) -> None:
    """So many and ten more, everything included; beyond that the brake holds all of them."""
    absence, names = Absence(), {f"{number:04}" for number in range(absent)}
    absence.confirm(names, 100)
    assert absence.confirm(names, 100, accepted=accepted) == ([] if held else sorted(names), held)


@given(st.lists(st.tuples(ids, ids), max_size=8))
def test_deleted_was_absent_twice_and_never_seen_in_between(passes: list[tuple[set[str], set[str]]]) -> None:
    """Whatever could not be told in between."""
    absence = Absence(brake_count=1_000)
    for number, (absent, unproven) in enumerate(passes):
        gone, _ = absence.confirm(absent, 1_000, unproven=unproven - absent)
        for id_ in gone:
            before = [past for past in reversed(passes[:number]) if id_ not in past[1] - past[0]]
            assert before
            assert id_ in before[0][0]
