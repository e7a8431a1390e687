"""The life of a source as one table you can read aloud. A move that is not in it is a bug and raises."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a source is."""

    OPENING = "opening"
    """Reads from the stream what is known of it."""
    STANDBY = "standby"
    """Another instance works for it; this one takes over when that one stops."""
    CONNECTING = "connecting"
    """Gets a token, opens the live session if the vendor has one."""
    CATCHING_UP = "catching_up"
    """Reads every walk once, while live messages wait in the inbox."""
    LIVE = "live"
    """Everything known up to now is stored; changes flow, walks repeat as reconciliation."""
    WAITING = "waiting"
    """The vendor failed; waits before the next attempt."""
    AWAY = "away"
    """NATS cannot be written to; the vendor is the buffer."""
    BLOCKED = "blocked"
    """The vendor refuses for good; a human is needed."""
    STOPPED = "stopped"
    """Ended in order."""


class Signal(StrEnum):
    """What happened to a source."""

    HELD = "held"
    """Another instance holds the lease."""
    GRANTED = "granted"
    """We hold the lease."""
    LEASE_LOST = "lease_lost"
    OPENED = "opened"
    CONNECTED = "connected"
    CAUGHT_UP = "caught_up"
    FAILED = "failed"
    NATS_LOST = "nats_lost"
    REFUSED = "refused"
    RETRY = "retry"
    STOP = "stop"


class IllegalMove(Exception):
    """The engine and the table disagree."""


_RUNNING = (State.CONNECTING, State.CATCHING_UP, State.LIVE)
_OWNING = (State.OPENING, *_RUNNING, State.WAITING, State.BLOCKED)

TRANSITIONS: dict[tuple[State, Signal], State] = {
    **{(state, Signal.HELD): State.STANDBY for state in (State.OPENING, State.STANDBY)},
    **{(state, Signal.GRANTED): State.OPENING for state in (State.OPENING, State.STANDBY)},
    **{(state, Signal.LEASE_LOST): State.STANDBY for state in _OWNING},
    (State.OPENING, Signal.OPENED): State.CONNECTING,
    (State.CONNECTING, Signal.CONNECTED): State.CATCHING_UP,
    (State.CATCHING_UP, Signal.CAUGHT_UP): State.LIVE,
    **{(state, Signal.FAILED): State.WAITING for state in _RUNNING},
    **{(state, Signal.REFUSED): State.BLOCKED for state in _RUNNING},
    **{(state, Signal.NATS_LOST): State.AWAY for state in State if state is not State.STOPPED},
    (State.WAITING, Signal.RETRY): State.CONNECTING,
    (State.BLOCKED, Signal.RETRY): State.CONNECTING,
    (State.AWAY, Signal.RETRY): State.OPENING,
    **{(state, Signal.STOP): State.STOPPED for state in State},
}


def move(state: State, signal: Signal) -> State:
    """The state after `signal`. Raises IllegalMove for what the table does not hold."""
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise IllegalMove(f"a source that is {state} cannot take the signal {signal}") from None
