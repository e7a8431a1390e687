"""The pictures in the documents are there, readable in the light and in the dark, and load nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
NS = "{http://www.w3.org/2000/svg}"
PICTURES = sorted(ROOT.glob("docs/*.svg"))


@pytest.mark.parametrize("file", PICTURES, ids=lambda path: str(path.name))
def test_a_drawing_can_be_read_by_everybody(file: Path) -> None:
    """It has a title and a description, colours for a dark page, and a ground of its own under what is drawn."""
    root = ElementTree.parse(file).getroot()
    named = {root.findtext(f"{NS}{tag}") for tag in ("title", "desc")}
    assert all(named)
    ids = {one.get("id") for one in root if one.tag in (f"{NS}title", f"{NS}desc")}
    assert set((root.get("aria-labelledby") or "").split()) == ids
    style = root.findtext(f"{NS}style") or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    coloured = set(re.findall(r"^\s*(\.?\w+) \{[^}]*#", light, re.M))
    assert coloured
    assert set(re.findall(r"^\s*(\.?\w+) \{[^}]*#", dark, re.M)) == coloured
    first = next(one for one in root if one.tag == f"{NS}rect")
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    assert (float(first.get("width", 0)), float(first.get("height", 0))) == (width - 1, height - 1)


@pytest.mark.parametrize("file", PICTURES, ids=lambda path: str(path.name))
def test_a_drawing_needs_nothing_else(file: Path) -> None:
    """No script, no font, no image from elsewhere: as an image on a page it would not be loaded."""
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<script|<image|<foreignObject|https?:|@import|@font-face|href=", text)


def test_the_readme_shows_what_there_is() -> None:
    """The data path and the status page, each with a text for those who cannot see it."""
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert [name for _, name in shown] == ["docs/data-path.svg", "docs/status.png"]
    assert all(len(text) > 60 for text, _ in shown)
    assert [file.name for file in PICTURES] == ["data-path.svg"]
    assert (ROOT / "docs" / "status.png").read_bytes().startswith(b"\x89PNG")
