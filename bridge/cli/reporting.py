"""How this instance is: what its sources know, what the stream tells of them, put together as a report.

One for the process: the status page, the micro service and the service manager's status line all ask it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.cli import status_alerts
from bridge.cli.broker import ledger_names
from bridge.cli.conditions import conditions
from bridge.core.event import timestamp
from bridge.core.lease import Claim
from bridge.core.report import headline, shown
from bridge.core.report.facts import SourceFacts
from bridge.core.report.intervals import Intervals
from bridge.core.report.known import known
from bridge.core.report.overview import Overview
from bridge.core.report.source import describe
from bridge.edge.codec import encode
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.operator.overview import Observer
from bridge.engine.census import Census
from bridge.engine.lookout import Lookout

if TYPE_CHECKING:
    from bridge.adapter import BaseSettings
    from bridge.cli.daemon import Daemon, Phase
    from bridge.edge.config.loader import Config

Json = dict[str, Any]

PATIENCE_S = 3.0
"""How long a report that is asked for once waits for what only the stream knows."""


class Reporting:
    """`run` looks things up while somebody wants to know; everything else returns at once, but `asked` and `refresh`.

    See `bridge.engine.newsreel.Desk`, which it implements.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.census = Census(daemon.supervisor.facts, daemon.world.recent)
        self._lookout = Lookout(self._look, self._survey, self._pairs, daemon.world.wall)
        self._observer = Observer(daemon.connection.client, ledger_names(daemon.config.nats))
        self._settings: Mapping[str, BaseSettings] = {}
        self._intervals: dict[str, Intervals] = {}
        self._config: Config | None = None
        self._claims: Mapping[str, Claim] = {}
        self._stream: Json | None = None
        self._alerts: list[Json] = []
        self._reloading = False
        self._refused: Json | None = None
        self._troubled: set[str] = set()
        daemon.on_reload.append(self._on_reload)

    async def run(self) -> None:
        """Never returns; is cancelled."""
        await self._lookout.run()

    async def asked(self) -> Json:
        """The report for somebody who asks once: `bridge.core.report.contract.Report`."""
        await self.refresh(PATIENCE_S)
        return self.report(self.stored)

    async def refresh(self, patience_s: float) -> None:
        """See `Lookout.refresh`."""
        await self._lookout.refresh(patience_s)

    def watching(self) -> AbstractContextManager[None]:
        """See `Lookout.watching`."""
        return self._lookout.watching()

    @property
    def stored(self) -> int:
        """The number of the newest event."""
        return self.census.stored

    def names(self) -> Sequence[str]:
        """The sources that run, in order."""
        return [status.name for status in self._daemon.supervisor.statuses()]

    def headline(self) -> str:
        """One telling line."""
        statuses = self._daemon.supervisor.statuses()
        return headline.line([one.state for one in statuses], sum(one.counts.last_minute for one in statuses))

    def report(self, until: int) -> Json:
        """All that is known now, with events up to the one of that number."""
        sources = self.sources(self.names())
        return shown.report(self.head(), sources, self.events(0, until))

    def sources(self, names: Sequence[str]) -> Sequence[Json]:
        """Those that are still there of these."""
        now = datetime.fromtimestamp(self._daemon.world.wall() / 1000, UTC)
        self._learn()
        facts = self._daemon.supervisor.facts(names)
        return [self._source(one, now) for one in facts if one.name in self._settings]

    def events(self, after: int, until: int) -> Sequence[Json]:
        """What was stored beyond the one number and up to the other, the newest first."""
        return [shown.row(event) for event in self.census.events(after) if event.number <= until]

    def encode(self, value: Any) -> bytes:
        """As JSON, on one line."""
        return encode(value)

    def head(self) -> Json:
        """The same without sources and events. Which sources have problems is known from when they were looked at."""
        daemon, me = self._daemon, self._daemon.tenant
        connection = daemon.connection
        away_ms = connection.away_since_ms
        return shown.head(
            instance={
                "name": me.instance,
                "host": me.host,
                "pid": me.pid,
                "build": me.build,
                "since": timestamp(daemon.since_ms),
                "now": timestamp(daemon.world.wall()),
                "phase": self._phase(),
                "refused": self._refused,
            },
            headline=self.headline(),
            conditions=[{"name": one.name, "holds": one.holds, "why": one.why} for one in conditions(daemon)],
            nats={
                "server": connection.server,
                "version": str(connection.info.get("version", "")),
                "connected": connection.connected,
                "away_since": None if away_ms is None else timestamp(away_ms),
            },
            stream=self._stream,
            webhooks=self._webhooks(),
            alerts=self._alerts,
            troubled=bool(self._troubled.intersection(self.names())),
        )

    def _phase(self) -> str:
        readiness = self._daemon.readiness
        if readiness.stopping:
            return "stopping"
        if self._reloading:
            return "reloading"
        return "ready" if readiness.ready else "starting"

    def _webhooks(self) -> Json | None:
        listener = self._daemon.entrance.listener
        if listener is None:
            return None
        counts = listener.counts
        return {
            "addresses": list(listener.addresses),
            "requests": counts.requests,
            "refused": counts.refused,
            "connections": counts.connections,
        }

    def _source(self, facts: SourceFacts, now: datetime) -> Json:
        settings = self._settings[facts.name]
        seen = self._lookout.seen(facts.name)
        seen_ms = None if seen is None else seen.at_ms
        view = known(facts, None if seen is None else seen.view, seen_ms, self._daemon.world.owner)
        claim = self._own_claim(facts) if facts.here else self._claims.get(facts.name)
        intervals = self._intervals.get(facts.name)
        if intervals is None:
            assert self._config is not None
            intervals = self._intervals[facts.name] = Intervals(self._config.adapter(settings))
        found = shown.public(describe(view, intervals, now, settings, claim, facts, seen_ms))
        (self._troubled.add if found["problems"] else self._troubled.discard)(facts.name)
        return found

    def _own_claim(self, facts: SourceFacts) -> Claim:
        """What our lease would tell the others now."""
        return Claim(self._daemon.tenant, 0, self._daemon.config.daemon.lease_s, facts.vitals)

    def _learn(self) -> None:
        """A reload brings a new configuration."""
        config = self._daemon.config
        if config is not self._config:
            self._config = config
            self._settings = {one.name: one for one in config.sources}
            self._intervals = {}

    def _on_reload(self, phase: Phase) -> None:
        self._reloading = phase == "begin"
        if phase != "begin":
            daemon, result = self._daemon, phase[1]
            told = {"at": timestamp(daemon.world.wall()), "why": daemon.masker.mask(result.text)}
            self._refused = None if result.ok else told

    # What is looked up.

    def _pairs(self) -> Sequence[tuple[str, str]]:
        return [(status.vendor, status.name) for status in self._daemon.supervisor.statuses()]

    async def _look(self, vendor: str, source: str) -> Overview:
        return await self._observer.source(vendor, source)

    async def _survey(self) -> None:
        daemon = self._daemon
        await daemon.connection.wait_connected()
        names = ledger_names(daemon.config.nats)
        state = await self._observer.stream()
        self._stream = {"name": names.stream, **state, "seen": timestamp(daemon.world.wall())}
        self._claims = await self._observer.claims(self.names())
        if not daemon.config.alerts:
            self._alerts = []
            return
        js = JetStream(daemon.connection.client, prefix=names.api, deadline_s=5.0)
        now = datetime.fromtimestamp(daemon.world.wall() / 1000, UTC)
        self._alerts = await status_alerts.alerts(daemon.config.alerts, js, names, now)
