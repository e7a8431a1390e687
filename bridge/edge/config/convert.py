"""Makes settings objects from tables: types, defaults and texts come from the dataclass and from nowhere else.

Every key is checked on its own, so that one reading reports everything that is wrong. Texts say what was expected,
never what was found: it may have been a secret in the wrong place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from bridge.core import url as core_url
from bridge.core.secret import Masker, Secret
from bridge.core.settings import BadSetting
from bridge.edge.config.document import Document, Place, absolute
from bridge.edge.config.lines import Path as KeyPath
from bridge.edge.config.problem import Problem
from bridge.edge.config.secrets import BadReference, NotHere, SecretReader

T = TypeVar("T")

INVALID: Any = object()
"""Stands for a value that was reported and is not to be used."""

DEEPEST = 100
"""A value nested deeper is a mistake, and more than others can read."""

# Bounds of the keys every source has; adapters declare their own.
_AT_LEAST = {"max_body_mb": 1, "request_timeout_s": 0.1}

_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*@")
_ELEMENT = re.compile(r"at `\$((?:\[\d+\])+)")


class Converter:
    """Turns tables of one document into settings, collecting problems, warnings and the secrets that were read."""

    def __init__(self, document: Document, environ: Mapping[str, str], *, vendor_secrets: bool = True) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: list[Secret] = []
        self._document = document
        self._vendor_secrets = vendor_secrets
        self._environ = environ
        self._folder = document.main.absolute().parent
        self._reader = SecretReader(environ, self._folder)

    def fail(self, path: KeyPath, message: str) -> None:
        """Report an error of a key."""
        self.problems.append(self._document.problem(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        """Report something that works but is probably not meant."""
        self.warnings.append(self._document.problem(path, message))

    def place(self, path: KeyPath) -> Place:
        """Where a key stands."""
        return self._document.place(path)

    def table(self, cls: type[T], value: Any, path: KeyPath) -> T | None:
        """An instance of the dataclass; None when anything in the table was reported."""
        if not isinstance(value, dict):
            self.fail(path, f"expected a table, got {kind(value)}")
            return None
        fields = fields_of(cls)
        before = len(self.problems)
        self.unknown(value, list(fields), path)
        arguments = {}
        for name, (field, hint) in fields.items():
            if name in value:
                arguments[name] = self._field(field, hint, value[name], (*path, name))
            elif is_required(field):
                self.fail(path, f"the key {name} is missing: {describe(hint)}, {field.metadata.get('doc', '')}")
        if len(self.problems) > before:
            return None
        return self._make(cls, arguments, path)

    def accepts(self, cls: Callable[[T], object], settings: T, path: KeyPath) -> bool:
        """Whether an adapter can be made of the settings; if not, that is reported."""
        return self._make(cls, {"settings": settings}, path) is not None

    def _make(self, cls: Callable[..., T], arguments: dict[str, Any], path: KeyPath) -> T | None:
        try:
            return cls(**arguments)
        except BadSetting as error:
            text, path = str(error), (*path, *error.key)
        except ValueError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - an adapter's bug must not show a traceback with its settings
            text = f"{type(error).__name__}: {error}"
        self.fail(path, Masker(self.secrets).mask(text))
        return None

    def unknown(self, value: Mapping[str, Any], known: list[str], path: KeyPath) -> None:
        """Report the keys that mean nothing, naming the nearest that does."""
        for name in value:
            if name not in known:
                plain = {key.replace("_", ""): key for key in known}
                spelled = re.sub(r"[-_ ]", "", name).lower()
                near = _near(spelled, plain, 0.6)
                hint = f"did you mean {plain[near[0]]}?" if near else f"known keys: {', '.join(known)}"
                self.fail((*path, name), f"unknown key; {hint}")

    def _field(self, field: dataclasses.Field[Any], hint: Any, value: Any, path: KeyPath) -> Any:
        before = len(self.problems)
        result = self._value(hint, value, path)
        if len(self.problems) > before:
            return INVALID
        least = at_least(field)
        if least is not None and result < least:
            self.fail(path, f"expected at least {least:g}")
        if where := field.metadata.get("path"):
            return self._path(where, result, path)
        if field.name == "url" or field.name.endswith("_url"):
            self._web(result, path, live=bool(field.metadata.get("live")))
        return result

    def _value(self, hint: Any, value: Any, path: KeyPath) -> Any:
        hint = without_none(hint)
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if hint is Secret:
            return self._secret(value, path)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self.table(hint, value, path)
        if origin is list and isinstance(value, list) and _is_ours(inner[0]):
            return [self._value(inner[0], item, (*path, index)) for index, item in enumerate(value)]
        if origin is dict and isinstance(value, dict) and _is_ours(inner[1]):
            return {name: self._value(inner[1], item, (*path, name)) for name, item in value.items()}
        if _deeper(value, DEEPEST):
            self.fail(path, f"nested more than {DEEPEST} deep")
            return INVALID
        self._no_userinfo(value, path)
        return self._plain(hint, value, path)

    def _plain(self, hint: Any, value: Any, path: KeyPath) -> Any:
        try:
            result = msgspec.convert(value, hint, strict=True)
        except msgspec.ValidationError as error:
            element, found = value, _ELEMENT.search(str(error))
            if found and isinstance(value, list):
                for index in map(int, re.findall(r"\d+", found[1])):
                    element, path = element[index], (*path, index)
            self.fail(path, _expected(hint, value, element))
            return INVALID
        if isinstance(result, float) and not math.isfinite(result):
            self.fail(path, "expected a finite number")
        return result

    def _secret(self, value: Any, path: KeyPath) -> Any:
        try:
            secret, warnings = self._reader.read(value)
        except NotHere as error:
            if self._vendor_secrets or path[0] not in ("source", "alert"):
                self.fail(path, str(error))
                return INVALID
            return Secret("", self._reader.origin(value))
        except BadReference as error:
            self.fail(path, str(error))
            return INVALID
        for warning in warnings:
            self.warn(path, warning)
        self.secrets.append(secret)
        return secret

    def _no_userinfo(self, value: Any, path: KeyPath) -> None:
        if isinstance(value, str) and _USERINFO.match(value):
            self.fail(
                path,
                "a user name or password inside a URL is a literal secret, and refused; "
                "take it out and use the settings made for it",
            )
        elif isinstance(value, (list, dict)):
            for part, item in value.items() if isinstance(value, dict) else enumerate(value):
                self._no_userinfo(item, (*path, part))

    def _path(self, where: str, value: str, path: KeyPath) -> str:
        if not value:
            self.fail(path, "expected a path, got an empty text")
            return value
        result = absolute(value, self._folder, self._environ)
        if where == "file":
            if not result.is_file():
                self.fail(path, f"there is no file {result}")
            elif not os.access(result, os.R_OK):
                self.fail(path, f"the file {result} cannot be read by this user")
        return str(Path(os.path.normpath(result)))

    def _web(self, value: Any, path: KeyPath, *, live: bool) -> None:
        """`nats.url` has its own rule; what is checked here are vendors' addresses.

        Whether one of a live session is ever spoken to is not known yet: see `rules.check_addresses`.
        """
        if path[0] != "source" or not isinstance(value, str) or not value:
            return
        problem = url_problem(value, ("http", "https", "ws", "wss"))
        if problem:
            self.fail(path, problem)
        elif not live and (refused := plain_problem(value)):
            self.fail(path, refused)


def url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """What is wrong with an address; "" if nothing is."""
    found = re.match(
        r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Fa-f:.]+\]|[^\s/?#:@\[\]]+)(?::(\d{1,5}))?(?=[/?#]|\Z)", url
    )
    if not found or found[1].lower() not in schemes or int(found[3] or 1) not in range(1, 65536) or " " in url:
        return f"expected an address such as {schemes[-1]}://host or {schemes[0]}://host:port/path"
    return ""


def plain_problem(url: str) -> str:
    """Why nothing would be sent to an address of good form, as it is not encrypted; "" if it is, or is this machine."""
    plain = url.split("://", 1)[0].lower()
    if plain not in ("http", "ws"):
        return ""
    why = core_url.problem(url, plain=plain, secure=f"{plain}s")
    return f"{why} (without encryption the bridge speaks to vendors only on this machine)" if why else ""


def fields_of(cls: type) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """The keys of a settings class with their types, in the order of declaration."""
    hints: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        hints |= _own_hints(owner)
    return {field.name: (field, hints[field.name]) for field in dataclasses.fields(cls) if field.init}


@functools.lru_cache(maxsize=100)
def _own_hints(cls: type) -> dict[str, Any]:
    # By class, as what all sources have in common is asked for with each of them. What the module calls so comes first.
    own = types.SimpleNamespace(__annotations__=vars(cls).get("__annotations__", {}))
    return typing.get_type_hints(own, dict(vars(cls)), getattr(sys.modules.get(cls.__module__), "__dict__", {}))


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether the key has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def at_least(field: dataclasses.Field[Any]) -> float | None:
    """The smallest number the key allows."""
    declared: float | None = field.metadata.get("at_least")
    return _AT_LEAST.get(field.name) if declared is None else declared


def without_none(hint: Any) -> Any:
    """`X` for `X | None`: TOML has no null, an absent key stands for it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = tuple(part for part in typing.get_args(hint) if part is not type(None))
        return rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007 - made at run time
    return hint


def _near(given: str, known: Iterable[str], cutoff: float) -> list[str]:
    # Only who has misspelled something waits for it.
    import difflib

    return difflib.get_close_matches(given, list(known), n=1, cutoff=cutoff)


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Secret: "a secret reference"}


def describe(hint: Any) -> str:
    """A type in words."""
    hint = without_none(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if origin is Literal:
        return f"one of {', '.join(_quoted(choice) for choice in inner)}"
    if origin is list:
        return "a list" if inner[0] is Any else f"a list of {describe(inner[0]).removeprefix('a ')}"
    if origin is dict and inner[1] is str:
        return "a table of texts"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, inner))
    return "any value" if hint is Any else "a table"


def kind(value: Any) -> str:
    """The type of a TOML value in words; never the value."""
    names = {bool: "true or false", int: "a whole number", float: "a number with a point", str: "text"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def _expected(hint: Any, value: Any, element: Any) -> str:
    text = f"expected {describe(hint)}"
    if element is not value:
        return f"{text}; this item is {kind(element)}"
    if typing.get_origin(hint) is Literal and isinstance(value, str):
        choices = [choice for choice in typing.get_args(hint) if isinstance(choice, str)]
        near = _near(value.lower(), choices, 0.5)
        return f"{text}; did you mean {_quoted(near[0])}?" if near else text
    return f"{text}, got {kind(value)}"


def _quoted(choice: Any) -> str:
    return f'"{choice}"' if isinstance(choice, str) else str(choice).lower()


def _is_ours(hint: Any) -> bool:
    hint = without_none(hint)
    return hint is Secret or dataclasses.is_dataclass(hint)


def _deeper(value: Any, most: int) -> bool:
    """Whether tables and lists are nested in one another more than `most` deep; without recursion."""
    level = [value]
    for _ in range(most + 1):
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _items(outer)]
    return bool(level)


def _items(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer
