"""The alerts in `bridged check`: what they are about, whom they tell, and whether NATS has a place for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.core.alerts.settings import AlertSettings, channel_names

if TYPE_CHECKING:
    from bridge.edge.operator.inspection import Found, Inspection


def facts(alert: AlertSettings) -> dict[str, Any]:
    """What an alert is, as JSON. Holds no secret."""
    about = f"preset {alert.preset}" if alert.preset else ", ".join(alert.subjects)
    if alert.where:
        about += f" where {alert.where}"
    return {"name": alert.name, "about": about, "severity": alert.severity, "channels": channel_names(alert)}


def rows(told: dict[str, Any]) -> list[tuple[str, str]]:
    """The channels of `facts`, for people."""
    return [("tells", channel) for channel in told["channels"]] or [("tells", "nobody; it is only stored")]


async def places(inspection: Inspection, alerts: Sequence[AlertSettings], manage: str) -> list[Finding]:
    """One finding for each alert that tells anybody. Raises Away, and what a refusal is explained as."""
    return [
        _finding(alert, [await inspection.consumer(alert.name, channel) for channel in names], manage)
        for alert in alerts
        if (names := channel_names(alert))
    ]


def _finding(alert: AlertSettings, found: Sequence[Found], manage: str) -> Finding:
    what = f"alert {alert.name}"
    missing = [one.name for one in found if one.state == "missing"]
    differing = [str(difference) for one in found for difference in one.differences]
    if manage == "create":  # the daemon makes them, and puts right what differs
        rest = f"; `bridged run` makes {len(missing)} of {len(found)}" if missing else ""
        return passed(what, f"{len(found) - len(missing)} of its channels have their place in the stream{rest}")
    if missing:
        text = 'consumers are missing and nats.manage is "verify": create each as `bridged nats-config` prints it'
        return failed(what, "\n".join([text, *missing]), Exit.CONFIG)
    if differing:
        return failed(what, "\n".join(["consumers differ from what they must be:", *differing]), Exit.CONFIG)
    return passed(what, f"{len(found)} of its channels have their place in the stream")
