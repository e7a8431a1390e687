"""What is read when, and why not sooner, in `bridged status`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.core.report import tempo
from bridge.core.report.intervals import Intervals
from bridge.core.report.overview import Overview
from bridge.core.report.session import session
from bridge.core.report.source import describe
from bridge.core.vitals import Reserves, Tempo, Vitals
from tests.support.configuration import SOURCE, loaded
from tests.support.memory_leases import claim

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
MINUTE_MS = 60_000
PROJECTS = Tempo("projects", 300.0, 900.0, 2.0, NOW_MS + 12 * MINUTE_MS)
QUOTA = Reserves(
    limit=50, period_s=900.0, ours=40.0, reserve=10, left=38, resets_ms=NOW_MS + 4 * MINUTE_MS, walks=7
)  # fmt: skip
READ: dict[str, Any] = {"projects": {"completed_ms": NOW_MS - 3 * MINUTE_MS}}


def described(
    tmp_path: Path, *walks: Tempo, quota: Reserves | None = QUOTA, read: dict[str, Any] = READ, at_ms: int = NOW_MS
) -> dict[str, Any]:
    """As in `status --json`."""
    config = loaded(tmp_path, SOURCE)
    overview = Overview("one", "acme", condition="connected", walks=read)
    held = replace(claim(), session=Vitals(at_ms=at_ms, polled=True, walks=walks, quota=quota))
    return describe(overview, Intervals(config.adapter(config.sources[0])), NOW, config.sources[0], held)


def said(report: dict[str, Any], name: str = "projects") -> str:
    """The line of one walk."""
    (walk,) = [walk for walk in report["walks"] if walk["name"] == name]
    return tempo.told(walk, report["quota"], NOW)


def test_why_a_walk_is_not_read_sooner(tmp_path: Path) -> None:
    """When it was read, when it is next, how often instead of what was wished, and who shares what."""
    report = described(tmp_path, PROJECTS)
    assert said(report) == (
        "read 3 min ago, next in 12 min: every 15 min instead of 5 min, "
        "since 40 of 50 requests per 15 min go to 7 collections, 2 for this one each time"
    )
    assert report["walks"] == [
        {
            "name": "projects", "completed": "2026-01-01T23:57:00.000Z", "age_s": 180.0, "every_s": 300.0,
            "late": False, "planned_s": 900.0, "cost": 2.0, "next": "2026-01-02T00:12:00.000Z", "rows": None,
            "total": None,
        }
    ]  # fmt: skip
    assert report["session"] is None
    assert said(described(tmp_path, replace(PROJECTS, cost=1.0), quota=None)) == (
        "read 3 min ago, next in 12 min: every 15 min instead of 5 min"
    )


def test_a_walk_that_has_what_it_wants(tmp_path: Path) -> None:
    """Its interval, and no excuse; what is due says so, and for how long if it waits; else how far it is."""
    wished = replace(PROJECTS, every_s=300.0)
    assert said(described(tmp_path, wished)) == "read 3 min ago, next in 12 min, every 5 min"
    assert said(described(tmp_path, replace(wished, next_ms=NOW_MS - 5))) == "read 3 min ago, next now, every 5 min"
    waiting = replace(wished, next_ms=NOW_MS - 180_000)
    assert said(described(tmp_path, waiting)) == "read 3 min ago, due for 3 min, every 5 min"
    running = replace(wished, rows=1_200, total=5_000)
    assert said(described(tmp_path, running)) == "read 3 min ago, now at row 1,200 of 5,000, every 5 min"
    assert said(described(tmp_path, replace(running, total=None), read={})) == (
        "not read to its end yet, now at row 1,200, every 5 min"
    )
    assert said(described(tmp_path, read=READ)) == "complete 3 min ago"


def test_the_quota_in_words(tmp_path: Path) -> None:
    """What is left of it until when, what is reserved, and how often it was overrun."""

    def words(**changes: Any) -> str:
        return tempo.left(described(tmp_path, quota=replace(QUOTA, **changes))["quota"], NOW)

    assert words() == "38 of 50 requests per 15 min left, 10 of them reserved for others; resets in 4 min"
    assert words(resets_ms=NOW_MS - 1) == (
        "38 of 50 requests per 15 min left, 10 of them reserved for others; has been reset since"
    )
    bare = {"left": None, "resets_ms": None, "reserve": 0}
    assert words(**bare) == "50 requests per 15 min"
    assert words(**bare, refused=2) == "50 requests per 15 min; refused 2 times"
    assert described(tmp_path, quota=None)["quota"] is None
    assert described(tmp_path)["quota"] == {
        "measured": "2026-01-02T00:00:00.000Z", "limit": 50, "period_s": 900.0, "reserve": 10, "ours": 40.0,
        "left": 38, "resets": "2026-01-02T00:04:00.000Z", "refused": 0, "walks": 7,
    }  # fmt: skip


def test_a_walk_is_late_by_what_is_planned(tmp_path: Path) -> None:
    """Two intervals and a minute; a plan that stretches it stretches that, too, and the problem names it."""
    read = {"projects": {"completed_ms": NOW_MS - 31 * MINUTE_MS}}
    assert described(tmp_path, PROJECTS, read=read)["problems"] == []
    read = {"projects": {"completed_ms": NOW_MS - 32 * MINUTE_MS}}
    assert described(tmp_path, PROJECTS, read=read)["problems"][0] == (
        "projects was last complete 32 min ago, and should be every 15 min"
    )
    assert described(tmp_path, replace(PROJECTS, every_s=300.0), read=READ)["problems"] == []


def test_who_is_polled_has_no_session() -> None:
    """Whatever else its claim tells; one that tells nothing plans nothing."""
    polled = replace(claim(), session=Vitals(at_ms=NOW_MS, polled=True, walks=(PROJECTS,)))
    assert session(polled, NOW) is None
    assert tempo.tempos(polled) == {"projects": PROJECTS}
    assert (tempo.tempos(None), tempo.tempos(claim()), tempo.quota(None), tempo.quota(claim())) == ({}, {}, None, None)


def test_a_first_reading_that_goes_on_is_no_problem(tmp_path: Path) -> None:
    """As long as the plan lets it take: two intervals of the slowest walk and a minute. Nobody is woken for it."""
    config = loaded(tmp_path, SOURCE)

    def problems(age_s: float, **under_way: int) -> list[str]:
        owner = {"instance": "night:7", "since_ms": NOW_MS - round(age_s * 1000)}
        walks = (Tempo("things", 300.0, 1_800.0, **under_way), PROJECTS)
        held = replace(claim(), session=Vitals(at_ms=NOW_MS, polled=True, walks=walks, quota=QUOTA))
        view = Overview("one", "acme", condition="never connected", owner=owner)
        found: list[str] = describe(view, Intervals(config.adapter(config.sources[0])), NOW, config.sources[0], held)[
            "problems"
        ]
        return found

    assert problems(3_600, rows=40, total=100_000) == []
    assert "its first reading is under way: projects, things" in problems(3_700, rows=40, total=100_000)[0]
    # Where nothing has been read yet, it may not even be able to log in.
    assert len(problems(30)) == 1
