"""`bridged status`: how every instance and source is, as they tell it and the stream does.

Works from any host, and whether or not a daemon runs.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from bridge.cli import configuration, output, status_alerts
from bridge.cli.exits import Exit
from bridge.cli.fleet import gather, show, trouble
from bridge.cli.fleet import rows as instance_rows
from bridge.cli.loop import run as run_loop
from bridge.cli.observed import observe, observe_or_say
from bridge.cli.plain import json_line, plain
from bridge.cli.visit import visiting
from bridge.core.config import STATUS_LISTEN
from bridge.core.report import tempo
from bridge.core.report.ages import age, span
from bridge.core.report.fleet import merged, only, spread
from bridge.core.report.overview import NEVER
from bridge.core.report.problems import owned_since
from bridge.core.report.session import told
from bridge.edge.config.loader import Config
from bridge.edge.embedded.files import EmbeddedNatsFailed
from bridge.edge.nats.trouble import NatsUnreachable

NEVER_TOLD = "unverified: nothing of it has ever arrived"

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged status [--instance NAME]`."""
    parser.add_argument("--instance", metavar="NAME", help="only this instance, and the sources it works for")


def run(args: argparse.Namespace) -> int:
    """Print the state of every instance and source. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args, vendor_secrets=False))


async def _run(args: argparse.Namespace, config: Config) -> int:
    try:
        return await _ask(args, config)
    except (NatsUnreachable, EmbeddedNatsFailed):
        if config.status.enabled:
            page = f"http://{config.status.listen or STATUS_LISTEN}"
            output.complain(plain(f"bridged: where a daemon runs, what it knows without NATS is at {page}"))
        raise


async def _ask(args: argparse.Namespace, config: Config) -> int:
    async with visiting(config) as connection:
        told = await gather(connection, args.instance)
        if args.instance is not None and not (told.told or told.silent):
            output.complain(plain(f"bridged: no instance {args.instance} answers. {told.note}".rstrip(" .")))
            return Exit.UNAVAILABLE
        theirs = only(told.told)
        wanted = [one for one in config.sources if args.instance is None or one.name in theirs]
        read = await (observe_or_say if told.told else observe)(connection, config, wanted)
        server = {"server": connection.server, "version": str(connection.info.get("version", ""))}
    now = datetime.now(UTC)
    sources = merged(told.told, read.sources(now))
    if args.instance is not None:
        sources = [source for source in sources if source["told_by"]]
    instances, alerts = told.as_json(), read.alerts or told.alerts
    report = {
        "ok": not any(source["problems"] for source in sources)
        and not any(channel["problem"] for alert in alerts for channel in alert["channels"])
        and not any(map(trouble, instances)),
        "nats": server,
        "stream": read.stream or told.stream,
        "instances": instances,
        "spread": spread(sources),
        "sources": sources,
        "alerts": alerts,
    }
    for note in (told.note, read.note):
        if note:
            output.complain(plain(f"bridged: {note}"))
    if args.json:
        output.say(json_line(report))
    else:
        _show(report, now)
    return Exit.OK


def _show(report: Json, now: datetime) -> None:
    stream, nats = report["stream"], report["nats"]
    show(report["instances"], now)
    if len(report["spread"]) > 1:
        counts = ", ".join(f"{name or 'nobody'} {count:,}" for name, count in report["spread"].items())
        output.say(plain(f"  who works for how many sources: {counts}"))
    if stream is not None:
        size = f"{stream['messages']} messages, {_bytes(stream['bytes'])}"
        output.say(plain(f"{stream['name']} at {nats['server']} (nats-server {nats['version']}): {size}"))
    for source in report["sources"]:
        mark = "!" if source["problems"] else " "
        output.say(plain(f"{mark} {source['name']} ({source['vendor']}): {_condition(source, now)}"))
        output.columns([tuple(map(plain, row)) for row in _rows(source, now)] or [("", "nothing in the stream yet")])
    for alert in report["alerts"]:
        mark = "!" if any(channel["problem"] for channel in alert["channels"]) else " "
        output.say(plain(f"{mark} alert {alert['name']}"))
        output.columns([tuple(map(plain, row)) for row in status_alerts.rows(alert)])
    if not report["sources"]:
        output.say("there is no [[source]] in the configuration")


def _condition(source: Json, now: datetime) -> str:
    if source["condition"] == NEVER:
        since = owned_since(source["owner"] or {})
        return f"{NEVER}, for {age(since, now)}" if since else NEVER
    if not source["condition"]:
        return f"{source['state'] or 'not known yet'}".replace("_", " ")
    if source["condition"] in ("lost", "blocked"):
        for_ = age(source["failing_since"] or source["since"], now)
        live = source["half"] == "live"
        return (
            f"polled, its live session {source['condition']} for {for_}"
            if live
            else f"{source['condition']} for {for_}"
        )
    word = "connected" if source["condition"] == "recovered" else source["condition"]
    return f"{word} for {age(source['since'], now)}"


def _rows(source: Json, now: datetime) -> list[tuple[str, str]]:
    rows = [("PROBLEM", problem) for problem in source["problems"]]
    rows += instance_rows(source, now)
    if source["takes"]:
        rows.append(("takes", f"webhooks at {source['takes']}, by every instance that runs"))
    rows += [("walk", f"{walk['name']}: {tempo.told(walk, source['quota'], now)}") for walk in source["walks"]]
    if source["quota"]:
        rows.append(("quota", tempo.left(source["quota"], now)))
    for one in source["subscriptions"]:
        text = f"first event {age(one['first'], now)} ago" if one["verified"] else NEVER_TOLD
        text += f"; refused for {age(one['off'], now)}" if one["off"] else ""
        rows.append(("subscription", f"{one['name']}: {text}"))
    if measured := source["session"]:
        rows.append(("session", told(measured, now)))
    if last := source["last_event"]:
        rows.append(("last event", f"{age(last['observed'], now)} ago: {_event(last)}"))
    if source["quarantined"]:
        last = source["last_quarantine"] or {}
        rows.append(
            ("quarantine", f"{source['quarantined']} unreadable; the last {age(last.get('observed'), now)} ago: "
             f"{last.get('reason')}; see bridged tail 'bridge.*.quarantine' --since 90d")
        )  # fmt: skip
    if owner := source["owner"]:
        since_ms = owner.get("since_ms")
        since = f", for {span(now.timestamp() - since_ms / 1000)}" if isinstance(since_ms, int) else ""
        rows.append(("owner", f"{owner.get('instance')}, build {owner.get('build')}{since}"))
    return rows


def _event(last: Json) -> str:
    # An instance tells nobody's ids.
    return str(last["subject"]) if "subject" in last else f"{last.get('entity')} {last.get('change')}"


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
