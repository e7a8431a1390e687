"""The house rules hold in every file, and each rule is able to fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.layers import LAYERS, findings, layer_of, names

ROOT = Path(__file__).parent.parent
CODE = sorted([*ROOT.glob("bridge/**/*.py"), *ROOT.glob("adapters/**/*.py")])

# Spelled in pieces, so that this file does not hold them.
REGISTRIES = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(org|com)", "deb" + r"ian\.org/debian"))
    + "|registry"
    + r"\.npm|proxy"
    + r"\.golang|crates"
    + r"\.io|ghcr"
    + r"\.io"
)
TEXT = names(".cfg .cjs .conf .graphql .in .ini .js .json .lock .md .mjs .py .rb .service .sh .toml .txt .yaml .yml")
TEXT |= {""}
NOT_OURS = frozenset({"__pycache__", "build", "dist", "node_modules"})


def test_every_file_keeps_its_layer() -> None:
    """Nobody imports whom they may not, decides by the clock, loses a task, swallows cancellation or grows too long."""
    broken = [found for path in CODE for found in findings(_name(path), path.read_text("utf-8"))]
    assert not broken, "\n" + "\n".join(broken)


def test_every_layer_has_files() -> None:
    """The table speaks of the tree as it is: no row guards a folder that was moved away."""
    paths = [_name(path) for path in CODE]
    for layer in LAYERS:
        assert any(layer_of(name) is layer for name in paths), f"no file in {layer.path}"


def test_no_package_registry_is_named() -> None:
    """No file names a registry's host: where packages come from is the machine's own setting."""
    naming = [
        f"{_name(path)}:{number}"
        for path in _texts(ROOT)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if REGISTRIES.search(line)
    ]
    assert not naming, "\n" + "\n".join(naming)


def test_the_registry_pattern_finds_them() -> None:
    """The pattern finds what it is for, and leaves other addresses alone."""
    assert REGISTRIES.search("https://files.python" + "hosted.org/x")
    assert REGISTRIES.search("index = https://py" + "pi.org/simple")
    assert not REGISTRIES.search("https://example.org/graphql https://nats.io")


@pytest.mark.parametrize(
    ("path", "code", "complaint"),
    [
        # Who imports whom.
        ("bridge/core/x.py", "import anyio", "imports anyio: bridge/core/ may import nothing"),
        ("bridge/core/x.py", "import bridge.engine.ports", "imports bridge.engine.ports"),
        ("bridge/core/x.py", "from bridge import engine", "imports bridge.engine"),
        ("bridge/core/x.py", "from bridge.adapter import Page", "imports bridge.adapter.Page"),
        ("bridge/core/x.py", "from . import event", "imports relatively"),
        ("bridge/core/x.py", "def f():\n    import time", "x.py:3: imports time"),
        ("bridge/core/x.py", "from urllib import request", "imports urllib.request"),
        ("bridge/core/x.py", "from email.utils import localtime", "imports email.utils.localtime"),
        ("bridge/adapter.py", "from bridge.engine.ports import Http", "imports bridge.engine.ports.Http"),
        ("bridge/engine/x.py", "import nats", "imports nats"),
        ("bridge/engine/x.py", "import asyncio", "imports asyncio"),
        ("bridge/engine/x.py", "from bridge.edge import http", "imports bridge.edge.http"),
        ("bridge/engine/x.py", "from adapters import pcvisit", "imports adapters.pcvisit"),
        ("bridge/edge/x.py", "import aiohttp\nimport nats.errors", "imports nats beside aiohttp"),
        ("bridge/edge/x.py", "import ariadne", "imports ariadne"),
        ("bridge/edge/x.py", "from bridge.engine.runner import Runner", "imports bridge.engine.runner.Runner"),
        ("bridge/edge/x.py", "from bridge.cli import main", "imports bridge.cli.main"),
        ("bridge/sandbox/x.py", "from bridge.edge import http", "imports bridge.edge.http"),
        ("bridge/sandbox/x.py", "import nats", "imports nats"),
        ("bridge/cli/x.py", "import nats", "imports nats"),
        ("bridge/cli/x.py", "from tests.support import engine", "imports tests.support.engine"),
        ("adapters/x.py", "from bridge.core.record import Record", "imports bridge.core.record.Record"),
        ("adapters/x.py", "from adapters.pcvisit import Adapter", "imports adapters.pcvisit.Adapter"),
        ("adapters/x.py", "import random", "imports random"),
        ("bridge/x.py", "", "belongs to no layer"),
        # Core only decides.
        *(
            ("bridge/core/x.py", f"import {module}", f"imports {module}")
            for module in sorted(
                names("asyncio io logging os pathlib random secrets socket subprocess threading time uuid")
            )
        ),
        ("bridge/core/x.py", "async def f(): pass", "is asynchronous"),
        ("bridge/core/x.py", "def f(): open('x')", "calls open()"),
        ("bridge/core/x.py", "print('x')", "calls print()"),
        ("bridge/core/x.py", "__import__('time')", "calls __import__()"),
        ("bridge/core/x.py", "from datetime import datetime\ndatetime.now()", "calls .now()"),
        ("bridge/core/x.py", "import datetime\ndatetime.date.today()", "calls .today()"),
        ("bridge/core/x.py", "from datetime import datetime\ndatetime.fromtimestamp(0)", "without a time zone"),
        ("adapters/x.py", "async def f(): pass", "is asynchronous"),
        ("bridge/engine/x.py", "from datetime import UTC, datetime\ndatetime.now(UTC)", "calls .now()"),
        # Structured concurrency.
        ("bridge/edge/x.py", "import asyncio\nasyncio.create_task(f())", "calls create_task"),
        ("bridge/edge/x.py", "from asyncio import ensure_future\nensure_future(f())", "calls ensure_future"),
        ("bridge/engine/x.py", "async def pages():\n    yield 1", "pages is a public async generator"),
        (
            "bridge/edge/x.py",
            "class C:\n    async def pages(self):\n        while True:\n            yield",
            "public async",
        ),
        ("bridge/cli/x.py", "try:\n    f()\nexcept:\n    raise", "bare except"),
        ("bridge/edge/x.py", "try:\n    f()\nexcept BaseException:\n    pass", "catches cancellation"),
        (
            "bridge/edge/x.py",
            "import asyncio\ntry:\n    f()\nexcept (OSError, asyncio.CancelledError):\n    pass",
            "catches cancellation",
        ),
        # Size and words.
        ("adapters/x.py", "A = 1\n" * 149, "is longer than 149 lines"),
        ("bridge/edge/x.py", "A = 1\n" * 350, "is longer than 350 lines"),
    ],
)
def test_each_rule_can_fail(path: str, code: str, complaint: str) -> None:
    """A file that breaks a rule is found out, with its line and a reason."""
    found = findings(path, f'"""A bad example."""\n{code}\n')
    assert any(complaint in text for text in found), found
    assert len(found) == 1


def test_a_file_says_what_it_is() -> None:
    """A module without a docstring is found out; an empty one says nothing and needs none."""
    assert findings("bridge/core/x.py", "A = 1\n") == [
        "bridge/core/x.py:1: has no docstring that says what this file is"
    ]
    assert findings("bridge/core/__init__.py", "") == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("bridge/core/x.py", "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)"),
        (
            "bridge/core/x.py",
            "import urllib.parse\nfrom bridge.core.record import Key\nfrom collections.abc import Mapping",
        ),
        ("bridge/adapter.py", "from bridge.core.budget import Limit"),
        ("bridge/engine/x.py", "import anyio\nimport structlog\nfrom bridge.adapter import Page\nimport random"),
        ("bridge/edge/x.py", "import asyncio, os, anyio, nats, nkeys\nfrom bridge.engine.ports import Ledger"),
        ("bridge/edge/discovery.py", "import adapters\nimport importlib"),
        ("bridge/sandbox/x.py", "import ariadne, uvicorn, jwt, msgspec\nfrom bridge.core.record import Json"),
        ("bridge/cli/x.py", "import rich\nfrom bridge.edge import logging\nfrom bridge import __version__"),
        ("adapters/x.py", "import hashlib\nfrom bridge.adapter import Adapter"),
        ("bridge/edge/x.py", "async def _pages():\n    yield 1"),
        (
            "bridge/edge/x.py",
            "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def session():\n    yield 1",
        ),
        ("bridge/edge/x.py", "async def f():\n    def inner():\n        yield 1\n    return inner"),
        ("bridge/edge/x.py", "try:\n    f()\nexcept BaseException:\n    clean()\n    raise"),
    ],
)
def test_what_is_allowed(path: str, code: str) -> None:
    """Code that keeps the rules is left in peace."""
    assert findings(path, f'"""A good example."""\n{code}\n') == []


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _texts(folder: Path) -> list[Path]:
    """Text files of ours. Hidden folders are caches and environments, but for .ci; git may not be installed."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in NOT_OURS and (path.name == ".ci" or not path.name.startswith(".")):
                found += _texts(path) if not (path / "pyvenv.cfg").exists() else []
        elif path.suffix in TEXT:
            found.append(path)
    return found
