"""Leaves out what must never be published: paths such as `participants.*.email`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from operator import is_

from bridge.core.record import Json

Path = tuple[str, ...]


def parse(path: str) -> Path:
    """`participants.*.email` as steps; `*` stands for every list item or field. Raises ValueError if empty."""
    steps = tuple(path.split("."))
    if not all(steps):
        raise ValueError(f"not a path: {path!r}; expected names joined by dots, such as participants.*.email")
    return steps


def fingerprint(paths: Iterable[Path]) -> str:
    """Names a set of paths, "" for none: other paths leave other fields, so their digests cannot be compared."""
    text = "\0".join(sorted(".".join(path) for path in paths))
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


def omit(value: Json, paths: Iterable[Path]) -> Json:
    """`value` without the fields the paths name. The original stays as it is; a path may lead nowhere."""
    for path in paths:
        value = _without(value, path)
    return value


def gathered(value: Mapping[str, Json], names: Iterable[str], into: str) -> dict[str, Json]:
    """`value` with its fields of these names moved into one field `into`, which one path can then leave out.

    A field that was called `into` before goes along, under its own name. Without any such field nothing changes.
    """
    apart = {*names, into}
    moved = {key: item for key, item in value.items() if key in apart}
    rest = {key: item for key, item in value.items() if key not in apart}
    return {**rest, into: moved} if moved else rest


def _without(value: Json, path: Path) -> Json:
    step, rest = path[0], path[1:]
    # By exact type first: to ask whether something is a Mapping is slow, and most paths lead nowhere.
    if type(value) is dict or isinstance(value, Mapping):
        if step == "*":
            return {key: _without(item, rest) for key, item in value.items()} if rest else {}
        if step not in value:
            return value
        if not rest:
            left = dict(value)
            del left[step]
            return left
        inner = value[step]
        kept = _without(inner, rest)
        # In its place, so the order of fields stays. What was left out once is not there again, as a rule.
        return value if kept is inner else {**value, step: kept}
    if (type(value) is list or isinstance(value, (list, tuple))) and step == "*":
        items = [_without(item, rest) for item in value] if rest else []
        same = len(items) == len(value) and all(map(is_, items, value))
        return value if same else items
    return value
