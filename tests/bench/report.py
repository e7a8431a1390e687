"""Figures as data, as a table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.core.record import Json

median = statistics.median


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what was measured, and its values by column name."""

    name: str
    values: Mapping[str, float]

    def having(self, column: str, value: float) -> Line:
        """The same with one more value."""
        return replace(self, values={**self.values, column: value})


@dataclass(frozen=True, slots=True)
class Figure:
    """One table. `how` says what was done, how often and what the values are. `failure`: what must not be, and was."""

    name: str
    how: str
    lines: Sequence[Line] = field(default_factory=list)
    failure: str = ""

    def as_json(self) -> Json:
        """For programs."""
        return {"name": self.name, "how": self.how, "lines": [{"name": x.name, **x.values} for x in self.lines]}

    def as_markdown(self) -> str:
        """For people: a table in which ratios come first."""
        columns = list(dict.fromkeys(column for line in self.lines for column in line.values))
        rows = [["", *columns]]
        rows += [[line.name, *(_number(line.values.get(column)) for column in columns)] for line in self.lines]
        widths = [max(len(row[index]) for row in rows) for index in range(len(columns) + 1)]
        texts = [
            "| "
            + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            + " |"
            for row in rows
        ]
        texts.insert(1, "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|")
        return "\n".join([f"### {self.name}", "", self.how, "", *texts, ""])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"
