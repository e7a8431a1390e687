"""What is written about metrics, the dashboard and the alert rules name what there is, and all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from bridge.core.ending import Ending
from bridge.core.lifecycle import State
from bridge.core.measures import METRICS, InstanceFacts, measure
from bridge.core.meter import CLASSES, Stage, Surprise
from bridge.edge.prometheus import exposition
from tests.support.promql import PROCESS, SCRAPED, SERIES, Selector, labels_of, parse, result_labels, selectors
from tests.support.scraping import Scrape

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/metrics.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")
RULES = [rule for group in yaml.safe_load((ROOT / "config/prometheus-alerts.yml").read_text("utf-8"))["groups"]
         for rule in group["rules"]]  # fmt: skip
DASHBOARD: dict[str, Any] = json.loads((ROOT / "config/grafana-dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VALUES: dict[str, set[str]] = {
    "state": {str(one) for one in State},
    "status": set(CLASSES),
    "stage": {*map(str, Stage), "single", "batch"},
    "reason": {*map(str, Ending), *map(str, Surprise), "unchanged", "stored"},
}
"""What labels of closed sets may be."""


def queries() -> Iterator[tuple[str, str, str]]:
    """Panel, expression and legend of everything the dashboard asks."""
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for note in DASHBOARD["annotations"]["list"]:
        yield note["name"], note["expr"], note["textFormat"]


def wrong(selector: Selector) -> Iterator[str]:
    """What a selector asks for that there is not."""
    if selector.name not in {*SERIES, *PROCESS, "up"}:
        yield f"no metric is called {selector.name}"
        return
    known = (labels_of(selector.name) if selector.name in SERIES else frozenset()) | SCRAPED
    for label, value in selector.matchers:
        if label not in known:
            yield f"{selector.name} has no label {label}"
        elif label in VALUES and not set(value.split("|")) <= VALUES[label]:
            yield f"{selector.name}: {label} is never {value}"


# --- docs/metrics.md ---


def rows() -> dict[str, list[str]]:
    """The cells of each metric's row, by its name."""
    found = re.findall(r"^\| `((?:bridged|process)_[a-z_]+)` \|(.*)\|$", DOCUMENT, re.M)
    assert len({name for name, _ in found}) == len(found), "a metric has two rows"
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in found}


def test_the_document_holds_what_a_scrape_tells_and_nothing_else() -> None:
    """Both ways, with the type."""
    facts = InstanceFacts(version="1", now_ms=0, since_ms=0)
    told = Scrape(exposition(lambda: measure(facts))("")[1].decode()).names
    assert {name: cells[0] for name, cells in rows().items()} == told
    assert {name for name in told if name.startswith("process_")} == PROCESS


def test_the_document_says_labels_units_and_what_to_do() -> None:
    """Of every metric, in the words of the exposition, with a last cell that says when it is bad."""
    for metric in METRICS:
        _, unit, labels, text, advice = rows()[metric.name]
        assert text == metric.help
        assert re.findall(r"`([a-z]+)`", labels) == [one for one in metric.labels if one not in ("source", "vendor")]
        assert len(advice) > 8
        base = metric.name.removesuffix("_total")
        if base.endswith(("_timestamp_seconds", "_time_seconds")):
            assert unit == "Unix time"
        elif (last := base.rsplit("_", 1)[1]) in ("seconds", "bytes", "requests", "frames"):
            assert unit == last, metric.name


@pytest.mark.parametrize(("heading", "words"), [("### Stages", Stage), ("### Reasons of", Ending)])
def test_the_document_explains_every_word_of_a_closed_set(heading: str, words: type[StrEnum]) -> None:
    """Each in a row of its own, in the order of the code."""
    section = DOCUMENT[DOCUMENT.index(heading) + 4 :].split("\n#")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.M)[-len(words) :] == [str(one) for one in words]


def test_the_document_names_no_metric_that_there_is_not() -> None:
    """Nor do the operations guide, and the notes to the other metrics."""
    for text in (DOCUMENT, OPERATIONS):
        named = set(re.findall(r"\bbridged_[a-z_]+[a-z]\b(?!\*)", text))
        assert named <= {*SERIES, *(metric.name for metric in METRICS)}, named


# --- config/prometheus-alerts.yml ---


def kebab(name: str) -> str:
    """`NatsAway` as `nats-away`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def anchors(text: str) -> set[str]:
    """What headings are linked by, as Markdown on the web has it."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.M)
    }  # fmt: skip


def test_the_rules_are_what_was_asked_for() -> None:
    """None is missing, none is there twice, and no key is one that Prometheus would refuse."""
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) >= {
        "BridgedDown", "BridgedNotReady", "BridgedNatsAway", "BridgedSourceNotFresh", "BridgedSourceBlocked",
        "BridgedSourceLost", "BridgedGapOpen", "BridgedQuarantineGrows", "BridgedQuotaExhausted",
        "BridgedTokenAboutToLapse", "BridgedAlertChannelFailing",
    }  # fmt: skip
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"[0-9]+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    """Its expression parses, its metrics, labels and their values exist, its texts use labels that the result has, and
    its section is in the operations guide."""
    expr = parse(rule["expr"])
    asked = list(selectors(expr))
    assert asked
    assert [fault for one in asked for fault in wrong(one)] == []
    for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
        assert set(re.findall(r"\$labels\.([a-z]+)", text)) <= result_labels(expr)
        assert (
            text.count("{{")
            == text.count("}}")
            == len(re.findall(r"\{\{ \$(?:labels\.[a-z]+|value)(?: \| \w+)? \}\}", text))
        )
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#alert-{kebab(rule['alert'])}"
    assert f"alert-{kebab(rule['alert'])}" in anchors(OPERATIONS)


def test_the_operations_guide_has_no_section_for_a_rule_that_is_gone() -> None:
    """The sections are those of the rules, in their order."""
    section = OPERATIONS[OPERATIONS.index("## When an alert of Prometheus fires") :]
    assert re.findall(r"^### Alert (.+)$", section, re.M) == [kebab(rule["alert"]) for rule in RULES]


# --- config/grafana-dashboard.json ---


def test_the_dashboard_has_its_rows_and_asks_the_source_that_is_chosen() -> None:
    """Every panel and query goes by the variable `datasource`: nothing is bound to one installation."""
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "At a glance", "Freshness", "Live sessions", "Vendors and quotas", "Ledger and NATS", "Webhooks and alerts",
        "Instances",
    ]  # fmt: skip
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "source"]
    assert variables["datasource"]["type"] == "datasource"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [panel for panel in PANELS if panel["type"] != "row"]
    assert asking
    targets = [target for panel in asking for target in panel["targets"]]
    notes = DASHBOARD["annotations"]["list"]
    for one in (*asking, *targets, *notes, variables["job"], variables["source"]):
        assert one["datasource"] == chosen
    assert "id" not in DASHBOARD, "an import would replace another dashboard"


def test_the_dashboard_s_panels_lie_beside_one_another() -> None:
    """Each has its number and its place, within 24 columns, and none lies on another."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
    for one, other in combinations(PANELS, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (one["title"], other["title"])


@pytest.mark.parametrize(("title", "text", "legend"), [*queries()])
def test_a_query_of_the_dashboard_asks_for_what_there_is(title: str, text: str, legend: str) -> None:
    """It parses, its metrics, labels and their values exist, and its legend names labels of the result."""
    expr = parse(text)
    asked = list(selectors(expr))
    assert asked, title
    assert [fault for one in asked for fault in wrong(one)] == []
    assert set(re.findall(r"\{\{ ?([a-z]+) ?\}\}", legend)) <= result_labels(expr)


def test_the_dashboard_s_variables_ask_for_what_there_is() -> None:
    """`label_values` is Grafana's own: what it is asked of must be a selector."""
    for one in DASHBOARD["templating"]["list"]:
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), ([a-z]+)\)", one["query"]["query"])
            assert found is not None
            (selector,) = selectors(parse(found[1]))
            assert list(wrong(selector)) == []
            assert found[2] in labels_of(selector.name) | SCRAPED
