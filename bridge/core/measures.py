"""Every metric there is, with where its value comes from: the one table that `/metrics` and its tests go by.

Of a source: `bridge/core/source_measures.py`. No label ever holds a text of a vendor's, an id or a URL: names come from
the configuration, and all else from closed sets. Naming: https://prometheus.io/docs/practices/naming
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.metric import Kind, Measured, Metric, Reading, Value, samples
from bridge.core.report.facts import SourceFacts
from bridge.core.source_measures import SOURCES


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One channel of an alert. `told` and `failed`: alerts it took, and attempts that failed, since the start.

    `failing_since_ms`: since when nothing gets through, in milliseconds since the Unix epoch; None: it does.
    """

    alert: str
    channel: str
    told: int = 0
    failed: int = 0
    failing_since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """One process. Moments are milliseconds since the Unix epoch, counts are since its start.

    `conditions`: what must hold for it to be `ready`, by name. `connections`: how often it was connected to NATS, and
    `dropped`: messages it was too slow for. `bugs`: how often an error of ours ended a source or the alerts. `strays`:
    webhooks for which there is no source. `reload_refused`: the last one was. `decided`: alerts that were
    decided; `missing`: by alert, how often a template named a field that an event lacked.
    """

    version: str
    now_ms: int
    since_ms: int
    ready: bool = False
    conditions: Mapping[str, bool] = field(default_factory=dict)
    connected: bool = False
    connections: int = 0
    dropped: int = 0
    bugs: int = 0
    strays: int = 0
    reload_refused: bool = False
    decided: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    channels: Sequence[ChannelFacts] = ()
    sources: Sequence[SourceFacts] = ()


Read = Callable[[InstanceFacts], Reading]


def _row(name: str, kind: Kind, help: str, read: Read, *labels: str) -> tuple[Metric, Read]:
    return Metric(name, kind, help, labels), read


def _by_channel(of: Callable[[ChannelFacts], float]) -> Read:
    def read(facts: InstanceFacts) -> Reading:
        found: dict[tuple[str, ...], Value] = {(one.alert, one.channel): of(one) for one in facts.channels}
        return found

    return read


INSTANCE: Sequence[tuple[Metric, Read]] = (
    _row("bridged_build_info", "gauge", "1, with the version that runs as its label.",
         lambda facts: {facts.version: 1.0}, "version"),
    _row("bridged_start_time_seconds", "gauge", "When the process started, in seconds since the Unix epoch.",
         lambda facts: facts.since_ms / 1000),
    _row("bridged_ready", "gauge", "1 while the instance is ready, as /readyz says, else 0.",
         lambda facts: float(facts.ready)),
    _row("bridged_condition", "gauge", "1 where a condition of readiness holds, else 0.",
         lambda facts: {name: float(holds) for name, holds in facts.conditions.items()}, "condition"),
    _row("bridged_sources", "gauge", "Sources of the configuration.", lambda facts: float(len(facts.sources))),
    _row("bridged_bugs_total", "counter", "Times an error of ours ended a source or the alerts; they start again.",
         lambda facts: float(facts.bugs)),
    _row("bridged_nats_connected", "gauge", "1 while the connection to NATS stands, else 0.",
         lambda facts: float(facts.connected)),
    _row("bridged_nats_reconnects_total", "counter", "Connections to NATS that were made after the first.",
         lambda facts: float(max(0, facts.connections - 1))),
    _row("bridged_nats_dropped_messages_total", "counter", "Messages of NATS that we were too slow to take.",
         lambda facts: float(facts.dropped)),
    _row("bridged_webhook_strays_total", "counter", "HTTP requests at the door for webhooks that no source takes.",
         lambda facts: float(facts.strays)),
    _row("bridged_reload_refused", "gauge",
         "1 where the last reload was refused, so that what runs is not what the files say, else 0.",
         lambda facts: float(facts.reload_refused)),
    _row("bridged_alerts_decided_total", "counter", "Alerts that were decided and stored by this instance.",
         lambda facts: float(facts.decided)),
    _row("bridged_alerts_delivered_total", "counter", "Alerts that a channel has taken.",
         _by_channel(lambda one: float(one.told)), "alert", "channel"),
    _row("bridged_alert_failures_total", "counter", "Attempts to tell an alert that a channel did not take.",
         _by_channel(lambda one: float(one.failed)), "alert", "channel"),
    _row("bridged_alert_missing_fields_total", "counter", "Fields that an alert's template named and an event lacked.",
         lambda facts: {name: float(count) for name, count in facts.missing.items()}, "alert"),
)  # fmt: skip

_FAILING = Metric(
    "bridged_alert_channel_failing_seconds", "gauge",
    "How long nothing has got through to a channel; 0 while it takes alerts.", ("alert", "channel"),
)  # fmt: skip

METRICS: Sequence[Metric] = (*(metric for metric, _ in INSTANCE), _FAILING, *(metric for metric, _ in SOURCES))
"""All of them, in the order of the exposition."""


def measure(facts: InstanceFacts) -> Iterator[Measured]:
    """All that is measured now, in the order of `METRICS`. A metric without samples is there, too."""
    for metric, read in INSTANCE:
        yield Measured(metric, samples((), read(facts)))

    def failing(one: ChannelFacts) -> float:
        since_ms = one.failing_since_ms
        return 0.0 if since_ms is None else max(0, facts.now_ms - since_ms) / 1000

    yield Measured(_FAILING, samples((), _by_channel(failing)(facts)))
    for metric, of in SOURCES:
        found = [
            sample for one in facts.sources for sample in samples((one.name, one.vendor), of(one, facts.now_ms))
        ]  # fmt: skip
        yield Measured(metric, found)
