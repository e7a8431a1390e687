"""The alerts in `bridged status`: of each channel, what waits for it and since when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bridge.core.alerts.settings import AlertSettings, channel_names
from bridge.core.report.ages import age
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.operator.couriers import Backlog, backlogs

Json = dict[str, Any]

LATE_S = 60.0
"""An alert that has waited for so long is a problem, whoever is to blame."""


async def alerts(settings: Sequence[AlertSettings], js: JetStream, names: LedgerNames, now: datetime) -> list[Json]:
    """Every alert with its channels, as JSON. `problem`: what somebody should look at; "" when all is well."""
    pairs = [(alert.name, channel) for alert in settings for channel in channel_names(alert)]
    found = await backlogs(js, names, pairs)
    return [
        {"name": alert.name, "channels": [_channel(one, now) for one in found if one.alert == alert.name]}
        for alert in settings
    ]


def _channel(backlog: Backlog, now: datetime) -> Json:
    return {
        "name": backlog.channel,
        "waiting": backlog.waiting,
        "failing": backlog.failing,
        "since": backlog.since,
        "tried": backlog.tried,
        "problem": _problem(backlog, now),
    }


def _problem(backlog: Backlog, now: datetime) -> str:
    if not backlog.made:
        return 'it has no place in the stream yet: `bridged run` makes it (with manage = "verify" you do: nats-config)'
    if backlog.since is None:
        return ""
    waits = f"{backlog.waiting} waiting, the first for {age(backlog.since, now)}"
    if backlog.failing:
        return f"{waits}: the channel has not taken it; the daemon's log says why"
    late_s = (now - datetime.fromisoformat(backlog.since)).total_seconds()
    return f"{waits}, and nobody delivers: is `bridged run` running?" if late_s > LATE_S else ""


def rows(alert: Json) -> list[tuple[str, str]]:
    """For people."""
    found = [(one["name"], one["problem"] or _well(one)) for one in alert["channels"]]
    return found or [("", "no channel: nobody is told")]


def _well(channel: Json) -> str:
    return f"{channel['waiting']} on the way" if channel["waiting"] else "nothing waits"
