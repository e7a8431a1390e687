"""`docs/sixth-vendor.md` leads from nothing to a vendor whose changes are in the stream: its text is carried out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from bridge.edge.embedded import parentlink
from tests.support.asking import plain_client
from tests.support.nats_server import nats_server
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "sixth-vendor.md").read_text("utf-8")
FILES = dict(re.findall(r"^`([a-z_]+\.[a-z]+)`[^\n]*:\n\n```[a-z]+\n(.*?)```", GUIDE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^    (\S.*?)(?:  +#.*)?$", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL), re.MULTILINE)
KEY = "a-key-of-the-played-desk"
DEADLINE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody who follows the guide has put its files."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def environ(folder: Path) -> dict[str, str]:
    """As the guide has it exported; the repository is where its tests are."""
    return {
        **os.environ,
        "BRIDGED_ADAPTERS": str(folder),
        "TICKETLINE_KEY": KEY,
        "CI": "true",  # hypothesis then takes a slow machine for no failure
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }


def carried_out(folder: Path, command: str) -> str:
    """What a command of the guide writes; it must end well."""
    words = command.split()
    program = {"bridged": ["-m", "bridge.cli.main"], "python": []}[words[0]]
    done = subprocess.run(
        [sys.executable, *program, *words[1:]],
        cwd=folder, env=environ(folder), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_guide_has_all_its_parts() -> None:
    """The files, the commands, and an adapter as short as it says that they are."""
    assert sorted(FILES) == ["bridged.toml", "played.py", "test_ticketline.py", "ticketline.py", "tickets.json"]
    assert COMMANDS == [
        "export BRIDGED_ADAPTERS=$PWD TICKETLINE_KEY=a-key-of-the-played-desk",
        "bridged adapters ticketline",
        "bridged check --config bridged.toml",
        "PYTHONPATH=$PWD python -m pytest test_ticketline.py",
        "python played.py 8080",
        "bridged check --config bridged.toml --online",
        "bridged run --config bridged.toml",
        "bridged tail --config bridged.toml --since 1h",
    ]
    assert len(FILES["ticketline.py"].splitlines()) < 100


def test_the_adapter_loads_and_keeps_the_promises(folder: Path) -> None:
    """Sections 1 to 3: it is found by its file's name, its settings are told, and the contract suite is green."""
    assert "tickets_every_s" in carried_out(folder, "bridged adapters ticketline")
    assert "desk" in carried_out(folder, "bridged check --config bridged.toml")
    told = carried_out(folder, "python -m pytest test_ticketline.py -q -p no:cacheprovider --override-ini addopts=")
    assert re.search(r"\b[12]\d passed", told), told
    assert "failed" not in told


@asynccontextmanager
async def child(folder: Path, *arguments: str, **more: str) -> AsyncIterator[Process]:
    """A Python process in the folder, ended with the block."""
    command = parentlink.argv([sys.executable, *arguments])
    async with await anyio.open_process(
        command, cwd=folder, env=environ(folder) | more, stdin=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.anyio
async def test_what_is_typed_is_in_the_stream_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Section 4: tickets that were there are snapshots, those typed later are created, and nobody's name is told."""
    text = FILES["bridged.toml"]
    async with nats_server(tmp_path_factory.mktemp("nats")) as server, child(folder, "played.py") as desk:
        assert desk.stdin is not None
        assert desk.stdout is not None
        port = int(await BufferedByteReceiveStream(desk.stdout).receive_until(b"\n", 100))
        text = f'[nats]\nurl = "{server.url}"\n[status]\nenabled = false\n{text}'.replace(":8080", f":{port}")
        (folder / "bridged.toml").write_text(text, "utf-8")
        await desk.stdin.send(b"one\ntwo\n")
        seen: list[tuple[str, bytes]] = []
        async with plain_client(server.url) as client:

            async def note(message: object) -> None:
                seen.append((message.subject, message.data))  # type: ignore[attr-defined]

            await client.subscribe("live.ticketline.>", cb=note)
            await client.flush()
            async with child(folder, "-m", "bridge.cli.main", "run", "--config", "bridged.toml") as daemon:
                await wait_until(lambda: len(seen) == 2 or daemon.returncode is not None, DEADLINE_S, "the snapshots")
                await desk.stdin.send(b"three\n")
                await wait_until(lambda: len(seen) == 3 or daemon.returncode is not None, DEADLINE_S, "the new ticket")
    assert [subject for subject, _ in seen] == [
        "live.ticketline.desk.ticket.snapshot.1",
        "live.ticketline.desk.ticket.snapshot.2",
        "live.ticketline.desk.ticket.created.3",
    ]
    assert b'"subject":"three"' in seen[2][1]
    assert not any(b"Alice" in payload or KEY.encode() in payload for _, payload in seen)
