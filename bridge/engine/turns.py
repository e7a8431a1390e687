"""Who waits for the turn of a source, and which sources are being claimed as it is their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio

from bridge.core.errors import BridgeError
from bridge.core.lease import Seen, Verdict

Found = tuple[Seen, Verdict]
"""What lies under a source's name, and what may be done with it."""


class _Wait:
    def __init__(self, held: Callable[[str], None]) -> None:
        self.held = held
        self.done = anyio.Event()
        self.found: Found | None = None
        self.error: BridgeError | None = None


class Turns:
    """One per process; a source is waited for once at a time."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}
        self.claiming = set[str]()
        """Those whose turn it is: `Sharing.claimed` is told what came of it."""

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, source: str) -> bool:
        return source in self._waits

    @property
    def names(self) -> list[str]:
        """All that somebody waits for, also where it is claimed already."""
        return list(self._waits)

    @property
    def waiting(self) -> list[str]:
        """Those whose turn has not come."""
        return [name for name in self._waits if name not in self.claiming]

    async def wait(self, source: str, held: Callable[[str], None], asked: Callable[[], None]) -> Found | None:
        """Until it is the source's turn; None: there are no turns any more. `asked` is called when it is in the queue.

        `held`: as of `tell`. Raises what `fail` was told.
        """
        wait = self._waits[source] = _Wait(held)
        asked()
        try:
            await wait.done.wait()
        except BaseException:
            self.claiming.discard(source)
            raise
        finally:
            if self._waits.get(source) is wait:
                del self._waits[source]
        if wait.error is not None:
            raise wait.error
        return wait.found

    def open(self, names: Iterable[str]) -> list[str]:
        """Those of them that somebody waits for, and has heard nothing yet."""
        return [name for name in names if name in self._waits and not self._waits[name].done.is_set()]

    def begin(self, source: str, found: Found) -> None:
        """It is its turn. Only for one that is `open`."""
        wait = self._waits[source]
        wait.found = found
        self.claiming.add(source)
        wait.done.set()

    def tell(self, source: str, holder: str) -> None:
        """Who has it, for people."""
        for name in self.open([source]):
            self._waits[name].held(holder)

    def fail(self, error: BridgeError) -> None:
        """All that wait hear of it."""
        for name in self.open(self.names):
            self._waits[name].error = error
            self._waits[name].done.set()

    def stop(self) -> None:
        """There are no turns any more."""
        for wait in list(self._waits.values()):
            wait.done.set()
