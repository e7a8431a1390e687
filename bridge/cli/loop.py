"""Runs a command's coroutine: on uvloop where there is one, with known failures as sentences and exit codes."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio

from bridge.cli import output
from bridge.cli.exits import Exit

Report = Callable[[BaseException, Exit], None]


def _complain(error: BaseException, code: Exit) -> None:  # noqa: ARG001 - the sentence says it all
    output.complain(f"bridged: {error}")


def run(main: Callable[..., Awaitable[int]], *args: Any, report: Report = _complain) -> int:
    """The exit code of `main`. A known condition is reported; anything else is a bug and is raised."""
    options = {"use_uvloop": True} if importlib.util.find_spec("uvloop") else {}
    try:
        return anyio.run(main, *args, backend="asyncio", backend_options=options)
    except (Exception, BaseExceptionGroup) as error:
        from bridge.cli.conclusion import exit_code

        conditions = list(_conditions(error))
        if any(isinstance(condition, KeyboardInterrupt) for condition in conditions):
            raise KeyboardInterrupt from None
        codes = [exit_code(condition) for condition in conditions]
        if None in codes:
            raise
    # Several at once are mostly the same seen by several tasks.
    known = {str(condition): (condition, code) for condition, code in zip(conditions, codes, strict=True) if code}
    for condition, code in known.values():
        report(condition, code)
    return next(code for _, code in known.values())


def _conditions(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _conditions(part)
    else:
        yield error
