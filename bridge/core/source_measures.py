"""The metrics of a source: see `bridge/core/measures.py`. All have the labels `source` and `vendor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.core.event import timestamp
from bridge.core.lifecycle import State
from bridge.core.metric import Kind, Metric, Reading
from bridge.core.report.facts import SourceFacts
from bridge.core.report.freshness import freshness
from bridge.core.report.problems import LATE_INTERVALS, LATE_SLACK_S
from bridge.core.vitals import Reserves, Vitals

Read = Callable[[SourceFacts, int], Reading]
"""From the facts, and from now in milliseconds since the Unix epoch."""


def _row(name: str, kind: Kind, help: str, read: Read, *labels: str) -> tuple[Metric, Read]:
    return Metric(name, kind, help, ("source", "vendor", *labels)), read


def _fresh(key: str) -> Read:
    return lambda facts, now_ms: (_freshness(facts, now_ms) or {}).get(key)


def _freshness(facts: SourceFacts, now_ms: int) -> dict[str, Any] | None:
    """As the report has it, of what this process knows; None where it does not work for the source."""
    vitals = facts.vitals
    if vitals is None or not facts.here:
        return None
    walks = []
    for walk in vitals.walks:
        completed_ms = facts.completed_ms.get(walk.name)
        age_s = None if completed_ms is None else max(0, now_ms - completed_ms) / 1000
        late = age_s is not None and age_s > LATE_INTERVALS * max(walk.wish_s, walk.every_s) + LATE_SLACK_S
        walks.append({"age_s": age_s, "every_s": walk.wish_s, "planned_s": walk.every_s, "late": late})
    return freshness(walks, _session(vitals), datetime.fromtimestamp(now_ms / 1000, UTC))


def _session(vitals: Vitals) -> Mapping[str, Any] | None:
    if vitals.polled:
        return None

    def stamp(at_ms: int | None) -> str | None:
        return None if at_ms is None else timestamp(at_ms)

    def seconds(ms: int | None) -> float | None:
        return None if ms is None else ms / 1000

    return {
        "live": vitals.live,
        "stale": False,
        "last_frame": stamp(vitals.last_frame_ms),
        "last_beat": stamp(vitals.last_beat_ms),
        "beat_interval_s": seconds(vitals.beat_interval_ms),
        "beat_timeout_s": seconds(vitals.beat_timeout_ms),
    }


def _live(of: Callable[[Vitals], float | None]) -> Read:
    """What only a live session measures."""

    def read(facts: SourceFacts, _: int) -> Reading:
        return None if facts.vitals is None or facts.vitals.polled else of(facts.vitals)

    return read


def _quota(of: Callable[[Reserves], float | None]) -> Read:
    def read(facts: SourceFacts, _: int) -> Reading:
        return None if facts.vitals is None or facts.vitals.quota is None else of(facts.vitals.quota)

    return read


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _blind(facts: SourceFacts, now_ms: int) -> float:
    since_ms = facts.meter.blind_since_ms
    return 0.0 if since_ms is None or not facts.here else max(0, now_ms - since_ms) / 1000


def _duplicates(facts: SourceFacts, _: int) -> Reading:
    return {"unchanged": float(facts.counts.unchanged), "stored": float(facts.counts.duplicates)}


def _replies(facts: SourceFacts, _: int) -> Reading:
    return {kind: float(count) for kind, count in facts.meter.replies.items()} if facts.shared else None


SOURCES: Sequence[tuple[Metric, Read]] = (
    _row("bridged_source_state", "gauge", "1 for the state the source is in, 0 for all others.",
         lambda facts, _: {str(state): float(state == facts.state) for state in State}, "state"),
    _row("bridged_source_here", "gauge", "1 where this instance works for the source, else 0.",
         lambda facts, _: float(facts.here)),
    _row("bridged_source_state_timestamp_seconds", "gauge",
         "When the source came into its state, in seconds since the Unix epoch.",
         lambda facts, _: facts.since_ms / 1000),
    _row("bridged_source_failures", "gauge", "Attempts in a row that have failed; 0 when all is well.",
         lambda facts, _: float(facts.failures)),
    _row("bridged_freshness_seconds", "gauge",
         "How old what is known of the vendor may be, of the walk or the session that is worst off.", _fresh("age_s")),
    _row("bridged_freshness_target_seconds", "gauge",
         "What the configuration, the plan or the heartbeat promises for bridged_freshness_seconds.",
         _fresh("target_s")),
    _row("bridged_freshness_late", "gauge", "1 where the age is more than its target and some slack explain, else 0.",
         lambda facts, now_ms: float((_freshness(facts, now_ms) or {}).get("late", False))),
    _row("bridged_gap_open_seconds", "gauge",
         "How long changes have been missed that nobody can be asked for later; 0 when none are.", _blind),
    _row("bridged_gaps_total", "counter", "Gaps announced: intervals for which changes may have been missed.",
         lambda facts, _: float(facts.counts.gaps)),
    _row("bridged_gap_seconds_total", "counter", "How long the announced gaps that have ended are together.",
         lambda facts, _: facts.counts.gap_s),
    _row("bridged_records_received_total", "counter", "Records that came from the vendor and were judged.",
         lambda facts, _: float(facts.counts.received)),
    _row("bridged_events_published_total", "counter",
         "Events stored in the stream, quarantined records and what the bridge says of itself among them.",
         lambda facts, _: float(facts.counts.stored)),
    _row("bridged_duplicates_avoided_total", "counter",
         "Records that were published before: their state has not changed, or what occurred is stored already.",
         _duplicates, "reason"),
    _row("bridged_records_quarantined_total", "counter", "Records that could not be read and were set aside.",
         lambda facts, _: float(facts.counts.quarantined)),
    _row("bridged_records_held_total", "counter",
         "Records that may have been older than what is known, and were read again.",
         lambda facts, _: float(facts.counts.held)),
    _row("bridged_deletes_held", "gauge",
         "Deletes that are held back until an operator agrees, or the vendor shows the records again.",
         lambda facts, _: float(facts.deletes_held) if facts.here else None),
    _row("bridged_stage_duration_seconds", "histogram", "How long the stages take from the vendor to the ledger.",
         lambda facts, _: {str(stage): one for stage, one in facts.meter.stages.items()}, "stage"),
    _row("bridged_ledger_commit_duration_seconds", "histogram",
         "How long the ledger takes to confirm: single writes sent together, and atomic batches.",
         lambda facts, _: {"single": facts.meter.singles, "batch": facts.meter.batches}, "stage"),
    _row("bridged_ledger_batches_total", "counter", "Atomic batches that were stored.",
         lambda facts, _: float(facts.counts.batches)),
    _row("bridged_ledger_conflicts_total", "counter",
         "Writes that were refused since something else lay there by then; they were looked at and tried again.",
         lambda facts, _: float(facts.counts.refused)),
    _row("bridged_ledger_unknown_outcomes_total", "counter",
         "Writes of which nobody said whether they are stored; they were looked for.",
         lambda facts, _: float(facts.counts.unknown)),
    _row("bridged_inbox_frames", "gauge", "Live frames that wait to be taken.",
         lambda facts, _: float(facts.meter.depth()[0])),
    _row("bridged_inbox_bytes", "gauge", "Bytes of the live frames that wait to be taken.",
         lambda facts, _: float(facts.meter.depth()[1])),
    _row("bridged_inbox_overruns_total", "counter",
         "Times the inbox was full or frames were lost before it; everything was read again then.",
         lambda facts, _: float(facts.meter.overruns)),
    _row("bridged_inbox_held_seconds_total", "counter",
         "Seconds for which live sessions read no further, as so many frames waited to be stored.",
         lambda facts, _: facts.meter.held_s),
    _row("bridged_session_open", "gauge", "1 while a live session is open, else 0.",
         _live(lambda vitals: float(vitals.live))),
    _row("bridged_sessions_total", "counter", "Live sessions that were begun.",
         _live(lambda vitals: float(vitals.sessions))),
    _row("bridged_session_reconnects_total", "counter",
         "Live sessions that ended, or could not be opened, and were begun anew, by why.",
         lambda facts, _: {str(ending): float(count) for ending, count in facts.meter.endings.items()}, "reason"),
    _row("bridged_session_frames_total", "counter", "Frames that live sessions have brought.",
         _live(lambda vitals: float(vitals.frames))),
    _row("bridged_session_odd_frames_total", "counter", "Frames that were ignored, as they fit nowhere.",
         _live(lambda vitals: float(vitals.odd))),
    _row("bridged_session_unreadable_frames_total", "counter", "Frames that could not be read.",
         _live(lambda vitals: float(vitals.unreadable))),
    _row("bridged_session_acknowledgements_total", "counter", "Frames that the vendor was told are stored.",
         _live(lambda vitals: float(vitals.acks))),
    _row("bridged_session_last_frame_timestamp_seconds", "gauge", "When the last frame came.",
         _live(lambda vitals: _seconds(vitals.last_frame_ms))),
    _row("bridged_heartbeat_last_timestamp_seconds", "gauge", "When the vendor's last regular sign of life came.",
         _live(lambda vitals: _seconds(vitals.last_beat_ms))),
    _row("bridged_heartbeat_interval_seconds", "gauge", "How often the heartbeat was agreed to come.",
         _live(lambda vitals: _seconds(vitals.beat_interval_ms))),
    _row("bridged_heartbeat_round_trip_seconds", "gauge", "From our last ping that was answered to its answer.",
         _live(lambda vitals: _seconds(vitals.round_trip_ms))),
    _row("bridged_requests_total", "counter", "HTTP requests that were sent to the vendor.",
         lambda facts, _: float(facts.requests)),
    _row("bridged_requests_throttled_total", "counter",
         "Requests that the vendor refused for quota, by whether that could be known before.",
         lambda facts, _: {str(kind): float(count) for kind, count in facts.meter.throttled.items()}, "reason"),
    _row("bridged_quota_limit_requests", "gauge", "Requests that the quota allows in its period, to everybody.",
         _quota(lambda quota: float(quota.limit))),
    _row("bridged_quota_period_seconds", "gauge", "The quota's period.", _quota(lambda quota: quota.period_s)),
    _row("bridged_quota_reserve_requests", "gauge", "Requests of the quota that are left to others.",
         _quota(lambda quota: float(quota.reserve))),
    _row("bridged_quota_remaining_requests", "gauge", "Requests that may still go, by what the vendor said last.",
         _quota(lambda quota: None if quota.left is None else float(quota.left))),
    _row("bridged_quota_reset_timestamp_seconds", "gauge", "When the quota is whole again.",
         _quota(lambda quota: _seconds(quota.resets_ms))),
    _row("bridged_token_age_seconds", "gauge", "How long ago the token in use was got.",
         lambda facts, _: None if facts.token is None else facts.token.age_s),
    _row("bridged_token_remaining_seconds", "gauge", "How long the token in use is still valid.",
         lambda facts, _: None if facts.token is None else facts.token.expires_in_s),
    _row("bridged_token_renewal_due_seconds", "gauge",
         "How long until the token in use is to be renewed; 0: it is due.",
         lambda facts, _: None if facts.token is None else facts.token.renew_in_s),
    _row("bridged_token_renewals_total", "counter", "Tokens that were got, the first among them.",
         lambda facts, _: float(facts.renewals)),
    _row("bridged_webhook_replies_total", "counter", "Webhooks that were answered, by class of status.",
         _replies, "status"),
)  # fmt: skip
"""In the order of the exposition."""
