"""JSON from strangers, read so that no two readers can understand it differently, and in a time that is bounded.

Refused beside what is no JSON: a name twice in one object (one reader takes the first, another the last), invalid
UTF-8, NaN and infinities, numbers beyond what a double holds, nesting deeper than `DEEPEST`, and texts that are made
of brackets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from bridge.core.errors import Malformed
from bridge.core.record import Json

DEEPEST = 100
MOST_CONTAINERS = 200_000
BYTES_EACH = 16
"""A text may hold `MOST_CONTAINERS` brackets that open a list or an object, and beyond that one for each 16 bytes."""

_BOM = "﻿"


def decode(data: bytes) -> Json:
    """The JSON value `data` holds. Raises Malformed with the reason in words, which quote nothing of the data."""
    opening = data.count(b"[") + data.count(b"{")
    if opening > max(MOST_CONTAINERS, len(data) // BYTES_EACH):
        raise Malformed(f"JSON of {opening} lists and objects in {len(data)} bytes", raw=data)
    try:
        text = data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise Malformed(f"invalid UTF-8 at byte {error.start}", raw=data) from None
    if not text.strip():
        raise Malformed("empty body", raw=data)
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise Malformed(f"JSON nested deeper than {DEEPEST} levels", raw=data) from None
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos}", raw=data) from None
    except _Ambiguous as error:
        raise Malformed(str(error), raw=data) from None
    except ValueError:
        # Python refuses to read numbers of thousands of digits.
        raise Malformed("a number of too many digits", raw=data) from None
    # Each level opens with a bracket: what has few is not looked through.
    if opening > DEEPEST and _too_deep(value):
        raise Malformed(f"JSON nested deeper than {DEEPEST} levels", raw=data)
    return value


class _Ambiguous(ValueError):
    """JSON by its grammar, and still refused."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Ambiguous("an object that has one name twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Ambiguous(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Ambiguous("a number beyond what a double can hold")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _too_deep(value: Json) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST):
        if not level:
            return False
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, Mapping) else parent)
            if isinstance(item, (dict, list))
        ]
    return bool(level)
