"""`bridged check`: what the configuration means, before anything runs."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import check
from bridge.cli.main import main
from tests.support.configuration import ENVIRON, SOURCE, write


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def report(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["check", "--json", "--config", str(write(folder, text))]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_source_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is read, left out, guessed, and where its secrets come from."""
    (source,) = report(tmp_path, SOURCE, capsys)["sources"]
    assert (source["name"], source["adapter"], source["vendor"], source["raw"]) == ("one", "acme", "acme", False)
    (walk,) = source["reads"]
    assert (walk["entity"], walk["every_s"], walk["reach_s"]) == ("thing", 30.0, 3600.0)
    assert "tenant" in walk["scope"]
    assert (source["omit"], source["omit_from"]) == (["person.email"], "adapter")
    assert source["secrets"] == {"token": "env ACME_TOKEN"}
    assert source["inferred"] == {"page_size": 50}


def test_an_omit_of_ones_own_replaces_the_adapters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also an empty one: it is then said that nothing is left out."""
    (source,) = report(tmp_path, SOURCE + "omit = []\n", capsys)["sources"]
    assert (source["omit"], source["omit_from"]) == ([], "configuration")


def test_people_read_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json every fact is there in words, warnings with their place."""
    text = SOURCE + 'omit = []\nraw = true\n[nats]\nurl = "nats://127.0.0.1"\nsync_always = true\n'
    path = write(tmp_path, text)
    assert main(["check", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert "source one: adapter acme, vendor acme" in out
    assert "the last 1 h every 30 s, 50 a page" in out
    assert "nothing (set here)" in out
    assert "the vendor's own records are published too" in out
    assert "token from env ACME_TOKEN" in out
    assert "1 inferred setting at its default, see `bridged adapters acme`" in out
    assert "page_size" not in out
    line = 1 + text.splitlines().index("sync_always = true")
    assert f"warning: {path}:{line}: nats.sync_always: has no effect" in out
    assert out.endswith("this configuration can be used\n")


def test_what_the_run_would_refuse_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """http:// to another machine is exit 78, with line and key, and never said to be usable."""
    path = write(tmp_path, SOURCE.replace("https://", "http://"))
    assert main(["check", "--config", str(path)]) == 78
    told = capsys.readouterr()
    assert "can be used" not in told.out
    assert f'{path}:4: source["one"].http_url: ' in told.err
    assert "use https://" in told.err


def test_inferred_settings_of_ones_own_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was set is shown with its value, what was not is counted; a program gets all of them."""
    path = write(tmp_path, SOURCE + "page_size = 51\n")
    assert main(["check", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert "page_size = 51 (set here; the vendor documents none of these)" in out
    assert "at its default" not in out
    (source,) = report(tmp_path, SOURCE + "page_size = 51\n", capsys)["sources"]
    assert (source["inferred"], source["inferred_set"]) == ({"page_size": 51}, ["page_size"])


def test_online_is_offered_once_its_module_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module gets the loaded configuration, and its exit code is the command's."""
    seen: list[Any] = []

    def run(args: object, config: Any) -> int:
        seen.append(config)
        return 69

    module = types.ModuleType("stand_in_online")
    module.__dict__.update(run=run)
    module.__spec__ = types.SimpleNamespace(name="stand_in_online")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "stand_in_online", module)
    monkeypatch.setattr(check, "ONLINE", "stand_in_online")
    path = str(write(tmp_path, SOURCE))
    assert main(["check", "--online", "--config", path]) == 69
    assert seen[0].sources[0].name == "one"
    monkeypatch.setattr(check, "ONLINE", "bridge.no_such_module")
    assert main(["check", "--online", "--config", path]) == 64


def test_alerts_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What each is about and whom it tells, for programs and for people."""
    text = SOURCE + '[[alert]]\nname = "ops"\nsubjects = ["events.acme.>"]\n'
    assert report(tmp_path, text, capsys)["alerts"] == [
        {"name": "ops", "about": "events.acme.>", "severity": "info", "channels": []}
    ]
    assert main(["check", "--config", str(tmp_path / "bridged.toml")]) == 0
    assert "alert ops: events.acme.>\n  tells  nobody; it is only stored" in capsys.readouterr().out
