"""A new configuration taken over while all that it leaves alone goes on: read, compared, made ready, then carried out.

Whatever can fail is done first. So a configuration is refused as a whole, or taken over as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from bridge.adapter import Adapter
from bridge.cli.making import make_alerts, make_hooks, take_webhooks
from bridge.core.errors import BridgeError
from bridge.core.reload import Change, ReloadResult, difference
from bridge.edge import logging
from bridge.edge.aside import Aside, StillBusy
from bridge.edge.config.loader import Config, ConfigErrors
from bridge.edge.discovery import outdated

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon
    from bridge.engine.hooks import Hooks

LOAD_S = 10.0
"""How long reading the files and secrets may take; one may lie on a mount that hangs."""
FINISH_S = 8.0
"""How long deliveries under way may take to be stored before their source ends."""

log = structlog.get_logger()


class Reloading:
    """One reload at a time. `serve` carries out what was asked for, those that came meanwhile as one."""

    def __init__(self, daemon: Daemon, load: Callable[[], Config] | None) -> None:
        self._daemon = daemon
        self._load = load
        self._aside: Aside[Config] = Aside()
        self._turn = anyio.Lock()
        self._asked = anyio.Event()
        self.refused = False
        """Whether the last one was."""

    def ask(self) -> None:
        """Reload as soon as may be. Returns at once."""
        self._asked.set()

    async def serve(self) -> None:
        """Do what was asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            await self.reload()

    async def reload(self) -> ReloadResult:
        """See `Daemon.reload`."""
        daemon = self._daemon
        if not daemon.started.is_set() or daemon.readiness.stopping:
            return _not_now("stopping" if daemon.readiness.stopping else "starting")
        async with self._turn:
            if daemon.readiness.stopping:
                return _not_now("stopping")
            for tell in daemon.on_reload:
                tell("begin")
            result = await self._reload()
            self.refused = not result.ok
            for tell in daemon.on_reload:
                tell(("end", result))
        return result

    async def _reload(self) -> ReloadResult:
        if self._load is None:
            return _refused("this instance has no configuration file", ())
        try:
            config = await self._aside.run(self._load, LOAD_S)
        except ConfigErrors as error:
            lines = [str(problem) for problem in error.problems]
            return _refused(lines[0] if len(lines) == 1 else f"{len(lines)} errors in the configuration", lines)
        except StillBusy:
            return _refused(
                f"the configuration's files were not read within {LOAD_S:g} s; a mount they lie on may hang", ()
            )
        except Exception as error:
            log.exception("reload.bug", advice="please report this")
            return _refused(f"an error of ours ({type(error).__name__}) when it was read; the log has more", ())
        if self._daemon.readiness.stopping:
            # Meanwhile doors were closed that this would open again.
            return _not_now("stopping")
        try:
            change = await self.apply(config)
        except BridgeError as error:
            return _refused(str(error), [str(error)])
        except Exception as error:
            log.exception("reload.bug", advice="please report this")
            return _refused(f"an error of ours ({type(error).__name__}) when it was taken over; the log has more", ())
        for warning in config.warnings:
            log.warning("configuration.warning", file=warning.file, line=warning.line, message=warning.message)
        if change.restart:
            log.warning("reload.restart_needed", keys=list(change.restart), advice="all else was taken over")
        log.info("reload.applied", **change.as_json())
        return ReloadResult(ok=True, text=change.sentence(), details=change.as_json())

    async def apply(self, config: Config) -> Change:
        """See `Daemon.apply`."""
        daemon = self._daemon
        change = difference(daemon.config, config)
        restart = [*change.restart, *outdated(config.adapters)]
        if daemon.entrance.handed and config.ingress.listen != daemon.config.ingress.listen:
            restart.append("ingress.listen")
        change = replace(change, restart=tuple(restart))
        # Before anything could speak of them.
        for secret in config.secrets:
            daemon.masker.add(secret)
        running = _running(daemon.config, config)
        adapters = {settings.name: config.adapter(settings) for settings in config.sources}
        alerts = make_alerts(running, daemon.connection, daemon.world) if change.alerts else None
        hooks = await self._receive(config, list(adapters.values()))
        # From here on nothing is refused any more.
        await self._supervise(change, adapters, hooks)
        daemon.supervisor.wake()
        if hooks is None:
            daemon.entrance.close()
        daemon.hooks = daemon.sessions.hooks = hooks
        if alerts is not None:
            daemon.seat_alerts(*alerts, late=True)
        if change.logging:
            logging.configure(config.daemon.log_level, config.daemon.log_format, daemon.masker)
        daemon.config = running
        daemon.masker.renew([*config.secrets, *daemon.secrets()])
        return change

    async def _receive(self, config: Config, adapters: Sequence[Adapter[Any]]) -> Hooks | None:
        """Where webhooks come in from now on, which is open. Raises what `listening` does."""
        daemon = self._daemon
        if not take_webhooks(adapters):
            return None
        hooks = daemon.hooks or make_hooks(config, daemon.ledger)
        waits = daemon.hooks is not None and daemon.entrance.listener is None
        if not (waits and config.ingress.listen == daemon.config.ingress.listen):
            # Where that place was taken at the start, it is tried again anyway.
            await daemon.entrance.adapt(config.ingress, hooks)
        hooks.set_patience(config.ingress.answer_timeout_s)
        return hooks

    async def _supervise(self, change: Change, adapters: Mapping[str, Adapter[Any]], hooks: Hooks | None) -> None:
        daemon = self._daemon
        daemon.sessions.hooks = hooks
        former = daemon.hooks
        gone = [former.remove(name) for name in change.removed if name in former.doors] if former is not None else []
        gone += [
            former.remove(name)
            for name in change.changed
            if former is not None and name in former.doors and adapters[name].hook is None
        ]
        with anyio.move_on_after(FINISH_S):
            for door in gone:
                await door.emptied()
        # Of those that share a quota the first counts, as at a start.
        limits = {adapter.budget_key: adapter.limit for adapter in reversed([*adapters.values()])}
        for key, limit in limits.items():
            daemon.world.quotas.of(key, limit).configure(limit)
        daemon.admission.spare(change.added)
        begun = [daemon.sessions.source(adapters[name]) for name in (*change.added, *change.changed)]
        await daemon.supervisor.apply(begun=begun, ended=change.removed, order=tuple(adapters))


def _running(before: Config, after: Config) -> Config:
    """What runs once `after` was taken over: what takes a restart is as it was, and told again next time."""
    daemon = replace(before.daemon, log_level=after.daemon.log_level, log_format=after.daemon.log_format)
    return replace(after, nats=before.nats, daemon=daemon, status=before.status, tracing=before.tracing)


def _not_now(state: str) -> ReloadResult:
    return ReloadResult(ok=False, text=f"this instance is {state}: nothing is reloaded now")


def _refused(reason: str, errors: Sequence[str]) -> ReloadResult:
    log.error(
        "reload.refused",
        reason=reason,
        errors=list(errors),
        advice="the configuration that runs goes on; correct it, see `bridged check`, and reload again",
    )
    return ReloadResult(
        ok=False, text=f"refused, the old configuration goes on: {reason}", details={"errors": list(errors)}
    )
