"""With a thousand sources the page stays as quick as with one, and people find theirs."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.page.conftest import Visiting
from tests.support.page_report import many, moments_now, report, source

COUNT = """() => {
  window.touched = new Set();
  new MutationObserver((all) => all.forEach((one) => {
    const element = one.target.nodeType === 1 ? one.target : one.target.parentElement;
    const source = element?.closest(".source");
    // Ages go on everywhere.
    if (source && !element.closest("time")) window.touched.add(source.dataset.key);
    one.addedNodes.forEach((node) => {
      const row = node.closest?.(".source");
      if (row) window.touched.add("+" + row.dataset.key);
    });
  })).observe(document.getElementById("list"), {childList: true, subtree: true, characterData: true, attributes: true});
}"""


def test_a_thousand_sources_are_not_a_thousand_rows(visiting: Visiting) -> None:
    """Only so many are drawn, problems first; the rest is one button, one search or one filter away."""
    moments = moments_now()
    page = visiting(report(many(1000, moments), moments)).open()
    expect(page.locator(".source")).to_have_count(40)
    assert page.evaluate("document.querySelectorAll('*').length") < 4000
    expect(page.get_by_role("heading", level=1)).to_have_text("50 sources need attention")
    expect(page.locator(".case")).to_have_count(6)
    expect(page.locator("#count")).to_have_text("40 of 1,000, problems first")
    page.get_by_role("button", name="Show 40 more").press("Enter")
    expect(page.locator(".source")).to_have_count(80)
    expect(page.locator(".source h3").nth(40)).to_be_focused()

    page.get_by_role("searchbox").fill("TENANT-09")
    expect(page.locator(".source")).to_have_count(40)
    expect(page.locator("#count")).to_have_text("40 of 1,000, problems first")
    page.get_by_role("searchbox").fill("tenant-0999")
    expect(page.locator(".source h3")).to_have_text(["tenant-0999"])
    page.get_by_role("searchbox").fill("nobody")
    expect(page.locator("#none")).to_have_text("No source fits.")
    page.get_by_role("searchbox").fill("")
    page.get_by_role("radio", name="Need attention 50").check()
    expect(page.locator("#count")).to_have_text("40 of 1,000, problems first")
    expect(page.locator(".badge").last).to_have_text("Blocked")
    page.get_by_role("radio", name="All 1,000").check()


def test_a_change_touches_only_its_own_row(visiting: Visiting) -> None:
    """Of a thousand sources one changes: no other row is touched, so it costs what one costs."""
    moments = moments_now()
    visit = visiting(report(many(1000, moments), moments))
    visit.page.clock.install()
    page = visit.open()
    page.evaluate(COUNT)
    for number in range(900, 950):
        visit.server.push("source", source(f"tenant-{number:04}", moments, rate=[1] * 60))
    blocked = many(8, moments)[7]
    visit.server.push("source", blocked | {"rate": [77] * 60})
    page.clock.run_for(200)
    expect(page.get_by_role("article", name="tenant-0007").locator(".rate strong")).to_have_text("77")
    touched = page.evaluate("[...window.touched]")
    assert touched == ["tenant-0007"]


def test_few_sources_need_no_filter(visiting: Visiting) -> None:
    """Search and filters come with the thirteenth source."""
    moments = moments_now()
    visit = visiting(report(many(12, moments), moments))
    page = visit.open()
    expect(page.get_by_role("search")).to_have_count(0)
    visit.server.push("source", source("thirteenth", moments))
    expect(page.get_by_role("search", name="Sources")).to_be_visible()
