"""What a daemon is asked for when its metrics are: everything it knows of itself, now and without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.core.measures import ChannelFacts, InstanceFacts, measure
from bridge.core.metric import Measured
from bridge.engine.readiness import Condition

if TYPE_CHECKING:
    from bridge.cli.daemon import Daemon
    from bridge.edge.prometheus import Exposition


Ready = Callable[[], Sequence[Condition]]


def metering(daemon: Daemon, ready: Ready | None = None) -> Exposition:
    """What `GET /metrics` answers with, for as long as the daemon is there: also after each reload.

    `ready`: the conditions as `/readyz` has them; default: those of the start alone.
    """
    # Only who is asked waits for it.
    from bridge.edge.prometheus import exposition

    return exposition(partial(_measured, daemon, ready or (lambda: daemon.readiness.conditions)))


def _measured(daemon: Daemon, ready: Ready) -> Iterator[Measured]:
    return measure(instance_facts(daemon, ready()))


def instance_facts(daemon: Daemon, conditions: Sequence[Condition]) -> InstanceFacts:
    """As of now."""
    alerts, connection = daemon.alerts, daemon.connection
    return InstanceFacts(
        version=__version__,
        now_ms=daemon.world.wall(),
        since_ms=daemon.since_ms,
        ready=not daemon.readiness.stopping and all(one.holds for one in conditions),
        conditions={one.name: one.holds for one in conditions},
        connected=connection.connected,
        connections=connection.epoch,
        dropped=connection.slow_consumer_drops,
        bugs=daemon.supervisor.bugs + (0 if alerts is None else alerts.bugs),
        strays=0 if daemon.hooks is None else daemon.hooks.strays,
        reload_refused=daemon.reload_refused,
        decided=0 if alerts is None else alerts.decider.decided,
        missing={} if alerts is None else dict(alerts.decider.missing),
        channels=[
            ChannelFacts(one.alert, one.channel, one.told, one.failed, one.failing_since_ms)
            for one in (() if alerts is None else alerts.statuses())
        ],
        sources=[runner.facts() for runner in daemon.supervisor.runners()],
    )
