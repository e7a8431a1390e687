"""How the played ProSonata behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.sandbox.ledger import Clock
from bridge.sandbox.player import wall_ms

AUTHS: Final = ("user", "app")
BOUNDS: Final = (">=", ">")
EMPTIES: Final = ("204", "list")
TELLS: Final = ("message", "meta", "both", "neither")
UNKNOWN: Final = ("refused", "ignored")
NULLS: Final = ("null", "mixed")


@dataclass(slots=True)
class Options:
    """What there is at the start, and what the vendor leaves open. Most may be altered while it runs."""

    seed: int = 0
    size: int = 8
    """Projects there are at the start; of everything else in proportion."""
    rate: float = 0.0
    """Changes per second that happen by themselves."""
    deletes: bool = True
    """Whether rows are ever deleted by chance."""
    auth: str = "app"
    """Who asks: an `app` integration (two headers), or a `user` (one)."""
    quota: int = 50
    """Calls that are answered in one block, whoever makes them."""
    block_s: float = 900.0
    """Length of a block; the vendor's has 15 minutes."""
    others: int = 0
    """Calls that the customer's other tools make in each block, at moments the seed decides."""
    reserve: int = 0
    """Calls of each block that should be left to the other tools."""
    tells: str = "message"
    """Where a refusal for quota says when it ends: in its `message`, in `meta`, in `both`, in `neither`."""
    refused_counts: bool = False
    """Whether a call that is refused for quota counts as one."""
    flips: float = 0.3
    """How likely a field is written in its other type (number, text) in all rows of one answer."""
    nulls: str = "null"
    """How emptiness is written, where it is no text's: as `null`, or `mixed` with "" and 0000-00-00."""
    empty: str = "204"
    """What a list without rows is answered with: `204` without a body, or an empty `list`."""
    bounds: str = ">="
    """Whether the filters > and < include the day they name."""
    unknown: str = "refused"
    """What becomes of a filter or an order by a field that is not listed: 400, or it is `ignored`."""
    most: int = 1000
    """Rows in one answer, whatever `perPage` asks for."""
    hides: bool = True
    """Whether contacts and addresses that are not active are left out unless they are asked for."""
    stamps: bool = True
    """Whether the list of tasks has `taskEditDate`."""
    forbidden: str = ""
    """Resources that answer 403, separated by commas."""
    port: int = 0
    tls: tuple[Path, Path] | None = None
    clock: Clock = field(default=wall_ms)

    def __post_init__(self) -> None:
        for name, there_are in (
            ("auth", AUTHS),
            ("bounds", BOUNDS),
            ("empty", EMPTIES),
            ("tells", TELLS),
            ("unknown", UNKNOWN),
            ("nulls", NULLS),
        ):
            if getattr(self, name) not in there_are:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, there_are))}")
        if self.size < 1 or self.quota < 1 or not 1 <= self.most <= 1000 or self.others < 0:
            raise ValueError("size and quota must be at least 1, most from 1 to 1000, others not negative")
        if self.block_s <= 0 or self.rate < 0 or not 0 <= self.flips <= 1:
            raise ValueError("block_s must be above 0, rate not negative, flips from 0 to 1")
