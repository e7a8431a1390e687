"""`docs/security.md` names tests that there are, and every test of this folder."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs/security.md").read_text("utf-8")


def test_each_threat_has_a_test() -> None:
    """Files that exist, and have tests; none of this folder is left out."""
    rows = re.findall(r"^\| (.+?) \| .+? \| (`tests/.+?`) \|$", DOCUMENT, re.M)
    assert len(rows) >= 11
    named = {name for _, cell in rows for name in re.findall(r"`([^`]+)`", cell)}
    for name in named:
        assert "def test_" in (ROOT / name).read_text("utf-8"), name
    here = {f"tests/security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert here - named == {"tests/security/test_document.py"}
