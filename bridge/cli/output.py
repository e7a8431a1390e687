"""What commands say: lines for people or JSON for programs on stdout, complaints on stderr."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 100


def say(text: str = "") -> None:
    """One line for people."""
    print(text)


def complain(text: str) -> None:
    """One line about something wrong, on stderr."""
    print(text, file=sys.stderr)


def emit(value: Any) -> None:
    """One JSON value for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Rows in aligned columns; the last one is wrapped."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        start = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        lines = textwrap.wrap(row[-1], max(40, WIDTH - len(start)), break_on_hyphens=False) or [""]
        say((start + lines[0]).rstrip())
        for line in lines[1:]:
            say(" " * len(start) + line)


def compact(value: Any) -> str:
    """A value in one short piece, as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)
