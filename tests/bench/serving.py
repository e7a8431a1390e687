"""A played vendor in a process of its own: a module that prints a line of JSON as soon as it serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.bench.peer import START_DEADLINE_S


@asynccontextmanager
async def serving(module: str, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """`python -m MODULE ARGUMENTS`, and what its line says. It is gone when the block is left."""
    command = [sys.executable, "-m", module, *arguments]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        try:
            with anyio.fail_after(START_DEADLINE_S):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
            yield json.loads(line)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
