"""What the stream tells of the sources and alerts that are configured here, for `bridged status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio

from bridge.adapter import BaseSettings
from bridge.cli import status_alerts
from bridge.cli.broker import ledger_names
from bridge.cli.visit import hindrances
from bridge.core.errors import BridgeError
from bridge.core.event import timestamp
from bridge.core.lease import Claim
from bridge.core.report.intervals import Intervals
from bridge.core.report.overview import Overview
from bridge.core.report.source import describe
from bridge.edge.config.loader import Config
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.operator.overview import Observer

Json = dict[str, Any]

AT_ONCE = 8
"""Sources that are asked for at the same time."""


@dataclass(slots=True)
class Observed:
    """`stream`: its name, size and age. `note`: why nothing could be read; "" otherwise."""

    stream: Json | None = None
    alerts: list[Json] = field(default_factory=list)
    note: str = ""
    _config: Config | None = None
    _views: list[tuple[BaseSettings, Overview, Claim | None]] = field(default_factory=list)

    def sources(self, now: datetime) -> list[Json]:
        """Each source as JSON; see `describe`."""
        if self._config is None:
            return []
        intervals = {settings.name: Intervals(self._config.adapter(settings)) for settings, _, _ in self._views}
        return [
            describe(view, intervals[one.name], now, one, claim) | {"holder": holder(claim)}
            for one, view, claim in self._views
        ]


def holder(claim: Claim | None) -> Json | None:
    """Who holds a source's lease, as JSON; None: nobody does, or none is needed."""
    if claim is None:
        return None
    who = claim.tenant
    about = {"instance": who.instance, "host": who.host, "pid": who.pid, "build": who.build}
    return {**about, "since": timestamp(claim.since_ms)}


async def observe(connection: NatsConnection, config: Config, wanted: Sequence[BaseSettings]) -> Observed:
    """Read the stream, for these sources. Raises StreamMissing, JetStreamOff and NoAnswer."""
    names = ledger_names(config.nats)
    observer = Observer(connection.client, names)
    found = Observed(_config=config)
    found.stream = {"name": names.stream, **await observer.stream()}
    views: dict[str, Overview] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)
    failed: list[BridgeError] = []

    async def view(settings: BaseSettings) -> None:
        async with limiter:
            if failed:
                return
            try:
                views[settings.name] = await observer.source(config.adapter(settings).vendor, settings.name)
            except BridgeError as error:
                failed.append(error)

    async with anyio.create_task_group() as group:
        for settings in wanted:
            group.start_soon(view, settings)
    if failed:
        raise failed[0]
    claims = await observer.claims([one.name for one in wanted])
    found._views = [(one, views[one.name], claims.get(one.name)) for one in wanted]
    if config.alerts:
        js = JetStream(connection.client, prefix=names.api, deadline_s=5.0)
        found.alerts = await status_alerts.alerts(config.alerts, js, names, datetime.now(UTC))
    return found


async def observe_or_say(connection: NatsConnection, config: Config, wanted: Sequence[BaseSettings]) -> Observed:
    """The same for who has been told by the instances already: what hinders is a note."""
    try:
        return await observe(connection, config, wanted)
    except BridgeError as error:
        denied = hindrances(connection)
        why = f"NATS denies this user {denied[0].action} on {denied[0].subject}" if denied else str(error)
        return Observed(note=f"only the instances are asked, as the stream cannot be read: {why}")
