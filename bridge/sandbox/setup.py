"""Writes the configuration of a source that reads a sandbox and listens to it, ready to be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Setup:
    """What it takes to read a sandbox: the keys of a `[[source]]`, its secrets by environment variable.

    `secrets` maps the names of keys to variables, `environment` variables to values. `subscriptions` is the file of
    `[[source.subscription]]` tables beside this one; "" for a vendor that has none.
    """

    keys: Mapping[str, Any]
    secrets: Mapping[str, str]
    environment: Mapping[str, str]
    subscriptions: str = ""

    def source(self, **changes: Any) -> str:
        """The `[[source]]` and its subscriptions, as TOML; `changes` are further keys, or other values.

        A value that is a list of mappings becomes tables of their own: `[[source.resource]]`.
        """
        given: dict[str, Any] = {**self.keys, **changes}
        apart = {key: given.pop(key) for key in list(given) if _is_tables(given[key])}
        lines = _lines(given) + [f'{key} = {{ env = "{variable}" }}' for key, variable in self.secrets.items()]
        for key, tables in apart.items():
            for table in tables:
                lines += ["", f"[[source.{key}]]", *_lines(table)]
        return "\n".join(["[[source]]", *lines, "", self.tables()])

    def tables(self) -> str:
        """The subscriptions, as TOML."""
        if not self.subscriptions:
            return ""
        text = Path(__file__).with_name(self.subscriptions).read_text(encoding="utf-8")
        return text[text.index("[[source.subscription]]") :]

    def to_json(self) -> dict[str, Any]:
        """For programs: what to put into a file, and into the environment."""
        return {"configuration": self.source(), "environment": dict(self.environment)}


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)
