"""Commands of the program run in this process, in a thread and an event loop of their own.

Cheaper than `tests.support.command`, for commands that end by themselves; what a process is needed for is tested there.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from unittest import mock

import anyio
import anyio.to_thread

from bridge.cli import visit
from bridge.cli.main import main
from tests.support.command import Done, Setup

DEADLINE_S = 90.0


async def inside(
    setup: Setup, *arguments: str, environ: Mapping[str, str] | None = None, give_up_s: float = visit.GIVE_UP_AFTER_S
) -> Done:
    """`bridged ARGUMENTS` with this configuration; one at a time. `give_up_s`: when a NATS out of reach is given up."""
    given = {**setup.environ, **(environ or {})}
    out, err = io.StringIO(), io.StringIO()

    def run() -> int:
        patient = mock.patch.object(visit, "GIVE_UP_AFTER_S", give_up_s)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ, given),
            patient,
        ):
            return main([*arguments, "--config", str(setup.path)])

    with anyio.fail_after(DEADLINE_S):
        code = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    return Done(code, out.getvalue(), err.getvalue())
