"""When is something that is not there deleted? After two complete looks, and never many things at once."""

from __future__ import annotations

from collections.abc import Iterable


class Absence:
    """Counts consecutive complete passes that did not hold an entity they should have held."""

    def __init__(self, *, brake_share: float = 0.2, brake_count: int = 10) -> None:
        self._once: set[str] = set()
        self._brake_share = brake_share
        self._brake_count = brake_count

    def confirm(self, absent: Iterable[str], known: int) -> tuple[list[str], int]:
        """The ids deleted for certain, and how many the brake holds back.

        `absent`: missing from the complete pass that just ended; `known`: how many entities it should have held.
        The brake: more than `brake_share` of them and more than `brake_count` at once are held back, all of them, and
        so is everything that is known: an empty answer is likelier than an empty vendor.
        """
        now_absent = set(absent)
        twice = sorted(now_absent & self._once)
        self._once = now_absent
        everything = len(twice) == known and known > 1
        if everything or (len(twice) > self._brake_count and len(twice) > self._brake_share * known):
            return [], len(twice)
        return twice, 0
