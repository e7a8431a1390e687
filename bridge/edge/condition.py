"""Conditions in CEL, the Common Expression Language, by the library `cel`: compiled once, evaluated for each event.

An evaluation holds the interpreter, and nothing can end it: so what could take seconds is refused beforehand, at
compiling by the text alone and then by the size of each event. The library's own texts show values and are never passed
on; of what it logs nothing is kept. One that panics fails for that event only.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from bridge.core.alerts.condition import BadCondition, Condition, ConditionFailed
from bridge.core.alerts.expression import COUNT, COUNTED, LONGEST, Expression, counting, read
from bridge.core.alerts.moments import part_of
from bridge.core.alerts.tokens import place_of
from bridge.core.fields import kind
from bridge.core.record import Json

if TYPE_CHECKING:
    import cel

__all__ = ["BadCondition", "Condition", "ConditionFailed", "compile_condition"]

_ERROR = re.compile(r"ERROR: <input>:([0-9]+):([0-9]+): (.*)")
_UNEXPECTED = re.compile(
    r"(?:mismatched input|extraneous input|token recognition error at:|no viable alternative at input) '(.*?)'"
)


def compile_condition(text: str) -> Condition:
    """A condition that may be evaluated any number of times. Raises BadCondition."""
    if not text.strip():
        raise BadCondition("the expression is empty", 1, 1)
    if len(text) > LONGEST:
        raise BadCondition(f"the expression is longer than {LONGEST} characters")
    program = _compiled(text)
    facts = read(text)
    for literal, at in facts.patterns:
        try:
            _compiled(f'"".matches({literal})').execute()
        except Exception:  # noqa: BLE001 - whatever it raises, the pattern is no good
            raise BadCondition("this is no regular expression", *place_of(text, at)) from None
    condition = _Condition(program, facts)
    if not facts.fields:
        # Nothing of it depends on an event, so whatever is wrong with it always is.
        try:
            condition({})
        except ConditionFailed as error:
            raise BadCondition(str(error), 1, 1) from None
    return condition


def _compiled(text: str) -> cel.Program:
    try:
        return cast("cel.Program", _library().compile(counting(text)))
    except Exception as error:  # noqa: BLE001 - whatever it raises, the expression is no good
        raise _explained(text, str(error)) from None
    except BaseException as error:
        if _is_panic(error):
            raise BadCondition("the expression cannot be read") from None
        raise


class _Condition:
    def __init__(self, program: cel.Program, facts: Expression) -> None:
        self._program = program
        self._facts = facts
        self._functions: dict[str, Callable[..., Any]] = {name: part_of(name) for name in facts.zoned}
        if COUNT in facts.functions:
            self._functions[COUNTED] = _size

    def __call__(self, variables: Mapping[str, Json]) -> bool:
        chosen = self._facts.chosen(variables)
        self._facts.expense.check(chosen)
        try:
            context = _library().Context(chosen, self._functions) if self._functions else chosen
            answer = self._program.execute(context)
        except Exception as error:  # noqa: BLE001 - whatever it raises, there is no answer
            raise ConditionFailed(_reason(error, self._program.source)) from None
        except BaseException as error:
            if _is_panic(error):
                raise ConditionFailed("the expression cannot be evaluated for this event") from None
            raise
        if not isinstance(answer, bool):
            found = (
                kind(answer) if answer is None or isinstance(answer, (str, int, float, list, dict)) else "no boolean"
            )
            raise ConditionFailed(f"the expression is to be true or false, and is {found}")
        return answer


def _reason(error: Exception, source: str) -> str:
    if isinstance(error, KeyError):
        name = f"{error.args[0]}" if error.args else ""
        # What stands in the expression is no secret; a key that was computed may be somebody's name.
        named = name if re.search(rf"\.{re.escape(name)}\b|['\"]{re.escape(name)}['\"]", source) else ""
        return f"the event lacks a field it names{f': {named}' if named else ''}; has(…) tells beforehand"
    if isinstance(error, IndexError):
        return "a list is shorter than the index it names"
    if isinstance(error, ZeroDivisionError):
        return "something is divided by zero"
    if isinstance(error, OverflowError):
        return "a number is too large"
    if isinstance(error, TypeError):
        return "an operation does not fit what the event holds there, such as null, or text in place of a number"
    return "a function does not accept what the event holds there"


def _explained(text: str, message: str) -> BadCondition:
    match = _ERROR.search(message)
    if match is None:
        return BadCondition("the expression cannot be read: look for an open quotation mark or bracket")
    line, column, said = int(match[1]), int(match[2]), match[3]
    if "'<EOF>'" in said and "expecting <EOF>" not in said:
        return BadCondition("the expression ends before it is complete", *place_of(text, len(text)))
    if "recursion" in said.lower() or "recovery" in said:
        return BadCondition("nested too deep, or too much is wrong", line, column)
    if found := _UNEXPECTED.search(said):
        return BadCondition(f"did not expect {found[1]!r} here", line, column)
    return BadCondition(said.removeprefix("Syntax error: ")[:200], line, column)


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    raise TypeError("has no size")


def _is_panic(error: BaseException) -> bool:
    # A panic of the library is no Exception, so that programs end; here it concerns one event.
    return type(error).__name__ == "PanicException"


@lru_cache(maxsize=1)
def _library() -> Any:
    """The compiled half of the package: the other one is a command line, with all that it imports."""
    package = importlib.util.find_spec("cel")
    places = list(package.submodule_search_locations or []) if package else []
    found = importlib.machinery.PathFinder.find_spec("cel", places)
    if found is None or found.loader is None:
        raise BadCondition("the library common-expression-language is not installed whole")
    library = importlib.util.module_from_spec(found)
    found.loader.exec_module(library)
    logging.getLogger("cel").setLevel(logging.CRITICAL + 1)
    return library
