"""Which walks the vendor refuses: each waits by itself, and is told of once, while the rest of its source goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import anyio
import structlog

from bridge.core.errors import Refused
from bridge.core.event import timestamp
from bridge.core.record import Json
from bridge.core.schedule import Schedule
from bridge.core.secret import Masker
from bridge.engine.ports import Wall

BLOCKED_RETRY_S = 3600.0
"""What is refused is tried again this often: somebody may have put it right at the vendor."""
MOST_NAMED = 100
"""So many refused walks are named in an event at most."""
MOST_REASONS = 5

log = structlog.get_logger()


@dataclass(slots=True)
class _Refusal:
    """`sure`: this walk was refused since everything was last asked anew. `said`: the reason that the log has."""

    since: float
    reason: str = ""
    again_at: float = 0.0
    sure: bool = False
    said: str = ""


class Refusals:
    """Of one source, over all its sessions. Times are seconds of the monotonic clock."""

    def __init__(self, source: str, wall: Wall, masker: Masker) -> None:
        self._source = source
        self._wall = wall
        self._masker = masker
        self._walks: dict[str, _Refusal] = {}
        self._log = log.bind(source=source)

    @property
    def names(self) -> list[str]:
        """The walks that were refused when they were asked last."""
        return list(self._walks)

    @property
    def sure(self) -> bool:
        """Whether some are refused, and each of them has been asked since `ask_anew` or `recall`."""
        return bool(self._walks) and all(refusal.sure for refusal in self._walks.values())

    @property
    def since(self) -> float:
        """Since when any is refused."""
        return min(refusal.since for refusal in self._walks.values())

    def wait_s(self) -> float:
        """Seconds until the first of them is asked again."""
        return max(0.0, min(refusal.again_at for refusal in self._walks.values()) - anyio.current_time())

    def reason(self) -> str:
        """Every refused walk with what the vendor says; of too many the first few."""
        said = [refusal.reason for refusal in self._walks.values()]
        more = [f"and {len(said) - MOST_REASONS} more walks"] if len(said) > MOST_REASONS else []
        return "; ".join([*said[:MOST_REASONS], *more])

    def add(self, walk: str, error: Refused) -> float:
        """The vendor refused this walk: seconds until it is asked again."""
        now = anyio.current_time()
        after = error.after or BLOCKED_RETRY_S
        refusal = self._walks.setdefault(walk, _Refusal(now))
        text = self._masker.mask(str(error))
        refusal.reason = text if text.startswith(f"walk {walk}") else f"walk {walk}: {text}"
        refusal.again_at, refusal.sure = now + after, True
        return after

    def every(self, walks: Iterable[str]) -> bool:
        """Whether all of these were refused."""
        return all(walk in self._walks and self._walks[walk].sure for walk in walks)

    def tell(self, walk: str) -> None:
        """Log that this walk is refused while others go on, unless the log says so already, for the same reason."""
        refusal = self._walks[walk]
        if refusal.said != refusal.reason:
            refusal.said = refusal.reason
            again = timestamp(self._wall() + round((refusal.again_at - anyio.current_time()) * 1000))
            self._log.warning("walk.refused", walk=walk, reason=refusal.reason, again=again)

    def readable(self, walk: str) -> None:
        """The walk was read to its end."""
        refusal = self._walks.pop(walk, None)
        if refusal is not None and refusal.said:
            self._log.info("walk.readable", walk=walk)

    def keep(self, walks: Iterable[str]) -> None:
        """Forget those that are not walks of the source any more."""
        wanted = set(walks)
        self._walks = {name: refusal for name, refusal in self._walks.items() if name in wanted}

    def ask_anew(self) -> None:
        """All of them are due now; what is known of them counts for nothing until they have answered."""
        for refusal in self._walks.values():
            refusal.again_at, refusal.sure = 0.0, False

    def enter(self, schedule: Schedule) -> None:
        """Let a schedule leave out what is refused, until it is to be asked again."""
        now = anyio.current_time()
        for name, refusal in self._walks.items():
            if refusal.again_at > now:
                schedule.refuse(name, refusal.again_at)
            else:
                schedule.ask(name, now)

    def forget(self) -> None:
        """Somebody else may have gone on from here: what the stream says counts."""
        self._walks.clear()

    def recall(self, announced: Mapping[str, Json]) -> None:
        """Learn from what was announced of the source last which walks were refused; they are due at once."""
        walks = announced.get("walks")
        for name in walks if isinstance(walks, list) else ():
            if isinstance(name, str):
                self._walks.setdefault(name, _Refusal(anyio.current_time()))
