"""What a person sees at a glance: how all is, how each source is, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Visiting
from tests.support.page_report import STATES, five, moments_now, report, source

WORDS = {
    "opening": "Opening",
    "standby": "Standby",
    "connecting": "Connecting",
    "catching_up": "Catching up",
    "live": "Live",
    "waiting": "Waiting",
    "away": "NATS away",
    "blocked": "Blocked",
    "stopped": "Stopped",
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str, str]] = {
    # Name: what differs in the source, in the report; the headline; its tone.
    "well": ({}, {}, "All is well", "ok"),
    "catching up": ({"state": "catching_up"}, {}, "Catching up", "busy"),
    "blocked": ({"state": "blocked"}, {}, "The source needs attention", "bad"),
    "late": ({"freshness": {"age_s": 900.0, "target_s": 60.0, "late": True}}, {}, "The source needs attention", "warn"),
    "nats gone": (
        {},
        {"nats": {"server": "x", "version": "", "connected": False, "away_since": None}},
        "NATS cannot be reached",
        "bad",
    ),
    "not ready": (
        {},
        {"conditions": [{"name": "webhooks", "holds": False, "why": "the port is taken"}]},
        "Not ready",
        "warn",
    ),
    "alert": (
        {},
        {"ok": False, "alerts": [{"name": "a", "channels": [{"name": "c", "waiting": 2, "problem": "2 waiting"}]}]},
        "An alert is not delivered",
        "warn",
    ),
    "no source": ({}, None, "No source is configured", "idle"),
}


def test_every_state_has_a_word_and_a_shape(visiting: Visiting) -> None:
    """Each state of a source is told in words beside a shape, with since when; bad ones come first."""
    moments = moments_now()
    sources = [source(f"in-{state}", moments, state=state, state_since=moments.ago(7260)) for state in STATES]
    page = visiting(report(sources, moments)).open()
    for state in STATES:
        row = page.get_by_role("article", name=f"in-{state}")
        expect(row.locator(".badge")).to_have_text(WORDS[state])
        expect(row.locator(".badge svg path.stroke")).to_have_count(1)
        expect(row.locator(".state")).to_contain_text("for 2 h 1 min")
    names = page.locator(".source h3").all_inner_texts()
    assert names[:3] == ["in-away", "in-blocked", "in-waiting"]


@pytest.mark.parametrize("case", CASES)
def test_the_headline_says_how_all_is(case: str, visiting: Visiting) -> None:
    """One sentence, in words: it is also the title of the window, for whoever has it in the background."""
    changed, around, words, tone = CASES[case]
    moments = moments_now()
    sources = [] if around is None else [source("orders", moments, **changed)]
    page = visiting(report(sources, moments, **(around or {}))).open()
    expect(page.get_by_role("heading", level=1)).to_have_text(words)
    expect(page.locator(".verdict")).to_have_attribute("data-tone", tone)
    expect(page).to_have_title(f"{words} · gate-1")


def test_what_differs_between_states_stands_on_the_page(visiting: Visiting) -> None:
    """A refused configuration with its reason; a source that fails since its first failure, not its last attempt."""
    moments = moments_now()
    failing = {"state": "waiting", "condition": "lost", "problems": ["it cannot be reached"]}
    told = report([source("orders", moments)], moments, ok=False)
    told["instance"]["refused"] = {"at": moments.ago(7260), "why": "the old configuration goes on: b.toml:3: what"}
    visit = visiting(told)
    page = visit.open()
    expect(page.get_by_role("heading", level=1)).to_have_text("A new configuration was refused")
    expect(page.locator(".verdict")).to_contain_text("the old configuration goes on: b.toml:3: what")
    expect(page.get_by_role("region", name="This instance")).to_contain_text("refused 2 h 1 min ago")
    expect(page.get_by_role("region", name="This instance")).to_contain_text("connections turned away")
    lost = source("orders", moments, state_since=moments.ago(2), failing_since=moments.ago(7260), **failing)
    page = visiting(report([lost], moments)).open()
    expect(page.get_by_role("article", name="orders").locator(".state")).to_contain_text("for 2 h 1 min")


def test_trouble_names_the_source_since_when_and_what_to_do(visiting: Visiting) -> None:
    """Whoever is woken reads which source it is, for how long, why, and the command that helps; a link leads to it."""
    moments = moments_now()
    page = visiting(report(five(moments), moments)).open()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 sources need attention")
    todo = page.get_by_role("region", name="What to do")
    blocked, waiting = todo.get_by_role("listitem").all()
    for text in ("travel-risk", "Blocked", "for 14 min", "login refused: invalid_client", "bridged check --online"):
        expect(blocked).to_contain_text(text)
    for text in ("workforce", "Waiting", "did not answer within 30 s", "bridged resync workforce --since 20"):
        expect(waiting).to_contain_text(text)
    blocked.get_by_role("link", name="travel-risk").click()
    expect(page.get_by_role("heading", name="travel-risk", level=3).last).to_be_focused()
    expect(page.get_by_role("article", name="travel-risk").locator("details")).to_have_attribute("open", "")


def test_a_row_tells_all_that_is_measured(visiting: Visiting) -> None:
    """Freshness against its target, round trip, budget and plan, token, gaps, quarantine and events per minute."""
    moments = moments_now()
    page = visiting(report(five(moments), moments)).open()

    def fact(name: str, term: str) -> str:
        row = page.get_by_role("article", name=name)
        found = row.locator(".fact").filter(has=page.locator(f"dt:text-is('{term}')"))
        return " ".join(found.inner_text().split())

    assert "12 ms" in fact("support-acme", "Heartbeat")
    assert "every 25 s" in fact("support-acme", "Heartbeat")
    assert "target 30 s" in fact("support-acme", "Freshness")
    assert "in 41 min 12 min old, renewed 13 times" in fact("support-acme", "Token renewal")
    assert "38 of 50 resets in 4 min; read every 15 min" in fact("orders", "Budget")
    assert "4 of 600" in fact("workforce", "Budget")
    assert "read every 15 min instead of 5 min" in fact("workforce", "Budget")
    assert "! " not in fact("orders", "Gaps")
    assert "1 open" in fact("workforce", "Gaps")
    assert "late: target 5 min" in fact("travel-risk", "Freshness")
    assert "3 in quarantine" in fact("shop-hooks", "Gaps")
    label = page.get_by_role("article", name="support-acme").get_by_role("img").get_attribute("aria-label") or ""
    assert label.startswith("Events per minute in the last hour: ")
    bars = page.get_by_role("article", name="support-acme").locator("path.bars").first.get_attribute("d") or ""
    assert bars.count("M") > 30
    expect(page.get_by_role("region", name="Last events").locator("tbody tr")).to_have_count(24)


def test_details_open_with_plan_subscriptions_and_counts(visiting: Visiting) -> None:
    """All the rest is one key away, and is made only then."""
    moments = moments_now()
    page = visiting(report(five(moments), moments)).open()
    row = page.get_by_role("article", name="support-acme")
    assert row.locator("table").count() == 0
    row.locator("summary").press("Enter")
    expect(row.get_by_role("table", name="What is read, and when")).to_contain_text("sessions")
    expect(row.get_by_role("table", name="Subscriptions")).to_contain_text("supportSession")
    expect(row).to_contain_text("duplicates avoided")
    expect(row).to_contain_text("bridged@gate-1")
    row.locator("summary").press("Enter")
    expect(row.locator("table")).to_have_count(0)


def test_moments_are_exact_where_they_are_asked_for(visiting: Visiting) -> None:
    """Ages are relative; the moment itself stands beside them in the reader's own time zone."""
    moments = moments_now()
    since = "2026-01-15T12:00:00.000Z"
    page = visiting(report([source("orders", moments, state_since=since)], moments), timezone_id="Asia/Kolkata").open()
    moment = page.get_by_role("article", name="orders").locator(".state time")
    expect(moment).to_have_attribute("datetime", since)
    title = moment.get_attribute("title") or ""
    assert title.startswith("January 15, 2026 at 17:30:00"), title
    assert "5:30" in title


def test_what_is_not_known_is_not_made_up(visiting: Visiting) -> None:
    """A report whose values are all None is drawn, with dashes and no error."""
    moments = moments_now()
    bare = dict.fromkeys(source("bare", moments))
    bare |= {
        "name": "bare",
        "vendor": "v",
        "adapter": "v",
        "state": "warming",
        "here": False,
        "problems": [],
        "walks": [],
        "subscriptions": [],
        "rate": [],
        "open_gaps": [],
        "quarantined": 0,
        "condition": "never connected",
    }
    page = visiting(report([bare], moments, stream=None, webhooks=None, alerts=[], events=[])).open()
    row = page.get_by_role("article", name="bare")
    expect(row.locator(".badge")).to_have_text("warming")
    row.locator("summary").press("Enter")
    expect(row).to_contain_text("never connected")
    text = page.locator("main").inner_text()
    assert not any(word in text for word in ("NaN", "undefined", "null", "Invalid"))
