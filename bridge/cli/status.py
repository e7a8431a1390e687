"""`bridged status`: how every source is, as the stream tells it. Works whether or not a daemon runs."""

from __future__ import annotations

import argparse
import dataclasses
from datetime import UTC, datetime
from typing import Any

from bridge.cli import configuration, output
from bridge.cli.daemon import ledger_names, visitor_options
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.edge.config import Config
from bridge.edge.nats_connection import connect
from bridge.edge.overview import Observer, Overview


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged status`."""


def run(args: argparse.Namespace) -> int:
    """Print the state of every configured source. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args))


async def _run(args: argparse.Namespace, config: Config) -> int:
    names = ledger_names(config.nats)
    async with connect(visitor_options(config), give_up_after_s=10) as connection:
        observer = Observer(connection.client, names)
        stream = await observer.stream()
        views = [await observer.source(config.adapter(s).vendor, s.name) for s in config.sources]
        server = connection.server
    if args.json:
        output.emit({"nats": server, "stream": {"name": names.stream, **stream}, "sources": _json(views)})
        return Exit.OK
    now = datetime.now(UTC)
    output.say(f"{names.stream} at {server}: {stream['messages']} messages, {stream['bytes'] / 1e6:.1f} MB")
    for view in views:
        output.say(f"source {view.name} ({view.vendor}): {_condition(view, now)}")
        output.columns(_rows(view, now))
    return Exit.OK


def _rows(view: Overview, now: datetime) -> list[tuple[str, str]]:
    rows = []
    if view.owner:
        rows.append(("owner", f"{view.owner.get('instance')}, build {view.owner.get('build')}"))
    for name, cursor in sorted(view.walks.items()):
        completed = cursor.get("completed")
        fresh = f"last complete {_ago(completed, now)}" if completed else "first read under way"
        rows.append(("walk", f"{name}: {fresh}"))
    if view.last_event:
        rows.append(("last event", f"{_ago(view.last_event['stored'], now)}: {view.last_event['subject']}"))
    rows += [("open gap", f"{gap['feed']} since {gap['from']}: {gap['reason']}") for gap in view.open_gaps]
    if view.quarantined:
        rows.append(("quarantine", f"{view.quarantined} records could not be read; see bridged tail --since 90d"))
    return rows or [("", "nothing in the stream yet")]


def _condition(view: Overview, now: datetime) -> str:
    since = f" {_ago(view.since, now)}" if view.since else ""
    return f"{view.condition}{since}{': ' + view.reason if view.reason else ''}"


def _ago(stamp: Any, now: datetime) -> str:
    if not stamp:
        return "never"
    seconds = max(0.0, (now - datetime.fromisoformat(stamp)).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _json(views: list[Overview]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(view) for view in views]
