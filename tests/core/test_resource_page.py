"""`docs/resources.md` says what the tables can, and its example can be copied."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from bridge.core.kinds import KINDS
from bridge.core.resource import ResourceSettings
from bridge.core.resource_table import ResourceTable
from bridge.edge.config import loader

PAGE = (Path(__file__).parents[2] / "docs" / "resources.md").read_text("utf-8")


def documented(heading: str) -> list[str]:
    """What stands in code in the first column of a table."""
    rows = re.split(rf"^\| {heading} \|.*$", PAGE, maxsplit=1, flags=re.M)[1].partition("\n\n")[0]
    return [name for row in re.findall(r"^\| ([^|]+) \|", rows, re.M) for name in re.findall(r"`(\w+)", row)]


def test_every_key_is_documented() -> None:
    """Each once, and none that is not there."""
    assert sorted(documented("key")) == sorted(one.name for one in fields(ResourceTable))


def test_every_kind_is_documented() -> None:
    """Each once, besides lists and sets of them."""
    assert sorted(documented("kind")) == sorted([*KINDS, "list", "set"])


def test_the_example_is_valid(tmp_path: Path) -> None:
    """It loads as it is, and means what its comments say."""
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    file = tmp_path / "bridged.toml"
    file.write_text(example, "utf-8")
    (source,) = loader.load(file, {"AGYLETIME_SECRET": "a-secret-of-the-vendor"}).sources
    assert isinstance(source, ResourceSettings)
    found = {one.name: one for one in source.resources}
    assert found["users"].every_s == 600
    assert [walk.reach_s for walk in found["leave"].walks()] == [86_400.0, None]
