"""The life cycle as a table: complete, without dead ends, and strict."""

from __future__ import annotations

import itertools

import pytest

from bridge.core.lifecycle import TRANSITIONS, IllegalMove, Signal, State, move

EVERY = list(itertools.product(State, Signal))


def reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for target in (to for (origin, _), to in TRANSITIONS.items() if origin is state and to not in found):
            found.add(target)
            todo.append(target)
    return found


def test_every_state_can_be_reached() -> None:
    """A source begins by opening, and nothing in the table is out of reach."""
    assert reachable(State.OPENING) == set(State)


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_no_dead_ends(state: State) -> None:
    """From wherever a source is, it can come to be live again, and be stopped."""
    assert {State.LIVE, State.STOPPED} <= reachable(state)


def test_stopped_is_the_end() -> None:
    """What is stopped stays stopped; stopping twice is no mistake."""
    assert reachable(State.STOPPED) == {State.STOPPED}


@pytest.mark.parametrize(("state", "signal"), EVERY)
def test_moves_are_the_table_and_nothing_else(state: State, signal: Signal) -> None:
    """A move in the table happens; any other raises and names both."""
    if (state, signal) in TRANSITIONS:
        assert move(state, signal) is TRANSITIONS[state, signal]
    else:
        with pytest.raises(IllegalMove, match=f"{state}.*{signal}"):
            move(state, signal)


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_nats_may_be_lost_anywhere(state: State) -> None:
    """NATS can go away in any state, and the way back is always through a fresh look at the stream."""
    assert move(state, Signal.NATS_LOST) is State.AWAY
    assert {to for (origin, _), to in TRANSITIONS.items() if origin is State.AWAY} == {
        State.AWAY,
        State.OPENING,
        State.STOPPED,
    }


@pytest.mark.parametrize(
    ("signals", "end"),
    [
        ("opened connected caught_up", State.LIVE),
        ("opened connected caught_up failed retry connected caught_up", State.LIVE),
        ("opened refused retry connected", State.CATCHING_UP),
        ("opened refused nats_lost retry opened", State.CONNECTING),
        ("opened failed nats_lost nats_lost retry", State.OPENING),
        ("nats_lost retry opened connected caught_up stop", State.STOPPED),
    ],
)
def test_lives(signals: str, end: State) -> None:
    """Some lives, as they are lived."""
    state = State.OPENING
    for signal in signals.split():
        state = move(state, Signal(signal))
    assert state is end
