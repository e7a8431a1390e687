"""`bridged check --online`: whether NATS and every vendor would let the daemon work. Writes nothing anywhere.

One line per check, in the order in which the daemon would need them; what depends on a failed one is left out.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from bridge import __version__
from bridge.cli import output
from bridge.cli.broker import ledger_names
from bridge.cli.check import report
from bridge.cli.check_alerts import places
from bridge.cli.check_embedded import look
from bridge.cli.check_source import try_source
from bridge.cli.conclusion import exit_code
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import plain
from bridge.cli.sessions import Sessions
from bridge.cli.visit import visiting
from bridge.core.alerts.settings import channel_names
from bridge.core.errors import BridgeError
from bridge.core.secret import Masker
from bridge.edge.config.loader import Config
from bridge.edge.http import HttpClient
from bridge.edge.nats.connection import Denied, NatsConnection
from bridge.edge.operator.inspection import Found, Inspection
from bridge.edge.operator.overview import Observer
from bridge.edge.websocket import WebSockets
from bridge.engine.quota import Quotas

_WEIGHT = (Exit.CONFIG, Exit.NOPERM, Exit.UNAVAILABLE)
"""Which exit code counts when several checks failed: what only a human can put right first."""


def run(args: argparse.Namespace, config: Config) -> int:
    """Check and print. 0, or the weightiest of 78 (differs from what it must be), 77 (refused), 69 (not there)."""
    return run_loop(_run, args, config)


async def _run(args: argparse.Namespace, config: Config) -> int:
    masker = Masker(config.secrets)
    observed: dict[str, Any] = {}
    findings = [*await _nats(config, masker, observed), *await _sources(config, masker, observed)]
    findings = [finding.masked(masker) for finding in findings]
    bad = [finding for finding in findings if not finding.ok]
    codes = {finding.exit for finding in bad}
    code = next((code for code in _WEIGHT if code in codes), Exit.UNAVAILABLE if bad else Exit.OK)
    if args.json:
        output.emit({**report(config), "ok": not bad, "checks": [finding.as_json() for finding in findings]})
        return code
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        first, *rest = finding.says.splitlines() or [""]
        output.say(f"{'ok    ' if finding.ok else 'FAILED'}  {finding.what:<{width}}  {plain(first)}")
        for text in rest:
            output.say(f"{'':8}{'':{width}}  {plain(text.strip())}")
    output.say(f"{len(bad)} of {len(findings)} checks failed" if bad else "the daemon can work")
    return code


@dataclass(slots=True)
class _Nats:
    findings: list[Finding] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)
    """By source, what the stream remembers of its subscriptions."""

    @asynccontextmanager
    async def check(self, what: str) -> AsyncIterator[None]:
        """Any known condition in the block is this check's failure, and ends the checks of NATS."""
        try:
            yield
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            code = Exit.UNAVAILABLE if code not in _WEIGHT else code
            self.findings.append(failed(what, str(error), code))
            raise _Enough from None


class _Enough(Exception):
    """What follows needs what has failed."""


async def _nats(config: Config, masker: Masker, observed: dict[str, Any]) -> list[Finding]:
    nats = _Nats(observed=observed)
    try:
        async with nats.check("nats"), visiting(config, masker) as connection:
            for secret in connection.options.secrets():
                masker.add(secret)
            nats.findings.append(passed("nats", f"connected to {connection.server} with {connection.options.login}"))
            await _server(nats, config, connection)
    except _Enough:
        pass
    if config.nats.embedded and not nats.findings[0].ok:
        return look(config, nats.findings[0].says)
    return nats.findings


async def _server(nats: _Nats, config: Config, connection: NatsConnection) -> None:
    inspection = Inspection(connection, ledger_names(config.nats))
    async with nats.check("nats-server"):
        nats.findings.append(passed("nats-server", f"version {inspection.version()}"))
    async with nats.check("permissions"):
        sources = [(config.adapter(settings).vendor, settings.name) for settings in config.sources]
        pairs = [(alert.name, channel) for alert in config.alerts for channel in channel_names(alert)]
        refused = await inspection.denied(sources, pairs if config.alerts else None)
        nats.findings.append(_permissions(refused))
    # Where it may not be asked, JetStream would only be silent.
    if not any(one.subject.startswith(f"{ledger_names(config.nats).api}.STREAM.INFO") for one in refused):
        async with nats.check("jetstream"):
            await inspection.jetstream()
            nats.findings.append(passed("jetstream", "answers"))
            streams = await inspection.streams()
            nats.findings += [_stream(found, config) for found in streams]
            there = streams[0].state != "missing"
            if there and not any(".CONSUMER.INFO." in one.subject for one in refused):
                nats.findings += await places(inspection, config.alerts, config.nats.manage)
            observer = Observer(connection.client, ledger_names(config.nats))
            for settings in config.sources:
                if getattr(settings, "subscription", ()):
                    nats.observed[settings.name] = await observer.subscriptions(settings.name) if there else {}


def _permissions(refused: Sequence[Denied]) -> Finding:
    if refused:
        text = "NATS denies this user, grant it:" + "".join(f"\n{one.action} on {one.subject}" for one in refused)
        return failed("permissions", text, Exit.NOPERM)
    return passed("permissions", "everything the daemon publishes and asks is permitted")


def _stream(found: Found, config: Config) -> Finding:
    what = f"stream {found.name}"
    if found.state == "missing" and config.nats.manage == "create":
        return passed(what, "is not there yet; `bridged run` makes it")
    if found.state == "missing":
        return failed(what, 'is missing and nats.manage is "verify": create it, or set nats.manage to "create"')
    if found.state == "differs":
        lines = "".join(f"\n{one.field} is {one.found!r}, must be {one.expected!r}: {one.advice}"
                        for one in found.differences)  # fmt: skip
        return failed(what, f"{len(found.differences)} setting(s) differ; nothing was changed:{lines}")
    return passed(what, f"is what it must be; {found.messages} messages")


async def _sources(config: Config, masker: Masker, observed: Mapping[str, Any]) -> list[Finding]:
    quotas = Quotas()
    results: dict[str, list[Finding]] = {}
    sessions = Sessions(WebSockets(agent=f"bridged/{__version__}"), random.SystemRandom().random)
    try:
        async with HttpClient() as http, anyio.create_task_group() as group:

            async def one(settings: Any) -> None:
                adapter, seen = config.adapter(settings), observed.get(settings.name)
                results[settings.name] = await try_source(adapter, http, quotas, masker, sessions, seen)

            for settings in config.sources:
                group.start_soon(one, settings)
    except BridgeError as error:
        return [failed("https", str(error))]
    return [finding for settings in config.sources for finding in results[settings.name]]
