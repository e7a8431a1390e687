"""What a source's sequencers have done, for status and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Since the source was started. `unchanged` records were no news; `refused` and `unknown` are writes."""

    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    refused: int = 0
    unknown: int = 0
    batches: int = 0
    by_change: dict[str, int] = field(default_factory=dict)
