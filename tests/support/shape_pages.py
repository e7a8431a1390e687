"""What `docs/shapes.md` says of each shape, made from its declaration; and the frozen text of each.

`python -m tests.support.shape_pages` writes the tables into the page, and freezes versions that are not frozen yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bridge.core.shape import Field, Shape
from bridge.core.shapes import SHAPES

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "shapes.md"
FROZEN = ROOT / "tests" / "core" / "shapes"

_ABOUT = {"": "", "person": "says who it is", "private": "private"}
_KINDS = {
    "id": "text", "whole": "whole number", "truth": "true or false", "date": "date", "time": "time of day",
    "datetime": "moment", "ms": "milliseconds", "texts": "list of texts", "objects": "list of objects",
}  # fmt: skip


def section(shape: Shape) -> str:
    """The part of the page about one shape."""
    lines = [f"## {shape.id}", "", shape.doc, "", "| field | kind | means | personal |", "|---|---|---|---|"]
    lines += _rows(shape.fields, "", "")
    return "\n".join([*lines, ""])


def page(text: str) -> str:
    """The page with every shape's section as it should be."""
    head = re.split(r"^## [a-z-]+/[0-9]+$", text, maxsplit=1, flags=re.M)[0]
    return "\n".join([head.rstrip(), "", *map(section, SHAPES.values())])


def frozen(shape: Shape) -> Path:
    """Where the text of one version is kept."""
    return FROZEN / f"{shape.name}-{shape.version}.json"


def text(shape: Shape) -> str:
    """The text of one version."""
    return json.dumps(shape.schema(), ensure_ascii=False, indent=1) + "\n"


def _rows(fields: Mapping[str, Field], before: str, above: str) -> Iterator[str]:
    for name, one in fields.items():
        about = above or one.about
        doc = re.sub(r" \([^()]*\)$", "", one.doc) if one.kind in ("datetime", "date", "ms") else one.doc
        yield f"| `{before}{name}` | {_KINDS.get(one.kind, one.kind)} | {doc} | {_ABOUT[about]} |"
        yield from _rows(one.fields, f"{before}{name}{'[]' if one.kind == 'objects' else ''}.", about)


def main() -> None:
    """Write what is missing."""
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    for shape in SHAPES.values():
        if not frozen(shape).exists():
            frozen(shape).write_text(text(shape), "utf-8")


if __name__ == "__main__":
    main()
