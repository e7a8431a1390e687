"""`bridged alert`: lists the alerts, and sends a test through every channel of one. Needs no NATS."""

from __future__ import annotations

import argparse
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from bridge.cli import check_alerts, configuration, output
from bridge.cli.exits import Exit

if TYPE_CHECKING:
    from bridge.core.alerts.alert import Alert
    from bridge.core.alerts.settings import AlertSettings
    from bridge.engine.alert_ports import Channel

SEND_S = 30.0
"""A test may take longer than an alert: the libraries are loaded, and somebody waits who wants to know."""


@dataclass(slots=True)
class Told:
    """What came of one channel. `reason` is empty if it took the test."""

    channel: str
    kind: str
    took_s: float
    reason: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged alert list` and `bridged alert test NAME`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="say which alerts there are, and whom they tell")
    test = actions.add_parser("test", help="send one test alert through every channel of an alert")
    test.add_argument("name", metavar="NAME", help="which alert")
    for action in actions.choices.values():
        # Given at the end they count as well, as with every other command.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="output for programs")
        action.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration file")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if all channels took the test, 1 if one did not. Raises ConfigErrors."""
    config = configuration.load(args, vendor_secrets=args.action == "test")
    if args.action == "list":
        return _list(args, config.alerts)
    found = [alert for alert in config.alerts if alert.name == args.name]
    if not found:
        names = ", ".join(alert.name for alert in config.alerts)
        output.complain(
            f"there is no alert {args.name!r}: {f'the configuration has {names}' if names else 'none at all'}"
        )
        return Exit.USAGE
    return _test(args, found[0])


def _list(args: argparse.Namespace, alerts: tuple[AlertSettings, ...]) -> int:
    if args.json:
        output.emit({"alerts": [check_alerts.facts(alert) for alert in alerts]})
        return Exit.OK
    if not alerts:
        output.say("there is no [[alert]] in this configuration")
    for alert in alerts:
        facts = check_alerts.facts(alert)
        output.say(f"{alert.name}: {facts['about']}")
        output.columns(check_alerts.rows(facts))
    return Exit.OK


def _test(args: argparse.Namespace, alert: AlertSettings) -> int:
    told: list[Told] = []
    sample = _sample(alert)
    if not args.json:
        output.say(f"alert {alert.name}: a test with the id {sample.id}")
    # Plain anyio: nothing here is worth the time in which another event loop is loaded.
    anyio.run(_send, alert, sample, told)
    if args.json:
        output.emit(
            {
                "ok": bool(told) and not any(one.reason for one in told),
                "alert": alert.name,
                "id": sample.id,
                "channels": [
                    {"channel": one.channel, "kind": one.kind, "ok": not one.reason, "took_s": round(one.took_s, 3),
                     "reason": one.reason}
                    for one in told
                ],
            }
        )  # fmt: skip
    elif told:
        output.columns([(one.channel, one.kind, one.reason or f"taken in {one.took_s:.1f} s") for one in told])
    if not told:
        output.complain("nobody is told: set notify or [[alert.webhook]]")
    return Exit.FAILED if not told or any(one.reason for one in told) else Exit.OK


async def _send(alert: AlertSettings, sample: Alert, told: list[Told]) -> None:
    from bridge.cli.channels import channels
    from bridge.edge.http import HttpClient

    async with HttpClient() as http:
        found = channels(alert, http, lambda: time.time_ns() // 1_000_000)
        kinds = ["apprise"] * len(alert.notify) + ["webhook"] * len(alert.webhook)
        told += [Told(channel.name, kind, 0.0, "not tried") for channel, kind in zip(found, kinds, strict=True)]
        async with anyio.create_task_group() as group:
            for channel, outcome in zip(found, told, strict=True):
                group.start_soon(_tell, channel, sample, outcome)


async def _tell(channel: Channel, sample: Alert, told: Told) -> None:
    from bridge.core.errors import Refused, Retry

    begun = anyio.current_time()
    try:
        await channel.send(sample, timeout_s=SEND_S)
        told.reason = ""
    except (Refused, Retry) as error:
        told.reason = str(error).removeprefix(f"{channel.name}: ")
    told.took_s = anyio.current_time() - begun


def _sample(alert: AlertSettings) -> Alert:
    from bridge.core.alerts.alert import read_alert
    from bridge.core.event import timestamp

    now_ms = time.time_ns() // 1_000_000
    stamp = timestamp(now_ms)
    return read_alert(
        secrets.token_hex(16),
        alert.name,
        {
            "alert": alert.name,
            "group": "",
            "title": f"Test of the alert {alert.name}",
            "body": f"This is only a test, sent by `bridged alert test {alert.name}` at {stamp}. Nothing has happened.",
            "severity": alert.severity,
            "count": 1,
            "held": 0,
            "events": [],
            "first": stamp,
            "last": stamp,
            "test": True,
        },
        at_ms=now_ms,
    )
