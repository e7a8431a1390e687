"""A command on a terminal of its own, and what it draws there."""

from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Mapping

import anyio


async def on_terminal(
    *arguments: str, environ: Mapping[str, str], columns: int = 80, deadline_s: float = 90
) -> tuple[int, str]:
    """`bridged ARGUMENTS` until it ends: its exit code, and the bytes the terminal was sent, as text."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    command = [sys.executable, "-m", "bridge.cli.main", *arguments]
    there = {**os.environ, **environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "30"}
    there.pop("NO_COLOR", None)
    os.set_blocking(ours, False)

    async def watch() -> None:
        while True:
            await anyio.wait_readable(ours)
            try:
                shown.extend(os.read(ours, 65536))
            except OSError:  # the other end is closed
                return

    with anyio.fail_after(deadline_s):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            done = await anyio.run_process(command, stdin=theirs, stdout=theirs, stderr=theirs, check=False, env=there)
            os.close(theirs)
    os.close(ours)
    return done.returncode, shown.decode()


def without_colour(screen: str) -> list[str]:
    """The lines of it, without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r", "").splitlines()
