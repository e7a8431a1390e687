"""`docs/operations.md` has a section for whatever can be seen at night, and its commands can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.cli.exits import Exit
from bridge.cli.main import COMMANDS
from bridge.core.lifecycle import State
from bridge.core.own import OWN
from tests.test_metrics_documents import anchors
from tests.test_readme import options

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "operations.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SECTION = re.compile(r"^### (State|Event|Exit code) (\S+)\n(.*?)(?=^##)", re.M | re.S)
SECTIONS = SECTION.findall(DOCUMENT)


def told(kind: str) -> list[str]:
    """What the headings of a kind name, in their order."""
    return [name for found, name, _ in SECTIONS if found == kind]


def test_every_state_has_a_section() -> None:
    """In the order of a source's life, as the code has it; and none that is gone."""
    assert told("State") == [str(state) for state in State]


def test_every_event_of_our_own_has_a_section() -> None:
    """Each change of each entity."""
    every = {f"{one.entity}.{change}" for one in OWN.values() for change in one.changes}
    assert len(every) == 8
    assert len(told("Event")) == len(every)
    assert set(told("Event")) == every


def test_every_exit_code_has_a_section() -> None:
    """The smallest first."""
    assert told("Exit code") == [str(int(code)) for code in sorted(Exit)]


def test_each_section_says_what_to_do() -> None:
    """Even where that is nothing."""
    assert SECTIONS
    for kind, name, text in SECTIONS:
        assert text.count("**Do:**") == 1, (kind, name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_links_to_sections_lead_there(document: Path) -> None:
    """Within a document, and from one to another."""
    for file, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", document.read_text("utf-8")):
        there = (document.parent / file) if file else document
        if there.suffix == ".md":
            assert anchor in anchors(there.read_text("utf-8")), f"{file}#{anchor}"


@pytest.mark.parametrize("name", ["operations.md", "install.md", "status.md", "logs.md", "configuration.md"])
def test_commands_can_be_typed(name: str) -> None:
    """Each begins with a command that there is, and its options are among those of that command."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    spans = [
        *re.findall(r"`(bridged [a-z][^`\n]*)`", text),
        *re.findall(r"^ +(bridged [a-z].*?)(?:  +#.*)?$", text, re.M),
    ]
    for line in spans:
        command, *rest = line.split()[1:]
        if line in ("bridged run",) or command in COMMANDS:
            for option in (word for word in rest if re.fullmatch(r"--[a-z-]+", word)):
                assert option in options(command), line
        else:
            assert command == "COMMAND", line


def test_the_parts_come_in_the_order_of_the_night() -> None:
    """What is wrong first, then the work, then the tools; and the contents name nearly all."""
    parts = re.findall(r"^## (.+)$", DOCUMENT, re.M)
    first = ["Where to look", "What to do when …", "The state of a source", "Events of the bridge's own",
             "When an alert of Prometheus fires", "How the program ended", "In the log, and as events"]  # fmt: skip
    work = ["Installing", "Upgrading, and going back", "Changing the configuration", "Rotating secrets"]
    assert parts[:7] == first
    assert parts[7:11] == work
    contents = DOCUMENT.split("\n## ")[0]
    linked = set(re.findall(r"\(#([^)]+)\)", contents))
    missing = {part for part in parts if not anchors(f"## {part}") & linked}
    assert missing == {"In the log, and as events", "Everything is in `BRIDGE`"}


def test_the_command_of_the_guide_finds_what_the_unit_has() -> None:
    """Its two folders are those of the unit: where the state is, and where the secrets lie that it is handed."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    (script,) = re.findall(r"^cat > /usr/local/bin/bridged <<'END'\n(.*?)^END$", guide, re.M | re.S)
    folders = dict(re.findall(r'^export (\w+)="\$\{\1:-(.*)\}"$', script, re.M))
    unit = (ROOT / "systemd" / "bridged.service").read_text("utf-8")
    (state,) = re.findall(r"^StateDirectory=(.*)$", unit, re.M)
    (handed,) = re.findall(r"^LoadCredential=(\w+):(.*)/\1$", guide, re.M)
    assert folders == {"STATE_DIRECTORY": f"/var/lib/{state}", "CREDENTIALS_DIRECTORY": handed[1]}
    (program,) = re.findall(r'^exec (\S+) "\$@"$', script, re.M)
    assert f"ExecStart={program} run" in unit


def test_containers_are_started_as_the_files_themselves_say() -> None:
    """The commands in the heads of the compose file and the Dockerfile stand in the guide, to the letter."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    head = (ROOT / "config" / "compose" / "compose.yaml").read_text("utf-8").split("\nname:")[0]
    commands = re.findall(r"^#   (\S.*)$", head, re.M)
    assert len(commands) == 6
    assert "".join(f"    {line}\n" for line in commands) in guide
    run = (ROOT / "Dockerfile").read_text("utf-8").split("\nFROM")[0]
    for flag in (
        "docker build --tag bridged .",
        *re.findall(r"--(?:read|cap|security|ulimit|tmpfs|volume)\S*(?: [./bc]\S*)?", run),
    ):
        assert flag in guide, flag
