"""`bridged asyncapi`: the document of a configuration, without network and without secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge import __version__
from bridge.cli.main import main
from tests.support.configuration import write
from tests.support.contract_pages import REFERENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def printed(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["asyncapi", "--config", str(path), *more]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_it_needs_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither vendors' nor alerts': whoever writes consumers has none of them. `--json` changes nothing."""
    text = printed(REFERENCE, capsys)
    found: dict[str, Any] = json.loads(text)
    assert found["asyncapi"] == "3.0.0"
    assert found["info"]["version"] == __version__
    vendors = {name.partition(".")[0] for name in found["channels"]}
    assert vendors >= {"pcvisit", "x-assist", "platform", "agyletime", "prosonata", "webhook", "bridge"}
    assert printed(REFERENCE, capsys, "--json") == text


def test_it_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where they are at hand, too."""
    monkeypatch.setenv("REFERENCE", SECRET)
    path = tmp_path / "bridged.toml"
    nats = 'user = "u"\npassword = { env = "REFERENCE" }\n'
    path.write_text(REFERENCE.read_text("utf-8").replace("[nats]\n", f"[nats]\n{nats}"), "utf-8")
    assert SECRET not in printed(path, capsys)


def test_the_content_mode_is_the_configuration_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages are described as they are written."""
    found = json.loads(printed(write(tmp_path, '[nats]\ncontent_mode = "structured"\n'), capsys))
    assert found["x-bridged"] == {"content_mode": "structured"}
    assert found["defaultContentType"] == "application/cloudevents+json"


def test_a_wrong_configuration_is_exit_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the line, as everywhere."""
    assert main(["asyncapi", "--config", str(write(tmp_path, "[nats]\nurk = 1\n"))]) == 78
    assert "bridged.toml:2: nats.urk" in capsys.readouterr().err


def test_every_key_of_the_extension_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """`docs/contract.md` says what each means."""
    channels = json.loads(printed(REFERENCE, capsys))["channels"]
    page = (Path(__file__).parent.parent.parent / "docs" / "contract.md").read_text("utf-8")
    (table,) = re.findall(r"\| key \| says \|\n\|---\|---\|\n((?:\|.*\n)+)", page)
    documented = re.findall(r"`([a-z_]+)`", "".join(row.split("|")[1] for row in table.splitlines()))
    assert set(documented) == {key for channel in channels.values() for key in channel["x-bridged"]}
