"""Whether this instance may be called ready: named conditions, each reached once or not yet, and the word to stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold. `why`: what keeps it from doing so, and what to do; "" where it holds."""

    name: str
    holds: bool
    why: str = ""


class Readiness:
    """Conditions by name, in the order they were expected. None of them is about a vendor.

    A condition that was reached stays so: a broker that is away later is its own trouble and is told as such. `stop`
    ends readiness for good.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._conditions = {name: Condition(name, holds=False, why="not yet") for name in names}
        self._ready = anyio.Event()
        self._changed = anyio.Event()
        self.stopping = False

    @property
    def ready(self) -> bool:
        """Whether every condition holds and nobody has said stop."""
        return not self.stopping and all(condition.holds for condition in self._conditions.values())

    @property
    def conditions(self) -> Sequence[Condition]:
        """All of them, as they are now."""
        return tuple(self._conditions.values())

    def reach(self, name: str) -> None:
        """It holds from now on."""
        self._set(Condition(name, holds=True))

    def hinder(self, name: str, why: str) -> None:
        """It does not hold, for this reason: a sentence for the operator. One that was reached stays reached."""
        if not self._conditions[name].holds:
            self._set(Condition(name, holds=False, why=why))

    def stop(self) -> None:
        """Not ready any more, for good: nobody should be sent here from now on."""
        self.stopping = True
        self._tell()

    async def wait(self) -> None:
        """Returns once every condition has held at the same time. Has no deadline: whoever waits sets one."""
        await self._ready.wait()

    async def changed(self) -> None:
        """Returns at the next change of any condition, or at `stop`."""
        await self._changed.wait()

    def _set(self, condition: Condition) -> None:
        if condition.name not in self._conditions:
            raise KeyError(condition.name)
        if self._conditions[condition.name] == condition:
            return
        self._conditions[condition.name] = condition
        self._tell()

    def _tell(self) -> None:
        if self.ready:
            self._ready.set()
        self._changed.set()
        self._changed = anyio.Event()
