"""`bridged run` where the machine does not let it: its folder, its disk, its file. Each is a sentence, and no trace."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from tests.cli.test_run import last_words
from tests.support.adversity import as_root, filled, small_disk
from tests.support.command import Setup, bridged
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def disks() -> Iterator[ExitStack]:
    """What is mounted for the test."""
    with ExitStack() as stack:
        yield stack


def a_file(state: Path, _: ExitStack) -> str:
    state.write_text("")
    return "File exists"


def below_a_file(state: Path, _: ExitStack) -> str:
    state.parent.rmdir()
    state.parent.write_text("")
    return "Not a directory"


def read_only(state: Path, disks: ExitStack) -> str:
    disks.enter_context(small_disk(state, 8, "ro"))
    return "Read-only file system"


def full(state: Path, disks: ExitStack) -> str:
    disks.enter_context(small_disk(state, 1))
    disks.enter_context(filled(state))
    return "No space left on device"


@pytest.mark.parametrize(
    "spoil", [a_file, below_a_file, pytest.param(read_only, marks=as_root), pytest.param(full, marks=as_root)]
)
async def test_a_state_directory_that_cannot_be_used(
    tmp_path: Path, disks: ExitStack, spoil: Callable[[Path, ExitStack], str]
) -> None:
    """Exit 69; the directory, why, and what to do."""
    setup = Setup(tmp_path, nats='url = "embedded"')
    state = tmp_path / "at" / "state"
    state.parent.mkdir()
    setup.text = setup.text.replace(str(setup.state_dir), str(state))
    setup.write()
    why = spoil(state, disks)
    daemon = setup.daemon()
    code, said = await last_words(daemon)
    assert code == 69
    assert str(state) in said
    assert f"cannot be written: {why}" in said
    assert "Traceback" not in daemon.text()


async def test_a_missing_parent_is_made(tmp_path: Path) -> None:
    """Several levels of it; only this user may enter the directory."""
    setup = Setup(tmp_path, nats='url = "embedded"')
    state = tmp_path / "not" / "there" / "yet"
    setup.text = setup.text.replace(str(setup.state_dir), str(state))
    setup.write()
    daemon = setup.daemon()
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("bridged.started") or not daemon.running, what="the daemon to start")
        assert await daemon.terminate() == 0
    finally:
        daemon.close()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: Is a directory"), (b"\xff\xfe[nats]", "1: not valid TOML: a byte that is not UTF-8")],
)
async def test_a_configuration_that_cannot_be_read(tmp_path: Path, content: bytes | None, why: str) -> None:
    """Exit 78, the file's name, and why."""
    path = tmp_path / "b.toml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    done = await bridged("run", "--config", str(path))
    assert done.code == 78
    assert f"{path}:" in done.err
    assert why in done.err
    assert "Traceback" not in done.err


@as_root
async def test_a_configuration_that_is_not_for_us(tmp_path: Path) -> None:
    """The same for a user who may not read it."""
    setup = Setup(tmp_path, nats='url = "embedded"')
    setup.path.chmod(0o600)
    # Root may read everything; without that privilege it is a user like any other, and the file is somebody else's.
    os.chown(setup.path, 12345, 12345)
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "bridge.cli.main"]
    with anyio.fail_after(150):
        done = await anyio.run_process([*command, "run", "--config", str(setup.path)], check=False)
    assert done.returncode == 78
    assert f"{setup.path}: cannot be read: Permission denied" in done.stderr.decode()
