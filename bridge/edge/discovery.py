"""Finds adapters by their file names: `adapters/<name>.py` holds one class named `Adapter`.

Operators may keep adapters of their own in folders named by `$BRIDGED_ADAPTERS` (separated like `$PATH`); a file
there takes the place of a shipped one of the same name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import adapters
from bridge.adapter import Adapter, BaseSettings

VARIABLE = "BRIDGED_ADAPTERS"

AdapterClass = type[Adapter[Any]]


class UnknownAdapter(Exception):
    """No adapter has this name. The text names the nearest, or all there are."""


class BrokenAdapter(Exception):
    """The adapter's file cannot be used. The text says which file and why."""


class Catalogue:
    """The adapters that exist. Looking at the names imports nothing."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        shipped = [Path(folder) for folder in adapters.__path__]
        self._files = {
            file.stem: (file, folder not in shipped)
            for folder in [*shipped, *folders]
            for file in sorted(folder.glob("[!_.]*.py"))
        }

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Catalogue:
        """The shipped adapters and those in the folders of `$BRIDGED_ADAPTERS`."""
        return cls(Path(folder) for folder in environ.get(VARIABLE, "").split(os.pathsep) if folder)

    def names(self) -> tuple[str, ...]:
        """Every adapter's name, sorted."""
        return tuple(sorted(self._files))

    def load(self, name: str) -> AdapterClass:
        """The adapter's class. Raises UnknownAdapter and BrokenAdapter."""
        if name not in self._files:
            # Only who has misspelled it waits for it.
            import difflib

            near = difflib.get_close_matches(name, self._files, n=1, cutoff=0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"known adapters: {', '.join(self.names()) or 'none'}"
            raise UnknownAdapter(f"there is no such adapter; {hint}")
        file, foreign = self._files[name]
        stamp = _stamp(file)
        try:
            module = _import_file(file) if foreign else importlib.import_module(f"adapters.{name}")
        except Exception as error:
            raise BrokenAdapter(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
        _stamps.setdefault(file, stamp)
        return _class_of(module, file)


def outdated(loaded: Iterable[str]) -> list[str]:
    """The files of these adapters, by name, that are not as they were when they were loaded: only a new process loads
    them anew.
    """
    names = set(loaded)
    return [f"the adapter in {file}" for file, was in _stamps.items() if file.stem in names and _stamp(file) != was]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


_stamps: dict[Path, tuple[int, int] | None] = {}
"""Of each file that was loaded: when it was changed, and its size."""


def summary(adapter: AdapterClass) -> str:
    """The first line of the adapter's documentation; "" without one."""
    own = adapter.__dict__.get("__doc__") or sys.modules[adapter.__module__].__doc__ or ""
    lines: list[str] = own.strip().splitlines()
    return lines[0].strip() if lines else ""


def _import_file(file: Path) -> ModuleType:
    # The module's name is its path: it cannot collide, and dataclasses find the module by it.
    name = str(file.resolve())
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _class_of(module: ModuleType, file: Path) -> AdapterClass:
    found = getattr(module, "Adapter", None)
    if not isinstance(found, type) or not issubclass(found, Adapter) or found is Adapter:
        raise BrokenAdapter(f"{file} has no class named Adapter that extends bridge.adapter.Adapter")
    settings = getattr(found, "Settings", None)
    if not isinstance(settings, type) or not issubclass(settings, BaseSettings):
        raise BrokenAdapter(f"{file}: Adapter.Settings does not extend bridge.adapter.BaseSettings")
    for name in ("vendor", "type_prefix", "mapping_version"):
        if not isinstance(getattr(found, name, None), str):
            raise BrokenAdapter(f"{file}: Adapter.{name} is missing")
    return found
