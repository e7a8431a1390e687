"""Expressions of Prometheus, parsed by a port of its own parser: what they ask for, and which labels come out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

from bridge.core.measures import METRICS
from bridge.core.metric import Metric
from bridge.edge.procfs import process_measures

SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to all it scrapes."""


@dataclass(frozen=True)
class Selector:
    """One selector: a series' name, and what its labels are to be."""

    name: str
    matchers: tuple[tuple[str, str], ...]


def parse(text: str) -> Any:
    """The expression. Raises ValueError for what is none. Variables of Grafana count as what they stand for."""
    text = text.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return promql_parser.parse(re.sub(r"\$\{?[a-z_]+\}?", ".*", text))


def selectors(expr: Any) -> Iterator[Selector]:
    """Every selector in it."""
    match type(expr).__name__:
        case "VectorSelector":
            matchers = tuple((one.name, one.value) for one in expr.matchers.matchers)
            yield Selector(expr.name or "", matchers)
        case "MatrixSelector":
            yield from selectors(expr.vector_selector)
        case "BinaryExpr":
            yield from selectors(expr.lhs)
            yield from selectors(expr.rhs)
        case "Call":
            for one in expr.args:
                yield from selectors(one)
        case "NumberLiteral" | "StringLiteral":
            pass
        case _:
            yield from selectors(expr.expr)


def result_labels(expr: Any) -> frozenset[str]:
    """The labels that every sample of the result bears, as far as they are known: those of the left side count."""
    match type(expr).__name__:
        case "VectorSelector":
            return (labels_of(expr.name) if expr.name in SERIES else frozenset()) | SCRAPED
        case "MatrixSelector":
            return result_labels(expr.vector_selector)
        case "BinaryExpr":
            return result_labels(expr.lhs)
        case "AggregateExpr":
            return frozenset() if expr.modifier is None else frozenset(expr.modifier.labels)
        case "Call":
            of = [one for one in expr.args if type(one).__name__ not in ("NumberLiteral", "StringLiteral")]
            found = result_labels(of[-1]) if of else frozenset[str]()
            return found - {"le"} if expr.func.name == "histogram_quantile" else found
        case "NumberLiteral" | "StringLiteral":
            return frozenset()
    return result_labels(expr.expr)


def series(metric: Metric) -> set[str]:
    """What a metric is called in a query."""
    return {f"{metric.name}{end}" for end in ("_bucket", "_sum", "_count")} if metric.kind == "histogram" else {
        metric.name
    }  # fmt: skip


PROCESS = frozenset(one.metric.name for one in process_measures())
"""What is told of the process."""
SERIES = {name: metric for metric in METRICS for name in series(metric)}


def labels_of(name: str) -> frozenset[str]:
    """The labels of a series of ours, but for those of the scrape."""
    return frozenset(SERIES[name].labels) | ({"le"} if name.endswith("_bucket") else frozenset())
