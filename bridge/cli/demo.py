"""`bridged demo`: an embedded NATS, a sandbox for every vendor and the daemon, in one process. It needs nothing else.

What the vendors' sandboxes issued is compared with what the stream holds, for as long as it runs and at its end.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bridge.cli import output
from bridge.cli.broker import ledger_names
from bridge.cli.daemon import daemon
from bridge.cli.demo_stage import Stage, as_json, cast, total
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.core.errors import Away
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.config.loader import Config, load
from bridge.edge.operator.tail import StreamMissing, Tail
from bridge.edge.process import wall

if TYPE_CHECKING:
    from bridge.cli.demo_stage import Part
    from bridge.cli.demo_view import Notes
    from bridge.sandbox.oracle import Report

DRAIN_S = 60.0
"""After the last change everything must be in the stream within this."""
LOOK_EVERY_S = 0.1
LOGIN = "nats.json"
"""The embedded server's file in its state directory that says how to connect."""


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
        import bridge.sandbox.graphql_player  # noqa: F401 - is the extra `demo` installed?
    except ModuleNotFoundError as missing:
        output.complain(f"the demo needs {missing.name}: install bridged[demo]")
        return Exit.UNAVAILABLE
    return run_loop(_run, args)


async def _run(args: argparse.Namespace) -> int:
    from bridge.cli.demo_view import Notes

    masker = Masker()
    # A line in the middle of the live view would tear it: it is shown below, and once more at the end.
    notes = Notes() if _watched(args) else None
    logging.configure("warning", "console", masker, notes)
    try:
        with tempfile.TemporaryDirectory(prefix="bridged-demo-") as folder:
            async with cast(args.seed) as parts:
                config = _config(parts, Path(folder))
                for secret in config.secrets:
                    masker.add(secret)
                async with daemon(config, masker) as running:
                    await running.begin()
                    stage = Stage(parts, running, login=Path(config.daemon.state_dir) / LOGIN)
                    reports = await _perform(stage, config, args, notes)
    finally:
        if notes is not None:
            sys.stderr.write(notes.getvalue())
    return _verdict(stage, reports, args)


async def _perform(stage: Stage, config: Config, args: argparse.Namespace, notes: Notes | None) -> dict[str, Report]:
    async with anyio.create_task_group() as group:
        group.start_soon(stage.daemon.run)
        group.start_soon(_read_back, stage, config)
        group.start_soon(_read_measured, stage, config)
        if not args.json:
            from bridge.cli.demo_view import print_flow, show

            group.start_soon(show, stage, notes) if notes is not None else group.start_soon(print_flow, stage)
        with anyio.move_on_after(args.seconds), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            group.start_soon(_open_the_curtain, stage, args.rate)
            async for _ in signals:
                break
        stage.act = "judging"
        stage.set_rate(0)
        reports = await _judge(stage)
        group.cancel_scope.cancel()
    return reports


def _watched(args: argparse.Namespace) -> bool:
    return not args.json and sys.stdout.isatty()


async def _open_the_curtain(stage: Stage, rate: float) -> None:
    """The vendors begin to change things once all they had to show has been read."""
    while not _all_live(stage):  # noqa: ASYNC110 - plain data
        await anyio.sleep(LOOK_EVERY_S)
    if stage.act == "starting":
        stage.act = "changing"
        stage.set_rate(rate)


async def _judge(stage: Stage) -> dict[str, Report]:
    """The reports, once every change has reached the stream, or when it has had time enough."""
    with anyio.move_on_after(DRAIN_S):
        while not _all_live(stage) or total(stage.reports()).missing:  # noqa: ASYNC110 - plain data
            await anyio.sleep(LOOK_EVERY_S)
        # A doubled event would come late: every walk reads everything once more.
        calm_ms = wall()
        while not _all_read_since(stage, calm_ms):  # noqa: ASYNC110 - plain data
            await anyio.sleep(LOOK_EVERY_S)
        await anyio.sleep(0.5)  # for the last of it to be read back
    return stage.reports()


def _all_live(stage: Stage) -> bool:
    return all(status.state is State.LIVE for status in stage.daemon.supervisor.statuses())


def _all_read_since(stage: Stage, then_ms: int) -> bool:
    statuses = stage.daemon.supervisor.statuses()
    return all(min(status.completed_ms.values(), default=0) >= then_ms for status in statuses)


async def _read_back(stage: Stage, config: Config) -> None:
    names = ledger_names(config.nats)
    client = stage.daemon.connection.client
    async with Tail(client, stream=names.stream, prefix=names.api, subjects="events.>") as tail:
        while True:
            stage.events += await tail.take()


async def _read_measured(stage: Stage, config: Config) -> None:
    names = ledger_names(config.nats)
    client = stage.daemon.connection.client
    async with Tail(client, stream=names.telemetry_stream, prefix=names.api, subjects="telemetry.>") as tail:
        while True:
            try:
                stage.measured += await tail.take()
            except (StreamMissing, Away):
                # It is made when a source first has telemetry, and answers some time after that.
                await anyio.sleep(LOOK_EVERY_S)


def _verdict(stage: Stage, reports: dict[str, Report], args: argparse.Namespace) -> int:
    whole = total(reports)
    if args.json:
        sources = {
            part.name: {
                "vendor": part.sandbox.vendor,
                "mode": "live" if part.sandbox.pushes else "polled",
                **as_json(reports[part.name]),
            }
            for part in stage.parts
        }
        output.emit({"sources": sources, "total": as_json(whole), "ok": whole.faithful})
    else:
        for part in stage.parts:
            report = reports[part.name]
            output.say(
                f"{part.name} ({part.sandbox.vendor}): {report.changes} changes made, {report.events} events in the "
                f"stream, {report.superseded} overwritten before anyone could read them"
                + (f", {report.lapsed} known from stale answers only" if report.lapsed else "")
            )
        output.say(_measured())
        latency = as_json(whole)["latency_ms"]
        output.say(
            f"missing {whole.missing}, duplicates {whole.duplicates}, out of order {whole.out_of_order}, "
            f"invented {whole.invented}; change to stream {_latency(latency)}"
        )
        output.say("every change that could be read is there, once" if whole.faithful else "NOT FAITHFUL")
    for finding in whole.findings:
        output.complain(finding)
    return Exit.OK if whole.faithful else Exit.FAILED


def _measured() -> str:
    """What the played devices' telemetry is, and where it comes from."""
    from bridge.sandbox import recording

    return f"the played devices measured {recording.SOURCE}" if recording.available() else recording.MISSING


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


def _config(parts: list[Part], folder: Path) -> Config:
    """What an operator would write, read as an operator's would be."""
    file = folder / "demo.toml"
    environ: dict[str, str] = {}
    for part in parts:
        environ |= part.sandbox.setup().environment
    text = f"[daemon]\nstate_dir = {json.dumps(str(folder / 'state'))}\n\n" + "\n".join(p.source() for p in parts)
    file.write_text(text, encoding="utf-8")
    return load(file, environ)
