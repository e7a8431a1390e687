"""The frozen contract: schemas of events, and the document of one configuration. `tests/core/contract` holds it.

`python -m tests.support.contract_pages` freezes what is new, and refuses what would break a consumer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bridge.cli.asyncapi import report
from bridge.core.asyncapi_schemas import ATTRIBUTES, DATA, HEADERS, attributes, binary_headers, data, structured_headers
from bridge.core.own import OWN
from bridge.core.record import Json
from bridge.edge.config import loader
from tests.support.compatibility import document_breaks, schema_breaks

FOLDER = Path(__file__).parent.parent / "core" / "contract"
REFERENCE = FOLDER / "reference.toml"
DOCUMENT = FOLDER / "reference.json"


def schemas() -> Mapping[str, Json]:
    """Every schema that is the bridge's own, by id. Those of shapes are frozen in `tests/core/shapes`."""
    made = {
        DATA: data(),
        ATTRIBUTES: attributes(),
        HEADERS["binary"]: binary_headers(),
        HEADERS["structured"]: structured_headers(),
    }
    return made | {id_: one.schema() for id_, one in OWN.items()}


def document() -> Json:
    """What the program says of the reference configuration, whatever the program's version."""
    made = report(loader.load(REFERENCE, {}, vendor_secrets=False))
    made["info"]["version"] = "0"
    return made


def frozen(id_: str) -> Path:
    """Where the text of one schema is kept."""
    return FOLDER / f"{id_.replace('/', '-')}.json"


def text(value: Json) -> str:
    """As it is frozen."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write what may be written."""
    found: list[str] = []
    for id_, schema in schemas().items():
        path = frozen(id_)
        found += schema_breaks(json.loads(path.read_text("utf-8")), schema, id_) if path.exists() else []
    if DOCUMENT.exists():
        found += document_breaks(json.loads(DOCUMENT.read_text("utf-8")), document())
    if found:
        sys.exit("this breaks consumers; make a new version:\n" + "\n".join(found))
    for id_, schema in schemas().items():
        frozen(id_).write_text(text(schema), "utf-8")
    DOCUMENT.write_text(text(document()), "utf-8")


if __name__ == "__main__":
    main()
