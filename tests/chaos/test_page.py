"""The report: whole, in one file, and nothing in it can be anything but text."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.chaos.page import page
from tests.chaos.report import as_table
from tests.chaos.timeline import timeline


@pytest.fixture
def report() -> dict[str, Any]:
    """As `as_json` has it."""
    return {
        "faithful": False,
        "seed": 7,
        "seconds": 120.0,
        "replicas": 1,
        "repeat": "python -m tests.chaos --minutes 2 --seed 7 --replicas 1",
        "machine": {"system": "Linux", "processor": "x86_64", "processors": 2, "python": "3.11"},
        "begun_s": 0,
        "healed_s": 121.0,
        "ended_s": 150.0,
        "properties": {
            "nothing is there twice": {"holds": False, "problems": ["shop: <script>alert(1)</script>"]},
            "no secret is in any artefact": {"holds": True, "problems": []},
        },
        "sentences": ["not so: nothing is there twice (1)", "  shop: 1 times"],
        "sources": [{"source": "shop", "changes": 12, "recovery s": None}],
        "faults": [{"lane": "ways", "kind": "reset", "struck": 2, "came": 3, "of": "connections"}],
        "schedule": {"ways": [], "broker": []},
        "struck": [
            {"lane": "ways", "kind": "reset", "target": "north", "begin_s": 3.0, "end_s": 3.2},
            {"lane": "broker", "kind": "killed", "target": "nats", "begin_s": 10.0, "end_s": 40.0},
        ],
        "events_per_s": [[0, 3], [1, 30], [120, 4]],
        "states": {"shop": [[-5.0, "opening"], [0.5, "live"], [40.0, "waiting"], [45.0, "live"]]},
    }


def test_the_page_needs_nothing_else_and_escapes_everything(report: dict[str, Any]) -> None:
    """No address of anything, no script; light and dark; and it says what failed and how to repeat it."""
    text = page(report)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.findall(r"(?:src|href)=|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert "color-scheme: light dark" in text
    assert "--seed 7" in text
    parser = Balance()
    parser.feed(text)
    assert parser.open == []


def test_the_picture_shows_every_blow_and_every_state(report: dict[str, Any]) -> None:
    """It is well-formed; each bar says what it is; later is further to the right."""
    root = ElementTree.fromstring(timeline(report))
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "reset north, at 3.0 s for 0.2 s" in titles
    assert "killed nats, at 10.0 s for 30.0 s" in titles
    assert "30 events in second 1" in titles
    assert "shop: waiting from 40.0 s to 45.0 s" in titles
    bars = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if len(e)]
    place = {bar[0].text: float(bar.attrib["x"]) for bar in bars}
    assert place["reset north, at 3.0 s for 0.2 s"] < place["killed nats, at 10.0 s for 30.0 s"]


def test_the_table_says_what_fails_and_how_to_repeat_it(report: dict[str, Any]) -> None:
    """Sources, faults, properties; and JSON takes it all."""
    text = as_table(report)
    assert "FAILS  nothing is there twice" in text
    assert "holds  no secret is in any artefact" in text
    assert "repeat it: python -m tests.chaos --minutes 2 --seed 7 --replicas 1" in text
    assert "3 connections" in text
    assert json.loads(json.dumps(report)) == report


class Balance(html.parser.HTMLParser):
    """Which elements are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
