"""The README's table of figures is what the committed measurement gives, and it judges rightly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.aims import AIMS
from tests.bench.recovery import busiest, caught_up_at, first_after
from tests.bench.recovery_scene import Kept
from tests.bench.recovery_vendor import name, told
from tests.bench.table import Aim, Cell, number, table, verdict, written

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
TAKEN: dict[str, Any] = {
    "machine": {"cores": 2, "load": 0.5},
    "figures": [
        {
            "name": "catch-up, sync_interval default",
            "lines": [{"name": "bridge, first reading", "events/s": 3000.0, "x bare": 0.5}, {"name": "bare"}],
        }
    ],
}


def _cell(column: str, line: str = "bridge, first") -> Cell:
    return Cell("catch-up", line, column)


def _figures() -> dict[str, dict[str, dict[str, float]]]:
    return {"catch-up, sync_interval default": {"bridge, first reading": {"events/s": 3000.0, "x bare": 0.5}}}


def test_the_readme_is_what_was_measured() -> None:
    """Nothing in the table was typed by hand: it is what `docs/figures.json` gives, to the letter."""
    taken = json.loads((ROOT / "docs/figures.json").read_text("utf-8"))
    assert written(README, table(taken, AIMS)) == README, (
        "the README's table is not that of docs/figures.json: python -m tests.bench table docs/figures.json"
    )


def test_every_aim_names_a_figure() -> None:
    """No row looks for a figure, a line or a column that a whole measurement does not have."""
    taken = json.loads((ROOT / "docs/figures.json").read_text("utf-8"))
    lacking = [row for row in table(taken, AIMS).splitlines() if "not taken" in row]
    # One that was put together of parts says so.
    assert not lacking or "provisional" in taken["machine"].get("note", ""), "\n".join(lacking)


def test_a_row_says_ratio_figure_aim_and_verdict() -> None:
    """The ratio comes first, and the verdict is about the figure or, where the aim is, about the ratio."""
    absolute = Aim("new", _cell("events/s"), "events/s", 15_000.0, _cell("x bare"), "bare", least=True)
    relative = Aim("new", _cell("events/s"), "events/s", 0.4, _cell("x bare"), "bare", least=True, relative=True)
    gone = Aim("gone", _cell("events/s", "nobody"), "events/s", 1.0)
    assert table(TAKEN, [absolute, relative, gone]).splitlines() == [
        "Machine and run: cores 2, load 0.5.",
        "",
        "|  | ratio, same run | seen | aimed at |  |",
        "|---|---:|---:|---:|---|",
        "| new | 0.50 x bare | 3,000 events/s | ≥ 15,000 events/s | **missed**: 0.20 of it |",
        "| new | 0.50 x bare | 3,000 events/s | ≥ 0.40 x | met |",
        "| gone |  | not taken | ≤ 1 events/s |  |",
    ]


def test_of_several_the_worst_is_judged() -> None:
    """They stand side by side; where one of them was not taken, none is shown."""
    both = (_cell("events/s"), _cell("x bare"))
    few = Aim("two", both, "", 0.5, both, "bare", least=True)
    many = Aim("two", (_cell("events/s"), _cell("gone")), "", 0.5)
    assert few.cells(_figures()) == ("two", "3,000 · 0.50 x bare", "3,000 · 0.50", "≥ 0.50", "met")
    assert replace(few, least=False).cells(_figures())[-1] == "**missed**: 6,000 times as much"
    assert many.cells(_figures()) == ("two", "", "not taken", "≤ 0.50", "")


def test_a_value_may_be_divided_by_another() -> None:
    """As where the aim is about how something grows; by nothing it is without end."""
    figures = {"f": {"l": {"a": 6.0, "b": 3.0, "none": 0.0}}}
    assert Cell("f", "l", "a", over=Cell("f", "l", "b")).of(figures) == 2.0
    assert Cell("f", "l", "a", over=Cell("f", "l", "none")).of(figures) == math.inf
    assert Cell("f", "l", "a", over=Cell("f", "l", "gone")).of(figures) is None


@pytest.mark.parametrize(
    ("value", "bar", "least", "expected"),
    [
        (1.5, 1.5, False, "met"),
        (3.0, 1.5, False, "**missed**: 2 times as much"),
        (0.7, 0.7, True, "met"),
        (0.35, 0.7, True, "**missed**: 0.50 of it"),
        (0.0, 0.0, False, "met"),
        (1.0, 0.0, False, "**missed**"),
        (math.inf, 1.0, False, "**missed**"),
        (None, 1.0, False, ""),
        (1.0, None, False, ""),
    ],
)
def test_a_miss_says_by_how_much(value: float | None, bar: float | None, least: bool, expected: str) -> None:
    """The bar itself is met; beyond it the verdict tells how far."""
    assert verdict(value, bar, least=least) == expected


def test_numbers_have_few_digits() -> None:
    """As few as say something, and no end is called so."""
    assert [number(value) for value in (0.123, 1.0, 12.34, 123.4, 12_345.6, math.inf)] == [
        "0.12", "1", "12.3", "123", "12,346", "never",
    ]  # fmt: skip


def test_a_table_needs_its_place() -> None:
    """Only what is between the two marks is replaced; without them nothing is."""
    marked = "a\n<!-- figures: written by tests.bench -->\nold\n<!-- end of figures -->\nb\n"
    assert written(marked, "new") == (
        "a\n<!-- figures: written by tests.bench -->\n\nnew\n\n<!-- end of figures -->\nb\n"
    )
    for lacking in ("a b", "a\n<!-- figures: written by tests.bench -->\nb\n"):
        with pytest.raises(ValueError, match="no place"):
            written(lacking, "new")


def test_the_fullest_second() -> None:
    """However it begins, and without its own end."""
    assert busiest([0.0, 0.5, 0.9, 1.0, 1.4, 5.0]) == 4.0
    assert busiest([0.0, 0.5, 1.0]) == 2.0
    assert busiest([]) == 0.0


def test_caught_up() -> None:
    """When the first event was stored in time that was issued after the return; what is late does not count."""
    kept = [Kept(0, 9.9, 9.95), Kept(1, 10.1, 11.0), Kept(2, 11.0, 11.05), Kept(3, 12.0, 12.01)]
    assert caught_up_at(kept, 10.0) == 11.05
    assert caught_up_at(kept[:2], 10.0) == math.inf


def test_an_id_tells_number_and_time() -> None:
    """What the stream alone has to tell."""
    assert name(7, 1_700_000_000_250_000) == "n7-1700000000250000"
    assert told("n7-1700000000250000") == (7, 1_700_000_000.25)


def test_nothing_after_a_moment_is_never() -> None:
    """What was stored at the moment counts; where nothing was, that is no error of the bench but what it found."""
    assert first_after([Kept(0, 1.0, 2.0), Kept(1, 1.0, 3.0)], 2.0) == 2.0
    assert first_after([Kept(0, 1.0, 2.0)], 2.5) == math.inf
