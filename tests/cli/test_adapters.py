"""`bridged adapters` and `bridged schema`: what can be configured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.cli.main import main
from tests.support.configuration import VENDORS

SHIPPED = {file.stem for file in (Path(__file__).parents[2] / "adapters").glob("[!_]*.py")}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGED_ADAPTERS", str(VENDORS))


def test_every_adapter_is_listed_with_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, vendor, one line of documentation; each key with type, default and whether it is inferred."""
    assert main(["adapters", "--json"]) == 0
    found = {adapter["name"]: adapter for adapter in json.loads(capsys.readouterr().out)}
    assert set(found) == SHIPPED | {"acme"}
    acme = found["acme"]
    assert acme["vendor"] == "acme"
    assert acme["summary"].startswith("A vendor that exists in tests only")
    assert acme["omit"] == ["person.email"]
    settings = {setting["key"]: setting for setting in acme["settings"]}
    assert settings["page_size"] == {
        "key": "page_size", "type": "a whole number", "required": False, "default": 50, "inferred": True,
        "doc": "records per page",
    }  # fmt: skip
    assert settings["token"]["required"]
    assert settings["token"]["type"] == "a secret reference"


def test_one_adapter_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: its keys in columns, required ones marked; an unknown name is exit 64 and names the nearest."""
    assert main(["adapters", "acme"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("acme  (vendor acme)  A vendor that exists")
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert "required" in lines["token"]
    assert "= 50" in lines["page_size"]
    assert "(inferred)" in lines["page_size"]
    assert main(["adapters", "acne"]) == 64
    assert 'did you mean "acme"?' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["adapters", "schema"])
def test_a_broken_adapter_is_named_and_the_others_are_listed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad file does not hide the rest; it makes exit code 70."""
    (tmp_path / "bad.py").write_text("1 / 0\n")
    monkeypatch.setenv("BRIDGED_ADAPTERS", f"{VENDORS}:{tmp_path}")
    assert main([command, "--json"]) == 70
    captured = capsys.readouterr()
    assert f"{tmp_path}/bad.py cannot be loaded: ZeroDivisionError" in captured.err
    assert "acme" in json.dumps(json.loads(captured.out))


def test_the_schema_holds_every_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    """`bridged schema` prints one JSON Schema with a variant for each adapter that is found."""
    assert main(["schema"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["$schema"].endswith("2020-12/schema")
    assert {name for name in document["$defs"] if name != "secret"} == {f"source.{n}" for n in SHIPPED | {"acme"}}


def test_tables_inside_a_source_are_listed_with_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """`[[source.subscription]]` is documented key by key, and guesses about the session are marked."""
    assert main(["adapters", "pcvisit", "--json"]) == 0
    (pcvisit,) = json.loads(capsys.readouterr().out)
    settings = {setting["key"]: setting for setting in pcvisit["settings"]}
    assert settings["subscription"]["default"] == []
    assert settings["subscription.document"]["required"]
    assert settings["subscription.fields"]["type"] == "a table of texts"
    assert settings["ws_subprotocol"]["default"] == "graphql-ws"
    assert settings["ws_subprotocol"]["inferred"]
    assert not settings["ws_url"]["inferred"]
