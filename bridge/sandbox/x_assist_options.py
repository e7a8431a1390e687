"""How the played X-Assist behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bridge.sandbox.ledger import Clock
from bridge.sandbox.live import ON_EXPIRY, LiveOptions
from bridge.sandbox.player import wall_ms


@dataclass(slots=True)
class Options(LiveOptions):
    """How the vendor behaves. Those of the API may be altered while it runs."""

    subprotocols: str = "graphql-ws graphql-transport-ws actioncable-v1-json"
    seed: int = 0
    history: int = 20
    """Events of the last 30 days there are at the start."""
    rate: float = 0.0
    """Changes per second that happen by themselves."""
    deletes: bool = False
    token_lifetime_s: float | None = 7200.0
    """None: tokens do not expire, and their answers do not say `expires_in`."""
    lag_s: float = 0.0
    """Queries show a state up to this old: that of the replica that answers."""
    replicas: int = 2
    """Each lags behind by a share of its own, up to `lag_s`; which one answers is drawn for each request."""
    offsets: bool = True
    """Whether one instant in five is written with an offset other than `Z`."""
    id_generation: int = 0
    """Raise it to re-encode all ids: old ones stay valid as input, answers carry the new ones."""
    requests_per_hour: float | None = 1000.0
    """None: no limit, and no headers about it."""
    burst: int = 26
    rows_per_request: int = 50
    """A query is charged one request for every so many rows it may return; over `burst` it can never succeed."""
    default_first: int = 25
    port: int = 0
    tls: tuple[Path, Path] | None = None
    clock: Clock = field(default=wall_ms)

    def __post_init__(self) -> None:
        if self.on_expiry not in ON_EXPIRY:
            raise ValueError(f"on_expiry must be one of {', '.join(ON_EXPIRY)}, not {self.on_expiry!r}")
        positive = (self.replicas, self.burst, self.rows_per_request, self.default_first)
        if min(positive) < 1 or self.rate < 0 or self.lag_s < 0 or self.requests_per_hour == 0:
            raise ValueError("replicas, burst, rows_per_request, default_first must be at least 1, rate and lag_s 0")
