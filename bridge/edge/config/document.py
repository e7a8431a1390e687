"""Reads the configuration file and its drop-ins into one document that remembers where everything stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.edge.config import lines as toml_lines
from bridge.edge.config.problem import Problem, spell

LARGEST = 4 << 20
"""Bytes of one file: a longer one is not a configuration."""

LISTS = ("source", "alert")
"""Tables that add up over all files."""

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands."""

    file: Path
    line: int


@dataclass(slots=True)
class Document:
    """All files as one: keys of a later file replace earlier ones, `[[source]]` and `[[alert]]` tables add up."""

    main: Path
    data: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _places: dict[toml_lines.Path, Place] = field(default_factory=dict)

    def place(self, path: toml_lines.Path) -> Place:
        """Where the key stands, or the nearest table around it; line 0 of the main file if nothing does."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return Place(self.main, 0)

    def problem(self, path: toml_lines.Path, message: str) -> Problem:
        """A problem with a key."""
        place = self.place(path)
        return Problem(str(place.file), place.line, spell(path, self._names(str(path[0])) if path else {}), message)

    def order(self, problem: Problem) -> tuple[int, int]:
        """Sorts problems as a reader meets them."""
        ranks = {str(file): rank for rank, file in enumerate(self.files)}
        return (ranks.get(problem.file, -1), problem.line)

    def add(self, file: Path) -> None:
        """Read one more file; what is wrong with it goes to `problems`."""
        self.files.append(file)
        text = self._read(file)
        if text is None:
            return
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = int(found[1]) if found and found[1] else text.rstrip().count("\n") + 1
            self._fail(file, line, f"not valid TOML: {_AT_LINE.sub('', str(error))}")
            return
        except RecursionError:
            self._fail(file, 1, "not valid TOML: nested too deeply")
            return
        places = {path: Place(file, line) for path, line in toml_lines.find_lines(text).items()}
        for key, value in data.items():
            self._merge(key, value, {path: place for path, place in places.items() if path[0] == key})

    def _merge(self, key: str, value: Any, places: dict[toml_lines.Path, Place]) -> None:
        if key in LISTS:
            self._append(key, value, places)
            return
        known = self.data.get(key)
        # One level deep only: a secret reference or a `tls` table is replaced as a whole, never mixed with another.
        self.data[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        self._places.update(places)

    def _append(self, key: str, value: Any, places: dict[toml_lines.Path, Place]) -> None:
        tables = self.data.setdefault(key, [])
        if not isinstance(value, list):
            place = places[(key,)]
            self._fail(place.file, place.line, f"expected [[{key}]], with two pairs of brackets", key=key)
            return
        offset = len(tables)
        tables.extend(value)
        for path, place in places.items():
            if len(path) > 1 and isinstance(path[1], int):
                self._places[(key, path[1] + offset, *path[2:])] = place

    def _names(self, key: str) -> dict[int, str]:
        tables = self.data.get(key)
        numbered = enumerate(tables if isinstance(tables, list) else ())
        named = ((index, table.get("name")) for index, table in numbered if isinstance(table, dict))
        return {index: name for index, name in named if isinstance(name, str) and name}

    def _read(self, file: Path) -> str | None:
        try:
            with file.open("rb") as stream:
                data = stream.read(LARGEST + 1)
        except OSError as error:
            self._fail(file, 0, f"cannot be read: {error.strerror or type(error).__name__}")
            return None
        if len(data) > LARGEST:
            self._fail(file, 0, f"is larger than {LARGEST >> 20} MiB")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._fail(file, data.count(b"\n", 0, error.start) + 1, "not valid TOML: a byte that is not UTF-8")
            return None

    def _fail(self, file: Path, line: int, message: str, key: str = "") -> None:
        self.problems.append(Problem(str(file), line, key, message))


def absolute(text: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """The path a setting names: `~/` is the home folder, anything relative is relative to `folder`."""
    home = environ.get("HOME")
    if text.startswith("~/") and home:
        return Path(home) / text[2:]
    return folder / text


def read(main: Path) -> Document:
    """The file and its drop-ins: `bridged.toml`, then `bridged.d/*.toml` beside it in the order of their names."""
    document = Document(main)
    document.add(main)
    folder = main.with_name(f"{main.stem}.d")
    try:
        drop_ins = sorted(file for file in folder.iterdir() if file.suffix == ".toml" and file.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        drop_ins = []
    except OSError as error:
        document.problems.append(Problem(str(folder), 0, "", f"cannot be read: {error.strerror}"))
        drop_ins = []
    for file in drop_ins:
        document.add(file)
    return document
