"""The methods of dataclasses, compiled when they are called for the first time.

`dataclasses` writes the text of six methods for each class and has each compiled while the class is made. We have two
hundred classes, and what we import has more: that was a third of the time from exec to READY, and most of those
methods are never called. Here each begins as a stand-in, which makes the method from the same text, puts it into its
own place, and is forgotten. Nothing else changes: what a class can do, and how fast it does it from the second time on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from typing import Any

_ASKED = "def __create_fn__("
_GIVEN = re.compile(r"\n return (\w+|\((?:\w+,)+\))\Z")
"""How the texts end: one name (before Python 3.13), or a tuple of them."""

_Method = Callable[..., Any]


def defer() -> None:
    """From now on, and for the whole process: to be called before what has dataclasses is imported.

    Where the interpreter's own library does not write its texts as we know them, they are compiled at once, as ever.
    """
    # The module's own name hides the builtin one from it.
    setattr(dataclasses, "exec", _execute)  # noqa: B010  # mypy knows no such name there


def _execute(text: str, names: dict[str, Any], made: dict[str, Any]) -> None:
    given = _GIVEN.search(text) if text.startswith(_ASKED) else None
    if given is None:
        exec(text, names, made)  # noqa: S102  # as the library would
        return

    if given[1].startswith("("):
        made["__create_fn__"] = lambda **values: _all(text, names, values, given[1].strip("(,)").split(","))
    else:
        made["__create_fn__"] = lambda **values: _stand_in(given[1], lambda: _compiled(text, names, values))


def _compiled(text: str, names: dict[str, Any], values: dict[str, Any]) -> Any:
    found: dict[str, Any] = {}
    exec(text, names, found)  # noqa: S102  # as the library would
    return found["__create_fn__"](**values)


def _all(text: str, names: dict[str, Any], values: dict[str, Any], wanted: list[str]) -> tuple[_Method, ...]:
    """All methods of a class, of which one text is written since Python 3.13."""
    compiled: dict[str, _Method] = {}

    def make(name: str) -> _Method:
        if not compiled:
            compiled.update(zip(wanted, _compiled(text, names, values), strict=True))
        return compiled[name]

    return tuple(_stand_in(name, partial(make, name)) for name in wanted)


def _stand_in(name: str, make: Callable[[], _Method]) -> _Method:
    made: _Method | None = None

    def method(self: Any, /, *given: Any, **named: Any) -> Any:
        nonlocal made
        if made is None:
            # Kept for who has got hold of this one: what shows an object wraps it.
            made = make()
            made.__qualname__ = method.__qualname__
        for owner in type(self).__mro__:
            if owner.__dict__.get(name) is method:
                setattr(owner, name, made)
        return made(self, *given, **named)

    method.__name__ = name
    return method
