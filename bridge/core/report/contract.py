"""The report: what an instance tells of itself and of its sources, as JSON. The page, `bridged status` and scripts rely
on it; `docs/status.md` says the same for people.

Every key is always there; what is not known is None. Moments are RFC 3339 texts in UTC, durations seconds (`_s`) or
milliseconds (`_ms`). New keys may come in any version; what a key means changes only with `version`. There are no ids,
no records and no subjects with ids in it, no secrets, and no URLs: it may be shown to whoever may see how things are.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from bridge.core.report.version import VERSION as VERSION

Phase = Literal["starting", "ready", "reloading", "stopping"]
Stamp = str
"""Such as `2026-01-02T03:04:05.678Z`."""


class Condition(TypedDict):
    """One thing that must hold before the instance is ready. `why`: what keeps it from that; "" where it holds."""

    name: str
    holds: bool
    why: str


class RefusedReload(TypedDict):
    """The last reload was refused, and the configuration from before goes on. `why`: with file and line."""

    at: Stamp
    why: str


class Instance(TypedDict):
    """Who tells this. `build`: the version. `since`: when the process began. `now`: when the report was made.

    `refused`: None where what was loaded last is in force.
    """

    name: str
    host: str
    pid: int
    build: str
    since: Stamp
    now: Stamp
    phase: Phase
    refused: RefusedReload | None


class Nats(TypedDict):
    """`server`: where we are or were connected, without credentials. `away_since`: None while connected."""

    server: str
    version: str
    connected: bool
    away_since: Stamp | None


class Stream(TypedDict):
    """Of the stream itself. `seen`: when it was asked."""

    name: str
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    first_ts: Stamp
    last_ts: Stamp
    seen: Stamp


class Webhooks(TypedDict):
    """The door for webhooks. `connections` is now, the others since the start. `refused`: connections beyond the most.

    `addresses`: where it listens.
    """

    addresses: list[str]
    requests: int
    refused: int
    connections: int


class Freshness(TypedDict):
    """How old what is known of the vendor may be. `late`: older than is explained by its target and some slack.

    Of an open live session the time since its last sign of life, against its heartbeat; else of the walk that is worst
    off the time since its last complete pass began, against its interval. `target_s` None: nothing is promised.
    """

    age_s: float
    target_s: float | None
    late: bool


class Session(TypedDict):
    """The live session. `stale`: another instance told this, and has not for longer than it should."""

    live: bool
    shut_since: Stamp | None
    measured: Stamp
    stale: bool
    last_frame: Stamp | None
    last_beat: Stamp | None
    round_trip_ms: float | None
    beat_interval_s: float | None
    beat_timeout_s: float | None
    sessions: int
    frames: int
    odd: int
    unreadable: int
    filtered: int
    acks: int


class Walk(TypedDict):
    """One collection that is read. `every_s`: as configured; `planned_s`: as the quota leaves it.

    `completed`: when the last complete pass began, `age_s`: how long ago that is. `cost`: requests of a pass. `next`:
    when it is due. `rows` of `total`: how far the pass under way is.
    """

    name: str
    completed: Stamp | None
    age_s: float | None
    every_s: float | None
    late: bool
    planned_s: float | None
    cost: float | None
    next: Stamp | None
    rows: int | None
    total: int | None


class Quota(TypedDict):
    """The vendor's quota: `limit` requests in `period_s`, `reserve` of them for others, `ours` counted on.

    `left` until `resets`, by anybody. `refused`: how often the vendor refused for quota. `walks` share it.
    """

    measured: Stamp
    limit: int
    period_s: float
    reserve: int
    ours: float
    left: int | None
    resets: Stamp | None
    refused: int
    walks: int


class Subscription(TypedDict):
    """`verified`: something of it has arrived, `first` says when. `off`: since when the vendor refuses it."""

    name: str
    verified: bool
    first: Stamp | None
    off: Stamp | None
    reason: str


class Token(TypedDict):
    """The vendor's token. None for the last two: it does not expire. `renewals`: tokens got since the start."""

    age_s: float
    expires_in_s: float | None
    renew_in_s: float | None
    renewals: int


class Inbox(TypedDict):
    """Where live frames wait. `frames` and `bytes` now; the others over the present session."""

    frames: int
    bytes: int
    offered: int
    forgotten: int
    overruns: int


class Counts(TypedDict):
    """Since this instance began with the source. `received` = stored + unchanged + duplicates.

    `unchanged`: records that were no news. `duplicates`: what occurs once, and was stored already. `quarantined` are
    among the stored, and so is what the bridge says of the source. `by_change`: stored, by kind of change.
    """

    received: int
    stored: int
    unchanged: int
    duplicates: int
    quarantined: int
    by_change: dict[str, int]


class LastEvent(TypedDict):
    """The vendor's last event in the stream, without its id. Both as the subject has them."""

    entity: str
    change: str
    seq: int
    observed: Stamp | None


class LastQuarantine(TypedDict):
    """The last record that could not be read."""

    observed: Stamp | None
    reason: str | None


Gap = TypedDict("Gap", {"feed": str, "reason": str, "from": Stamp, "to": Stamp | None})
"""From when on changes may have been missed that cannot be asked for again. `to` is None: it is open."""


class Source(TypedDict):
    """One source.

    `state`: see `bridge.core.lifecycle.State`; `standby` where another instance works for it. `here`: this instance
    works for it, or every instance does at once. `state`, `state_since`, `state_reason`, `counts` and `rate` are None
    where no instance tells of it (`bridged status` only).

    `condition`: what was announced last: `connected`, `lost`, `blocked`, `recovered`, `never connected`, or "" where
    that is not known yet; `since`, `reason`, `half`, `failing_since`, `again`: of that. `problems`: what somebody
    should look at, in words, the worst first; none when all is well. `takes`: the path that webhooks are posted to.
    `owner`: who holds it (`instance`, `host`, `pid`, `build`, `since_ms`). `rate`: events stored per minute, 60
    numbers, the oldest first, the last of the minute that is under way. `seen`: when the stream was asked last
    for what only it knows (condition, walks of other instances, gaps, quarantine, last event); None: not yet.
    """

    name: str
    vendor: str
    adapter: str
    state: str | None
    state_since: Stamp | None
    state_reason: str | None
    here: bool
    owner: dict[str, Any] | None
    takes: str | None
    condition: str
    since: Stamp | None
    reason: str
    half: str
    failing_since: Stamp | None
    again: Stamp | None
    problems: list[str]
    freshness: Freshness | None
    session: Session | None
    walks: list[Walk]
    quota: Quota | None
    subscriptions: list[Subscription]
    token: Token | None
    inbox: Inbox | None
    counts: Counts | None
    rate: list[int] | None
    open_gaps: list[Gap]
    quarantined: int
    last_quarantine: LastQuarantine | None
    last_event: LastEvent | None
    seen: Stamp | None


class Channel(TypedDict):
    """Of an alert. `waiting` since `since`; `failing`: it was tried more than once. `problem`: "" when all is well."""

    name: str
    waiting: int
    failing: bool
    since: Stamp | None
    tried: Stamp | None
    problem: str


class Alert(TypedDict):
    """An alert of the configuration."""

    name: str
    channels: list[Channel]


class Row(TypedDict):
    """An event that was stored, without its id. `seq`: where in the stream, where that is known."""

    at: Stamp
    source: str
    vendor: str
    entity: str
    change: str
    seq: int | None


class Report(TypedDict):
    """All of it.

    `headline`: one telling line. `ok`: nobody needs to look. `stream` and `webhooks`: None where not known yet, and
    where nothing takes webhooks. `sources`: in the order of the configuration. `events`: the newest first, at most 50.
    """

    version: Literal[1]
    instance: Instance
    headline: str
    ok: bool
    conditions: list[Condition]
    nats: Nats
    stream: Stream | None
    webhooks: Webhooks | None
    sources: list[Source]
    alerts: list[Alert]
    events: list[Row]


class Head(TypedDict):
    """A report without sources and events: the data of server-sent `head`."""

    version: Literal[1]
    instance: Instance
    headline: str
    ok: bool
    conditions: list[Condition]
    nats: Nats
    stream: Stream | None
    webhooks: Webhooks | None
    alerts: list[Alert]
