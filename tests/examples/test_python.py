"""The examples in Python run as they are, beside a demo; and they are short enough to be copied."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.example import ROOT, Demo, judge_examples

EXAMPLES = sorted([*ROOT.glob("examples/python/*.py"), *ROOT.glob("examples/node/*.mjs")])


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    try:
        demo.start()
        yield demo
    finally:
        demo.close()


def test_they_do_what_they_say(demo: Demo) -> None:
    """The durable consumer gets each event and goes on where it was; the plain one what is new; the watch both."""
    durable, live, state = (
        (sys.executable, f"examples/python/{name}.py")
        for name in ("durable_consumer", "live_subscriber", "current_state")
    )
    judge_examples(demo, durable, live, state, ROOT)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_they_are_short(path: Path) -> None:
    """Less than 40 lines, none of which is longer than a page is wide."""
    lines = path.read_text("utf-8").splitlines()
    assert 10 < len(lines) < 40
    assert max(map(len, lines)) <= 120


def test_both_languages_show_the_same() -> None:
    """Whatever there is in one language is there in the other."""
    assert [path.stem for path in EXAMPLES if path.suffix == ".py"] == [
        path.stem for path in EXAMPLES if path.suffix == ".mjs"
    ]
    assert len(EXAMPLES) == 6
