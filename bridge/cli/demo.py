"""`bridged demo`: an embedded NATS, a sandbox for every vendor and the daemon, in one process. It needs nothing else.

What the vendors' sandboxes issued is compared with what the stream holds, for as long as it runs and at its end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bridge.cli import output
from bridge.cli.daemon import daemon, ledger_names, wall
from bridge.cli.demo_stage import Stage
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.core.config import DaemonSettings, NatsSettings
from bridge.core.lifecycle import State
from bridge.core.secret import Masker, Secret
from bridge.edge import logging
from bridge.edge.config.loader import Config
from bridge.edge.discovery import Catalogue
from bridge.edge.operator.tail import Tail

if TYPE_CHECKING:
    from bridge.cli.demo_view import Notes
    from bridge.sandbox.oracle import Report
    from bridge.sandbox.pcvisit import PcvisitSandbox

ALL_TIME_S = 20 * 365 * 86_400.0
"""The vendors' published samples are years old."""
DRAIN_S = 60.0
"""After the last change everything must be in the stream within this."""
LOOK_EVERY_S = 0.1
NAME = "demo"


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged demo [--seconds N] [--rate N] [--seed N] [--json]`."""
    parser.add_argument("--seconds", type=_number(86_400), metavar="N", help="end after N seconds, then judge")
    parser.add_argument(
        "--rate", type=_number(1000), default=5.0, metavar="N", help="changes per second at each vendor (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed makes the same changes")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C or `--seconds`. 0 if nothing is missing, doubled, out of order or invented; else 1."""
    try:
        import bridge.sandbox.pcvisit  # noqa: F401 - is the extra `demo` installed?
    except ModuleNotFoundError as missing:
        output.complain(f"the demo needs {missing.name}: install bridged[demo]")
        return Exit.UNAVAILABLE
    return run_loop(_run, args)


async def _run(args: argparse.Namespace) -> int:
    from bridge.cli.demo_view import Notes
    from bridge.sandbox.pcvisit import Options, pcvisit_sandbox

    masker = Masker()
    # A line in the middle of the live view would tear it: it is shown below, and once more at the end.
    notes = Notes() if _watched(args) else None
    logging.configure("warning", "console", masker, notes)
    try:
        with tempfile.TemporaryDirectory(prefix="bridged-demo-") as folder:
            # Without a history of its own and at rest, so that the published samples are the first to flow.
            async with pcvisit_sandbox(Options(seed=args.seed, companies=1, history=0)) as sandbox:
                config = _config(sandbox, Path(folder))
                for secret in config.secrets:
                    masker.add(secret)
                async with daemon(config, masker) as running:
                    report = await _perform(Stage(sandbox, running), config, args, notes)
    finally:
        if notes is not None:
            sys.stderr.write(notes.getvalue())
    return _verdict(report, args)


async def _perform(stage: Stage, config: Config, args: argparse.Namespace, notes: Notes | None) -> Report:
    async with anyio.create_task_group() as group:
        group.start_soon(stage.daemon.run)
        group.start_soon(_read_back, stage, config)
        if not args.json:
            from bridge.cli.demo_view import print_flow, show

            group.start_soon(show, stage, notes) if notes is not None else group.start_soon(print_flow, stage)
        with anyio.move_on_after(args.seconds), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            group.start_soon(_open_the_curtain, stage, args.rate)
            async for _ in signals:
                break
        stage.act = "judging"
        stage.sandbox.set_rate(0)
        report = await _judge(stage)
        group.cancel_scope.cancel()
    return report


def _watched(args: argparse.Namespace) -> bool:
    return not args.json and sys.stdout.isatty()


async def _open_the_curtain(stage: Stage, rate: float) -> None:
    """The vendor begins to change things once all it had to show has been read."""
    status = stage.daemon.supervisor.statuses()[0]
    while status.state is not State.LIVE:  # noqa: ASYNC110 - plain data
        await anyio.sleep(LOOK_EVERY_S)
    if stage.act == "starting":
        stage.act = "changing"
        stage.sandbox.set_rate(rate)


async def _judge(stage: Stage) -> Report:
    """The report, once every change has reached the stream, or when it has had time enough."""
    with anyio.move_on_after(DRAIN_S):
        status = stage.daemon.supervisor.statuses()[0]
        while status.state is not State.LIVE or stage.report().missing:  # noqa: ASYNC110 - plain data
            await anyio.sleep(LOOK_EVERY_S)
        # A doubled event would come late: every walk reads everything once more.
        calm_ms = wall()
        while min(status.completed_ms.values(), default=0) < calm_ms:  # noqa: ASYNC110 - plain data
            await anyio.sleep(LOOK_EVERY_S)
        await anyio.sleep(0.5)  # for the last of it to be read back
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
        output.say(
            f"pcvisit: {report.changes} changes made, {report.events} events in the stream, "
            f"{report.superseded} overwritten before anyone could read them"
        )
        output.say(
            f"missing {report.missing}, duplicates {report.duplicates}, out of order {report.out_of_order}, "
            f"invented {report.invented}; change to stream {_latency(result['latency_ms'])}"
        )
        output.say("every change that could be read is there, once" if report.faithful else "NOT FAITHFUL")
    for finding in report.findings:
        output.complain(finding)
    return Exit.OK if report.faithful else Exit.FAILED


def _latency(latency: Any) -> str:
    return ", ".join(f"{name} {value} ms" for name, value in latency.items() if value is not None) or "not measured"


def _number(most: float) -> Any:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:  # not true of nan either
            raise argparse.ArgumentTypeError(f"expected a number from 0 to {most:g}, got {text!r}")
        return value

    return number


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
