"""What alerts remember between two processes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.core.alerts.notes import Margin, Notes, read_notes
from bridge.core.alerts.patience import delay_s


def test_they_are_read_as_they_were_written() -> None:
    """Through JSON."""
    notes = Notes(41, {"ops": Margin(7, {"groups": {"a": 1}}), "more": Margin(0)})
    assert read_notes(json.loads(json.dumps(notes.value()))) == notes


@pytest.mark.parametrize(
    "value", [None, {}, {"seq": "1"}, {"seq": True}, {"seq": -1}, {"rules": {}}, {"seq": None, "rules": []}]
)
def test_without_a_place_they_are_none(value: Any) -> None:
    """Then everything begins with now."""
    assert read_notes(value) is None


@pytest.mark.parametrize("rules", [None, [], {"ops": 1}, {"ops": {"state": {}}}, {"ops": {"after": "x"}}])
def test_what_cannot_be_read_of_a_rule_is_left_out(rules: Any) -> None:
    """That rule is a new one."""
    assert read_notes({"seq": 3, "rules": rules}) == Notes(3)
    assert read_notes({"seq": 3, "rules": {"ops": {"after": 1, "state": 7}}}) == Notes(3, {"ops": Margin(1)})


def test_rules_come_and_go() -> None:
    """New ones begin behind the end, those that stay keep what they know, and it is said whether anything changed."""
    notes = Notes(5, {"stays": Margin(1, {"x": 1}), "goes": Margin(2)})
    assert notes.enrol(["comes", "stays"], 9)
    assert notes.rules == {"comes": Margin(9), "stays": Margin(1, {"x": 1})}
    assert not notes.enrol(["stays", "comes"], 20)
    notes.restart(3)
    assert (notes.seq, [rule.after for rule in notes.rules.values()]) == (3, [3, 3])


@pytest.mark.parametrize(
    ("tries", "roll", "more", "wanted"),
    [
        (1, 0.0, {}, 0.5),
        (1, 1.0, {}, 1.0),
        (4, 1.0, {}, 8.0),
        (8, 0.0, {}, 60.0),
        (10_000, 1.0, {}, 120.0),
        (1, 0.0, {"refused": True}, 30.0),
        (99, 1.0, {"refused": True}, 900.0),
        (1, 0.0, {"after": 30.0}, 30.0),
        (99, 1.0, {"after": 1.0}, 120.0),
        (1, 1.0, {"after": 1e12}, 3960.0),
    ],
)
def test_the_pause_before_the_next_attempt(tries: int, roll: float, more: dict[str, Any], wanted: float) -> None:
    """It doubles up to two minutes, a quarter of an hour where the other side says no; a wish counts up to an hour."""
    assert delay_s(tries, roll, **more) == pytest.approx(wanted)
