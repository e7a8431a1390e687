"""Reads source code and says where it breaks the house rules. Knows text and syntax only: nothing is imported.

`LAYERS` is the table of who may import whom. Findings are sentences, `path:line: what and why`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field


def names(text: str) -> frozenset[str]:
    """A set of names, written as a sentence."""
    return frozenset(text.split())


PURE = names(
    "__future__ abc base64 binascii bisect collections copy dataclasses datetime decimal difflib"
    " email.utils.parsedate_to_datetime enum fnmatch fractions functools hashlib heapq hmac html itertools json"
    " marshal.dumps math numbers operator re string struct types typing unicodedata urllib.parse zlib zoneinfo"
)
"""Standard library without clock, randomness or I/O. What is not named here is not pure until somebody has looked."""

MANAGING = PURE | {"contextlib", "contextvars", "random", "secrets", "weakref"}
"""What the engine needs besides; time, sockets and files reach it through anyio and its ports."""

ANY = frozenset(sys.stdlib_module_names)


@dataclass(frozen=True)
class Layer:
    """Files below `path`, and what they may do.

    `ours`: packages of this repository. `standard`: of the standard library. `foreign`: libraries any file may
    import; `one_of`: libraries of which a file may import one. `pure`: no async code, no clock, no I/O.
    """

    path: str
    ours: frozenset[str]
    standard: frozenset[str]
    foreign: frozenset[str] = field(default_factory=frozenset)
    one_of: frozenset[str] = field(default_factory=frozenset)
    pure: bool = False
    clockless: bool = False
    longest: int = 350


# The first row whose path begins a file's path counts.
LAYERS = (
    Layer("bridge/__init__.py", names(""), names(""), pure=True),
    Layer("bridge/core/", names("bridge.core"), PURE, pure=True, clockless=True),
    Layer("bridge/adapter.py", names("bridge.core"), PURE, pure=True, clockless=True),
    Layer("adapters/", names("bridge.adapter adapters.tables"), PURE, pure=True, clockless=True, longest=149),
    # What consumers import: it must cost them nothing.
    Layer("bridge/events.py", names("bridge.core"), PURE, pure=True, clockless=True),
    Layer(
        "bridge/engine/",
        names("bridge.core bridge.adapter bridge.engine bridge.events"),
        MANAGING,
        foreign=names("anyio structlog"),
        clockless=True,
    ),
    # Finds adapters by their file names, so it must know where they are.
    Layer("bridge/edge/discovery.py", names("bridge.core bridge.adapter bridge.edge adapters"), ANY),
    Layer(
        "bridge/edge/",
        names("bridge.core bridge.adapter bridge.engine.ports bridge.engine.alert_ports bridge.edge bridge.events"),
        ANY,
        foreign=names("anyio structlog"),
        one_of=names("nats aiohttp apprise cel cryptography h11 msgspec opentelemetry socketio uvloop websockets gql"),
    ),
    Layer(
        "bridge/sandbox/",
        names("bridge.core bridge.sandbox"),
        ANY,
        foreign=names("anyio ariadne cryptography gql jwt msgspec pywt socketio starlette uvicorn websockets"),
    ),
    Layer(
        "bridge/cli/",
        names("bridge adapters"),
        ANY,
        foreign=names("anyio rich structlog uvloop"),
    ),
)

SAME_LIBRARY = {
    "nkeys": "nats", "engineio": "socketio", "graphql": "gql", "yarl": "aiohttp", "multidict": "aiohttp",
    "requests": "apprise",
}  # fmt: skip
"""Parts of a library that go by a name of their own."""

_IO_CALLS = names("open print input exec eval compile __import__ breakpoint globals")
_CLOCK_CALLS = names("now utcnow today")
_LOOSE_TASKS = names("create_task ensure_future run_coroutine_threadsafe")
_CATCHES_CANCELLATION = names("BaseException CancelledError Cancelled get_cancelled_exc_class")


def layer_of(path: str) -> Layer | None:
    """The layer a file belongs to; `path` is relative to the repository, with slashes."""
    return next((layer for layer in LAYERS if path.startswith(layer.path)), None)


def findings(path: str, source: str) -> list[str]:
    """Everything in one file that breaks a rule, in the order of the lines."""
    layer = layer_of(path)
    if layer is None:
        return [f"{path}:1: belongs to no layer: move it, or give the table a row"]
    tree = ast.parse(source, path)
    found = [*_manners(tree), *_imports(tree, layer)]
    if layer.pure:
        found += _impure(tree)
    if layer.clockless:
        found += _clocks(tree)
    if source.strip() and ast.get_docstring(tree) is None:
        found.append((1, "has no docstring that says what this file is"))
    if (lines := source.count("\n")) > layer.longest:
        found.append((lines, f"is longer than {layer.longest} lines: split it by noun"))
    return [f"{path}:{line}: {text}" for line, text in sorted(found)]


_Found = Iterator[tuple[int, str]]


def _imports(tree: ast.Module, layer: Layer) -> _Found:
    chosen: dict[str, int] = {}
    for line, module in _imported(tree):
        root = module.partition(".")[0]
        if root == "":
            yield line, "imports relatively: write the full name"
        elif root in ("bridge", "adapters", "tests"):
            if not _within(module, layer.ours):
                yield line, f"imports {module}: {layer.path} may import {_list(layer.ours)} of ours"
        elif root in ANY:
            if not _within(module, layer.standard):
                yield line, f"imports {module}: {layer.path} is to be without clock, randomness and I/O of its own"
        else:
            library = SAME_LIBRARY.get(root, root)
            if library in layer.one_of:
                chosen.setdefault(library, line)
            elif library not in layer.foreign:
                yield line, f"imports {library}: {layer.path} may import {_list(layer.foreign | layer.one_of)}"
    for library, line in list(chosen.items())[1:]:
        yield line, f"imports {library} beside {next(iter(chosen))}: one foreign library per file"


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                # The name may be a module: `from bridge import edge` imports bridge.edge.
                yield node.lineno, f"{node.module}.{alias.name}" if not node.level else ""


def _impure(tree: ast.Module) -> _Found:
    for node in ast.walk(tree):
        if isinstance(node, (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)):
            yield node.lineno, "is asynchronous: this layer only decides"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IO_CALLS:
            yield node.lineno, f"calls {node.func.id}(): this layer touches nothing"


def _clocks(tree: ast.Module) -> _Found:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, given = node.func.attr, len(node.args) + len(node.keywords)
        if name in _CLOCK_CALLS and isinstance(node.func.value, (ast.Name, ast.Attribute)):
            yield node.lineno, f"calls .{name}(): the time is passed in"
        elif (name == "fromtimestamp" and given < 2) or (name == "astimezone" and given < 1):
            yield node.lineno, f"calls .{name}() without a time zone: that reads the machine's"


def _manners(tree: ast.Module) -> _Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            managed = any("asynccontextmanager" in ast.dump(decorator) for decorator in node.decorator_list)
            if not managed and _yields(node):
                yield node.lineno, f"{node.name} is a public async generator: none crosses a module boundary"
        elif isinstance(node, ast.Call) and _last_name(node.func) in _LOOSE_TASKS:
            yield node.lineno, f"calls {_last_name(node.func)}: every task has a parent, use a task group"
        elif isinstance(node, ast.ExceptHandler):
            yield from _handler(node)


def _handler(node: ast.ExceptHandler) -> _Found:
    if node.type is None:
        yield node.lineno, "has a bare except: name what is caught"
        return
    caught = {_last_name(part) for part in ast.walk(node.type)}
    raises = any(isinstance(part, ast.Raise) for statement in node.body for part in ast.walk(statement))
    if caught & _CATCHES_CANCELLATION and not raises:
        yield node.lineno, "catches cancellation and does not raise it again"


def _yields(function: ast.AsyncFunctionDef) -> bool:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _within(module: str, allowed: frozenset[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


def _list(allowed: frozenset[str]) -> str:
    return ", ".join(sorted(allowed)) or "nothing"
