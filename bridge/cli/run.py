"""`bridged run`: the daemon, until SIGTERM or SIGINT; SIGHUP reads the configuration anew."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog

from bridge import __version__
from bridge.cli import configuration
from bridge.cli.broker import reached
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.starter import Starter
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.config.problem import ConfigErrors
from bridge.edge.process import spare_collector
from bridge.edge.sparing import sparingly, uncollected

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon
    from bridge.edge.config.loader import Config

log = structlog.get_logger()

STOP_DEADLINE_S = 40.0
"""Everything that is done at a stop has a deadline of its own, nats-server's two of 15 s the longest. If they add up to
more than this, something hangs: then the kernel ends us, and nats-server with us."""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged run [--config FILE]`."""


def run(args: argparse.Namespace) -> int:
    """Run until told to stop. Raises ConfigErrors."""
    early = _Early()
    starter = Starter(os.environ)
    try:
        with uncollected():
            config = configuration.load(args, lean=True)
    except ConfigErrors as error:
        starter.failed(str(error).partition("\n")[0], Exit.CONFIG)
        raise
    masker = Masker(config.secrets)
    logging.configure(config.daemon.log_level, config.daemon.log_format, masker)
    for warning in config.warnings:
        log.warning("configuration.warning", file=warning.file, line=warning.line, message=warning.message)
    starter.inherit()
    try:
        return run_loop(
            _run,
            config,
            masker,
            partial(configuration.load, args, lean=True),
            starter,
            early,
            report=partial(_report, starter),
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # One that comes now must not be what we ended by.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


class _Early:
    """SIGHUP before there is anybody to hear it: it is remembered, and does not end us."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGHUP, self)

    def __call__(self, *_: object) -> None:
        self.came = True


async def _run(config: Config, masker: Masker, load: Callable[[], Config], starter: Starter, early: _Early) -> int:
    log.info("bridged.starting", version=__version__, sources=len(config.sources))
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with anyio.create_task_group() as group:
            held: list[Daemon] = []
            group.start_soon(starter.run)

            async def hold() -> None:
                async with reached(config, _prepare) as nats:
                    from bridge.cli.daemon import daemon

                    async with daemon(
                        config, masker, load=load, handed=starter.handed.take, pulse=starter.pulse, nats=nats
                    ) as running:
                        starter.attach(running)
                        held.append(running)
                        if early.came:
                            running.ask_reload()
                        await running.run()
                group.cancel_scope.cancel()

            group.start_soon(hold)
            stopping = False
            async for number in signals:
                if number == signal.SIGHUP:
                    early.came = True
                    for running in held:
                        running.ask_reload()
                    continue
                if stopping or not held:
                    # Told twice: without waiting for what is under way.
                    group.cancel_scope.cancel()
                if not stopping:
                    _begin_stop(signal.Signals(number), starter)
                    stopping = True
                for running in held:
                    running.stop()
    log.info("bridged.stopped")
    return Exit.OK


def _prepare() -> None:
    """Import what runs: half of what there is to import, while the embedded server reads its store."""
    with uncollected():
        sparingly("nats")
        import bridge.cli.daemon
        import bridge.cli.services  # noqa: F401

        spare_collector()


def _begin_stop(why: signal.Signals, starter: Starter) -> None:
    log.info("bridged.stopping", signal=why.name)
    signal.setitimer(signal.ITIMER_REAL, STOP_DEADLINE_S)
    starter.stopping(why.name, STOP_DEADLINE_S + 5)


def _report(starter: Starter, error: BaseException, code: Exit) -> None:
    """Into the log, where everything else about this run is. Lists come as such: a log has no line breaks."""
    first, *rest = str(error).splitlines() or [""]
    details = {"details": [text.strip() for text in rest]} if rest else {}
    log.critical("bridged.failed", reason=first, **details, exit=int(code))
    starter.failed(first, code, error)
