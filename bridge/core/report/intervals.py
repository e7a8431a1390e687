"""How often each walk of a source is meant to be read, as far as the configuration alone tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from bridge.core.facts import Token, Walk
from bridge.core.secret import Secret

_ANY = "\N{OBJECT REPLACEMENT CHARACTER}"


class Walking(Protocol):
    """An adapter, as far as it matters here: what it reads."""

    def walks(self, token: Token, /) -> Sequence[Walk]:
        """The walks of a source, given what its login yielded."""
        ...


class Intervals:
    """`of(walk)` is its interval in seconds; None when no walk of the source has such a name.

    Walks may bear names that only a login tells (a company's): those match whatever stands in that place.
    """

    def __init__(self, adapter: Walking) -> None:
        try:
            walks: Sequence[Walk] = adapter.walks(Token(Secret(""), facts=_Facts()))
        except (LookupError, ValueError, TypeError):
            walks = []
        self._patterns = [
            (re.compile(re.escape(walk.name).replace(re.escape(_ANY), ".+"), re.DOTALL), walk.every_s) for walk in walks
        ]

    def of(self, walk: str) -> float | None:
        """See above."""
        return next((every_s for pattern, every_s in self._patterns if pattern.fullmatch(walk)), None)


class _Facts(dict[str, str]):
    """Stands for the facts a login yields: whatever is asked for is there, once."""

    def __missing__(self, key: str) -> str:
        return _ANY

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - there is always an answer
        return _ANY

    def values(self) -> Any:
        return [_ANY]

    def items(self) -> Any:
        return [(_ANY, _ANY)]

    def __iter__(self) -> Iterator[str]:
        return iter([_ANY])

    def __bool__(self) -> bool:
        return True
