"""The honest ledger of a sandbox: every change the vendor made, in order, and whether any client was told of it.

What reaches the stream is judged against this and nothing else (see `oracle`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], int]
"""The sandbox's wall clock: milliseconds since the Unix epoch."""


@dataclass(slots=True)
class Change:
    """One change at the vendor.

    `seq` counts from 1. `at_ms`: when it was made, wall clock. `scope`: the tenant it belongs to (a company).
    `operation`: `created`, `updated` or `deleted`. `kind`: what happened, in the sandbox's words (`closed`,
    `late`, …). `record`: the whole record afterwards, in the vendor's own fields; None once deleted. Shared
    with the sandbox's state: not to be altered.
    `served_ms`: when the first answer that carried this version had been handed to the network in full while
    its client was still connected; None if none has. A version some later change overwrote before that can
    be known to nobody. (The client may still die before it has read it: the vendor cannot see that.)
    `pushed_ms`: when it was first pushed to a subscriber whose socket was open; None if it never was. (The socket
    may still end before the client has read it.)
    """

    seq: int
    at_ms: int
    scope: str
    id: str
    operation: str
    kind: str
    record: Mapping[str, Any] | None
    served_ms: int | None = None
    pushed_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, for the control interface."""
        return {name: getattr(self, name) for name in Change.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Change:
        """The inverse of `to_json`."""
        return cls(**data)


class Ledger:
    """Changes in the order they were made. Append only; nothing is ever forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.changes: list[Change] = []

    def __len__(self) -> int:
        return len(self.changes)

    def append(self, scope: str, id_: str, operation: str, kind: str, record: Mapping[str, Any] | None) -> Change:
        """Write down a change that has just been made."""
        change = Change(len(self.changes) + 1, self._clock(), scope, id_, operation, kind, record)
        self.changes.append(change)
        return change

    def served(self, seqs: Iterable[int]) -> None:
        """These versions have been sent in full, now. Only the first time counts."""
        now = self._clock()
        for seq in seqs:
            change = self.changes[seq - 1]
            if change.served_ms is None:
                change.served_ms = now

    def pushed(self, seqs: Iterable[int]) -> None:
        """These versions are being pushed to a subscriber, now. Only the first time counts."""
        now = self._clock()
        for seq in seqs:
            change = self.changes[seq - 1]
            if change.pushed_ms is None:
                change.pushed_ms = now

    def since(self, seq: int = 0) -> list[Change]:
        """All changes after number `seq`."""
        return self.changes[seq:]
