"""Whoever started us, such as systemd: what it has handed over, and what it is told; nothing where nobody listens."""

from __future__ import annotations

import faulthandler
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from bridge.cli.manager import Manager
from bridge.core.report.headline import headline
from bridge.edge.activation import Handed
from bridge.edge.activation import taken as sockets_taken
from bridge.edge.notify import Notifier
from bridge.edge.notify import taken as notify_taken
from bridge.engine.pulse import Pulse

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon, Phase


class Starter:
    """To be made before anything else is started: what the environment says of it is for us alone."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        post = notify_taken(environ)
        watchdog_s = None if post is None else post.watchdog_s
        self.pulse = Pulse(asked=watchdog_s is not None)
        self.manager = None if post is None else Manager(Notifier(post).send, self.pulse, watchdog_s=watchdog_s)
        self.handed = Handed({})
        if watchdog_s is not None:
            # Ended by the watchdog, we leave behind where each thread stood: a blocked event loop cannot say so.
            faulthandler.enable()

    def inherit(self) -> None:
        """Take what sockets there are. Logs."""
        self.handed = sockets_taken(self._environ)

    async def run(self) -> None:
        """Tell what there is to tell, until cancelled."""
        if self.manager is not None:
            await self.manager.run()

    def attach(self, daemon: Daemon) -> None:
        """There is a daemon now. It is looked at, not touched."""
        manager = self.manager
        if manager is None:
            return

        def reload(phase: Phase) -> None:
            if phase == "begin":
                manager.reloading()
            else:
                manager.reloaded(ok=phase[1].ok, text=phase[1].text)

        daemon.on_reload.append(reload)
        manager.attach(daemon.readiness, lambda: headline(daemon.supervisor.facts()))

    def stopping(self, reason: str, within_s: float) -> None:
        """See `Manager.stopping`."""
        if self.manager is not None:
            self.manager.stopping(reason, within_s)

    def failed(self, reason: str, code: int, error: BaseException | None = None) -> None:
        """See `Manager.failed`. `error`: what may have been caused by the system's saying no."""
        if self.manager is not None:
            self.manager.failed(reason, code, _errno(error))


def _errno(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError):
            return error.errno
        error = error.__cause__
    return None
