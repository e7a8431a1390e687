"""How the played platform behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.sandbox.ledger import Clock
from bridge.sandbox.player import wall_ms

BOUNDS: Final = ("[]", "[)", "(]", "()")
ORDERS: Final = ("moving", "shuffled")
PUSHES: Final = ("entity", "hint")
RECORDINGS: Final = ("", "nino")


@dataclass(slots=True)
class PlatformOptions:
    """How the REST side behaves, and what happens in the world. Those of the REST side may be altered."""

    seed: int = 0
    objects: int = 5
    """Rows there are at the start."""
    models: int = 2
    users: int = 3
    history: int = 10
    """Events of the last day there are at the start."""
    rate: float = 0.0
    """How much happens by itself, per second."""
    packet_share: float = 0.5
    """How much of it is telemetry."""
    deletes: bool = True
    recording: str = ""
    """Whose values packets carry: ours, or (`nino`) a public record of the Pacific's surface temperature."""
    store_pushes: str = "entity"
    """What `<store>-insert|update|remove` carry: the whole `entity`, or only a `hint` of which."""
    token_s: float | None = 86_400.0
    """Life of tokens and cookies; None: a cookie without `Expires`, a token for a hundred years."""
    alone: bool = False
    """Whether a login ends those before it."""
    socketio_bearer: bool = True
    """Whether Socket.IO takes a token at its upgrade; only the cookie is documented there."""
    cap: int = 10_000
    """No list has more rows than this."""
    bounds: str = "[]"
    """Whether `from` and `to` are inclusive, as intervals are written."""
    order: str = "moving"
    """The order of lists: another after every write (`moving`), or another for every request (`shuffled`)."""
    journal_lag_s: float = 0.0
    """Journal and packet history show what happened only so much later."""
    span_days: float = 31.0
    """How far `from` and `to` may lie apart in an object's packets and events."""
    forbidden: str = ""
    """Stores that answer 403, separated by commas."""
    port: int = 0
    tls: tuple[Path, Path] | None = None
    clock: Clock = field(default=wall_ms)

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        for name, there_are in (
            ("bounds", BOUNDS),
            ("order", ORDERS),
            ("store_pushes", PUSHES),
            ("recording", RECORDINGS),
        ):
            if getattr(self, name) not in there_are:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, there_are))}")
        if self.cap < 1 or min(self.objects, self.models, self.users, self.history) < 0:
            raise ValueError("cap must be at least 1; objects, models, users and history must not be negative")
        if self.rate < 0 or self.journal_lag_s < 0 or not 0 <= self.packet_share <= 1:
            raise ValueError("rate and journal_lag_s must not be negative, packet_share lies between 0 and 1")
        if self.token_s is not None and self.token_s <= 0:
            raise ValueError("token_s must be above 0")
