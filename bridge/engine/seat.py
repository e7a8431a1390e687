"""A place for one thing that runs for ever, and for its successor: who begins when the former has ended in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

Run = Callable[[], Awaitable[None]]
"""Never returns; is cancelled, and then ends in order, by deadlines of its own."""


class Seat:
    """`hold` runs whoever is seated, never two at once."""

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run
        self._scope: anyio.CancelScope | None = None
        self._left = anyio.Event()
        self.over = False
        """Whether `hold` has returned."""

    async def hold(self) -> None:
        """Run them, one after the other. Returns once nobody is to follow and the last has ended."""
        try:
            while (run := self._run) is not None:
                self._left = anyio.Event()
                try:
                    with anyio.CancelScope() as self._scope:
                        await run()
                finally:
                    self._scope = None
                    self._left.set()
                if run is self._run:
                    self._run = None
        finally:
            self.over = True

    def give(self, run: Run | None) -> anyio.Event:
        """Whoever is seated ends; then `run` takes the seat, or nobody does. Returns at once, what is set when the
        former has ended. Whoever was to follow and has not begun never begins.
        """
        self._run = run
        if self._scope is None:
            left = anyio.Event()
            left.set()
            return left
        self._scope.cancel()
        return self._left
