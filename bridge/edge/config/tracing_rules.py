"""Rules about `[tracing]`: where spans may be sent, and that what sends them is installed."""

from __future__ import annotations

import importlib.util
import os

from bridge.core import url
from bridge.core.config import TracingSettings
from bridge.edge.config.convert import Converter, url_problem

MISSING = "the OpenTelemetry libraries are not installed: pip install 'bridged[tracing]', or remove this table"

_NEEDED = ("sdk/trace", "exporter/otlp/proto/http")


def check_tracing(converter: Converter, tracing: TracingSettings) -> None:
    """Report an address that is none or would show spans to others, a share that is none, and what is missing."""
    problem = url_problem(tracing.endpoint, ("http", "https")) or url.problem(tracing.endpoint)
    if problem:
        converter.fail(("tracing", "endpoint"), problem)
    if tracing.ratio > 1:
        converter.fail(("tracing", "ratio"), "expected a share of at most 1")
    if not installed():
        converter.fail(("tracing",), MISSING)


def installed() -> bool:
    """Whether the extra is there. Nothing of it is loaded."""
    found = importlib.util.find_spec("opentelemetry")
    places = [] if found is None else [*(found.submodule_search_locations or ())]
    return all(any(os.path.isdir(os.path.join(place, part)) for place in places) for part in _NEEDED)
