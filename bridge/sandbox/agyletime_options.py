"""How the played AgyleTime behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.sandbox.ledger import Clock
from bridge.sandbox.player import wall_ms

LIVES: Final = ("expiresIn", "expireIn", "")
DAY_S: Final = 86_400.0


@dataclass(slots=True)
class Options:
    """How the vendor behaves. All but what there is at the start may be altered while it runs."""

    seed: int = 0
    users: int = 8
    """Users there are at the start."""
    shifts: int = 20
    """Published shifts at the start, from yesterday to 27 days ahead."""
    tasks: int = 40
    """Entries of the agents' timelines at the start, of the last `late_days` days."""
    contacts: int = 6
    """Customer contacts at the start; there are as many workstreams and interactions."""
    rate: float = 0.0
    """Changes per second that happen by themselves."""
    deletes: bool = True
    """Whether shifts, tasks and users are ever removed by chance."""
    late_days: float = 13.0
    """How old tasks may be that are entered late, corrected or removed."""
    token_s: float | None = 900.0
    """Life of a token; None: it never ends, and nothing says when."""
    token_exp: bool = True
    """Whether the JWT has the claim `exp`."""
    token_says: str = "expiresIn"  # noqa: S105  # a field's name
    """What the answer calls the token's life: `expiresIn`, `expireIn`, or "": it does not tell."""
    alone: bool = False
    """Whether a new token ends those before it."""
    clock_off_s: float = 0.0
    """How far the vendor's clock is ahead of ours, where tokens say times."""
    page_limit: int = 50
    """Rows in a page where nobody asks for a number."""
    most_per_page: int = 200
    """A larger `pageLimit` is lowered to this."""
    page_token_s: float | None = None
    """How long a page token can be used; None: for ever."""
    requests_per_30s: int | None = None
    """None: no limit."""
    single: bool = True
    """Whether one record can be read by its id."""
    etag: bool = False
    """Whether answers carry an `ETag`, and `If-None-Match` is understood."""
    forbidden: str = ""
    """Collections that answer 403, separated by commas."""
    port: int = 0
    tls: tuple[Path, Path] | None = None
    clock: Clock = field(default=wall_ms)

    def __post_init__(self) -> None:
        """Raises ValueError for what makes no sense."""
        if self.token_says not in LIVES:
            raise ValueError(f"token_says must be one of {', '.join(map(repr, LIVES))}, not {self.token_says!r}")
        if min(self.page_limit, self.most_per_page) < 1:
            raise ValueError("page_limit and most_per_page must be at least 1")
        if min(self.users, self.shifts, self.tasks, self.contacts, self.rate, self.late_days) < 0:
            raise ValueError("users, shifts, tasks, contacts, rate and late_days must not be negative")
        for name in ("token_s", "page_token_s", "requests_per_30s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, or null")
