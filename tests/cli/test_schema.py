"""`bridged schema`: of the configuration, or of the events of one shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.core.shapes import SHAPES


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["schema", *argv]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_without_a_name_it_is_the_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    """With every shipped adapter."""
    found = printed(capsys)
    assert found["title"] == "bridged configuration"
    assert "source.pcvisit" in found["$defs"]


@pytest.mark.parametrize("name", ["person", "person/1"])
def test_a_shape_is_printed_by_name_or_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as events announce."""
    found = printed(capsys, name)
    assert found == SHAPES["person/1"].schema()
    assert found["$id"] == "urn:bridged:schema:person:1"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("persn", "did you mean person?"),
        ("Time_Entry", "did you mean time-entry?"),
        ("person/9", "did you mean person/1?"),
        ("zzz", "there are person/1, session/1, shift/1"),
    ],
)
def test_an_unknown_shape_names_the_nearest(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error, on stderr."""
    assert main(["schema", name]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"there is no shape {name}; ")
    assert hint in captured.err


@pytest.mark.parametrize("name", ["bridge-gap", "bridge-gap/1"])
def test_the_bridge_s_own_events_have_schemas_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As they announce them."""
    assert printed(capsys, name)["$id"] == "urn:bridged:schema:bridge-gap:1"
