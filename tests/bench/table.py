"""The short table of the README: `python -m tests.bench table FILE` makes it of what `proof --json FILE` wrote.

Each aim is a row: the ratio to what was measured beside it in the same run, the figure itself, what was aimed at, and
whether that is met or by how much it is missed. Which rows there are is in `aims.py`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: written by tests.bench -->", "<!-- end of figures -->"
"""What is between them in the README is written by `main`, and by nobody else."""
README = Path(__file__).parents[2] / "README.md"

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By name of the figure, of its line, and of the column."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a value stands: figure and line by how their names begin, the column's whole name. `over`: divided by."""

    figure: str
    line: str
    column: str
    over: Cell | None = None

    def of(self, figures: Figures) -> float | None:
        """The value, or None: it was not taken."""
        lines = next((lines for name, lines in figures.items() if name.startswith(self.figure)), {})
        found = next((one for name, one in lines.items() if name.startswith(self.line)), {}).get(self.column)
        if found is None or self.over is None:
            return found
        by = self.over.of(figures)
        return None if by is None else found / by if by else math.inf


@dataclass(frozen=True, slots=True)
class Aim:
    """`value` in `unit`, and `ratio` to what is `beside` it; of either there may be several, shown side by side.

    `bar`: what was aimed at; None: nothing. It is the most that the value, or the worst of several, may be; where it
    is `least`, the least. `relative`: it is about the ratio.
    """

    what: str
    value: Cell | tuple[Cell, ...]
    unit: str = ""
    bar: float | None = None
    ratio: Cell | tuple[Cell, ...] = ()
    beside: str = ""
    least: bool = False
    relative: bool = False

    def cells(self, figures: Figures) -> tuple[str, str, str, str, str]:
        """The row: what, ratio, figure, aim, verdict."""
        values, ratios = _found(self.value, figures), _found(self.ratio, figures)
        judged = ratios if self.relative else values
        aim = ""
        if self.bar is not None:
            sign = "≥ " if self.least else "≤ " if self.bar else ""
            aim = f"{sign}{number(self.bar)} {'x' if self.relative else self.unit}".strip()
        worst = (min if self.least else max)(judged) if judged else None
        return (
            self.what,
            f"{' · '.join(map(number, ratios))} x {self.beside}" if ratios else "",
            f"{' · '.join(map(number, values))} {self.unit}".strip() if values else "not taken",
            aim,
            verdict(worst, self.bar, least=self.least),
        )


def _found(cells: Cell | tuple[Cell, ...], figures: Figures) -> list[float]:
    """Of all of them, or of none."""
    found = [cell.of(figures) for cell in (cells if isinstance(cells, tuple) else (cells,))]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []


def number(value: float) -> str:
    """With as few digits as say something."""
    if not math.isfinite(value):
        return "never"
    if value == round(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(value: float | None, bar: float | None, *, least: bool) -> str:
    """Whether the bar is met, or by how much it is missed."""
    if value is None or bar is None:
        return ""
    if value >= bar if least else value <= bar:
        return "met"
    if not bar or not math.isfinite(value):
        return "**missed**"
    return f"**missed**: {number(value / bar)} of it" if least else f"**missed**: {number(value / bar)} times as much"


def table(taken: Mapping[str, Any], aims: Sequence[Aim]) -> str:
    """The table, with the machine described above it. `taken`: what `--json` writes."""
    figures = {
        figure["name"]: {line["name"]: {k: v for k, v in line.items() if k != "name"} for line in figure["lines"]}
        for figure in taken["figures"]
    }
    told = ", ".join(f"{name} {value}" for name, value in taken["machine"].items())
    rows = [("", "ratio, same run", "seen", "aimed at", "")] + [aim.cells(figures) for aim in aims]
    texts = [f"| {' | '.join(row)} |" for row in rows]
    texts.insert(1, "|---|---:|---:|---:|---|")
    return "\n".join([f"Machine and run: {told}.", "", *texts])


def written(readme: str, made: str) -> str:
    """The README with this table in it. Raises ValueError where it has no place for one."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the table: the README has to have {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main(arguments: Sequence[str], aims: Sequence[Aim]) -> int:
    """Write the table into the README."""
    if len(arguments) != 1:
        print("usage: python -m tests.bench table FILE", file=sys.stderr)
        return 64
    taken = json.loads(Path(arguments[0]).read_text("utf-8"))
    README.write_text(written(README.read_text("utf-8"), table(taken, aims)), "utf-8")
    return 0
