"""`bridged demo`: an embedded NATS, a sandbox for every vendor and the daemon, in one process. It needs nothing else.

What the vendors' sandboxes issued is compared with what the stream holds, for as long as it runs and at its end.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bridge.cli import output
from bridge.cli.daemon import Daemon, daemon, ledger_names
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.core.config import DaemonSettings, NatsSettings
from bridge.core.secret import Masker, Secret
from bridge.edge import logging
from bridge.edge.config import Config
from bridge.edge.discovery import Catalogue
from bridge.edge.tail import Seen, Tail

if TYPE_CHECKING:
    from bridge.sandbox.oracle import Report
    from bridge.sandbox.pcvisit import PcvisitSandbox

ALL_TIME_S = 20 * 365 * 86_400.0
"""The vendors' published samples are years old."""
DRAIN_S = 60.0
"""After the last change everything must be in the stream within this."""
NAME = "demo"


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged demo [--seconds N] [--rate N] [--seed N] [--json]`."""
    parser.add_argument("--seconds", type=float, metavar="N", help="run unattended for N seconds, then judge")
    parser.add_argument("--rate", type=float, default=5.0, metavar="N", help="changes per second at each vendor")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed makes the same changes")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C or `--seconds`. 0 if nothing is missing, doubled or out of order; else 1."""
    try:
        import bridge.sandbox.pcvisit  # noqa: F401 - is the extra `demo` installed?
    except ModuleNotFoundError as missing:
        output.complain(f"the demo needs {missing.name}: install bridged[demo]")
        return Exit.UNAVAILABLE
    return run_loop(_run, args)


@dataclass(slots=True)
class Stage:
    """What is on show: the sandbox, the daemon, and every event read back from the stream."""

    sandbox: PcvisitSandbox
    daemon: Daemon
    events: list[Seen] = field(default_factory=list)

    def report(self) -> Report:
        """The sandbox's ledger against the stream. Everything that an answer carried must be there."""
        from bridge.sandbox import oracle, pcvisit_view

        seen = [
            oracle.Seen(event.data["id"], event.subject.split(".")[4], event.data["after"], event.stored_ms, ce_id)
            for event in self.events
            if event.subject.startswith("events.pcvisit.") and (ce_id := event.headers["ce-id"])
        ]
        issued = self.sandbox.ledger.changes
        return oracle.compare(issued, seen, view=pcvisit_view.as_issued, seen=pcvisit_view.as_seen, strict_served=True)


async def _run(args: argparse.Namespace) -> int:
    from bridge.sandbox.pcvisit import Options, pcvisit_sandbox

    masker = Masker()
    unattended = args.json or args.seconds is not None
    logging.configure("warning", "console", masker)
    with tempfile.TemporaryDirectory(prefix="bridged-demo-") as folder:
        async with pcvisit_sandbox(Options(seed=args.seed, rate=args.rate, companies=1)) as sandbox:
            config = _config(sandbox, Path(folder))
            for secret in config.secrets:
                masker.add(secret)
            async with daemon(config, masker) as running, anyio.create_task_group() as group:
                stage = Stage(sandbox, running)
                group.start_soon(running.run)
                group.start_soon(_read_back, stage, config)
                if not unattended:
                    from bridge.cli.demo_view import show

                    group.start_soon(show, stage)
                await _wait(args.seconds)
                sandbox.set_rate(0)
                report = await _judge(stage)
                group.cancel_scope.cancel()
    return _verdict(report, args)


async def _wait(seconds: float | None) -> None:
    with anyio.move_on_after(seconds), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


async def _judge(stage: Stage) -> Report:
    """The report, once every change has reached the stream, or when it has had time enough."""
    report = stage.report()
    with anyio.move_on_after(DRAIN_S):
        while report.missing:
            await anyio.sleep(0.5)
            report = stage.report()
        # A doubled event would come late: every walk reads everything once more.
        status = stage.daemon.supervisor.statuses()[0]
        done = dict(status.completed_ms)
        while any(status.completed_ms[walk] == at for walk, at in done.items()):  # noqa: ASYNC110 - plain data
            await anyio.sleep(0.2)
        await anyio.sleep(0.5)
    return stage.report()


async def _read_back(stage: Stage, config: Config) -> None:
    names = ledger_names(config.nats)
    client = stage.daemon.connection.client
    async with Tail(client, stream=names.stream, prefix=names.api, subjects="events.>") as tail:
        while True:
            stage.events += await tail.take()


def _verdict(report: Report, args: argparse.Namespace) -> int:
    result = {
        "changes": report.changes,
        "superseded": report.superseded,
        "events": report.events,
        "missing": report.missing,
        "duplicates": report.duplicates,
        "out_of_order": report.out_of_order,
        "invented": report.invented,
        "latency_ms": {f"p{percent}": report.percentile(percent) for percent in (50, 90, 99)},
    }
    if args.json:
        output.emit({"sources": {NAME: {"vendor": "pcvisit", "mode": "poll", **result}}, "ok": report.faithful})
    else:
        latency = result["latency_ms"]
        output.say(
            f"pcvisit: {report.changes} changes made, {report.events} events in the stream, "
            f"{report.superseded} overwritten before anyone could read them"
        )
        output.say(
            f"missing {report.missing}, duplicates {report.duplicates}, out of order {report.out_of_order}, "
            f"invented {report.invented}; change to stream {_latency(latency)}"
        )
    for finding in report.findings:
        output.complain(finding)
    return Exit.OK if report.faithful else Exit.FAILED


def _latency(latency: Any) -> str:
    return ", ".join(f"{name} {value} ms" for name, value in latency.items() if value is not None) or "not measured"


def _config(sandbox: PcvisitSandbox, folder: Path) -> Config:
    adapter = Catalogue().load("pcvisit")
    secrets = [Secret(sandbox.integrator_tokens[0], "demo"), Secret(sandbox.users[0].token, "demo")]
    settings = adapter.Settings(  # type: ignore[call-arg]  # the adapter's own settings have more than the base's
        name=NAME,
        adapter="pcvisit",
        http_url=sandbox.url,
        integrator_token=secrets[0],
        user_token=secrets[1],
        requests_per_minute=60_000,
        history_fast_every_s=1.0,
        history_slow_every_s=3.0,
        history_slow_reach_s=ALL_TIME_S,
    )
    return Config(
        nats=NatsSettings(),
        daemon=DaemonSettings(state_dir=str(folder / "state")),
        sources=(settings,),
        adapters={"pcvisit": adapter},
        secrets=tuple(secrets),
    )
