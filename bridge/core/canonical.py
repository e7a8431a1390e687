"""Canonical JSON and the digest over it: equal content gives equal digests, whatever the vendor's spelling.

Keys are sorted, integral floats become integers (vendors send 1609459200000 as 1.6094592e12), text is left
as it is. NaN and infinities are not JSON, nor can a value nested hundreds of levels deep be stored: both raise
ValueError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from marshal import dumps

from bridge.core.record import Json

Exact = Callable[[Json], bytes]
"""As `exact`, perhaps sooner; raises ValueError for what it cannot spell."""
Spell = Callable[[Json], bytes]
"""Gives what `canonical` gives, and raises what it raises; perhaps sooner."""

_LEAVES = frozenset({str, int, bool, type(None)})
_EXACT = 2
"""The format of `marshal` that spells equal values alike, wherever they lie in memory."""
_LEAST, _BEYOND = 1e-4, 1e16
"""Outside of these a fraction is spelled with an exponent, and every writer has its own way with those."""

# An encoder made once keeps the C implementation's fast path; json.dumps would build one per call.
# What contains itself has exhausted the stack in `plain` before it gets there, so it is not looked for again.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """The one spelling of a JSON value. Raises ValueError for what is not JSON."""
    try:
        return _encode(plain(value)).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def commonplace(value: Json) -> bool:
    """Whether every writer of compact JSON with sorted keys, and of floats in their shortest form, spells it alike.

    A look at types and at the size of fractions, without a visit to each text: in an object of texts and whole numbers
    there is nothing to differ in. False is no verdict. Raises RecursionError.
    """
    kind = type(value)
    if kind is dict:
        for name, item in value.items():
            if type(name) is not str:
                return False
            kind = type(item)
            if kind is float:
                # As `_is_common`, without a call each: a measurement is a dictionary of fractions.
                if not (_LEAST <= item < _BEYOND or _LEAST <= -item < _BEYOND) or item % 1 == 0:
                    return False
            elif kind not in _LEAVES and not commonplace(item):
                return False
        return True
    if kind is list:
        for item in value:  # noqa: SIM110 - a generator costs more than what it asks
            if type(item) not in _LEAVES and not commonplace(item):
                return False
        return True
    return kind in _LEAVES or (kind is float and _is_common(value))


def digest(value: Json, mapping_version: str, spell: Spell = canonical) -> str:
    """`<mapping version>:<32 hex digits>`. Digests of different mapping versions say nothing of each other."""
    return f"{mapping_version}:{hashlib.blake2b(spell(value), digest_size=16).hexdigest()}"


def exact(value: Json) -> bytes:
    """Bytes that two values share only if they are the same, types, order of keys and all. Of use within a process.

    JSON would not do: infinity becomes null there, and half a surrogate pair cannot be said. Raises ValueError.
    """
    return dumps(value, _EXACT)


def legible(value: Json) -> bytes:
    """`value` as JSON, or as well as it can be shown: what is set aside need not be JSON."""
    try:
        return canonical(value)
    except ValueError:
        pass
    try:
        return repr(value).encode("utf-8", "backslashreplace")
    except RecursionError:
        return b""


def mapping_of(digest_text: str) -> str:
    """The mapping version a digest was made with."""
    return digest_text.rpartition(":")[0]


def _is_common(number: float) -> bool:
    return _LEAST <= abs(number) < _BEYOND and not number.is_integer()


def plain(value: Json) -> Json:
    """`value` of dictionaries and lists alone, and with integers for integral floats. Raises RecursionError."""
    # By exact type first: nearly every value is one of these, and asking for Mapping is slow.
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict:
        return {
            key: item
            # A measurement is a dictionary of fractions: not worth a call each.
            if (kind := type(item)) in _LEAVES or (kind is float and not item.is_integer())
            else plain(item)
            for key, item in value.items()
        }
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
