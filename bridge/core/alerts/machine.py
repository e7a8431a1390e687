"""The machine that an `[[alert]]` asks for."""

from __future__ import annotations

from bridge.core.alerts.condition import Condition
from bridge.core.alerts.decision import Machine
from bridge.core.alerts.health import Health
from bridge.core.alerts.rule import Rule
from bridge.core.alerts.settings import AlertSettings


def machine(settings: AlertSettings, condition: Condition | None = None) -> Machine:
    """`condition`: `settings.where`, compiled. Raises ValueError for what `check` would have refused."""
    return Health(settings) if settings.preset == "health" else Rule(settings, condition)
