"""What an evaluation of a CEL expression may cost: how often it goes through lists, and how long they are.

Nothing can end an evaluation once it has begun, and nobody else gets a turn meanwhile. So what may take long is not
begun. The figures are microseconds, as measured; only their order matters, and they err on the large side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bridge.core.alerts.condition import BadCondition, ConditionFailed
from bridge.core.alerts.pattern import pattern_size
from bridge.core.alerts.tokens import Token, is_macro, place_of, root_of
from bridge.core.record import Json

DEEPEST = 3
"""So many macros may be inside one another."""
DEEPEST_VALUE = 100
"""How deep the values of an event may be nested."""
LONGEST_MATCHED = 64 * 1024
"""Characters of a text that a pattern is tried on."""
LONGEST_US = 200_000
MOST_VALUES = 100_000
"""Of all that an expression names: handing it over takes half a second by then."""
MOST_TEXT = 64 << 20
"""Characters that joining texts may come to."""

_SCAN = 0.5
"""For each element of a list that is searched or copied."""
_TRY = 50
_TRY_EACH = 80
"""For trying a pattern, and for each unit of its size: it is made anew each time."""
_TEXT = 0.001
"""For each character of a text that is looked at again."""


@dataclass(frozen=True, slots=True)
class Expense:
    """`loops`: how many macros; `power`: how many inside one another, each going through lists of its own.

    `scans`: whether lists are searched or copied inside of them; `looks`: whether they name fields of the event inside.
    `trying`: microseconds for all patterns. `joins`, `items`: so many of each are written down.
    """

    loops: int
    power: int
    scans: bool
    looks: bool
    trying: int
    joins: int
    items: int

    def check(self, chosen: Json) -> None:
        """Raises ConditionFailed where evaluating with these values may take too long."""
        values, largest, characters, longest = _measured(chosen)
        if self.trying and longest > LONGEST_MATCHED:
            raise ConditionFailed(f"a text is longer than {LONGEST_MATCHED} characters: too long for matches()")
        if self.joins and (characters + 4000) * (1 + self.joins) ** (1 + self.power) > MOST_TEXT:
            raise ConditionFailed("the event's texts are too long for being joined")
        if values > MOST_VALUES:
            raise ConditionFailed(
                f"the event is too large: more than {MOST_VALUES} values in what the expression names"
            )
        if not self.loops:
            return
        many, wide = values + self.items, max(largest, self.items)
        each: float = 1 + self.trying + (_SCAN * wide if self.scans else 0) + (_TEXT * longest if self.looks else 0)
        if self.loops * many * wide ** max(0, self.power - 1) * each > LONGEST_US:
            raise ConditionFailed(f"the event is too large for this expression: {values} values, {largest} in one list")


def expense_of(text: str, tokens: Sequence[Token], variables: Collection[str], bound: Collection[str]) -> Expense:
    """`variables`: the names of an event's fields; `bound`: those that macros give. Raises BadCondition."""
    signs = [token.text for token in tokens if token.kind == "sign"]
    macros = [index for index in range(len(tokens) - 2) if is_macro(tokens, index)]
    maps = any(tokens[index].text == "map" for index in macros)
    power = most = 0
    scans = maps or any(tokens[index].text == "filter" for index in macros)
    named = 0
    opened: list[tuple[int, int]] = []
    for index, token in enumerate(tokens):
        if token.kind == "sign" and token.text in "([{":
            within = token.text == "(" and index - 1 in macros
            # What is in an element is gone through once, though its element is one of many.
            own = within and (maps or root_of(tokens, index - 1) not in bound)
            opened.append((int(within), int(own)))
            most, power = max(most, sum(one for one, _ in opened)), max(power, sum(one for _, one in opened))
            if most > DEEPEST:
                raise BadCondition(f"more than {DEEPEST} macros inside one another", *place_of(text, token.at))
        elif token.kind == "sign" and token.text in ")]}" and opened:
            opened.pop()
        elif token.kind == "name" and any(one for one, _ in opened):
            searched = token.text == "in" and tokens[index + 1].text != "["
            scans = scans or searched or (token.text == "size" and tokens[index + 1].text == "(")
            named += token.text in variables and tokens[index - 1].text != "."
    return Expense(
        loops=len(macros),
        power=power,
        scans=scans or named > 1 or (bool(macros) and "+" in signs),
        looks=named > 0,
        trying=sum(_TRY + _TRY_EACH * pattern_size(pattern.text) for pattern in patterns_of(tokens)),
        joins=signs.count("+"),
        items=signs.count(","),
    )


def patterns_of(tokens: Sequence[Token]) -> list[Token]:
    """What follows each `matches(`."""
    return [tokens[i + 2] for i in range(len(tokens) - 2) if tokens[i].text == "matches" and tokens[i + 1].text == "("]


def _measured(chosen: Json) -> tuple[int, int, int, int]:
    """How many values, how many in the largest list, how many characters, how many in the longest text."""
    values = largest = characters = longest = 0
    level: list[Json] = [chosen]
    for _ in range(DEEPEST_VALUE):
        following: list[Json] = []
        for value in level:
            if isinstance(value, str):
                characters += len(value)
                longest = max(longest, len(value))
            elif isinstance(value, (dict, list)):
                following.extend(value.values() if isinstance(value, dict) else value)
                if value is not chosen:
                    largest = max(largest, len(value))
        values += len(following)
        level = following
        if not level:
            return values, largest, characters, longest
    raise ConditionFailed(f"the event is nested more than {DEEPEST_VALUE} deep")
