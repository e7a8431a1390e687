"""Commands of the program run in this process, in a thread and an event loop of their own.

Cheaper than `tests.support.command`, for commands that end by themselves; what a process is needed for is tested there.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Mapping
from typing import TextIO
from unittest import mock

import anyio
import anyio.to_thread

from bridge.cli import visit
from bridge.cli.main import main
from tests.support.command import Done, Setup

DEADLINE_S = 150.0


class _Own(io.StringIO):
    """Keeps what one thread writes, and passes on what others do: the test has its own log."""

    owner = 0

    def __init__(self, elsewhere: TextIO) -> None:
        super().__init__()
        self._elsewhere = elsewhere

    def write(self, text: str) -> int:
        if threading.get_ident() != self.owner:
            return self._elsewhere.write(text)
        return super().write(text)


async def inside(
    setup: Setup, *arguments: str, environ: Mapping[str, str] | None = None, give_up_s: float = visit.GIVE_UP_AFTER_S
) -> Done:
    """`bridged ARGUMENTS` with this configuration; see `within`."""
    given = {**setup.environ, **(environ or {})}
    return await within(*arguments, "--config", str(setup.path), environ=given, give_up_s=give_up_s)


async def within(
    *arguments: str, environ: Mapping[str, str] | None = None, give_up_s: float = visit.GIVE_UP_AFTER_S
) -> Done:
    """`bridged ARGUMENTS`; one at a time. `give_up_s`: when a NATS out of reach is given up."""
    out, err = _Own(sys.stdout), _Own(sys.stderr)

    def run() -> int:
        out.owner = err.owner = threading.get_ident()
        patient = mock.patch.object(visit, "GIVE_UP_AFTER_S", give_up_s)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ, environ or {}),
            patient,
        ):
            return main([*arguments])

    with anyio.fail_after(DEADLINE_S):
        code = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    return Done(code, out.getvalue(), err.getvalue())
