"""The units as this machine's systemd reads them; on a real one they run in tests/systemd/test_machine.py."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent.parent / "systemd"
SERVICES = ("bridged.service", "bridged@.service")
SOCKETS = ("bridged.socket", "bridged@.socket")

# What a systemd does not know yet, by the version that brought it. Anything else it complains of is a mistake.
SINCE = {
    "Failed to parse service type, ignoring: notify-reload": 253,
    "Unknown key 'RestartSteps' in section [Service], ignoring.": 254,
    "Unknown key 'RestartMaxDelaySec' in section [Service], ignoring.": 254,
}

analyze = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that is there, and one instance of each template."""
    for name in (*SERVICES, *SOCKETS):
        text = (UNITS / name).read_text("utf-8").replace("/opt/bridged/bin/bridged", sys.executable)
        (tmp_path / name.replace("@", "@one")).write_text(text, "utf-8")
    return tmp_path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    assert analyze is not None
    return subprocess.run([analyze, *command], capture_output=True, text=True, timeout=60)


def version() -> int:
    found = re.match(r"systemd (\d+)", run("--version").stdout)
    assert found is not None
    return int(found[1])


def complaints(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Without the places, and without what it has to say about other units of this machine."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "bridged" in line]
    return {re.sub(r"^\S*/bridged[^:]*:(\d+:)? ", "", line) for line in lines}


@with_systemd
@pytest.mark.parametrize("name", [*SERVICES, *SOCKETS])
def test_systemd_understands_them(units: Path, name: str) -> None:
    """It complains of nothing but what it is too old for, and of that it must: the list is not longer than needed."""
    # A socket is read together with the service it belongs to.
    found = complaints(run("verify", "--man=no", str(units / name.replace("@", "@one"))))
    assert found == {text for text, since in SINCE.items() if version() < since}


@with_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_little_is_exposed(units: Path, name: str) -> None:
    """At most 1.5 of 10, by systemd's own measure."""
    done = run("security", "--offline=true", "--threshold=15", str(units / name.replace("@", "@one")))
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


@with_systemd
def test_an_older_systemd_is_served(units: Path) -> None:
    """With the drop-in, the type is one it knows; without, its complaint is the only one of that kind."""
    name = "bridged.service"
    folder = units / f"{name}.d"
    folder.mkdir()
    (folder / "older.conf").write_text((UNITS / "older-than-253.conf").read_text("utf-8"), "utf-8")
    found = complaints(run("verify", "--man=no", str(units / name)))
    assert found == {text for text, since in SINCE.items() if version() < since}


def test_an_instance_differs_in_names_alone() -> None:
    """Both services, and both sockets, say the same but for the instance's name, its files, and where it listens."""
    for one, many in ((SERVICES), (SOCKETS)):
        single, several = (_settings(UNITS / name) for name in (one, many))
        differing = {key for key in single.keys() | several.keys() if single.get(key) != several.get(key)}
        assert differing <= {"Description", "ExecStart", "StateDirectory", "ListenStream"}


def test_time_to_stop_is_more_than_we_take() -> None:
    """The manager's patience is longer than the program's own deadline, and ends with us alone being told first."""
    settings = _settings(UNITS / "bridged.service")
    assert settings["TimeoutStopSec"] == ["60s"]
    assert settings["KillMode"] == ["mixed"]
    assert settings["RestartPreventExitStatus"] == ["78"]
    assert settings["Type"] == ["notify-reload"]


def _settings(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found
