"""How the sources were, as the instances' logs tell it: for the picture of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.chaos.effects import moment_s
from tests.chaos.parts import Parts
from tests.chaos.schedule import STEP_S

WORKING: Final = ("live", "reading", "opening", "waiting", "blocked", "away", "standby", "")
"""From best to worst: a source is as the instance that has come furthest with it."""
States = Mapping[str, Sequence[tuple[float, str]]]
"""By source, from when on it was in which state."""


def states(parts: Parts) -> States:
    """Of every source, over the whole run."""
    told: dict[str, list[tuple[float, str, str]]] = {source: [] for source in parts.sources}
    for name, daemon in parts.daemons.items():
        for life, begun_ms in enumerate(daemon.started_ms):
            for source, moves in told.items():
                moves.append((begun_ms / 1000, name, ""))
                moves += [(at_s, name, state) for at_s, state in _moves(daemon.lines(life), source, begun_ms / 1000)]
    return {source: together(moves) for source, moves in told.items()}


def together(moves: Iterable[tuple[float, str, str]]) -> list[tuple[float, str]]:
    """What several instances told, as one: moments, instances, states."""
    now: dict[str, str] = {}
    found: list[tuple[float, str]] = []
    for at_s, name, state in sorted(moves):
        now[name] = state
        best = min(now.values(), key=_rank)
        if not found or found[-1][1] != best:
            found.append((at_s, best))
    return found


def _rank(state: str) -> int:
    return WORKING.index(state) if state in WORKING else WORKING.index("waiting")


def _moves(lines: Iterable[Mapping[str, Any]], source: str, begun_s: float) -> Iterable[tuple[float, str]]:
    at_s = begun_s
    for line in lines:
        event = str(line.get("event"))
        if line.get("source") != source or not event.startswith("source.") or event == "source.unread":
            continue
        # A clock that has stepped is put right; and nothing was logged before the line above it.
        logged_s = moment_s(line) or at_s
        off_s = min((-STEP_S, 0, STEP_S), key=lambda step_s: abs(logged_s - step_s - at_s))
        at_s = max(at_s, logged_s - off_s)
        yield at_s, event.removeprefix("source.")
