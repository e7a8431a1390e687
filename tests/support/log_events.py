"""Every event that our code logs, found in its text: calls of a log's methods, and of what hands the name on to one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
HANDS_ON = {"say", "complain"}
"""Methods whose first argument is logged as it is."""
LOGS = ("log", "self._log")


def logged() -> dict[str, set[str]]:
    """The files that log each event, by its name; f-strings as they stand, such as `source.{change}`."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "bridge").rglob("*.py")):
        # What plays vendors is no part of the daemon.
        if "sandbox" not in file.relative_to(ROOT).parts:
            for name in names(file.read_text("utf-8")):
                found.setdefault(name, set()).add(file.relative_to(ROOT).as_posix())
    return found


def names(text: str) -> Iterator[str]:
    """Of one file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and node.args and _logs(node.func):
            yield from _texts(node.args[0])


def _logs(function: ast.expr) -> bool:
    """Whether it is `log.info`, `getattr(log, level)`, `(log.info if … else log.debug)`, or hands on to one."""
    if isinstance(function, ast.IfExp):
        return _logs(function.body)
    if isinstance(function, ast.Call):
        return ast.unparse(function.func) == "getattr" and ast.unparse(function.args[0]) in LOGS
    if not isinstance(function, ast.Attribute):
        return False
    return function.attr in HANDS_ON or (function.attr in LEVELS and ast.unparse(function.value).endswith(LOGS))


def _texts(name: ast.expr) -> Iterator[str]:
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        yield name.value
    elif isinstance(name, ast.IfExp):
        yield from (*_texts(name.body), *_texts(name.orelse))
    elif isinstance(name, ast.JoinedStr):
        yield ast.unparse(name)[2:-1]
