"""What runs beside the sources, each thing a line of `serve`: none of them can end the daemon, or stop another."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog

from bridge.core.backoff import Backoff
from bridge.core.errors import BridgeError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from bridge.cli.daemon import Daemon

log = structlog.get_logger()

AGAIN_S = 5.0
"""How long after a failure of the outside world a service is tried again, in seconds."""
PROVEN_S = 60.0
"""A service that has run for this long is news again when it fails."""

Service = Callable[[], Awaitable[object]]
"""Runs until cancelled. One that returns has nothing (more) to do and is not started again. Raises BridgeError, with a
sentence for the operator, for what the outside world does to it; it is tried again."""


async def serve(daemon: Daemon, group: TaskGroup) -> None:
    """Begin every service in `group`, and return. What a service needs is imported only where it is wanted."""
    from bridge.cli.endpoints import Reloads, answer
    from bridge.cli.inspecting import inspecting
    from bridge.cli.reporting import Reporting

    reporting = Reporting(daemon)
    group.start_soon(keep, "report", reporting.run)
    reloads = Reloads(daemon.reload)
    group.start_soon(keep, "reload", reloads.run)
    group.start_soon(keep, "micro", partial(answer, daemon, reporting.asked, reporting.headline, reloads))
    group.start_soon(keep, "streams", partial(inspecting, daemon))
    if daemon.spans is not None:
        group.start_soon(keep, "tracing", daemon.spans.run)
    if daemon.config.status.enabled:
        from bridge.cli.status_page import status_page

        group.start_soon(keep, "status", partial(status_page, daemon, reporting))


async def keep(name: str, service: Service, *, roll: Callable[[], float] = random.random) -> None:
    """Run one service for as long as it wants to. Raises nothing but cancellation.

    A failure of the outside world is logged once, until the service has run for a while or fails for another reason,
    and tried again every few seconds. A bug is logged with its trace, and the service started again with back-off.
    """
    backoff = Backoff(roll, first=AGAIN_S, longest=300.0)
    said = ""
    while True:
        started = anyio.current_time()
        try:
            await service()
        except Exception as error:
            if anyio.current_time() - started >= PROVEN_S:
                said = ""
                backoff.reset()
            reason = _condition(error)
            if reason is None:
                pause = backoff.next()
                log.exception("service.bug", service=name, restart_in_s=round(pause, 1), advice="please report this")
            else:
                pause = AGAIN_S
                if reason != said:
                    log.warning("service.failed", service=name, reason=reason, again_every_s=AGAIN_S)
                said = reason
            await anyio.sleep(pause)
        else:
            return


def _condition(error: BaseException) -> str | None:
    """What the outside world did, as a sentence; None where something of it is a bug of ours."""
    found = list(_leaves(error))
    if not all(isinstance(one, BridgeError) for one in found):
        return None
    return "; ".join(dict.fromkeys(map(str, found)))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
