"""When is something that is not there deleted? After two complete looks, and never many things at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

BRAKE_SHARE = 0.2
BRAKE_COUNT = 10


class Absence:
    """Counts complete passes that proved an entity absent, with none in between that showed it.

    `looks`: how many passes have been told of.
    """

    def __init__(
        self, *, brake_share: float = BRAKE_SHARE, brake_count: int = BRAKE_COUNT, once: Iterable[str] = ()
    ) -> None:
        """`once`: whom the look before the first one did not find."""
        self.looks = 0
        self._once: set[str] = set(once)
        self._brake_share = brake_share
        self._brake_count = brake_count

    def confirm(
        self, absent: Iterable[str], known: int, *, unproven: Collection[str] = (), accepted: int | None = None
    ) -> tuple[list[str], int]:
        """The ids deleted for certain, and how many the brake holds back.

        `absent`: missing from the complete pass that just ended; `known`: how many entities it should have held.
        `unproven`: not seen by that pass either, but it could not have been sure to see them: they stay as they were.
        The brake: more than `brake_share` of them and more than `brake_count` at once are held back, all of them, and
        so is everything that is known: an empty answer is likelier than an empty vendor. `accepted`: an operator
        agrees to so many; a few more may have gone meanwhile (`brake_count`).
        """
        self.looks += 1
        now_absent = set(absent)
        twice = sorted(now_absent & self._once)
        self._once = now_absent | self._once.intersection(unproven)
        if accepted is not None and len(twice) <= accepted + self._brake_count:
            return twice, 0
        everything = len(twice) == known and known > 1
        if everything or (len(twice) > self._brake_count and len(twice) > self._brake_share * known):
            return [], len(twice)
        return twice, 0

    @property
    def missed(self) -> bool:
        """Whether anything was absent in the last look and not seen since."""
        return bool(self._once)

    @property
    def once(self) -> frozenset[str]:
        """Whom the last look did not find, and nobody has seen since."""
        return frozenset(self._once)

    def forget(self) -> None:
        """What was absent before proves nothing any more."""
        self._once.clear()

    def seen(self, ids: Collection[str]) -> None:
        """They are there after all: they must be absent twice again."""
        if self._once:
            self._once.difference_update([id_ for id_ in self._once if id_ in ids])
