"""`docs/logs.md` tells of every event that is logged, and of none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.core.lifecycle import State
from tests.support.log_events import logged, names

DOCUMENT = (Path(__file__).parent.parent / "docs" / "logs.md").read_text("utf-8")
TOLD = re.findall(r"^\| `([a-z_.]+)` \|", DOCUMENT, re.MULTILINE)
SPELLED = {"source.{self._status.state}": [f"source.{state}" for state in State],
           "source.{change}": ["source.lost", "source.blocked"],
           "{self.table}.bug": ["ingress.bug", "status.bug"],
           "{self._house.table}.exhausted": ["ingress.exhausted", "status.exhausted"],
           "{self._house.table}.full": ["ingress.full", "status.full"]}  # fmt: skip
"""What is logged under a name made on the spot."""
NO_EVENT = re.compile(r"[^.]*\s.*|.*[^a-z_.{}].*", re.DOTALL)
"""What `say` hands to a terminal is a sentence."""


def found() -> set[str]:
    every = [name for name in logged() if not NO_EVENT.fullmatch(name) or name in SPELLED]
    return {spelled for name in every for spelled in SPELLED.get(name, [name])}


def test_every_event_is_documented() -> None:
    """With its level, what happened, and what to do."""
    assert sorted(found() - set(TOLD)) == []


def test_what_is_documented_is_logged() -> None:
    """Nothing that was renamed or removed is left there."""
    assert sorted(set(TOLD) - found()) == []


def test_the_table_is_in_order() -> None:
    """So that somebody who has a name finds it."""
    assert sorted(set(TOLD)) == TOLD


def test_names_are_found_however_they_are_handed_over() -> None:
    """All the ways in which our code logs."""
    text = """
log.info("a.b", x=1)
self._log.bind(source=1)
self._log.warning(f"source.{change}")
getattr(self._log, level)("c.d")
(log.info if many else log.debug)("e.f")
self._house.say("g.h")
self._log.warning("i.j" if refused else "k.l")
other.info("m.n")
"""
    assert list(names(text)) == ["a.b", "source.{change}", "c.d", "e.f", "g.h", "i.j", "k.l"]
