"""JSON in and out, by msgspec: what is not JSON is named in words, and no foreign exception gets past here."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from bridge.core.canonical import canonical, commonplace, plain
from bridge.core.canonical import exact as slowly_exact
from bridge.core.errors import Malformed
from bridge.core.record import Json

DEEPEST = 100
"""Nesting beyond this is refused: no vendor needs it, and it would exhaust the stack of whoever handles it later."""

MOST_CONTAINERS = 200_000
BYTES_EACH = 16
"""A text may always hold `MOST_CONTAINERS` brackets that open a list or an object, and beyond that one for each 16 of
its bytes. Records have fewer, however long the page; what has more is made to cost time: an empty list takes two
bytes on the wire, and a hundred times as much here."""

_CONTAINERS = frozenset({dict, list})
_BOM = b"\xef\xbb\xbf"


def encode(value: Json) -> bytes:
    """`value` as JSON: UTF-8, compact. For events and cursors: a `Secret` in it is a bug, and raises TypeError."""
    return _encoder.encode(value)


def spell(value: Json) -> bytes:
    """`canonical(value)`, byte for byte: by msgspec, a tenth of the time, wherever both are sure to spell it alike.

    Raises what `canonical` raises. What it gives is hashed, and the hashes stay in streams for ever.
    """
    try:
        if commonplace(value) or commonplace(value := plain(value)):
            return _sorted.encode(value)
    except (ValueError, OverflowError, RecursionError):
        # Halves of surrogate pairs, numbers beyond 64 bits, what contains itself.
        pass
    return canonical(value)


def exact(value: Json) -> bytes:
    """What `exact` of `canonical.py` promises, in a third of the time. Raises ValueError."""
    try:
        return _packer.encode(value)
    except (ValueError, OverflowError, RecursionError):
        # As in `spell`. That spelling of an object begins as none of these does.
        return slowly_exact(value)


def decode(data: bytes) -> Json:
    """The JSON value `data` holds. Raises Malformed with the reason in words; the data is not quoted."""
    data = data.removeprefix(_BOM)
    opening = data.count(b"[") + data.count(b"{")
    if opening > MOST_CONTAINERS and opening > len(data) // BYTES_EACH:
        raise Malformed(f"JSON of {opening} lists and objects in {len(data)} bytes: no record is like that", raw=data)
    try:
        value = _decoder.decode(data)
    except RecursionError:
        raise Malformed(f"JSON nested deeper than {DEEPEST} levels", raw=data) from None
    except UnicodeDecodeError:
        raise Malformed("JSON with invalid UTF-8", raw=data) from None
    except msgspec.DecodeError as error:
        if not data.strip():
            raise Malformed("empty body", raw=data) from None
        value = _leniently(data, str(error))
    # Each level opens with a bracket: what has few is not looked through.
    if opening > DEEPEST and _too_deep(value):
        raise Malformed(f"JSON nested deeper than {DEEPEST} levels", raw=data)
    return value


def _leniently(data: bytes, said: str) -> Json:
    """Read what msgspec refuses and Python's json does not: half of a surrogate pair, a number beyond all bounds.

    One such value must not make a page of others unreadable: the one record is set aside later. Raises Malformed.
    """
    try:
        return json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise Malformed(f"JSON nested deeper than {DEEPEST} levels", raw=data) from None
    except ValueError:
        raise Malformed(_reason(data, said), raw=data) from None


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_packer = msgspec.msgpack.Encoder()
_sorted = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


def _reason(data: bytes, said: str) -> str:
    start = data[:1024].lstrip().lower()
    if start.startswith(b"<"):
        return "HTML page" if b"<html" in start or b"<!doctype html" in start else "XML document"
    if "truncated" in said:
        return f"truncated JSON: it breaks off after {len(data)} bytes"
    return f"not JSON: {said.removeprefix('JSON is malformed: ')}"


def _too_deep(value: Json) -> bool:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(DEEPEST):
        if not level:
            return False
        level = [
            item
            for parent in level
            for item in (parent.values() if type(parent) is dict else parent)
            if type(item) in _CONTAINERS
        ]
    return bool(level)
