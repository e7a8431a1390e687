"""What an instance must fulfil for work to be sent to it: for `/readyz`, metrics and the report alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.core.lifecycle import State
from bridge.engine.readiness import Condition

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon

HICCUP_S = 5.0
"""For so long the ledger may be out of reach before we say that we are not ready."""


def conditions(daemon: Daemon) -> Sequence[Condition]:
    """What is expected at the start, once; that the ledger can be written to, all the time; that we do not stop."""
    readiness = daemon.readiness
    found = [Condition(one.name, one.holds, daemon.masker.mask(one.why)) for one in readiness.conditions]
    if any(one.name == "nats" and one.holds for one in found):
        found.append(_ledger(daemon))
    if readiness.stopping:
        found.insert(0, Condition("shutdown", holds=False, why="it stops; nothing is to be sent here any more"))
    return found


def _ledger(daemon: Daemon) -> Condition:
    now_ms = daemon.world.wall()
    since = daemon.connection.away_since_ms
    if since is not None and now_ms - since > HICCUP_S * 1000:
        return Condition("ledger", holds=False, why=daemon.masker.mask(daemon.connection.problem))
    away = [one for one in daemon.supervisor.statuses() if one.state is not State.STANDBY]
    if away and all(one.state is State.AWAY and now_ms - one.since_ms > HICCUP_S * 1000 for one in away):
        why = away[0].reason or "the stream cannot be written to"
        return Condition("ledger", holds=False, why=daemon.masker.mask(why))
    return Condition("ledger", holds=True)
