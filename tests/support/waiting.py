"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable

import anyio

Condition = Callable[[], object] | Callable[[], Awaitable[object]]


async def wait_until(condition: Condition, deadline_s: float = 10, what: str = "") -> None:
    """Return as soon as `condition()` (plain or async) is true; fail with `what` after `deadline_s` seconds."""
    with anyio.move_on_after(deadline_s):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            await anyio.sleep(0.01)
    raise AssertionError(_sentence(condition, deadline_s, what))


def wait_until_blocking(condition: Callable[[], object], deadline_s: float = 10, what: str = "") -> None:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(_sentence(condition, deadline_s, what))


def _sentence(condition: object, deadline_s: float, what: str) -> str:
    return f"waited {deadline_s:g} s in vain for {what or getattr(condition, '__qualname__', repr(condition))}"
