"""The examples in JavaScript run as they are, beside a demo, with the packages in the versions that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.example import NODE, Demo, judge_examples


@pytest.fixture
def demo(tmp_path: Path, example_packages: None) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    try:
        demo.start()
        yield demo
    finally:
        demo.close()


def test_they_do_what_they_say(demo: Demo) -> None:
    """The durable consumer gets each event and goes on where it was; the plain one what is new; the watch both."""
    durable, live, state = (
        ("node", f"{name}.mjs") for name in ("durable_consumer", "live_subscriber", "current_state")
    )
    judge_examples(demo, durable, live, state, NODE)


def test_versions_are_exact() -> None:
    """What is imported is named in `package.json`, in one version each, and no lock file names where it came from."""
    named = json.loads((NODE / "package.json").read_text("utf-8"))["dependencies"]
    imported = {
        package for path in NODE.glob("*.mjs") for package in re.findall(r'from "(@[^"]+)"', path.read_text("utf-8"))
    }
    assert imported == set(named)
    assert all(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) for version in named.values())
    assert not list(NODE.glob("*lock*"))
