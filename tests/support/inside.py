"""Commands of the program run in this process, in a thread and an event loop of their own.

Cheaper than `tests.support.command`, for commands that end by themselves; what a process is needed for is tested there.
"""

from __future__ import annotations

import contextlib
import io

import anyio
import anyio.to_thread

from bridge.cli.main import main
from tests.support.command import Done, Setup

DEADLINE_S = 90.0


async def inside(setup: Setup, *arguments: str) -> Done:
    """`bridged ARGUMENTS` with this configuration; one at a time."""
    out, err = io.StringIO(), io.StringIO()

    def run() -> int:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return main([*arguments, "--config", str(setup.path)])

    with anyio.fail_after(DEADLINE_S):
        code = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    return Done(code, out.getvalue(), err.getvalue())
