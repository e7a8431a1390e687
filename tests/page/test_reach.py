"""For everybody: by keyboard, with a screen reader, on a phone, in the dark, with little motion."""

from __future__ import annotations

from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import ARTEFACTS, Visiting
from tests.support.page_report import five, many, moments_now, report

AXE = files("axe_playwright_python") / "axe.min.js"
"""Deque's rules of accessibility, as that package ships them."""
WIDTHS = (360, 768, 1400)
FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const shown = one.matches(".chip input") ? one.nextElementSibling : one;
  const box = shown.getBoundingClientRect(), style = getComputedStyle(shown);
  return {
    what: one.tagName.toLowerCase() + (one.id ? "#" + one.id : ""),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
  };
}"""
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")]
  .filter((one) => one.checkVisibility() && !(one.type === "radio" && !one.checked)).length"""
BEYOND = """(width) => [...document.querySelectorAll("main *")].filter((one) => !one.closest(".scroll, .unseen")
  && one.getBoundingClientRect().right > width + 0.5).length"""
MOVING = """() => [...document.querySelectorAll("*")].filter((one) => getComputedStyle(one).animationName !== "none"
  || parseFloat(getComputedStyle(one, "::before").transitionDuration) > 0
  || getComputedStyle(one, "::before").animationName !== "none").length"""


def _violations(page: Page) -> list[str]:
    # Evaluated from without, as the page's own policy lets no script in.
    page.evaluate(AXE.read_text("utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((told) => told.violations)")
    return [f"{one['id']}: {one['help']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (360, "light"),
        (1400, "dark"),
        # Each width and each scheme is there; the long suite has them all.
        pytest.param(360, "dark", marks=pytest.mark.chaos),
        pytest.param(1400, "light", marks=pytest.mark.chaos),
    ],
)
def test_no_rule_of_accessibility_is_broken(width: int, scheme: str, visiting: Visiting) -> None:
    """axe finds nothing: names, roles, landmarks, headings, contrast; with details open, and when no longer live."""
    moments = moments_now()
    visit = visiting(report([*five(moments), *many(8, moments)], moments), width=width, color_scheme=scheme)
    page = visit.open()
    for name in ("travel-risk", "workforce", "support-acme"):
        page.get_by_role("article", name=name).locator("summary").press("Enter")
        expect(page.get_by_role("article", name=name).locator("table").first).to_be_visible()
    assert _violations(page) == []
    visit.fails = True
    visit.server.stop()
    expect(page.locator("#feed")).to_have_text("Not live")
    assert _violations(page) == []


def test_the_empty_page_and_the_form_break_none_either(visiting: Visiting) -> None:
    """Nor without a source, nor where a token is asked for."""
    moments = moments_now()
    assert _violations(visiting(report([], moments)).open()) == []
    visit = visiting(report([], moments), token="s3cret")
    visit.fails = True
    visit.page.goto(visit.server.url)
    expect(visit.page.get_by_role("textbox", name="Token")).to_be_focused()
    assert _violations(visit.page) == []


def test_everything_is_reached_by_keyboard(visiting: Visiting) -> None:
    """Tab goes to each control once, in order, always visible, and out again; the first leads past the bar."""
    moments = moments_now()
    page = visiting(report([*five(moments), *many(10, moments)], moments), reduced_motion="reduce").open()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["what"] == "a"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.locator("body").evaluate("(body) => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }")
    walked: list[dict[str, Any]] = []
    expected = page.evaluate(REACHABLE)
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found is None:
            break
        walked.append(found)
    assert len(walked) == expected
    assert [one for one in walked if not (one["ring"] and one["seen"])] == []
    whats = [one["what"] for one in walked]
    assert whats[:2] == ["a", "button#theme"]
    assert whats.count("summary") == 15
    assert "input#find" in whats


def test_a_screen_reader_finds_its_way(visiting: Visiting) -> None:
    """Landmarks, one first heading, a heading for each source; pictures have words, decoration has none."""
    moments = moments_now()
    page = visiting(report(five(moments), moments)).open()
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for region in ("What to do", "Sources", "Last events", "This instance"):
        expect(page.get_by_role("region", name=region, exact=True)).to_have_count(1)
    expect(page.get_by_role("heading", name="orders", level=3)).to_have_count(1)
    levels = [
        int(tag[1])
        for tag in page.locator("h1,h2,h3,h4").evaluate_all(
            "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.tagName)"
        )
    ]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0
    expect(page.locator("#list summary").first).to_contain_text("Details of travel-risk")


def test_it_fits_every_width(visiting: Visiting) -> None:
    """From a phone to a wide screen nothing is cut off sideways, also with details open."""
    moments = moments_now()
    page = visiting(report(five(moments), moments), width=WIDTHS[0], reduced_motion="reduce").open()
    for closed in (True, False):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(BEYOND, width) == 0
        if closed:
            for summary in page.locator("summary").all():
                summary.press("Enter")
            expect(page.locator("article .inside")).to_have_count(5)


@pytest.mark.chaos
@pytest.mark.parametrize("width", WIDTHS)
def test_a_picture_is_kept_of_each_width(width: int, visiting: Visiting) -> None:
    """In either scheme, of the whole page, for whoever wants to look."""
    moments = moments_now()
    page = visiting(report(five(moments), moments), width=width, height=900, reduced_motion="reduce").open()
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        path = ARTEFACTS / f"status-{width}-{scheme}.png"
        path.unlink(missing_ok=True)
        page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 10_000


def test_colours_are_the_readers_choice(visiting: Visiting) -> None:
    """Light or dark as the system says, until the switch is used; the choice stays after a reload."""
    moments = moments_now()
    page = visiting(report([], moments), color_scheme="dark").open()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    button = page.get_by_role("button", name="Theme")
    expect(button).to_have_text("Theme: system")
    button.click()
    expect(button).to_have_text("Theme: light")
    light = page.evaluate(ground)
    assert (light, dark) == ("rgb(246, 247, 248)", "rgb(14, 17, 19)")
    page.reload()
    expect(page.get_by_role("button", name="Theme")).to_have_text("Theme: light")
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(ground) == dark


def test_nothing_moves_for_whoever_wants_that(visiting: Visiting) -> None:
    """With reduced motion there is no animation and no transition; without it there is."""
    moments = moments_now()
    still = visiting(report(five(moments), moments), reduced_motion="reduce").open()
    assert still.evaluate(MOVING) == 0
    assert visiting(report(five(moments), moments), reduced_motion="no-preference").open().evaluate(MOVING) > 0
