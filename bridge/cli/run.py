"""`bridged run`: the daemon, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal

import anyio
import structlog

from bridge import __version__
from bridge.cli import configuration
from bridge.cli.daemon import daemon
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.config.loader import Config
from bridge.edge.process import spare_collector

log = structlog.get_logger()

STOP_DEADLINE_S = 40.0
"""Everything that is done at a stop has a deadline of its own, nats-server's two of 15 s the longest. If they add up to
more than this, something hangs: then the kernel ends us, and nats-server with us."""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged run [--config FILE]`."""


def run(args: argparse.Namespace) -> int:
    """Run until told to stop. Raises ConfigErrors."""
    config = configuration.load(args)
    masker = Masker(config.secrets)
    logging.configure(config.daemon.log_level, config.daemon.log_format, masker)
    for warning in config.warnings:
        log.warning("configuration.warning", file=warning.file, line=warning.line, message=warning.message)
    spare_collector()
    try:
        return run_loop(_run, config, masker, report=_report)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


async def _run(config: Config, masker: Masker) -> int:
    log.info("bridged.starting", version=__version__, sources=len(config.sources))
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                async with daemon(config, masker) as running:
                    log.info("bridged.started", nats=running.connection.server)
                    await running.run()

            group.start_soon(hold)
            async for number in signals:
                log.info("bridged.stopping", signal=signal.Signals(number).name)
                signal.setitimer(signal.ITIMER_REAL, STOP_DEADLINE_S)
                group.cancel_scope.cancel()
                break
    log.info("bridged.stopped")
    return Exit.OK


def _report(error: BaseException, code: Exit) -> None:
    """Into the log, where everything else about this run is. Lists come as such: a log has no line breaks."""
    first, *rest = str(error).splitlines() or [""]
    details = {"details": [text.strip() for text in rest]} if rest else {}
    log.critical("bridged.failed", reason=first, **details, exit=int(code))
