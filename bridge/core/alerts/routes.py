"""Which rules an event is shown to: by its subject alone, so that what concerns none of them is never decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest

from bridge.core import own
from bridge.core.alerts.alert import ENTITY
from bridge.core.subject import EVENTS, matches

ALL = f"{EVENTS}.>"

MOST_KINDS = 4096
"""So many kinds of events are remembered with the rules that may want them."""


class Routes:
    """`filters`: of each rule, whole (`events.…`). What was there before, and alerts themselves, go to nobody."""

    def __init__(self, filters: Mapping[str, Sequence[str]]) -> None:
        self._filters = filters
        self._kinds = lru_cache(MOST_KINDS)(self._interested)

    def of(self, subject: str) -> list[str]:
        """The rules that want to see an event stored there."""
        kind, _, id_ = subject.rpartition(".")
        return [name for name, ids in self._kinds(kind) if "*" in ids or id_ in ids]

    def _interested(self, kind: str) -> list[tuple[str, frozenset[str]]]:
        """Of a subject without its last token: who wants which ids; `*` stands for all."""
        tokens = kind.split(".")
        if len(tokens) != 5 or tokens[4] == "snapshot" or (tokens[1], tokens[3]) == (own.VENDOR, ENTITY):
            return []
        found = []
        for name, filters in self._filters.items():
            ids = {_id(one) for one in filters if matches(one, f"{kind}.{_id(one)}")}
            if ids:
                found.append((name, frozenset(ids)))
        return found


def _id(pattern: str) -> str:
    """Which ids a filter of six tokens wants; `*` for one that ends with `>`, too."""
    tokens = pattern.split(".")
    return tokens[5] if len(tokens) == 6 and tokens[5] != ">" else "*"


def common(subjects: Sequence[str]) -> str:
    """One filter of event subjects that lets everything through that any of `subjects` does, and little besides."""
    tokens: list[str] = []
    for column in zip_longest(*(subject.split(".") for subject in subjects)):
        if ">" in column or None in column:
            # One that ends here must still match, and `>` stands for at least one token.
            tokens = tokens if ">" in column else tokens[:-1]
            tokens.append(">")
            break
        tokens.append(column[0] if len(set(column)) == 1 else "*")
    return ".".join(tokens) if tokens[:1] == [EVENTS] and len(tokens) > 1 else ALL
