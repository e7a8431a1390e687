"""What a metric is: its name, what it counts, its labels. And what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.core.histogram import Histogram

Kind = Literal["counter", "gauge", "histogram"]
Value = float | Histogram
Reading = Value | Mapping[str, Value] | Mapping[tuple[str, ...], Value] | None
"""One value; values by the last labels; or None where there is nothing to measure now."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is by the conventions of Prometheus, with `_total` where it is a counter. `help` is one sentence."""

    name: str
    kind: Kind
    help: str
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """`samples`: the values of the labels, in their order, and what they are of."""

    metric: Metric
    samples: Sequence[tuple[tuple[str, ...], Value]]


def samples(before: tuple[str, ...], reading: Reading) -> list[tuple[tuple[str, ...], Value]]:
    """A reading with the labels that all of it has."""
    if reading is None:
        return []
    if not isinstance(reading, Mapping):
        return [(before, reading)]
    return [((*before, *((key,) if isinstance(key, str) else key)), value) for key, value in reading.items()]
