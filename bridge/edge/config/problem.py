"""What is wrong with a configuration, and where. Texts never hold a value that was written in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bridge.edge.config.lines import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning. `line` is 0 and `key` "" where there is none, as for a file that is not there."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


class ConfigErrors(Exception):
    """The configuration cannot be used: every error that was found, in the order of files and lines."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def spell(path: Path, names: Mapping[int, str]) -> str:
    """A key as a person would say it: `source["acme"].omit[2]`. `names` are those of the tables, by index."""
    text = ""
    for depth, part in enumerate(path):
        if isinstance(part, int):
            named = depth == 1 and part in names
            text += f"[{json.dumps(names[part], ensure_ascii=False) if named else part}]"
        else:
            bare = part.isascii() and part.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (part if bare else json.dumps(part, ensure_ascii=False))
    return text
