"""What is measured, as Prometheus reads it: text format or OpenMetrics, whichever a scrape asks for.

Written here and not by the client library, which takes ten times as long for many sources: with 50 it would hold up the
event loop for a sixth of a second at each scrape. Its parsers read what this writes, in the tests.
Sources: https://prometheus.io/docs/instrumenting/exposition_formats and
https://prometheus.io/docs/specs/om/open_metrics_spec
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from bridge.core.histogram import Histogram
from bridge.core.metric import Measured
from bridge.edge.procfs import process_measures

Exposition = Callable[[str], tuple[str, bytes]]
"""From a scrape's `Accept` header to the content type and the body."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def exposition(measure: Callable[[], Iterable[Measured]]) -> Exposition:
    """Asks `measure` at each scrape. `process_*` (CPU, memory, file descriptors) is there, too, on Linux."""

    def scrape(accept: str) -> tuple[str, bytes]:
        strict = _takes_openmetrics(accept)
        lines = [line for one in (*measure(), *process_measures()) for line in _family(one, strict)]
        if strict:
            lines.append("# EOF\n")
        return OPENMETRICS if strict else TEXT, "".join(lines).encode("utf-8")

    return scrape


def _takes_openmetrics(accept: str) -> bool:
    """Whether a scrape takes the version that we write: 1.0.0, or whichever there is."""
    for choice in accept.split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        versions = [part.removeprefix("version=") for part in parameters if part.startswith("version=")]
        if kind == "application/openmetrics-text" and versions in ([], ["1.0.0"]) and "q=0" not in parameters:
            return True
    return False


def _family(measured: Measured, strict: bool) -> Iterator[str]:
    metric = measured.metric
    # OpenMetrics calls a counter's family by its name without the suffix of its samples.
    name = metric.name.removesuffix("_total") if strict and metric.kind == "counter" else metric.name
    yield f"# HELP {name} {_escaped(metric.help) if strict else metric.help}\n# TYPE {name} {metric.kind}\n"
    for values, value in measured.samples:
        labels = _labels(metric.labels, values)
        if isinstance(value, Histogram):
            yield from _histogram(metric.name, labels, value)
        else:
            yield f"{metric.name}{{{labels}}} {_number(value)}\n" if labels else f"{metric.name} {_number(value)}\n"


def _histogram(name: str, labels: str, value: Histogram) -> Iterator[str]:
    comma = "," if labels else ""
    ranges = value.cumulative()
    for bound, count in ranges:
        yield f'{name}_bucket{{{labels}{comma}le="{_number(bound)}"}} {count}\n'
    yield f"{name}_sum{{{labels}}} {_number(value.sum_s)}\n{name}_count{{{labels}}} {ranges[-1][1]}\n"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    # The shortest spelling that reads back the same; that of a bound stays for ever, or it would be another series.
    return "+Inf" if value == float("inf") else repr(float(value))
