"""The exposition: what Prometheus makes of what is measured. Its own client library reads what we write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.utils import floatToGoString

from bridge.core.ending import Ending
from bridge.core.histogram import Histogram
from bridge.core.lifecycle import State
from bridge.core.measures import METRICS, ChannelFacts, InstanceFacts, measure
from bridge.core.meter import Meter, Stage
from bridge.core.metric import samples
from bridge.core.report.facts import CountFacts, SourceFacts, TokenFacts
from bridge.core.vitals import Reserves, Tempo, Vitals
from bridge.edge import procfs
from bridge.edge.prometheus import exposition
from tests.support.scraping import Scrape

NOW_MS = 1_800_000_000_000
LABELS = {"source", "vendor", "state", "stage", "reason", "status", "alert", "channel", "condition", "version"}
"""All there are: names from the configuration, closed sets, and our own version."""
UNITS = {"seconds", "bytes", "requests", "frames"}


def source(**given: Any) -> SourceFacts:
    default: dict[str, Any] = {
        "name": "acme", "vendor": "sim", "adapter": "sim", "state": "live", "since_ms": NOW_MS - 5_000, "reason": "",
        "here": True,
    }  # fmt: skip
    return SourceFacts(**default | given)


def instance(*sources: SourceFacts, **given: Any) -> InstanceFacts:
    return InstanceFacts(version="1.2.3", now_ms=NOW_MS, since_ms=NOW_MS - 60_000, sources=sources, **given)


def scrape(facts: InstanceFacts) -> Scrape:
    kind, body = exposition(lambda: measure(facts))("")
    assert kind.startswith("text/plain")
    return Scrape(body.decode())


def test_names_keep_to_the_conventions() -> None:
    """One prefix, small letters, base units, `_total` for what only grows and for nothing else, a sentence of help."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"bridged(_[a-z]+)+", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|count|sum|bucket|created)(_|$)", metric.name)
        assert metric.help.endswith("."), metric.name
        assert set(metric.labels) <= LABELS, metric.name
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds")
        if re.search(r"_(duration|age|remaining|round_trip|interval|period|timestamp)(_|$)", metric.name):
            assert metric.name.removesuffix("_total").rsplit("_", 1)[1] in UNITS, metric.name


def test_every_metric_of_a_source_names_it_and_its_vendor() -> None:
    """Nothing about sources can be summed by mistake."""
    scraped = scrape(instance(source(), source(name="beta", vendor="other")))
    for name, labels in scraped.labels().items():
        assert labels.get("source", {"acme", "beta"}) == {"acme", "beta"}, name
        assert ("source" in labels) == ("vendor" in labels), name


def test_counters_are_there_with_0_from_the_start() -> None:
    """A rate over what appears only with its first increment would miss that one."""
    scraped = scrape(instance(source(shared=True, vitals=Vitals(at_ms=NOW_MS))))
    per_instance = {"bridged_bugs_total", "bridged_nats_reconnects_total", "bridged_nats_dropped_messages_total",
                    "bridged_webhook_strays_total", "bridged_alerts_decided_total"}  # fmt: skip
    per_alert = {"bridged_alerts_delivered_total", "bridged_alert_failures_total", "bridged_alert_missing_fields_total"}
    counters = {metric.name for metric in METRICS if metric.kind == "counter"}
    for name in counters - per_alert:
        found = scraped.samples(name) if name in per_instance else scraped.samples(name, source="acme", vendor="sim")
        assert found, name
        assert set(found) == {0.0}, name
    for reason in Ending:
        assert scraped.value("bridged_session_reconnects_total", reason=reason) == 0
    for stage in Stage:
        assert scraped.value("bridged_stage_duration_seconds_count", stage=stage) == 0
    for status in ("2xx", "3xx", "4xx", "5xx"):
        assert scraped.value("bridged_webhook_replies_total", status=status) == 0


def test_the_table_is_the_exposition() -> None:
    """Every metric of the table is in it, by its kind and in its order, even without a sample; and no other of ours."""
    scraped = scrape(instance())
    ours = {name: kind for name, kind in scraped.names.items() if name.startswith("bridged_")}
    assert list(ours.items()) == [(metric.name, metric.kind) for metric in METRICS]
    rest = set(scraped.names) - set(ours)
    assert rest == {
        "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
        "process_start_time_seconds", "process_virtual_memory_bytes",
    }  # fmt: skip


def test_openmetrics_is_answered_where_it_is_asked_for() -> None:
    """As recent servers prefer it; the strict parser reads it."""
    meter = Meter()
    meter.took(Stage.REQUEST, 0.2)
    scraping = exposition(lambda: measure(instance(source(meter=meter))))
    kind, body = scraping("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {one.name: one for one in read_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert families["bridged_stage_duration_seconds"].type == "histogram"
    assert families["bridged_requests"].type == "counter"


def test_a_source_is_told_as_it_is() -> None:
    """Each value where it belongs, in base units."""
    meter = Meter()
    meter.took(Stage.REQUEST, 0.2)
    meter.ended(Ending.SILENT)
    meter.refused(foreseeable=False)
    meter.depth = lambda: (3, 2048)
    meter.overruns = 2
    meter.blind_since_ms = NOW_MS - 9_000
    meter.batches.observe(0.02)
    meter.replied(202, 0.004)
    vitals = Vitals(
        at_ms=NOW_MS, live=True, sessions=4, frames=10, odd=1, unreadable=2, acks=5, last_frame_ms=NOW_MS - 7_000,
        last_beat_ms=NOW_MS - 3_000, round_trip_ms=12.0, beat_interval_ms=25_000, beat_timeout_ms=5_000,
        quota=Reserves(limit=50, period_s=900.0, ours=40.0, reserve=10, left=7, resets_ms=NOW_MS + 60_000),
    )  # fmt: skip
    counts = CountFacts(
        stored=8, unchanged=3, duplicates=2, quarantined=1, refused=4, unknown=5, held=6, batches=7, gaps=1, gap_s=12.5
    )
    scraped = scrape(
        instance(
            source(
                counts=counts, meter=meter, vitals=vitals, shared=True, requests=9, renewals=2, failures=1,
                token=TokenFacts(age_s=30.0, expires_in_s=270.0, renew_in_s=200.0),
            )
        )
    )  # fmt: skip
    expected = {
        "bridged_source_here": 1, "bridged_source_failures": 1,
        "bridged_source_state_timestamp_seconds": NOW_MS / 1000 - 5,
        "bridged_freshness_seconds": 3, "bridged_freshness_target_seconds": 30, "bridged_freshness_late": 0,
        "bridged_gap_open_seconds": 9, "bridged_gaps_total": 1, "bridged_gap_seconds_total": 12.5,
        "bridged_records_received_total": 13, "bridged_events_published_total": 8,
        "bridged_records_quarantined_total": 1, "bridged_records_held_total": 6,
        "bridged_ledger_batches_total": 7, "bridged_ledger_conflicts_total": 4,
        "bridged_ledger_unknown_outcomes_total": 5,
        "bridged_inbox_frames": 3, "bridged_inbox_bytes": 2048, "bridged_inbox_overruns_total": 2,
        "bridged_session_open": 1, "bridged_sessions_total": 4, "bridged_session_frames_total": 10,
        "bridged_session_odd_frames_total": 1, "bridged_session_unreadable_frames_total": 2,
        "bridged_session_acknowledgements_total": 5,
        "bridged_session_last_frame_timestamp_seconds": NOW_MS / 1000 - 7,
        "bridged_heartbeat_last_timestamp_seconds": NOW_MS / 1000 - 3, "bridged_heartbeat_interval_seconds": 25,
        "bridged_heartbeat_round_trip_seconds": 0.012,
        "bridged_requests_total": 9, "bridged_quota_limit_requests": 50, "bridged_quota_period_seconds": 900,
        "bridged_quota_reserve_requests": 10, "bridged_quota_remaining_requests": 7,
        "bridged_quota_reset_timestamp_seconds": NOW_MS / 1000 + 60,
        "bridged_token_renewal_due_seconds": 200,
        "bridged_token_age_seconds": 30, "bridged_token_remaining_seconds": 270, "bridged_token_renewals_total": 2,
    }  # fmt: skip
    assert {name: scraped.value(name, source="acme", vendor="sim") for name in expected} == expected
    assert {state: scraped.value("bridged_source_state", state=state) for state in State} == {
        state: float(state is State.LIVE) for state in State
    }
    assert scraped.value("bridged_duplicates_avoided_total", reason="unchanged") == 3
    assert scraped.value("bridged_duplicates_avoided_total", reason="stored") == 2
    assert scraped.value("bridged_session_reconnects_total", reason="silent") == 1
    assert scraped.value("bridged_requests_throttled_total", reason="unforeseeable") == 1
    assert scraped.value("bridged_requests_throttled_total", reason="foreseeable") == 0
    assert scraped.value("bridged_webhook_replies_total", status="2xx") == 1
    duration = "bridged_stage_duration_seconds"
    assert scraped.value(f"{duration}_bucket", stage="request", le="0.1") == 0
    assert scraped.value(f"{duration}_bucket", stage="request", le="0.25") == 1
    assert scraped.value(f"{duration}_bucket", stage="request", le="+Inf") == 1
    assert scraped.value(f"{duration}_sum", stage="request") == 0.2
    assert scraped.value("bridged_ledger_commit_duration_seconds_count", stage="batch") == 1
    told = set(scraped.labels()) | {f"{metric.name}_bucket" for metric in METRICS}
    assert {metric.name for metric in METRICS if "source" in metric.labels} <= {
        name.removesuffix("_bucket") for name in told
    }


def walk(name: str, wish_s: float, every_s: float) -> Tempo:
    return Tempo(name, wish_s=wish_s, every_s=every_s)


def freshness(walks: Sequence[Tempo], ages_s: dict[str, float]) -> tuple[list[float], list[float], list[float]]:
    facts = source(
        vitals=Vitals(at_ms=NOW_MS, polled=True, walks=walks),
        completed_ms={name: NOW_MS - round(age * 1000) for name, age in ages_s.items()},
    )
    found = scrape(instance(facts))
    names = ("bridged_freshness_seconds", "bridged_freshness_target_seconds", "bridged_freshness_late")
    age, target, late = (found.samples(name) for name in names)
    return age, target, late


def test_a_polled_source_is_as_fresh_as_the_walk_that_is_worst_off() -> None:
    """Against its interval, or what the plan makes of it where the quota is too small."""
    fast, slow = walk("fast", 10.0, 40.0), walk("slow", 3600.0, 3600.0)
    assert freshness([fast, slow], {"fast": 20.0, "slow": 900.0}) == ([20.0], [40.0], [0.0])
    assert freshness([fast, slow], {"fast": 4000.0, "slow": 900.0}) == ([4000.0], [40.0], [1.0])
    assert freshness([fast, slow], {}) == ([], [], [0.0])


def test_what_another_instance_works_for_is_neither_stale_nor_missed_here() -> None:
    """Of a source that stands by, whoever works for it tells."""
    meter = Meter()
    meter.blind_since_ms = NOW_MS - 9_000
    vitals = Vitals(at_ms=NOW_MS, polled=True, walks=[walk("all", 1.0, 1.0)])
    facts = source(here=False, state="standby", meter=meter, vitals=vitals, completed_ms={"all": NOW_MS - 10**7})
    scraped = scrape(instance(facts))
    assert scraped.samples("bridged_freshness_seconds") == []
    assert scraped.value("bridged_freshness_late") == 0
    assert scraped.value("bridged_gap_open_seconds") == 0
    assert scraped.value("bridged_source_here") == 0


def test_an_instance_is_told_as_it_is() -> None:
    """Readiness by condition, NATS, alerts by channel: a channel that fails says for how long."""
    scraped = scrape(
        instance(
            ready=False,
            conditions={"nats": True, "webhooks": False},
            connected=True,
            connections=4,
            dropped=1,
            bugs=2,
            strays=3,
            decided=9,
            missing={"few": 5},
            channels=[ChannelFacts("each", "hook", 7, 3, NOW_MS - 90_000), ChannelFacts("few", "env OPS", 1)],
        )
    )
    assert scraped.value("bridged_build_info", version="1.2.3") == 1
    assert scraped.value("bridged_start_time_seconds") == NOW_MS / 1000 - 60
    assert scraped.value("bridged_ready") == 0
    assert scraped.value("bridged_condition", condition="nats") == 1
    assert scraped.value("bridged_condition", condition="webhooks") == 0
    assert scraped.value("bridged_nats_connected") == 1
    assert scraped.value("bridged_nats_reconnects_total") == 3
    assert scraped.value("bridged_nats_dropped_messages_total") == 1
    assert scraped.value("bridged_bugs_total") == 2
    assert scraped.value("bridged_webhook_strays_total") == 3
    assert scraped.value("bridged_alerts_decided_total") == 9
    assert scraped.value("bridged_alert_missing_fields_total", alert="few") == 5
    assert scraped.value("bridged_alerts_delivered_total", alert="each", channel="hook") == 7
    assert scraped.value("bridged_alert_failures_total", alert="each", channel="hook") == 3
    assert scraped.value("bridged_alert_channel_failing_seconds", alert="each", channel="hook") == 90
    assert scraped.value("bridged_alert_channel_failing_seconds", alert="few", channel="env OPS") == 0


def test_a_reading_may_be_nothing_one_or_several() -> None:
    """None is no sample at all: a value that is not known is not 0."""
    assert samples(("a",), None) == []
    assert samples(("a",), 1.0) == [(("a",), 1.0)]
    assert samples(("a",), {"x": 1.0, "y": 2.0}) == [(("a", "x"), 1.0), (("a", "y"), 2.0)]
    pairs: dict[tuple[str, ...], Any] = {("x", "y"): 1.0}
    assert samples((), pairs) == [(("x", "y"), 1.0)]


@pytest.mark.parametrize(
    ("accept", "strict"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain", False),
        # What Prometheus 2 and 3 send.
        ("application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3", True),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_is_taken(accept: str, strict: bool) -> None:
    """OpenMetrics where its version 1.0.0 is taken, else the text format, whatever is asked for."""
    kind, body = exposition(lambda: measure(instance()))(accept)
    assert kind.startswith("application/openmetrics-text") == strict
    assert body.endswith(b"# EOF\n") == strict


def test_names_of_the_configuration_may_hold_anything() -> None:
    """Quotes, backslashes and line breaks are escaped in both formats, and read back as they were."""
    odd = 'a "b" \\ c\nd ü'
    facts = instance(channels=[ChannelFacts("each", odd, 7)])
    assert scrape(facts).value("bridged_alerts_delivered_total", alert="each", channel=odd) == 7
    _, body = exposition(lambda: measure(facts))("application/openmetrics-text")
    families = {one.name: one for one in read_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    (sample,) = families["bridged_alerts_delivered"].samples
    assert sample.labels["channel"] == odd


def test_our_text_says_what_the_client_library_would_say() -> None:
    """Sample by sample, for histograms as for all else."""
    meter = Meter()
    for seconds in (0.0004, 0.2, 0.25, 7.0, 500.0):
        meter.took(Stage.REQUEST, seconds)
    measured = list(measure(instance(source(meter=meter))))
    ours = scrape(instance(source(meter=meter)))
    theirs: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for one in measured:
        metric = one.metric
        if metric.kind != "histogram":
            continue
        family = HistogramMetricFamily(metric.name, metric.help, labels=list(metric.labels))
        for values, value in one.samples:
            assert isinstance(value, Histogram)
            buckets = [(floatToGoString(bound), count) for bound, count in value.cumulative()]  # type: ignore[no-untyped-call]
            family.add_metric(values, buckets=buckets, sum_value=value.sum_s)
        theirs |= {(sample.name, frozenset(sample.labels.items())): sample.value for sample in family.samples}
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in ours.families.values()
        if family.type == "histogram"
        for sample in family.samples
    }
    assert found == theirs
    assert max(found.values()) > 500


def test_the_process_is_told_as_the_client_library_tells_it() -> None:
    """The same six figures, of the same process at the same time."""
    ours = scrape(instance())
    theirs = {
        sample.name: sample.value
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    }  # fmt: skip
    assert {name for name in ours.names if name.startswith("process_")} == set(theirs)
    for name, value in theirs.items():
        assert ours.value(name) == pytest.approx(value, rel=0.1, abs=2.0), name


def test_without_proc_nothing_is_told_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system, or with no file descriptor left, all else is."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    assert [name for name in scrape(instance()).names if name.startswith("process_")] == []
    assert scrape(instance()).value("bridged_ready") == 0
