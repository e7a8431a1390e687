"""Filters on events, as they are given on the command line: a subject or its beginning, with NATS wildcards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bridge.cli.tail_telemetry import elsewhere
from bridge.core.subject import EVENTS, filter_problem

TOKENS = 6
"""Every event's subject has so many: events, vendor, source, entity, change, id."""
ALL = f"{EVENTS}.>"


def pattern(text: str) -> str:
    """The filter on events that `text` means. Raises ArgumentTypeError for what no event's subject can match."""
    if text in (EVENTS, ">", "*"):
        return ALL
    if instead := elsewhere(text):
        raise argparse.ArgumentTypeError(f"not a filter on events: {text!r}: {instead}")
    tokens = [EVENTS, *text.removeprefix(f"{EVENTS}.").split(".")]
    if problem := filter_problem(".".join(tokens)):
        raise argparse.ArgumentTypeError(f"not a filter: {text!r}: {problem}")
    if len(tokens) > TOKENS:
        raise argparse.ArgumentTypeError(
            f"not a filter: {text!r}: an event's subject is events.VENDOR.SOURCE.ENTITY.CHANGE.ID, no longer"
        )
    if len(tokens) < TOKENS and tokens[-1] != ">":
        tokens.append(">")
    return ".".join(tokens)


def covering(filters: Sequence[str]) -> str:
    """One filter that lets pass whatever any of these does, and as little else as one filter can."""
    rows = [one.split(".") for one in filters] or [[EVENTS, ">"]]
    covered: list[str] = []
    for column in zip(*rows, strict=False):
        if ">" in column:
            return ".".join([*covered, ">"])
        covered.append(column[0] if len(set(column)) == 1 else "*")
    return ".".join(covered)
