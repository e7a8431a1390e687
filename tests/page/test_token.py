"""Where a token guards the page it is asked for, used once, and kept nowhere a script can read."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.page.conftest import Visiting
from tests.support.page_report import five, moments_now, report


def test_the_token_lets_in(visiting: Visiting) -> None:
    """A form asks; a wrong token is told so; the right one opens the page, which stays open after a reload."""
    moments = moments_now()
    visit = visiting(report(five(moments), moments), token="right")
    visit.fails = True
    page = visit.page
    page.goto(visit.server.url)
    expect(page.get_by_role("heading", level=1, name="This status page asks for a token")).to_be_visible()
    expect(page.locator("#report")).to_be_hidden()
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token of this daemon.")
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    page.get_by_role("textbox", name="Token").fill("right")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("2 sources need attention")
    expect(page.locator("#feed")).to_have_text("Live")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 sources need attention")
    assert page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"
    assert not any("right" in url for url in visit.requests)
    assert '"right"' not in page.content()
