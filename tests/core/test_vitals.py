"""What a source measures, on its way through a claim."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.record import Json
from bridge.core.vitals import Reserves, Tempo, Vitals, read_vitals

NOON_MS = 1_767_225_600_000
TEMPOS = (
    Tempo("projects", 300.0, 900.0, 2.5, NOON_MS + 5, 1_200, 5_000),
    Tempo("tasks é", 0.5, 0.5),
    Tempo("times", 60.0, 60.0, 1.0, NOON_MS, 7),
)
QUOTA = Reserves(
    limit=50, period_s=900.0, ours=40.0, reserve=10, left=38, resets_ms=NOON_MS + 9, refused=2, walks=7
)  # fmt: skip
POLLED = Vitals(at_ms=NOON_MS, polled=True, walks=TEMPOS, quota=QUOTA)


def carried(vitals: Vitals) -> Vitals | None:
    """There and back."""
    return read_vitals(json.loads(json.dumps(vitals.to_json())))


def test_what_a_polled_source_tells() -> None:
    """What it reads when, and what with; nothing of a live session."""
    assert POLLED.to_json() == {
        "at_ms": NOON_MS,
        "polled": True,
        "walks": [
            ["projects", 300.0, 900.0, 2.5, NOON_MS + 5, 1_200, 5_000],
            ["tasks é", 0.5, 0.5, 1.0],
            ["times", 60.0, 60.0, 1.0, NOON_MS, 7],
        ],
        "quota": {
            "limit": 50, "period_s": 900.0, "ours": 40.0, "reserve": 10, "left": 38, "resets_ms": NOON_MS + 9,
            "refused": 2, "walks": 7,
        },
    }  # fmt: skip
    assert carried(POLLED) == POLLED


def test_a_live_source_tells_both() -> None:
    """Its session as before, and what it reads beside it."""
    live = Vitals(at_ms=NOON_MS, live=True, frames=3, walks=TEMPOS[:1], quota=replace(QUOTA, left=None, resets_ms=None))
    assert carried(live) == live
    assert "polled" not in live.to_json()
    assert Vitals(at_ms=9).to_json().keys() == {
        "at_ms", "live", "sessions", "frames", "odd", "unreadable", "filtered", "acks"
    }  # fmt: skip


def test_a_hundred_walks_are_told_of_and_no_more() -> None:
    """A claim is renewed every few seconds: its size has a bound. What does not fit is left out."""
    many = [Tempo(f"{'w' * 60}-{at}", 300.0, 901.234567, 12.34, NOON_MS, 10**6, 10**6) for at in range(250)]
    told = POLLED.__class__(at_ms=NOON_MS, polled=True, walks=many, quota=QUOTA)
    assert len(json.dumps(told.to_json())) < 16_000
    found = carried(told)
    assert found is not None
    assert [walk.name for walk in found.walks] == [walk.name for walk in many[:100]]
    assert found.walks[0].every_s == 901.235
    long = Vitals(at_ms=NOON_MS, polled=True, walks=[Tempo("w" * 201, 1.0, 1.0), TEMPOS[1]])
    assert [row[0] for row in long.to_json()["walks"]] == ["tasks é"]


@pytest.mark.parametrize(
    "walks",
    [
        None, 7, "x", {}, [7], [[]], [["a"]], [["a", 1, 1]], [[1, 1, 1, 1]], [["a", "1", 1, 1]], [["a", -1, 1, 1]],
        [["a", float("nan"), 1, 1]], [["a", 1, float("inf"), 1]], [["a", 1, 10**400, 1]], [["a" * 201, 1, 1, 1]],
        [["a", True, 1, 1]],
    ],
)  # fmt: skip
def test_walks_that_cannot_be_read_are_none(walks: Json) -> None:
    """One by one: the others stand."""
    good = ["b", 1, 2, 3, "soon", -1, 8, "more"]
    told = read_vitals({"at_ms": 9, "walks": [*walks, good] if isinstance(walks, list) else walks})
    assert told is not None
    assert told.walks == ((Tempo("b", 1, 2, 3, None, None, 8),) if isinstance(walks, list) else ())


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, None), ([], None), ({}, None), ({"limit": 50, "period_s": 900}, None),
        ({"limit": 50.5, "period_s": 900, "ours": 1}, None), ({"limit": -1, "period_s": 900, "ours": 1}, None),
        ({"limit": 50, "period_s": 900, "ours": 44.5}, Reserves(limit=50, period_s=900, ours=44.5)),
        (
            {"limit": 50, "period_s": 900, "ours": 44.5, "left": "38", "resets_ms": 10**15, "refused": True, "x": 1},
            Reserves(limit=50, period_s=900, ours=44.5),
        ),
    ],
)  # fmt: skip
def test_a_quota_that_cannot_be_read_is_none(quota: Json, expected: Reserves | None) -> None:
    """Without its limit there is none; other parts count as not told."""
    told = read_vitals({"at_ms": 9, "quota": quota})
    assert told == Vitals(at_ms=9, quota=expected)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=9
)


@given(st.fixed_dictionaries({"at_ms": st.just(9), "walks": ANYTHING, "quota": ANYTHING, "polled": ANYTHING}))
def test_whatever_lies_there_is_read_or_not(value: Json) -> None:
    """Claims are foreign text: nothing raises, and what is found can be stored again."""
    told = read_vitals(value)
    assert told is not None
    json.dumps(told.to_json(), allow_nan=False)
