"""Looks up in the stream what only it knows of the sources; only while somebody wants to know, and never in a hurry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import structlog

from bridge.core.errors import BridgeError
from bridge.core.report.overview import Overview
from bridge.engine.ports import Wall

SURVEY_S = 5.0
"""So often, at most, what all have in common is asked."""
FRESH_S = 10.0
"""What is younger is not asked again."""
STALE_S = 60.0
"""What is older is not told any more: the source may have been through a lot since."""
A_SECOND = 20
"""So many sources a second are looked up, at most: each takes some ten requests to the stream's leader."""
LINGER_S = 15.0
"""How long after somebody asked once we go on: who asks again soon finds everything fresh."""
PATIENCE_S = 15.0
AGAIN_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the stream said of a source. `at`: seconds of the event loop's clock; `at_ms`: since the Unix epoch."""

    view: Overview
    at: float
    at_ms: int


class Lookout:
    """`look` asks for one source, by vendor and name; `survey` for what all have in common, at the start of a round.

    Both may raise BridgeError: then what is known stays, until it is too old. `sources`: which there are now.
    """

    def __init__(
        self,
        look: Callable[[str, str], Awaitable[Overview]],
        survey: Callable[[], Awaitable[None]],
        sources: Callable[[], Sequence[tuple[str, str]]],
        wall: Wall,
    ) -> None:
        self._look = look
        self._survey = survey
        self._sources = sources
        self._wall = wall
        self._seen: dict[str, Seen] = {}
        self._watchers = 0
        self._until = float("-inf")
        self._wanted = anyio.Event()
        self._round = anyio.Event()
        self._surveyed = float("-inf")
        self.looks = 0

    def seen(self, source: str) -> Seen | None:
        """What is known of a source; None where it was not asked for, or too long ago."""
        found = self._seen.get(source)
        return found if found is not None and anyio.current_time() - found.at <= STALE_S else None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the block runs somebody looks."""
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def refresh(self, patience_s: float) -> None:
        """Somebody asks once. Returns when every source was looked up, or no longer wants to wait."""
        self._until = anyio.current_time() + LINGER_S
        self._wanted.set()
        with anyio.move_on_after(patience_s):
            while not self._complete():
                await self._round.wait()

    async def run(self) -> None:
        """Never returns; is cancelled."""
        while True:
            if not self._watchers and anyio.current_time() >= self._until:
                self._wanted = anyio.Event()
                await self._wanted.wait()
            try:
                if anyio.current_time() - self._surveyed >= SURVEY_S:
                    with anyio.fail_after(PATIENCE_S):
                        await self._survey()
                    self._surveyed = anyio.current_time()
                await self._each()
            except (BridgeError, TimeoutError) as error:
                # NATS tells of its own trouble elsewhere.
                log.debug("status.unseen", reason=str(error))
                await anyio.sleep(AGAIN_S)
            finally:
                self._round.set()
                self._round = anyio.Event()
            await anyio.sleep(1.0)

    async def _each(self) -> None:
        begun, count = anyio.current_time(), 0
        sources = self._sources()
        names = {name for _, name in sources}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        for vendor, name in sources:
            found = self._seen.get(name)
            if found is not None and anyio.current_time() - found.at < FRESH_S:
                continue
            if not self._watchers and anyio.current_time() >= self._until:
                return
            with anyio.fail_after(PATIENCE_S):
                view = await self._look(vendor, name)
            self.looks += 1
            self._seen[name] = Seen(view, anyio.current_time(), self._wall())
            count += 1
            if count == A_SECOND:
                await anyio.sleep(max(0.0, begun + 1.0 - anyio.current_time()))
                begun, count = anyio.current_time(), 0

    def _complete(self) -> bool:
        return all(self.seen(name) is not None for _, name in self._sources())
