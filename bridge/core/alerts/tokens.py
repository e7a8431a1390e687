"""The words and signs of a CEL expression, and which of them are macros.

The language is the one of https://github.com/google/cel-spec/blob/master/doc/langdef.md. Whether the text is
well-formed is for the compiler to say; what is found here is only relied on once it has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MACROS = frozenset(("all", "exists", "exists_one", "map", "filter"))

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<text>[rRbB]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
          |\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[0-9][0-9A-Za-z.]*)
      | (?P<sign>==|!=|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: `name`, `text` (a literal, quoted), `number`, `sign` or `end`. `at`: where it begins."""

    kind: str
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """Without what is between them; with a few ends, so that one may look ahead."""
    found = [
        Token(match.lastgroup or "", match[0], match.start())
        for match in _TOKEN.finditer(text)
        if match.lastgroup != "space"
    ]
    return [*found, *[Token("end", "", len(text))] * 4]


def is_macro(tokens: Sequence[Token], index: int) -> bool:
    """Whether the token is such as `all` in `list.all(…)`."""
    token = tokens[index]
    called = index > 0 and tokens[index - 1].text == "." and tokens[index + 1].text == "("
    return called and token.kind == "name" and token.text in MACROS


def root_of(tokens: Sequence[Token], macro: int) -> str:
    """The name that a macro's list begins with: `after` of `after.rows[0].list.all(…)`; "" if it is no name."""
    index = macro - 2
    while index >= 0:
        token = tokens[index]
        if token.kind == "sign" and token.text in ")]":
            index = _opening(tokens, index) - 1
            if token.text == ")" and index >= 0 and tokens[index].kind != "name":
                return ""
            continue
        if token.kind != "name":
            return ""
        if index == 0 or tokens[index - 1].text != ".":
            return token.text
        index -= 2
    return ""


def place_of(text: str, at: int) -> tuple[int, int]:
    """Line and column of a position, from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _opening(tokens: Sequence[Token], index: int) -> int:
    depth = 0
    for place in range(index, -1, -1):
        if tokens[place].kind == "sign":
            depth += (tokens[place].text in ")]}") - (tokens[place].text in "([{")
        if depth == 0:
            return place
    return 0
