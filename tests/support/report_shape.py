"""Holds a report against the contract: every key is there, no other is, and each value is of the kind it should be."""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Any, Literal, Union, is_typeddict

from bridge.core.report.contract import Head, Report, Source


def faults(value: Any, expected: Any = Report, path: str = "") -> list[str]:
    """What is wrong, as `path: why`; none where all is as promised."""
    if is_typeddict(expected):
        return _object(value, expected, path)
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [fault for at, one in enumerate(value) for fault in faults(one, arguments[0], f"{path}[{at}]")]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: {value!r} is no object"]
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if origin in (Union, types.UnionType):
        tried = [faults(value, one, path) for one in arguments]
        return [] if [] in tried else tried[0]
    if expected is type(None):
        return [] if value is None else [f"{path}: {value!r} is not null"]
    if expected is float:
        expected = (int, float)
    fits = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    return [] if fits else [f"{path}: {value!r} is no {expected}"]


_hints = lru_cache(typing.get_type_hints)


def _object(value: Any, expected: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    hints = _hints(expected)
    wrong = [f"{path}.{key}: is missing" for key in hints.keys() - value.keys()]
    wrong += [f"{path}.{key}: nobody knows it" for key in value.keys() - hints.keys()]
    for key in hints.keys() & value.keys():
        wrong += faults(value[key], hints[key], f"{path}.{key}")
    return wrong


__all__ = ["Head", "Report", "Source", "faults"]
