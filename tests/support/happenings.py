"""Events and rules for those that test alerts, and a decider that may be restarted at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.core.alerts.decision import Decision, Machine, State
from bridge.core.alerts.settings import AlertSettings
from bridge.events import Event

NOON_MS = 1_709_208_000_000
"""2024-02-29T12:00:00Z, a Thursday."""
MINUTE = 60_000
HOUR = 60 * MINUTE


def happening(seq: int = 1, *, at_ms: int = NOON_MS, **given: Any) -> Event:
    """An event of pcvisit's, unless `given` says something else."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    values: dict[str, Any] = {
        "vendor": "pcvisit",
        "source": "acme",
        "entity": "session",
        "change": "updated",
        "id": f"{seq}",
        "ce_id": f"{seq:032x}",
        "type": "de.pcvisit.session.updated",
        "time": moment,
        "observed": moment,
        "via": "live",
        "after": {"name": f"Printer {seq}", "site": "north"},
    }
    return Event(**{**values, **given})


def own(seq: int, entity: str, change: str, *, source: str = "acme", id_: str = "", **after: Any) -> Event:
    """One of the bridge's own events."""
    return happening(
        seq,
        vendor="bridge",
        source=source,
        entity=entity,
        change=change,
        id=id_ or source,
        type=f"bridged.{entity}.{change}",
        after={"vendor": "pcvisit", "reason": "HTTP status 503", "half": "", **after},
    )


def settings(**given: Any) -> AlertSettings:
    """Of an alert called `ops`."""
    return AlertSettings(**{"name": "ops", "title": "{after.name}", **given})


@dataclass
class Desk:
    """Shows events to a rule as the daemon does, in a world where time goes from event to event.

    `restarts`: after every step the state goes through JSON, as if another process went on.
    """

    machine: Machine
    restarts: bool = True
    state: State = field(default_factory=dict)
    told: list[tuple[int, Decision]] = field(default_factory=list)

    def wait(self, until_ms: int, now_ms: int) -> None:
        """Everything that becomes due by then."""
        for _ in range(20_000):
            at = self.machine.next_ms(self.state, now_ms)
            if at is None or at > until_ms:
                return
            assert now_ms <= at <= now_ms + MINUTE
            now_ms = max(at, now_ms)
            self.put(now_ms, self.machine.due(self.state, now_ms))
        raise AssertionError("there is always something due")

    def see(self, event: Event, now_ms: int, seq: int | None = None) -> None:
        """One event."""
        self.put(now_ms, self.machine.seen(self.state, event, int(event.ce_id, 16) if seq is None else seq, now_ms))

    def put(self, now_ms: int, decisions: Iterable[Decision]) -> None:
        """What was decided."""
        self.told += [(now_ms, decision) for decision in decisions]
        if self.restarts:
            self.state = json.loads(json.dumps(self.state))

    def run(self, history: Sequence[tuple[int, Event]], end_ms: int | None = None) -> list[Decision]:
        """A history of (when it is read, event), and what follows until `end_ms`."""
        now_ms = history[0][0] if history else NOON_MS
        for at_ms, event in history:
            self.wait(at_ms, now_ms)
            now_ms = at_ms
            self.see(event, now_ms)
        if end_ms is not None:
            self.wait(end_ms, now_ms)
        return self.decisions

    @property
    def decisions(self) -> list[Decision]:
        """Everything that was told."""
        return [decision for _, decision in self.told]

    @property
    def titles(self) -> list[str]:
        """Of all that was told."""
        return [decision.title for decision in self.decisions]
