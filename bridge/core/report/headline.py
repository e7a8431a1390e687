"""How an instance is, in one telling line: for the page, for `bridged status`, for whoever supervises the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bridge.core.lifecycle import State
from bridge.core.report.facts import SourceFacts

_ORDER = (
    State.LIVE, State.CATCHING_UP, State.CONNECTING, State.OPENING, State.WAITING, State.BLOCKED, State.AWAY,
    State.STANDBY, State.STOPPED,
)  # fmt: skip
_WORDS = {State.CATCHING_UP: "catching up", State.AWAY: "without NATS", State.STANDBY: "on standby"}


def headline(sources: Sequence[SourceFacts]) -> str:
    """Such as `5 sources: 4 live, 1 blocked; 123 events a minute`. The events are those of the last whole minute."""
    return line([State(one.state) for one in sources], sum(one.rate[-2] for one in sources if len(one.rate) > 1))


def line(states: Sequence[State], events: int) -> str:
    """The same of the sources' states, and how many events they had."""
    if not states:
        return "no source is configured"
    counted = Counter(states)
    parts = ", ".join(f"{counted[state]:,} {_WORDS.get(state, state)}" for state in _ORDER if counted[state])
    return f"{_count(len(states), 'source')}: {parts}; {_count(events, 'event')} a minute"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
