"""Imports libraries without what they would import only to find out whether it is there.

structlog takes rich with it, and nats-py aiohttp, in case somebody wants coloured tracebacks or NATS over WebSocket. We
want neither: a daemon would hold some six megabytes more for all of its life, and start a tenth of a second later.
Both go without where those are not installed, so for the moment of their import nothing else is.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType

TRIED = {
    "structlog": ("rich", "greenlet", "better_exceptions", "colorama", "twisted"),
    "nats": ("aiohttp", "fast_mail_parser"),
    "websockets": (),
}
"""By library, what it tries to import and we have no use for."""

VERSIONS = {"nats": "nats_py", "websockets": "websockets"}
"""Libraries that ask for their own version, or might, by the name they are installed by. What answers would read all
that is installed, with the parser for mails: the name of a folder says the same."""

LATER = {"nats": ("js", "api")}
"""By library, a package of it that is wanted only when somebody asks for it, except for one module. Ours speaks to
JetStream by itself, and would hold another megabyte."""


def sparingly(*libraries: str) -> None:
    """Import these libraries of `TRIED` unless they are there already. Before any thread is started."""
    for library in libraries:
        if library in sys.modules:
            continue
        hidden = [name for name in TRIED[library] if name not in sys.modules]
        # What stands for None there cannot be imported, and that is an ordinary ImportError.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        if library in VERSIONS and _METADATA not in sys.modules:
            hidden.append(_METADATA)
            sys.modules[_METADATA] = _versions(library)
        try:
            if library in LATER:
                _import_without(library, *LATER[library])
            else:
                importlib.import_module(library)
        finally:
            for name in hidden:
                del sys.modules[name]


def _versions(library: str) -> ModuleType:
    """In place of `importlib.metadata`, for this one library."""

    def version(_: str) -> str:
        spec = importlib.util.find_spec(library)
        places = () if spec is None else spec.submodule_search_locations or ()
        begins, ends = f"{VERSIONS[library]}-", ".dist-info"
        for place in places:
            for name in os.listdir(os.path.dirname(place)):
                if name.startswith(begins) and name.endswith(ends):
                    return name[len(begins) : -len(ends)]
        raise ImportError(library)

    module = ModuleType(_METADATA)
    module.__dict__["version"] = version
    return module


_METADATA = "importlib.metadata"


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For imports: nearly all that they make stays, and looking through it for garbage time and again is a tenth of
    the work. It is not done afterwards either.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Or the first object made afterwards would have it all looked through.
        gc.freeze()
        gc.enable()


def module_alone(name: str, *beside: str) -> ModuleType:
    """A module of a package, without what the package itself imports, nor what the packages `beside` do, which it uses.

    It is a copy for us alone, unless the package is there already: whoever imports that later gets one of its own.
    """
    bare = [package for package in (name.partition(".")[0], *beside) if package not in sys.modules]
    before = set(sys.modules)
    sys.modules.update({package: _bare(package) for package in bare})
    try:
        return importlib.import_module(name)
    finally:
        for made in set(sys.modules) - before:
            if made.partition(".")[0] in bare:
                del sys.modules[made]


def _import_without(library: str, package: str, module: str) -> None:
    name = f"{library}.{package}"
    later = sys.modules[name] = _bare(name)

    def load(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        # Somebody wants more of it: now it becomes what it always would have been.
        del later.__dict__["__getattr__"]
        spec = importlib.machinery.PathFinder.find_spec(name, [os.path.dirname(path) for path in later.__path__])
        assert spec is not None, name
        assert spec.loader is not None, name
        later.__spec__ = spec
        spec.loader.exec_module(later)
        return getattr(later, attribute)

    later.__dict__["__getattr__"] = load
    setattr(importlib.import_module(library), package, later)
    importlib.import_module(f"{name}.{module}")


def _bare(package: str) -> ModuleType:
    """The package as a place where its modules are found."""
    module = ModuleType(package)
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
    module.__path__ = [os.path.join(folder, *rest) for folder in spec.submodule_search_locations]
    return module


@contextlib.contextmanager
def without_authorities() -> Iterator[None]:
    """For the import of a library that makes TLS contexts at once: they trust nobody, so the list of those is not read.

    That takes a tenth of a second and three megabytes. Whoever used such a context by mistake would reach nobody.
    """
    # Not above: `bridged --help` does not wait for it.
    import ssl

    setattr(ssl.SSLContext, "set_default_verify_paths", lambda _: None)  # noqa: B010  # mypy takes it for a method
    try:
        yield
    finally:
        # What is inherited is there again.
        delattr(ssl.SSLContext, "set_default_verify_paths")
