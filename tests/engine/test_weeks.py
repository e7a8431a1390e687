"""Weeks of polling an agency, on a virtual clock: what polling can see is in the stream, once, and nothing else is.

`BRIDGED_WEEKS_DAYS` (default 28) is how long the long case lasts, `BRIDGED_WEEKS_SEED` repeats its chances.
"""

from __future__ import annotations

import os
import random

import pytest

from bridge.sandbox import oracle
from tests.support.live_scene import figures
from tests.support.weeks import Course, Weeks, lived, tables

DAYS = int(os.environ.get("BRIDGED_WEEKS_DAYS", "28"))
SEED = int(os.environ.get("BRIDGED_WEEKS_SEED") or random.SystemRandom().randrange(1_000_000))

# Half of the collections, at a calmer pace: enough for a small quota to be too small.
SLOWER = dict.fromkeys(("projects", "projecttasks", "projecttimes", "contacts", "crmevents"), 5_400.0)
LEFT_OUT = ("workingtimes", "quotations", "customers", "addresses", "externalcosts")


@pytest.mark.timeout(300)
def test_a_week_of_edits_deletes_faults_quotas_and_crashes() -> None:
    """Nothing lost that an answer carried, nothing twice, nothing told deleted that was there; no refusal for quota
    that the answers before had announced, and other people's tools find their share untouched."""
    weeks = lived(
        Course(
            days=8,
            seed=3,
            changes=25,
            crashes=3,
            quotas=(6, 20, 4, 8),
            others=1,
            settings={"resource": tables(10, *LEFT_OUT, **SLOWER)},
        )
    )
    judged(weeks)
    assert weeks.crashes == 4
    deleted = [event for scope in weeks.scopes for event in weeks.seen(scope) if event.change == "deleted"]
    assert len(deleted) >= 5
    hidden = [
        event
        for event in weeks.seen("contacts")
        if event.change == "updated" and event.after and event.after["active"] is False
    ]
    assert hidden


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_weeks_of_everything() -> None:
    """The same for all collections, with the quota of the smallest package and of others."""
    print(f"BRIDGED_WEEKS_SEED={SEED}")
    judged(
        lived(
            Course(
                days=DAYS,
                seed=SEED,
                size=12,
                crashes=max(1, DAYS // 2),
                quotas=(50, 100, 20, 50, 30),
                others=4,
                settings={"resource": tables(20)},
            )
        )
    )


def judged(weeks: Weeks) -> None:
    """Fails with everything that was found."""
    reports = weeks.reports()
    counters = weeks.sandbox.counters()
    total = oracle.total(reports.values())
    print(figures(total), weeks.requests, "requests", counters)
    assert not total.findings, "\n".join(total.findings)
    assert total.faithful
    assert total.events > 0
    assert counters.get("foreseeable", 0) == 0
    assert counters.get("greedy", 0) == 0
    assert counters["others"] > 100
    assert len(counters["faults"]) >= 8, counters["faults"]
