"""What a condition on events is, and how it fails. Which language it is written in is for the edge to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from bridge.core.record import Json


class BadCondition(ValueError):
    """The expression cannot be used. `line` and `column` count from 1; 0: it is not one place that is wrong.

    The text may show the expression, which is configuration.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}" if self.line else self.message


class ConditionFailed(Exception):
    """The expression has no answer for one event. The text shows no value of it: it may be personal data."""


class Condition(Protocol):
    """An expression that was compiled. May be used by several threads."""

    def __call__(self, variables: Mapping[str, Json]) -> bool:
        """Whether it holds for an event with these `Event.variables()`. Raises ConditionFailed, and nothing else."""
        ...


Compile = Callable[[str], Condition]
"""Compiles an expression. Raises BadCondition, and nothing else."""
