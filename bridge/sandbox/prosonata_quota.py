"""The played quota: fixed blocks of time, shared with everything else that uses the API."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

from bridge.sandbox.prosonata_options import Options


@dataclass(frozen=True, slots=True)
class Standing:
    """What one call is to be told: whether it passes, how many are left in this block, and when the next one begins."""

    passes: bool
    left: int
    reset_s: int
    block: int = -1


class Quota:
    """Counts the calls of a block, those of other tools among them. Times are milliseconds since the Unix epoch.

    `counters`: `rate_limited`; `foreseeable`, those of them that came though an answer in the same block had arrived
    that said that nothing was left; `greedy`, calls that took what should be left to others (`Options.reserve`) though
    an answer had said so; `others`, the calls of other tools, and `others_refused`, those that found nothing left.
    """

    def __init__(self, options: Options) -> None:
        self.counters: Counter[str] = Counter()
        self._options = options
        self._phase_ms = random.Random(f"{options.seed}:phase").randrange(60_000)  # noqa: S311  # guessable on purpose
        self._block = -1
        self._used = 0
        self._told_left: int | None = None
        self._others: list[int] = []

    def take(self, now_ms: int) -> Standing:
        """One call arrives."""
        left_ms = self._advance(now_ms)
        options = self._options
        reset_s = max(1, math.floor(left_ms / 1000))
        known = self._told_left
        if known is not None and known <= options.reserve:
            self.counters["foreseeable" if known == 0 else "greedy"] += 1
        if self._used < options.quota:
            self._used += 1
            return Standing(True, options.quota - self._used, reset_s, self._block)
        self.counters["rate_limited"] += 1
        self._used += options.refused_counts
        return Standing(False, 0, reset_s, self._block)

    def told(self, standing: Standing) -> None:
        """The client has read what it was to be told."""
        if standing.block == self._block:
            self._told_left = standing.left if self._told_left is None else min(self._told_left, standing.left)

    def newcomer(self) -> None:
        """Whoever asks from now on has been told nothing."""
        self._told_left = None

    def _advance(self, now_ms: int) -> int:
        """To this moment; returns how long the block still lasts, in milliseconds."""
        length = round(self._options.block_s * 1000)
        block, at = divmod(now_ms + self._phase_ms, length)
        if block != self._block:
            self._spend(length)
            rng = random.Random(f"{self._options.seed}:others:{block}")  # noqa: S311  # guessable on purpose
            self._others = sorted((rng.randrange(length) for _ in range(self._options.others)), reverse=True)
            self._block, self._used, self._told_left = block, 0, None
        self._spend(at)
        return length - at

    def _spend(self, at_ms: int) -> None:
        while self._others and self._others[-1] <= at_ms:
            self._others.pop()
            if self._used < self._options.quota:
                self._used += 1
                self.counters["others"] += 1
            else:
                self.counters["others_refused"] += 1
