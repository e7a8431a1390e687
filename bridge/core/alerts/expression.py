"""What a CEL expression names, read from its text: fields of an event, and functions."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.core.alerts.condition import BadCondition
from bridge.core.alerts.expense import Expense, expense_of, patterns_of
from bridge.core.alerts.pattern import LARGEST_PATTERN, pattern_size
from bridge.core.alerts.template import NAMES
from bridge.core.alerts.tokens import MACROS, Token, is_macro, place_of, tokens_of
from bridge.core.record import Json

LONGEST = 4000
"""Characters of an expression."""

COUNT = "size"
COUNTED = "sizE"
"""Our own `size`, which counts the characters of a text. The library's counts bytes, and cannot be replaced."""

PARTS = frozenset(
    ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
     "getSeconds", "getMilliseconds")
)  # fmt: skip
FUNCTIONS = PARTS | {
    "size", "contains", "startsWith", "endsWith", "matches", "has", "int", "uint", "double", "string", "bytes", "dyn",
    "type", "timestamp", "duration",
}  # fmt: skip
_TYPES = frozenset(("int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"))
_WORDS = frozenset(("true", "false", "null", "in"))


@dataclass(frozen=True, slots=True)
class Expression:
    """`fields`: which variables it names, and which fields of each; None: all of it. `functions`: those it calls.

    `zoned`: those that it gives a time zone. `patterns`: their literals, and where they stand.
    """

    fields: Mapping[str, frozenset[str] | None]
    functions: frozenset[str]
    zoned: frozenset[str]
    patterns: tuple[tuple[str, int], ...]
    expense: Expense

    def chosen(self, variables: Mapping[str, Json]) -> dict[str, Json]:
        """Of the variables what the expression names, for handing over costs more than evaluating."""
        found: dict[str, Json] = {}
        for name, keys in self.fields.items():
            value = variables.get(name)
            if keys is not None and isinstance(value, dict):
                value = {key: value[key] for key in keys if key in value}
            found[name] = value
        return found


def read(text: str) -> Expression:
    """What the expression names. Raises BadCondition for what is unknown, or could take too long."""
    return _Reader(text).read()


def counting(text: str) -> str:
    """The expression with our own `size`; nothing moves."""
    for token, following in itertools.pairwise(tokens_of(text)):
        if token.text == COUNT and token.kind == "name" and following.text == "(":
            text = f"{text[: token.at]}{COUNTED}{text[token.at + len(COUNTED) :]}"
    return text


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._fields: dict[str, frozenset[str] | None] = {}
        self._functions: set[str] = set()
        self._zoned: set[str] = set()
        self._bound = self._bindings()

    def read(self) -> Expression:
        for index, token in enumerate(self._tokens):
            if token.kind == "name" and token.text not in _WORDS:
                self._name(index)
        return Expression(
            fields=dict(self._fields),
            functions=frozenset(self._functions),
            zoned=frozenset(self._zoned),
            patterns=tuple((token.text, token.at) for token in patterns_of(self._tokens)),
            expense=expense_of(self._text, self._tokens, NAMES, self._bound),
        )

    def _name(self, index: int) -> None:
        token = self._tokens[index]
        follows_dot = index > 0 and self._tokens[index - 1].text == "."
        if self._tokens[index + 1].text == "(":
            if not is_macro(self._tokens, index):
                self._call(index)
            return
        if follows_dot or token.text in self._bound or token.text in _TYPES:
            return
        if token.text not in NAMES:
            raise self._bad(token, f"an event has no {token.text}{_nearest(token.text, NAMES)}")
        key = self._key(index)
        known = self._fields.get(token.text, frozenset())
        self._fields[token.text] = None if key is None or known is None else known | key

    def _call(self, index: int) -> None:
        token = self._tokens[index]
        if token.text not in FUNCTIONS:
            raise self._bad(token, f"there is no function {token.text}(){_nearest(token.text, FUNCTIONS | MACROS)}")
        self._functions.add(token.text)
        if token.text in PARTS and self._tokens[index + 2].text != ")":
            self._zoned.add(token.text)
        if token.text == "matches":
            pattern = self._tokens[index + 2]
            if pattern.kind != "text" or self._tokens[index + 3].text != ")":
                raise self._bad(pattern, 'the pattern must be written here, as in after.name.matches("^A.*")')
            if pattern_size(pattern.text) > LARGEST_PATTERN:
                raise self._bad(pattern, "the pattern is too large: it repeats too much too often")

    def _key(self, index: int) -> frozenset[str] | None:
        """Which field of a variable is meant; none where it is only compared with null; None: all of it."""
        one, two, three = (token.text for token in self._tokens[index + 1 : index + 4])
        if one == "." and self._tokens[index + 2].kind == "name" and three != "(":
            return frozenset((two,))
        return frozenset() if one in ("==", "!=") and two == "null" else None

    def _bindings(self) -> frozenset[str]:
        """The names that macros give to elements: `x` in `list.all(x, …)`."""
        tokens = self._tokens
        found = [
            tokens[index + 2]
            for index in range(1, len(tokens) - 3)
            if is_macro(tokens, index) and tokens[index + 3].text == ","
        ]
        for token in found:
            if token.text in NAMES:
                raise self._bad(token, f"{token.text} is a field of the event: call the element otherwise")
        return frozenset(token.text for token in found)

    def _bad(self, token: Token, message: str) -> BadCondition:
        return BadCondition(message, *place_of(self._text, token.at))


def _nearest(name: str, known: frozenset[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(known))}"
