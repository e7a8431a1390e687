"""Canonical JSON and the digest over it: equal content gives equal digests, whatever the vendor's spelling.

Keys are sorted, integral floats become integers (vendors send 1609459200000 as 1.6094592e12), text is left
as it is. NaN and infinities are not JSON, nor can a value nested hundreds of levels deep be stored: both raise
ValueError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from bridge.core.record import Json

_LEAVES = frozenset({str, int, bool, type(None)})

# An encoder made once keeps the C implementation's fast path; json.dumps would build one per call.
# What contains itself has exhausted the stack in `_plain` before it gets there, so it is not looked for again.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """The one spelling of a JSON value. Raises ValueError for what is not JSON."""
    try:
        return _encode(_plain(value)).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def digest(value: Json, mapping_version: str) -> str:
    """`<mapping version>:<32 hex digits>`. Digests of different mapping versions say nothing of each other."""
    return f"{mapping_version}:{hashlib.blake2b(canonical(value), digest_size=16).hexdigest()}"


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


def _plain(value: Json) -> Json:
    # By exact type first: nearly every value is one of these, and asking for Mapping is slow.
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is dict:
        return {
            key: item
            # A measurement is a dictionary of fractions: not worth a call each.
            if (kind := type(item)) in _LEAVES or (kind is float and not item.is_integer())
            else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
