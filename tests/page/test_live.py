"""The page lives by itself: what changes arrives, and what no longer comes is never shown as fresh."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.page.conftest import PATIENCE_MS, Visiting
from tests.support.page_report import five, moments_now, report, source
from tests.support.waiting import wait_until_blocking

RECORD = """() => {
  window.said = [];
  const spoken = document.getElementById("spoken");
  new MutationObserver(() => window.said.push(spoken.textContent)).observe(
    spoken, {childList: true, characterData: true, subtree: true});
}"""


def _said(page: Page) -> list[str]:
    said: list[str] = page.evaluate("window.said")
    return said


def test_a_change_arrives_without_reload(visiting: Visiting) -> None:
    """A source that changes, and an event that is stored, are seen at once, on the same page; nothing is asked."""
    moments = moments_now()
    visit = visiting(report([source("orders", moments), source("people", moments)], moments))
    page = visit.open()
    page.evaluate("window.same = true")
    visit.server.push("source", source("orders", moments, state="blocked", problems=["the vendor refuses: 401"]))
    row = page.get_by_role("article", name="orders")
    expect(row.locator(".badge")).to_have_text("Blocked")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 source needs attention")
    row_of_events = {
        "at": moments.ago(0),
        "source": "people",
        "vendor": "v",
        "entity": "badge",
        "change": "created",
        "seq": 49_000,
    }
    visit.server.push("stored", [row_of_events])
    first = page.get_by_role("region", name="Last events").locator("tbody tr").first
    expect(first).to_contain_text("badge created")
    whole = report([], moments)
    visit.server.push(
        "head",
        {key: whole[key] for key in whole if key not in ("sources", "events")}
        | {"webhooks": {"addresses": [], "requests": 77_777, "refused": 0, "connections": 0}},
    )
    expect(page.get_by_role("region", name="This instance")).to_contain_text("77,777")
    expect(row.locator(".badge")).to_have_text("Blocked")
    assert page.evaluate("window.same") is True
    assert [one for one in visit.server.requests if "status.json" in one] == []
    assert visit.server.requests.count("GET /events") == 1


def test_what_the_reader_holds_stays(visiting: Visiting) -> None:
    """Focus, open details and the order under the reader's hands survive a change; it moves once they have gone."""
    moments = moments_now()
    visit = visiting(report([source(name, moments) for name in ("a", "b", "c")], moments))
    page = visit.open()
    summary = page.get_by_role("article", name="c").locator("summary")
    summary.press("Enter")
    expect(page.get_by_role("article", name="c").locator("table").first).to_be_visible()
    visit.server.push("source", source("c", moments, state="blocked", problems=["no"]))
    expect(page.get_by_role("article", name="c").locator(".badge")).to_have_text("Blocked")
    expect(summary).to_be_focused()
    expect(page.get_by_role("article", name="c").locator("table").first).to_be_visible()
    assert page.locator(".source h3").all_inner_texts() == ["a", "b", "c"]
    page.get_by_role("button", name="Theme").focus()
    expect(page.locator(".source h3").first).to_have_text("c")
    expect(page.get_by_role("article", name="c").locator("details")).to_have_attribute("open", "")


def test_a_server_that_is_gone_is_told_and_comes_back(visiting: Visiting) -> None:
    """Without the daemon the page says that it is not live and since when, shows nothing as fresh, and recovers."""
    moments = moments_now()
    visit = visiting(report(five(moments), moments))
    page = visit.open()
    page.evaluate("window.same = true")
    expect(page.locator("#feed")).to_have_text("Live")
    visit.fails = True
    visit.server.stop()
    expect(page.get_by_role("heading", level=1)).to_have_text("No longer live")
    expect(page.locator("#feed")).to_have_text("Not live")
    expect(page.locator("#hero .why")).to_contain_text("What you see is as of")
    expect(page.locator("#hero .why time").first).to_have_attribute("data-how", "for")
    expect(page.get_by_role("article", name="orders").locator(".badge")).to_have_text("Was live")
    expect(page.get_by_role("article", name="orders").locator(".fact").first).to_contain_text("unknown")
    expect(page).to_have_title("No longer live · gate-1")
    expect(page.locator("#spoken")).to_contain_text("No longer live")
    visit.server.report = report([source("orders", moments)], moments)
    visit.server.start()
    expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
    expect(page.locator("#feed")).to_have_text("Live")
    expect(page.locator(".source h3")).to_have_text(["orders"])
    assert page.evaluate("window.same") is True


def test_silence_is_not_life(visiting: Visiting) -> None:
    """A connection that stays open and brings nothing is not live for longer than the server is ever silent."""
    moments = moments_now()
    visit = visiting(report([source("orders", moments)], moments))
    visit.page.clock.install()
    page = visit.open()
    expect(page.locator("#feed")).to_have_text("Live")
    page.evaluate("""() => {
      window.states = [];
      new MutationObserver(() => window.states.push(document.documentElement.dataset.feed)).observe(
        document.documentElement, {attributes: true, attributeFilter: ["data-feed"]});
    }""")
    page.clock.fast_forward(30_000)
    assert page.evaluate("window.states") == []
    page.clock.fast_forward(15_000)
    page.wait_for_function("window.states[0] === 'lost'", timeout=PATIENCE_MS)
    # It was connected anew, got the report, and is live again.
    wait_until_blocking(lambda: visit.server.requests.count("GET /events") == 2, what="a second connection")
    page.wait_for_function("window.states.at(-1) === 'live'", timeout=PATIENCE_MS)


def test_ages_go_on_by_themselves(visiting: Visiting) -> None:
    """What is so many seconds old grows older without anything arriving."""
    moments = moments_now()
    visit = visiting(report([source("orders", moments, state_since=moments.ago(30))], moments))
    visit.page.clock.install()
    page = visit.open()
    since = page.get_by_role("article", name="orders").locator(".state time")
    expect(since).to_have_text(re.compile(r"^for 3\d s$"))
    page.clock.fast_forward(32_000)
    expect(since).to_have_text(re.compile(r"^for 1 min \d+ s$"))


def test_only_changes_of_state_are_spoken(visiting: Visiting) -> None:
    """A screen reader is told of a state that changes, and of nothing that merely ticks."""
    moments = moments_now()
    visit = visiting(report([source("orders", moments), source("people", moments)], moments))
    page = visit.open()
    expect(page.locator("#spoken")).to_contain_text("All is well")
    page.evaluate(RECORD)
    for many in (1, 2, 3):
        visit.server.push(
            "source",
            source("orders", moments, rate=[many] * 60, freshness={"age_s": 1.0, "target_s": 9.0, "late": False}),
        )
        expect(page.get_by_role("article", name="orders").locator(".rate strong")).to_have_text(str(many))
    assert _said(page) == []
    visit.server.push("source", source("orders", moments, state="away"))
    expect(page.locator("#spoken")).to_have_text("1 source needs attention. orders: NATS away.")
    assert len(_said(page)) == 1
    assert page.locator("[aria-live], [role=status], [role=alert], [role=log]").count() == 1
