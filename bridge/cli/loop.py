"""Runs a command's coroutine: on uvloop where there is one, with known failures as sentences and exit codes."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from bridge.cli import output
from bridge.cli.daemon import PermissionMissing
from bridge.cli.exits import Exit
from bridge.core.errors import Away, BridgeError, Unfit
from bridge.edge.embedded_files import EmbeddedNatsFailed
from bridge.edge.nats_options import NatsMisconfigured
from bridge.edge.nats_trouble import NatsUnauthorized, NatsUnreachable

_EXITS: list[tuple[type[BaseException], Exit]] = [
    (PermissionMissing, Exit.NOPERM),
    (NatsUnauthorized, Exit.NOPERM),
    (NatsMisconfigured, Exit.CONFIG),
    (NatsUnreachable, Exit.UNAVAILABLE),
    (EmbeddedNatsFailed, Exit.UNAVAILABLE),
    (Unfit, Exit.CONFIG),
    (Away, Exit.TEMPFAIL),
    (BridgeError, Exit.SOFTWARE),
]


def run(main: Callable[..., Awaitable[int]], *args: Any) -> int:
    """The exit code of `main`. Anything that is not a known condition is a bug and is raised."""
    options = {"use_uvloop": True} if importlib.util.find_spec("uvloop") else {}
    try:
        return anyio.run(main, *args, backend="asyncio", backend_options=options)
    except BaseExceptionGroup as group:
        error = _only(group)
        code = _code(error)
        if code is None:
            raise
    except Exception as single:
        error, code = single, _code(single)
        if code is None:
            raise
    output.complain(f"bridged: {error}")
    return code


def _code(error: BaseException) -> Exit | None:
    return next((code for kind, code in _EXITS if isinstance(error, kind)), None)


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
