"""What commands say: lines for people or JSON for programs on stdout, complaints on stderr; none steers a terminal."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.cli.plain import escaped, plain

WIDTH = 100


def say(text: str = "") -> None:
    """A line for people, or several."""
    print(_harmless(text))


def complain(text: str) -> None:
    """A line about something wrong, or several, on stderr."""
    print(_harmless(text), file=sys.stderr)


def emit(value: Any) -> None:
    """One JSON value for programs."""
    # JSON lets pass what comes behind ASCII, the terminal's other controls among it.
    print("\n".join(map(escaped, json.dumps(value, ensure_ascii=False, indent=2, default=str).split("\n"))))


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


def _harmless(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(plain, text.split("\n")))
