"""Alerts put together: what decides, what delivers, and how things are called on the server."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cli.channels import channels
from bridge.core.alerts.machine import machine
from bridge.core.alerts.settings import AlertSettings, is_alone
from bridge.edge.ledger.post import JetStreamPost
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.ledger.trail import JetStreamTrails
from bridge.edge.nats.connection import NatsConnection
from bridge.engine.alerts import Alarm, Alerts
from bridge.engine.source import World


def alerting(
    settings: Sequence[AlertSettings], connection: NatsConnection, names: LedgerNames, world: World
) -> tuple[Alerts, JetStreamPost]:
    """What runs, and what is to be told when the connection is lost. `settings` have passed their checks."""
    client = connection.client
    post = JetStreamPost(client, names)
    alarms = [_alarm(alert, world) for alert in settings]
    return Alerts(alarms, JetStreamTrails(client, names), post, world), post


def _alarm(alert: AlertSettings, world: World) -> Alarm:
    condition = None
    if alert.where is not None:
        # Only who writes CEL waits for the library.
        from bridge.edge.condition import compile_condition

        condition = compile_condition(alert.where)
    return Alarm(machine(alert, condition), channels(alert, world.http, world.wall), alone=is_alone(alert))
