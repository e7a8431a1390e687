"""Whoever reads a stream here finds out what its daemon's AsyncAPI document does not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.asyncapi import report
from bridge.edge.config import loader
from tests.support import published
from tests.support.configuration import ENVIRON, SOURCE, write

KIND = "events.bridge.one.gap"


@pytest.fixture
def example(tmp_path: Path) -> tuple[dict[str, str], Any]:
    """Headers and payload of a gap, of a daemon that was started with a source `one`."""
    path = write(tmp_path, SOURCE)
    published.started(["run", "--config", str(path)], ENVIRON)
    (shown,) = report(loader.load(path, ENVIRON))["components"]["messages"]["bridge.gap"]["examples"]
    return shown["headers"], shown["payload"]


def test_what_is_as_the_document_says_is_fine(example: tuple[dict[str, str], Any]) -> None:
    """And was looked at."""
    watch = published.Watch()
    watch.see(f"{KIND}.opened.1", *example)
    watch.must_be_content()
    assert watch.looked_at == 1


@pytest.mark.parametrize(
    ("subject", "headers", "data"),
    [
        (f"{KIND}.opened.1", {"ce-id": "x"}, {}),
        (f"{KIND}.opened.1", {}, {"after": {"feed": "live"}}),
        (f"{KIND}.vanished.1", {}, {}),
        ("events.bridge.one.rumour.opened.1", {}, {}),
        ("events.stranger.one.thing.created.1", {}, {}),
    ],
)
def test_anything_else_is_found(
    subject: str, headers: dict[str, str], data: dict[str, Any], example: tuple[dict[str, str], Any]
) -> None:
    """Whoever reads on finds it again each time."""
    watch = published.Watch()
    watch.see(subject, {**example[0], **headers}, {**example[1], **data})
    for _ in range(2):
        with pytest.raises(AssertionError, match="not as the AsyncAPI document says"):
            watch.must_be_content()


def test_of_many_alike_some_are_looked_at_and_of_our_own_all(example: tuple[dict[str, str], Any]) -> None:
    """So that a run with a million events takes no longer."""
    watch, (headers, payload) = published.Watch(), example
    for number in range(1_000):
        watch.see(f"events.acme.one.thing.created.{number}", {}, {})
    assert watch.looked_at == 40 + 10
    for number in range(200):
        watch.see(f"{KIND}.opened.{number}", headers, json.loads(json.dumps(payload)))
    assert watch.looked_at == 50 + 200


def test_a_source_that_no_daemon_has_is_nobody_s_business(example: tuple[dict[str, str], Any]) -> None:
    """Tests put events of their own into streams, too."""
    watch = published.Watch()
    watch.see("events.bridge.nobody-knows.gap.opened.1", {}, {})
    watch.must_be_content()
    assert watch.looked_at == 0
