"""Foreign text fit for a terminal or a pipe: what a vendor wrote must not steer whoever reads it."""

from __future__ import annotations

import json
from typing import Any


def plain(text: str) -> str:
    """`text` on one line, without anything that is not a visible character: no controls, no reversed writing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def json_line(value: Any) -> str:
    """`value` as JSON on one line; what is not a visible character is escaped, so that nothing is lost."""
    # They occur inside strings only, where an escape means the same.
    return escaped(json.dumps(value, ensure_ascii=False, default=str))


def escaped(text: str) -> str:
    """`text` on one line; what is not a visible character is written as JSON escapes it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
