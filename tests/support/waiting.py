"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator

import anyio

Condition = Callable[[], object] | Callable[[], Awaitable[object]]

PATIENCE_S = 90.0
"""A guard, never a measure: a machine that is busy, or stands still for some seconds, must not break a test."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.1
"""Asking costs time that what is waited for could use: the longer it takes, the less often it is asked."""


async def wait_until(condition: Condition, deadline_s: float = PATIENCE_S, what: str = "") -> None:
    """Return as soon as `condition()` (plain or async) is true; fail with `what` after `deadline_s` seconds."""
    with anyio.move_on_after(deadline_s):
        for pause in _pauses():
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            await anyio.sleep(pause)
    raise AssertionError(_sentence(condition, deadline_s, what))


def wait_until_blocking(condition: Callable[[], object], deadline_s: float = PATIENCE_S, what: str = "") -> None:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + deadline_s
    for pause in _pauses():
        if condition():
            return
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
    raise AssertionError(_sentence(condition, deadline_s, what))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(1.2 * pause, LONGEST_PAUSE_S)


def _sentence(condition: object, deadline_s: float, what: str) -> str:
    return f"waited {deadline_s:g} s in vain for {what or getattr(condition, '__qualname__', repr(condition))}"
