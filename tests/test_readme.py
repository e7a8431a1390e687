"""What the README tells people to type can be typed."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from bridge.cli.main import COMMANDS, _parser
from bridge.edge.config import loader as config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TOKENS = {
    "PCVISIT_INTEGRATOR_TOKEN": "integrator-token",
    "PCVISIT_USER_TOKEN": "user-token",
    "PLATFORM_PASSWORD": "plant-password",
}

# In an indented block the comment begins after two spaces; in prose a command stands between backquotes.
BLOCKS = re.findall(r"^    (\S.*?)(?:  +#.*)?$", README, re.M)
SPANS = re.findall(r"`([^`\n]+)`", README)


def commands(program: str) -> list[str]:
    """Every command line of the README that begins with `program`."""
    return sorted({text for text in (*BLOCKS, *SPANS) if text.split()[0] == program and len(text.split()) > 1})


def options(command: str) -> str:
    """The help of one command: every option it has."""
    subparsers = next(
        action for action in _parser([command])._actions if isinstance(action, argparse._SubParsersAction)
    )
    return str(subparsers.choices[command].format_help())


@pytest.mark.parametrize("line", commands("make"))
def test_make_commands(line: str) -> None:
    """The target exists; options passed on with ARGS are those of the command it runs."""
    words = shlex.split(line)
    targets = [word for word in words[1:] if "=" not in word]
    assert targets, line
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.M), line
    for word in words[1:]:
        name, given, value = word.partition("=")
        if given:
            assert f"$({name}" in MAKEFILE, line
        if name == "ARGS" and targets == ["demo"]:
            _parser(["demo"]).parse_args(["demo", *shlex.split(value)])


@pytest.mark.parametrize("line", commands("bridged"))
def test_bridged_commands(line: str) -> None:
    """The command exists, and so does every option written behind it."""
    command, *rest = line.split()[1:]
    assert command in COMMANDS, line
    for option in (word for word in rest if word.startswith("--")):
        assert option in options(command), line


def test_options_named_in_the_table_of_commands() -> None:
    """An option named in a command's row belongs to that command."""
    rows = re.findall(r"^\| `bridged ([a-z-]+)` \|(.*)\|$", README, re.M)
    assert rows
    for command, text in rows:
        for option in re.findall(r"--[a-z-]+", text):
            assert option in options(command), (command, option)


def test_there_is_something_to_test() -> None:
    """The first screen says how to see it work and how to test it."""
    assert {"make demo", "make test"} <= set(commands("make"))
    assert commands("bridged")
    first = README.split("\n## ")[0]
    assert "make demo" in first
    assert "make test" in first


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", README, re.S))
def test_configurations_load(example: str, tmp_path: Path) -> None:
    """Every configuration shown can be copied as it is."""
    file = tmp_path / "bridged.toml"
    file.write_text(example, "utf-8")
    assert config.load(file, TOKENS).sources


def test_the_example_file_loads(tmp_path: Path) -> None:
    """So can the file that explains everything."""
    file = tmp_path / "bridged.toml"
    file.write_text((ROOT / "config" / "bridged.example.toml").read_text("utf-8"), "utf-8")
    assert config.load(file, TOKENS).sources


def test_the_example_shown_is_the_one_that_is_tested() -> None:
    """What can be copied from here is the durable consumer of `examples/python`, to the letter."""
    example = (ROOT / "examples" / "python" / "durable_consumer.py").read_text("utf-8")
    assert re.findall(r"```python\n(.*?)```", README, re.S) == [example]


def test_files_named_exist() -> None:
    """Whatever path the README names is there."""
    for name in re.findall(r"`((?:config|docs|adapters|bridge|examples|tests)/[\w./-]*)`|\]\(([\w./-]+)\)", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
