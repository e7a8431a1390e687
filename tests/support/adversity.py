"""What befalls the machine the program runs on: its clock steps, its files run out, its disk fills, names vanish."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.program import Child

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts file systems, and only on Linux"
)

_CLOCK = """
import os, sys, time
wall, wall_ns = time.time, time.time_ns
def ahead():
    return os.stat(os.environ["CLOCK"]).st_mtime - 1_000_000
time.time = lambda: wall() + ahead()
time.time_ns = lambda: wall_ns() + int(ahead()) * 1_000_000_000
from bridge.cli.main import main
sys.exit(main())
"""
_NAMES = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"'


def _found(command: str) -> str:
    path = shutil.which(command)
    assert path is not None, f"{command} is not installed"
    return path


class Clock:
    """The wall clock of one daemon, which can be set. What the kernel gives as monotonic time is not touched."""

    def __init__(self, daemon: Child) -> None:
        # Its time is a file's: to read that takes no descriptor.
        self._path = daemon.folder / f"{daemon.name}.clock"
        self._path.touch()
        self.set(0)
        daemon._environ["CLOCK"] = str(self._path)
        daemon._command = [sys.executable, "-c", _CLOCK, *daemon._arguments]

    def set(self, ahead_s: int) -> None:
        """So many seconds ahead of the true time, from now on."""
        os.utime(self._path, (1_000_000 + ahead_s, 1_000_000 + ahead_s))


class Names:
    """What the resolver of one daemon knows: nothing but this. Linux, as root."""

    def __init__(self, daemon: Child, known: str) -> None:
        self._hosts, switch = daemon.folder / "hosts", daemon.folder / "nsswitch.conf"
        switch.write_text("hosts: files\n")
        self.know(known)
        names = [_found("unshare"), "--mount", "sh", "-c", _NAMES, "sh", str(self._hosts), str(switch)]
        daemon._command = [*names, *daemon._command]

    def know(self, names: str) -> None:
        """These, separated by spaces, are 127.0.0.1 from now on, and there are no others."""
        # In place: the daemon has this very file before its eyes.
        self._hosts.write_text(f"127.0.0.1 {names}\n" if names else "\n")


@contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """While the block runs the process keeps the files it has open, and can open none."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def small_disk(folder: Path, megabytes: int, how: str = "rw") -> Iterator[None]:
    """A disk of that size lies at `folder` while the block runs. Linux, as root."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0700,{how}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """The disk at `folder` has no room at all while the block runs."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        yield
    finally:
        ballast.unlink()
