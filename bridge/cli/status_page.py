"""The status page as a service of the daemon: its door, what it answers, and who may come in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Never

import anyio
import structlog

from bridge.cli.assets import assets
from bridge.cli.conditions import conditions
from bridge.core.config import STATUS_LISTEN, IngressSettings
from bridge.core.errors import BridgeError
from bridge.core.secret import Secret
from bridge.edge.ingress.sockets import address, bound, is_loopback, label, network
from bridge.edge.ingress.trouble import IngressMisconfigured
from bridge.edge.listener import listening
from bridge.engine.newsreel import Newsreel
from bridge.engine.readiness import Condition
from bridge.engine.status_http import Exposition, StatusHttp
from bridge.engine.status_login import Login

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon
    from bridge.cli.reporting import Reporting

MOST_CONNECTIONS = 300
"""Pages that are open hold one or two each; more connections than this are no people."""
RESERVED = 20
"""So many more are taken from this machine: who holds all the others open does not have its health checks fail."""

log = structlog.get_logger()


async def status_page(daemon: Daemon, reporting: Reporting) -> Never:
    """Serve it until cancelled. Raises CannotListen, ListenForbidden and IngressMisconfigured, each with advice.

    An address that the operator has named counts for readiness; the default does not.
    """
    settings = daemon.config.status
    listen = settings.listen or STATUS_LISTEN
    named = settings.listen is not None
    news = Newsreel(reporting)
    health = _Health(daemon)
    answer = StatusHttp(
        reporting,
        news,
        login=Login(settings.token, network),
        live=health.live,
        ready=health.ready,
        assets=assets(),
        metrics=_metrics(daemon, health.ready),
        local=is_loopback,
        hosts=[address(listen)[0]],
    )
    try:
        sockets = _guarded(daemon.handed("status"), settings.token) or await bound(listen, table="status")
    except BridgeError as error:
        if named:
            daemon.readiness.hinder("status", str(error))
        raise
    ingress = IngressSettings(listen=listen, max_connections=MOST_CONNECTIONS, body_timeout_s=10.0)
    async with (
        listening(ingress, answer, sockets=sockets, table="status", reserve=RESERVED) as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(news.run)
        log.info("status.listening", addresses=list(listener.addresses), token=settings.token is not None)
        if named:
            daemon.readiness.reach("status")
        await anyio.sleep_forever()
    raise AssertionError  # nobody ends it but by cancelling


def _guarded(sockets: Sequence[socket.socket], token: Secret | None) -> Sequence[socket.socket]:
    """Those that were handed over. What others can reach is not served without a token, whoever opened it."""
    for one in sockets:
        reached = one.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(one.getsockname()[0])
        if reached and not token:
            where = label(one)
            for each in sockets:
                each.close()
            raise IngressMisconfigured(
                f"the socket {where}, handed over for the status page, can be reached from other machines: set "
                "[status] token, or have the socket unit listen on 127.0.0.1"
            )
    return sockets


def _metrics(daemon: Daemon, ready: Callable[[], Sequence[Condition]]) -> Exposition:
    @cache
    def made() -> Exposition:
        # Only who is scraped waits for it.
        from bridge.cli.metering import metering

        return metering(daemon, ready)

    return lambda accept: made()(accept)


class _Health:
    """What `/livez` and `/readyz` go by. Vendors have no part in either."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def live(self) -> Sequence[Condition]:
        """The event loop turns, or nobody would be answered; and no supervised loop is stuck."""
        pulse = self._daemon.world.pulse
        # Who is never asked need not note anything.
        pulse.asked = True
        stuck = pulse.stuck(anyio.current_time())
        why = "; ".join(f"{one.loop} has been {one.what} for {one.for_s:.0f} s" for one in stuck)
        return [Condition("loop", holds=True), Condition("progress", holds=not stuck, why=why)]

    def ready(self) -> Sequence[Condition]:
        """See `bridge/cli/conditions.py`."""
        return conditions(self._daemon)
