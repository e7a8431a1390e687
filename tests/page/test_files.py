"""The files of the page as they are shipped: all there, small, and without anything that a strict policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "bridge" / "page"
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())
NAMES = {path.name for path in FILES}


def test_all_that_is_named_is_there() -> None:
    """Every file that the page or one of its modules asks for exists, and every file is asked for."""
    asked = {"index.html"}
    for path in FILES:
        text = path.read_text("utf-8")
        asked |= set(re.findall(r'"/assets/([\w.-]+)"', text)) | set(re.findall(r'from "\./([\w.-]+)"', text))
    # One of these is chosen by how all is.
    asked |= {f"icon-{tone}.svg" for tone in ("ok", "busy", "warn", "bad")}
    assert asked == NAMES


def test_nothing_comes_from_elsewhere_and_nothing_stands_inline() -> None:
    """No address of another host, no script or style within the page, no way to make elements of text."""
    for path in FILES:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|@import|url\(", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), (
            path.name
        )
    html = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", html)


def test_it_is_small() -> None:
    """All of it together is less than one picture elsewhere: it comes from a daemon that has other things to do."""
    assert sum(path.stat().st_size for path in FILES) < 80_000
    assert max(path.read_text("utf-8").count("\n") for path in FILES) <= 350
