"""The frame of the command line: finding commands, exit codes, and what happens to errors."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bridge.cli import main as frame
from bridge.cli.main import COMMANDS, main
from tests.support.configuration import ENVIRON, SECRET, SOURCE, write


def program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **ENVIRON, **environ},
    )


def test_help_is_quick_because_it_imports_nothing_it_does_not_need() -> None:
    """`--help` names every command without importing any, nor any library behind them."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bridge.cli.main", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0
    assert all(name in result.stdout for name in COMMANDS)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "bridge.cli.exits" in imported
    assert not imported & {module for module, _ in COMMANDS.values()}
    assert not imported & {"structlog", "msgspec", "rich", "nats", "aiohttp", "anyio"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each module of the table exists, has `configure` and `run`, and answers `--help`."""
    assert main([command, "--help"]) == 0
    assert "--config" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["no-such"], ["check", "--no-such"], ["--config"], ["check", "x"]])
def test_a_wrong_command_line_is_exit_64(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors say what is wrong on stderr and end with the code sysexits has for them."""
    assert main(argv) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: " in captured.err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`bridged --version`."""
    from bridge import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bridged {__version__}\n"


def test_options_count_before_and_after_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--config` and `--json` may stand on either side."""
    path = str(write(tmp_path, ""))
    for argv in (["--config", path, "--json", "check"], ["check", "--json", "--config", path]):
        assert main(argv) == 0
        assert json.loads(capsys.readouterr().out)["files"] == [path]


def test_the_environment_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--config`, $BRIDGED_CONFIG is read."""
    monkeypatch.setenv("BRIDGED_CONFIG", str(tmp_path / "elsewhere.toml"))
    assert main(["check"]) == 78
    assert capsys.readouterr().err.startswith(f"{tmp_path}/elsewhere.toml: cannot be read")


def stand_in(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A command `fail` that raises."""

    def run(args: argparse.Namespace) -> int:
        raise error

    module = types.ModuleType("stand_in")
    module.__dict__.update(configure=lambda parser: None, run=run)
    monkeypatch.setitem(sys.modules, "stand_in", module)
    monkeypatch.setitem(frame.COMMANDS, "fail", ("stand_in", "fails"))


def test_ctrl_c_is_exit_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted command ends like one, without a traceback."""
    stand_in(monkeypatch, KeyboardInterrupt())
    assert main(["fail"]) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_is_exit_70_and_looks_like_one() -> None:
    """An exception nobody expected is logged with its traceback, without local variables."""
    code = (
        "import sys, types; from bridge.cli import main\n"
        "def run(args):\n    local = 'not shown'; raise RuntimeError('boom')\n"
        "sys.modules['m'] = types.SimpleNamespace(configure=lambda parser: None, run=run)\n"
        "main.COMMANDS['fail'] = ('m', 'fails'); sys.exit(main.main(['fail']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 70
    line = json.loads(result.stderr)
    assert line["level"] == "critical"
    assert "RuntimeError: boom" in line["exception"]


def test_a_reader_that_goes_away_is_no_bug() -> None:
    """`bridged schema | head -1`: no traceback, exit 74."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "bridge.cli.main", "schema"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert result.returncode == 74
    assert result.stderr == ""


def test_a_wrong_configuration_is_exit_78_with_one_line_per_error(tmp_path: Path) -> None:
    """As a process: each error a line `file:line: key: message` on stderr; with --json one object on stdout."""
    path = write(tmp_path, SOURCE + 'raw = "x"\npages = 1\n')
    result = program("check", "--config", str(path))
    assert (result.returncode, result.stdout) == (78, "")
    first, second = result.stderr.splitlines()
    assert first == f'{path}:6: source["one"].raw: expected true or false, got text'
    assert second.startswith(f'{path}:7: source["one"].pages: unknown key; did you mean page_size?')
    result = program("check", "--json", "--config", str(path))
    assert result.returncode == 78
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert [(p["line"], p["key"]) for p in answer["problems"]] == [(6, 'source["one"].raw'), (7, 'source["one"].pages')]


@pytest.mark.parametrize("line", ["trouble = 'bug'", "trouble = 'adapter'", "token = 'x'", "raw = 1", ""])
def test_no_outcome_shows_a_secret(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever `check` finds, the secret it read is not in what it prints."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    path = write(tmp_path, SOURCE + line + "\n")
    for more in ([], ["--json"]):
        assert main(["check", "--config", str(path), *more]) == (78 if line else 0)
        shown = capfd.readouterr()
        assert shown.out + shown.err
        assert SECRET[:6] not in shown.out + shown.err
        assert "W\\u00f6rt" not in shown.out + shown.err
