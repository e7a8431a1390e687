"""The report: what is fresh, what is told where little is known, and that no id is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.core.report import shown
from bridge.core.report.facts import CountFacts, InboxFacts, RecentEvent, SourceFacts, TokenFacts
from bridge.core.report.freshness import freshness
from bridge.core.report.headline import headline
from bridge.core.report.intervals import Intervals
from bridge.core.report.known import known
from bridge.core.report.overview import Overview
from bridge.core.report.source import describe
from bridge.core.vitals import Reserves, Tempo, Vitals
from tests.support.configuration import SOURCE, loaded
from tests.support.memory_leases import claim
from tests.support.report_shape import Head, Report, Source, faults

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
OWNER = {"instance": "north", "host": "h", "pid": 7, "build": "1", "since_ms": NOW_MS - 5000}
FACTS = SourceFacts(
    name="one", vendor="acme", adapter="acme", state="live", since_ms=NOW_MS - 60_000, reason="", here=True,
    counts=CountFacts(stored=5, unchanged=3, duplicates=2, by_change={"created": 5}), rate=(0,) * 58 + (7, 1),
)  # fmt: skip
VITALS = Vitals(
    at_ms=NOW_MS, live=True, sessions=1, frames=9, last_frame_ms=NOW_MS - 4000, beat_interval_ms=25_000,
    beat_timeout_ms=5_000, round_trip_ms=12.5, walks=(Tempo("projects", 300.0, 900.0),),
    quota=Reserves(limit=50, period_s=900.0, ours=40.0),
)  # fmt: skip


def told(tmp_path: Path, facts: SourceFacts | None, view: Overview, seen_ms: int | None = NOW_MS) -> dict[str, Any]:
    """One source of the report."""
    config = loaded(tmp_path, SOURCE)
    settings = config.sources[0]
    held = None if facts is None else replace(claim(), session=facts.vitals)
    intervals = Intervals(config.adapter(settings))
    return shown.public(describe(view, intervals, NOW, settings, held, facts, seen_ms))


def walk(age_s: float | None, every_s: float | None, *, late: bool = False, planned_s: float | None = None) -> Any:
    return {"age_s": age_s, "every_s": every_s, "late": late, "planned_s": planned_s}


def heard(ago_s: float, **more: Any) -> Any:
    last = (NOW - timedelta(seconds=ago_s)).isoformat()
    base = {"live": True, "stale": False, "last_frame": last, "last_beat": None}
    return {**base, "beat_interval_s": 25.0, "beat_timeout_s": 5.0, **more}


# --- every key, always --------------------------------------------------------------------------------------------


def test_a_source_of_which_everything_is_known_keeps_the_contract(tmp_path: Path) -> None:
    """Every key, each of the kind that is promised."""
    facts = replace(FACTS, vitals=VITALS, token=TokenFacts(3.0, 597.0, 537.0), inbox=InboxFacts(1, 20, 30))
    view = Overview(
        "one", "acme", owner=dict(OWNER), condition="connected", since="2026-01-01T00:00:00Z",
        walks={"projects": {"completed_ms": NOW_MS - 1000}}, quarantined=2,
        last_event={"subject": "events.acme.one.thing.created.4711", "seq": 9, "observed": "2026-01-01T00:00:00Z"},
        open_gaps=[{"feed": "live", "reason": "r", "from": "2026-01-01T00:00:00Z", "to": None, "id": "4711"}],
        last_quarantine={"observed": "2026-01-01T00:00:00Z", "reason": "no", "raw": "4711"},
    )  # fmt: skip
    source = told(tmp_path, facts, view)
    assert faults(source, Source) == []
    assert source["counts"]["received"] == 10
    assert source["token"] == {"age_s": 3.0, "expires_in_s": 597.0, "renew_in_s": 537.0, "renewals": 0}
    assert source["last_event"] == {
        "entity": "thing", "change": "created", "seq": 9, "observed": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert "4711" not in json.dumps(source)


def test_a_source_of_which_nothing_is_known_keeps_the_contract(tmp_path: Path) -> None:
    """Nobody tells of it and nothing was ever stored: null, and never a missing key."""
    source = told(tmp_path, None, Overview("one", "acme"), None)
    assert faults(source, Source) == []
    assert (source["state"], source["counts"], source["freshness"], source["seen"]) == (None, None, None, None)


def test_the_whole_keeps_the_contract(tmp_path: Path) -> None:
    """Head, sources and events together; what the checker finds missing, it says."""
    source = told(tmp_path, FACTS, known(FACTS, None, None, OWNER), None)
    instance = {
        "name": "n", "host": "h", "pid": 1, "build": "1", "since": "2026-01-02T00:00:00Z",
        "now": "2026-01-02T00:00:00Z", "phase": "ready", "refused": None,
    }  # fmt: skip
    nats = {"server": "h:1", "version": "2", "connected": True, "away_since": None}
    head = shown.head(
        instance=instance, headline="x", conditions=[{"name": "nats", "holds": True, "why": ""}], nats=nats,
        stream=None, webhooks=None, alerts=[], troubled=False,
    )  # fmt: skip
    event = shown.row(RecentEvent(1, NOW_MS, "one", "acme", "thing", "created", 7))
    report = shown.report(head, [source], [event])
    assert faults(head, Head) == []
    assert faults(report, Report) == []
    assert head["ok"]
    del report["sources"][0]["walks"]
    report["instance"]["phase"] = "asleep"
    assert len(faults(report, Report)) == 2


@pytest.mark.parametrize(
    "what",
    [
        {"troubled": True},
        {"nats": {"connected": False}},
        {"conditions": [{"name": "nats", "holds": False, "why": "not yet"}]},
        {"alerts": [{"name": "a", "channels": [{"problem": "waits"}]}]},
    ],
)
def test_it_is_not_ok_where_somebody_should_look(what: dict[str, Any]) -> None:
    """A source with a problem, NATS away, not ready, an alert that does not get through: each alone."""
    well: dict[str, Any] = {
        "instance": {}, "headline": "", "conditions": [], "nats": {"connected": True}, "stream": None,
        "webhooks": None, "alerts": [], "troubled": False,
    }  # fmt: skip
    assert shown.head(**well)["ok"] is True
    assert shown.head(**{**well, **what})["ok"] is False


# --- freshness ----------------------------------------------------------------------------------------------------


def test_an_open_session_is_as_fresh_as_its_last_sign_of_life() -> None:
    """Against its heartbeat and the time for an answer; late a while after that."""
    assert freshness([walk(900.0, 300.0)], heard(4.0), NOW) == {"age_s": 4.0, "target_s": 30.0, "late": False}
    assert freshness([], heard(61.0), NOW) == {"age_s": 61.0, "target_s": 30.0, "late": True}
    assert freshness([], heard(59.0, beat_interval_s=None), NOW) == {"age_s": 59.0, "target_s": None, "late": False}


def test_what_is_read_is_as_fresh_as_the_walk_that_is_worst_off() -> None:
    """Against what is planned where the quota stretches it; a late one goes before one that is merely old."""
    assert freshness([walk(10.0, 300.0), walk(20.0, 30.0)], None, NOW) == {
        "age_s": 20.0, "target_s": 30.0, "late": False,
    }  # fmt: skip
    late = [walk(4000.0, 1000.0, late=True), walk(60.0, 10.0), walk(None, 5.0)]
    assert freshness(late, None, NOW) == {"age_s": 4000.0, "target_s": 1000.0, "late": True}
    assert freshness([walk(60.0, 10.0, planned_s=90.0)], None, NOW) == {"age_s": 60.0, "target_s": 90.0, "late": False}


@pytest.mark.parametrize("shut", [{"live": False}, {"stale": True}, {"last_frame": None}])
def test_a_session_that_tells_nothing_now_does_not_count(shut: dict[str, Any]) -> None:
    """One that is shut, unheard of, or silent so far: what was read decides, and where nothing was, nothing is said."""
    assert freshness([walk(5.0, 10.0)], heard(1.0, **shut), NOW) == {"age_s": 5.0, "target_s": 10.0, "late": False}
    assert freshness([walk(None, 10.0)], heard(1.0, **shut), NOW) is None


# --- what the process knows goes before what the stream knew --------------------------------------------------------


def test_the_process_knows_its_walks_first() -> None:
    """A pass that was completed since the stream was asked counts; an older one does not."""
    seen = Overview("one", "acme", walks={"a": {"completed_ms": 100, "x": 1}, "b": {"completed_ms": 900}})
    view = known(replace(FACTS, completed_ms={"a": 500, "b": 500, "c": 500}), seen, NOW_MS, OWNER)
    assert view.walks == {"a": {"completed_ms": 500, "x": 1}, "b": {"completed_ms": 900}, "c": {"completed_ms": 500}}
    assert seen.walks["a"] == {"completed_ms": 100, "x": 1}
    assert view.owner == OWNER


def test_a_source_that_moved_on_is_not_called_what_it_was() -> None:
    """It was lost when the stream was asked, and is live now; blocked now, and was connected."""
    lost = Overview("one", "acme", condition="lost", reason="timeout", failing_since="2026-01-01T00:00:00Z")
    before = FACTS.since_ms - 1
    view = known(FACTS, lost, before, OWNER)
    assert (view.condition, view.reason, view.failing_since) == ("connected", "", None)
    assert known(FACTS, lost, FACTS.since_ms + 1, OWNER).condition == "lost"
    blocked = known(replace(FACTS, state="blocked", reason="no"), Overview("one", "acme"), before, OWNER)
    assert (blocked.condition, blocked.reason, blocked.since) == ("blocked", "no", "2026-01-01T23:59:00.000Z")


def test_of_what_nobody_has_looked_up_nothing_bad_is_said(tmp_path: Path) -> None:
    """A source that connects, or that another instance has, has no problem before the stream was asked."""
    for facts in (replace(FACTS, state="connecting"), replace(FACTS, state="standby", here=False), FACTS):
        source = told(tmp_path, facts, known(facts, None, None, OWNER), None)
        assert source["problems"] == []
    assert known(replace(FACTS, state="waiting"), None, None, OWNER).condition == ""


# --- lines and news -----------------------------------------------------------------------------------------------


def test_the_headline_tells_it_in_one_line() -> None:
    """How many, how they are, the best first, and the events of the last whole minute."""
    many = [FACTS, replace(FACTS, state="blocked"), replace(FACTS, state="catching_up"), FACTS]
    assert headline(many) == "4 sources: 2 live, 1 catching up, 1 blocked; 28 events a minute"
    assert headline([replace(FACTS, rate=(0,) * 58 + (1, 9))]) == "1 source: 1 live; 1 event a minute"
    assert headline([]) == "no source is configured"


def test_time_that_passes_is_no_news(tmp_path: Path) -> None:
    """What lasts of a report does not change with the clock, and does with anything else."""
    facts = replace(FACTS, vitals=VITALS, token=TokenFacts(3.0, 597.0, 537.0), completed_ms={"projects": NOW_MS - 1000})
    one = told(tmp_path, facts, known(facts, None, None, OWNER))
    later = replace(facts, token=TokenFacts(4.0, 596.0, 536.0), vitals=replace(VITALS, at_ms=NOW_MS + 1000))
    two = told(tmp_path, later, known(later, None, None, OWNER), NOW_MS + 1000)
    assert one != two
    assert shown.lasting(one) == shown.lasting(two)
    more = replace(facts, counts=CountFacts(stored=6))
    assert shown.lasting(one) != shown.lasting(told(tmp_path, more, known(more, None, None, OWNER)))
