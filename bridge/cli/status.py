"""`bridged status`: how every source is, as the stream tells it. Works whether or not a daemon runs."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from bridge.adapter import BaseSettings, WebhookSettings
from bridge.cli import configuration, output, status_alerts, tempo
from bridge.cli.ages import age, span
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.intervals import Intervals
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import json_line, plain
from bridge.cli.problems import LATE_INTERVALS, LATE_SLACK_S, owned_since, problems
from bridge.cli.visit import visiting
from bridge.cli.vitals import session, told
from bridge.core.hooks.settings import PREFIX
from bridge.core.lease import Claim
from bridge.core.subscription import first_seen
from bridge.core.vitals import Tempo
from bridge.edge.config.loader import Config
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.operator.overview import NEVER, Observer, Overview, cursor_times, refused_since

NEVER_TOLD = "unverified: nothing of it has ever arrived"

Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged status`."""


def run(args: argparse.Namespace) -> int:
    """Print the state of every configured source. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args, vendor_secrets=False))


async def _run(args: argparse.Namespace, config: Config) -> int:
    names = ledger_names(config.nats)
    async with visiting(config) as connection:
        observer = Observer(connection.client, names)
        stream = await observer.stream()
        views = [await observer.source(config.adapter(s).vendor, s.name) for s in config.sources]
        claims = await observer.claims([one.name for one in config.sources])
        told = []
        if config.alerts:
            js = JetStream(connection.client, prefix=names.api, deadline_s=5.0)
            told = await status_alerts.alerts(config.alerts, js, names, datetime.now(UTC))
        server = {"server": connection.server, "version": str(connection.info.get("version", ""))}
    now = datetime.now(UTC)
    sources = [
        describe(view, Intervals(config, settings), now, settings, claims.get(settings.name))
        for view, settings in zip(views, config.sources, strict=True)
    ]
    report = {
        "ok": not any(source["problems"] for source in sources)
        and not any(channel["problem"] for alert in told for channel in alert["channels"]),
        "nats": server,
        "stream": {"name": names.stream, **stream},
        "sources": sources,
        "alerts": told,
    }
    if args.json:
        output.say(json_line(report))
    else:
        _show(report, now)
    return Exit.OK


def describe(
    view: Overview, intervals: Intervals, now: datetime, settings: BaseSettings, claim: Claim | None = None
) -> Json:
    """One source as JSON. `problems`: what somebody should look at, in words; none when all is well.

    `subscriptions`: those configured. One is `verified` once anything of it was stored, `first` says when; `off` says
    since when the vendor refuses it, and `reason` why. As the daemon's `claim` says: `session`, what the live session
    measures; `quota`, what is left of it; and of each walk what is planned. `takes`: where webhooks are posted to.
    """
    planned = tempo.tempos(claim)
    walks = [
        _walk(name, view.walks.get(name, {}), intervals, now, planned.get(name))
        for name in sorted(view.walks.keys() | planned.keys())
    ]
    measured = session(claim, now)
    subscriptions = [_subscription(one.name, view) for one in getattr(settings, "subscription", ())]
    return {
        "name": view.name,
        "vendor": view.vendor,
        "condition": view.condition,
        "since": view.since,
        "reason": view.reason,
        "half": view.half,
        "failing_since": view.failing_since,
        "again": view.again,
        "problems": problems(view, walks, subscriptions, now, measured),
        "takes": f"{PREFIX}{settings.name}" if isinstance(settings, WebhookSettings) else None,
        "owner": view.owner or None,
        "walks": walks,
        "subscriptions": subscriptions,
        "session": measured,
        "quota": tempo.quota(claim),
        "last_event": view.last_event,
        "open_gaps": view.open_gaps,
        "quarantined": view.quarantined,
        "last_quarantine": view.last_quarantine,
    }


def _subscription(name: str, view: Overview) -> Json:
    cursor = view.subscriptions.get(name, {})
    first, off = first_seen(cursor), refused_since(cursor)
    reason = str(cursor.get("reason") or "") if off else ""
    return {"name": name, "verified": first is not None, "first": first, "off": off, "reason": reason}


def _walk(name: str, cursor: Json, intervals: Intervals, now: datetime, told: Tempo | None) -> Json:
    completed_ms, completed = cursor_times(cursor)
    every_s = told.wish_s if told else intervals.of(name)
    age_s = None if completed_ms is None else round(now.timestamp() - completed_ms / 1000, 3)
    late = False
    if age_s is not None and every_s is not None:
        late = age_s > LATE_INTERVALS * max(every_s, told.every_s if told else 0.0) + LATE_SLACK_S
    return {
        "name": name,
        "completed": completed,
        "age_s": age_s,
        "every_s": every_s,
        "late": late,
        **tempo.plan(told),
    }


def _show(report: Json, now: datetime) -> None:
    stream, nats = report["stream"], report["nats"]
    output.say(
        f"{stream['name']} at {nats['server']} (nats-server {plain(nats['version'])}): "
        f"{stream['messages']} messages, {_bytes(stream['bytes'])}"
    )
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
        rows.append(("last event", f"{age(last['observed'], now)} ago: {last['subject']}"))
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


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
