"""Texts of vendors and operators are texts, whatever they look like."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.page.conftest import Visiting
from tests.support.page_report import five, moments_now, report

MARKUP = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><style>*{display:none}</style>'
BACKWARDS = "\u202egnitset \u05d0\u05d1\u05d2 "
TEXTS = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const text = walk.currentNode;
    found.push([text.data, getComputedStyle(text.parentElement).unicodeBidi]);
  }
  return found;
}"""
ENDLESS = "x" * 20_000
EVIL = MARKUP + BACKWARDS + ENDLESS


def _poisoned(value: Any, key: str = "") -> Any:
    """The same report with evil at the end of every text that is no moment and no word of ours."""
    if isinstance(value, dict):
        return {name: _poisoned(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_poisoned(one, key) for one in value]
    # Moments are moments, and phases and states are words of a table.
    if isinstance(value, str) and key not in ("state", "phase", "now") and not value.startswith("20"):
        return value + EVIL
    return value


def test_hostile_texts_stay_harmless(visiting: Visiting) -> None:
    """Markup is shown as letters, nothing of it runs or loads, no text turns its surroundings or breaks the layout."""
    moments = moments_now()
    visit = visiting(_poisoned(report(five(moments), moments)), width=360)
    page = visit.open()
    for summary in page.locator("summary").all():
        summary.press("Enter")
    expect(page.locator("article .inside")).to_have_count(5)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main style, main iframe").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert "<img src=x" in page.locator("#todo").inner_text()
    texts: list[tuple[str, str]] = page.evaluate(TEXTS)
    assert [text for text, bidi in texts if "\u202e" in text and bidi != "isolate"] == []
    assert max(len(text) for text, _ in texts) == 401


def test_a_name_cannot_make_a_command(visiting: Visiting) -> None:
    """A command that is offered to be copied never holds a name that is more than a plain word."""
    moments = moments_now()
    evil = five(moments)[4] | {"name": "x; rm -rf ~ #"}
    page = visiting(report([evil, evil | {"name": "plain.name-1"}], moments)).open()
    commands = page.locator("#todo code").all_inner_texts()
    assert [one.partition(" --since ")[0] for one in commands] == [
        "bridged resync SOURCE",
        "bridged resync plain.name-1",
    ]


def test_what_makes_no_sense_is_passed_over(visiting: Visiting) -> None:
    """A message that cannot be read changes nothing; the next one does."""
    moments = moments_now()
    visit = visiting(report(five(moments), moments))
    page = visit.open()
    visit.server.push_raw(b"event: head\ndata: {not json\n\n")
    visit.server.push("head", {"instance": report([], moments)["instance"] | {"host": "elsewhere"}})
    expect(page.locator("#instance")).to_contain_text("elsewhere")
    expect(page.locator("#feed")).to_have_text("Live")
