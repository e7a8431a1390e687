"""What one sequencer knows: the last event of each of its source's entities, and of the bridge's own about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge.core.heads import Heads
from bridge.core.record import Head, Key


class Known:
    """By key. `heads` are those of `vendor`, used in place; those of the bridge's own begin empty."""

    def __init__(self, vendor: str, heads: Heads) -> None:
        self._vendor = vendor
        self._theirs = heads
        self._own: dict[Key, Head] = {}

    def get(self, key: Key) -> Head | None:
        """A copy of the head; None if there is none."""
        if key.vendor != self._vendor:
            return self._own.get(key)
        return self._theirs.find(key.entity, key.id)

    def put(self, key: Key, head: Head, mark: bytes | None = None) -> None:
        """Remember, with a mark (see `bridge/engine/unchanged.py`) or with none."""
        if key.vendor != self._vendor:
            self._own[key] = head
        else:
            self._theirs[key.entity, key.id] = head
            self.mark(key, mark)

    def mark(self, key: Key, mark: bytes | None) -> None:
        """Put a mark beside what is known; None changes nothing."""
        if mark is not None and key.vendor == self._vendor:
            self._theirs.mark(key.entity, key.id, mark)

    def bearing(self, entity: str) -> Callable[[str, bytes], bool]:
        """See `Heads.bearing`, of the vendor's entities."""
        return self._theirs.bearing(entity)

    def __contains__(self, key: Key) -> bool:
        return key in self._own if key.vendor != self._vendor else (key.entity, key.id) in self._theirs

    def existing(self, entity: str) -> set[str]:
        """The ids of the vendor's entities of this kind that were not deleted."""
        return self._theirs.existing(entity)

    @property
    def any_theirs(self) -> bool:
        """Whether any entity of the vendor's is known."""
        return len(self._theirs) > 0


class Once:
    """What is known to have occurred, and is in the stream: the latest of it, between `HALF` and twice as much."""

    HALF = 32_768

    def __init__(self) -> None:
        self._young: set[Key] = set()
        self._old: set[Key] = set()

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    def add(self, keys: Iterable[Key]) -> None:
        """Remember, and forget the oldest of too many: half of them at once, as one at a time is dear."""
        self._young.update(keys)
        if len(self._young) >= self.HALF:
            self._old, self._young = self._young, set()
