"""`docs/configuration.md` is the configuration as the program declares it: every key, with an example."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from bridge.cli.main import main
from bridge.core.alerts.settings import AlertSettings
from bridge.core.config import DaemonSettings, IngressSettings, NatsSettings, StatusSettings, TracingSettings
from bridge.core.reload import difference
from bridge.core.settings import BaseSettings
from bridge.edge.config.convert import fields_of, without_none
from bridge.edge.config.examples import example
from bridge.edge.config.reference import BY_RESTART, TABLES, reference, unit
from bridge.edge.config.schema import schema
from bridge.edge.discovery import AdapterClass, Catalogue

FILE = Path(__file__).parent.parent / "docs" / "configuration.md"
DOCUMENT = FILE.read_text("utf-8")
SHIPPED = ("agyletime", "pcvisit", "platform", "prosonata", "webhook", "x_assist")


def adapters(environ: Mapping[str, str]) -> dict[str, AdapterClass]:
    catalogue = Catalogue.from_environ(environ)
    return {name: catalogue.load(name) for name in catalogue.names()}


def classes(cls: type) -> Iterator[type]:
    """A table's class, and those of the tables inside."""
    yield cls
    for _, hint in fields_of(cls).values():
        for part in (without_none(hint), *typing.get_args(hint)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                yield from classes(part)


EVERY = [
    (cls, name, field, hint)
    for top in (*TABLES.values(), AlertSettings, *(one.Settings for one in adapters({}).values()))
    for cls in classes(top)
    for name, (field, hint) in fields_of(cls).items()
]
"""Each key of each table."""


def rows(title: str) -> list[str]:
    """The keys of a section."""
    section = DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.M)


def test_the_document_is_current() -> None:
    """If not: `bridged schema --markdown > docs/configuration.md`."""
    assert reference(adapters({})) == DOCUMENT


def test_every_table_has_a_section_and_every_key_a_row() -> None:
    """Those of an adapter that are as in every source stand there once."""
    assert {name for name, _ in TABLES.items()} == {"nats", "daemon", "ingress", "status", "tracing"}
    for name, cls in TABLES.items():
        assert rows(f"[{name}]") == list(fields_of(cls))
    assert rows("[[alert]]") == list(fields_of(AlertSettings))
    assert rows("[[source]]") == list(fields_of(BaseSettings))
    found = adapters({})
    assert tuple(found) == SHIPPED
    for name, adapter in found.items():
        own = [key for key in fields_of(adapter.Settings) if key not in fields_of(BaseSettings)]
        assert [key for key in rows(f'adapter = "{name}"') if key != "omit"] == own
    for title in ("[nats.tls]", "[ingress.tls]", "[[alert.webhook]]", "[alert.quiet]", "[[source.subscription]]",
                  "[[source.resource]]", "[source.hmac]", "[[source.event]]"):  # fmt: skip
        assert rows(title), title


def test_every_row_is_whole() -> None:
    """Key, type, default, unit, example and meaning; only what is no number has no unit."""
    found = [re.split(r"(?<!\\)\|", line)[1:-1] for line in DOCUMENT.splitlines() if line.startswith("| `")]
    assert len(found) > 200
    for cells in found:
        key, kind, default, unit_, example_, meaning = (cell.strip() for cell in cells)
        assert all((key, kind, default, example_, meaning)), cells
        assert bool(unit_) == ("number" in kind), cells


def test_every_number_has_a_unit() -> None:
    """Known by how the key ends, or named."""
    assert [name for _, name, _, hint in EVERY if without_none(hint) in (int, float) and not unit(name, hint)] == []


def test_every_example_can_be_written() -> None:
    """It is TOML, and of the kind that the key takes."""
    keys = validators()
    for cls, name, field, hint in EVERY:
        value = tomllib.loads(f"{name} = {example(cls, name, field, hint)}")[name]
        assert [error.message for error in keys[cls, name].iter_errors(value)] == [], (cls, name)


def validators() -> dict[tuple[type, str], Any]:
    whole = schema(adapters({}))
    found: dict[tuple[type, str], Any] = {}

    def walk(cls: type, table: Mapping[str, Any]) -> None:
        for name, (_, hint) in fields_of(cls).items():
            one = table["properties"][name]
            found[cls, name] = Draft202012Validator({**one, "$defs": whole["$defs"]})
            for part in (without_none(hint), *typing.get_args(hint)):
                if isinstance(part, type) and dataclasses.is_dataclass(part):
                    walk(part, one.get("items", one))

    for name, cls in TABLES.items():
        walk(cls, whole["properties"][name])
    walk(AlertSettings, whole["properties"]["alert"]["items"])
    for name, adapter in adapters({}).items():
        table = whole["$defs"][f"source.{name}"]
        table["properties"]["adapter"].pop("const")
        walk(adapter.Settings, table)
    return found


def test_what_takes_a_restart_says_so() -> None:
    """As a reload judges it; but for logging, which is taken over at once."""
    plain: dict[str, Any] = {
        "nats": NatsSettings(), "daemon": DaemonSettings(), "ingress": IngressSettings(), "status": StatusSettings(),
        "tracing": None, "sources": (), "alerts": (),
    }  # fmt: skip
    other: dict[str, Any] = {
        "nats": NatsSettings(stream="X"), "daemon": DaemonSettings(instance="x"),
        "ingress": IngressSettings(listen="127.0.0.1:1"), "status": StatusSettings(enabled=False),
        "tracing": TracingSettings(endpoint="http://x"),
    }  # fmt: skip
    assert set(other) == set(TABLES)
    for name, table in other.items():
        change = difference(SimpleNamespace(**plain), SimpleNamespace(**{**plain, name: table}))
        assert bool(change.restart) == (name in BY_RESTART), name
        section = DOCUMENT.split(f"\n## [{name}]\n")[1].split("\n## ")[0]
        assert ("A change takes a restart" in section) == bool(change.restart), name
    assert "A change takes a restart, but for `log_level` and `log_format`." in DOCUMENT


def test_the_command_prints_it_with_adapters_of_one_s_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Redirected into the file it is the file; a folder of adapters adds theirs."""
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == DOCUMENT
    (tmp_path / "own.py").write_text(
        '"""Our own vendor."""\n'
        "from dataclasses import dataclass\n"
        "from bridge.adapter import Adapter as Base, BaseSettings, setting\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Settings(BaseSettings):\n"
        '    colour: str = setting("a|b", doc="which *one*")\n'
        "class Adapter(Base[Settings]):\n"
        '    Settings, vendor, type_prefix, mapping_version = Settings, "own", "own", "1"\n'
    )
    monkeypatch.setenv("BRIDGED_ADAPTERS", str(tmp_path))
    assert main(["schema", "--markdown"]) == 0
    assert '| `colour` | text | `"a\\|b"` |  |  | which \\*one\\* |\n' in capsys.readouterr().out


def test_a_shape_has_no_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a schema, and that is said."""
    assert main(["schema", "person", "--markdown"]) == 64
    assert "leave SHAPE out" in capsys.readouterr().err
