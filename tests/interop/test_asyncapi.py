"""What `bridged asyncapi` prints, read by AsyncAPI's own parser (npm `@asyncapi/parser`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bridge.cli.asyncapi import publisher, report
from bridge.core.asyncapi import document
from bridge.core.config import NatsSettings
from bridge.edge.config import loader
from bridge.edge.discovery import Catalogue
from tests.adapters.cases import CASES
from tests.interop.packages import FOLDER
from tests.support.contract_pages import REFERENCE

PATIENCE_S = 240
REFERENCED = report(loader.load(REFERENCE, {}, vendor_secrets=False))


def judged(documents: Sequence[Any]) -> list[dict[str, Any]]:
    """What the parser makes of each."""
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "parse.cjs"],
        cwd=FOLDER / "asyncapi",
        input="".join(json.dumps(one) + "\n" for one in documents),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_document_of_every_vendor_passes(parser: None) -> None:
    """One source alone, in both content modes, with and without an alert: no error, no warning, every channel read."""
    adapters = {case.name: case.make() for case in CASES}
    documents = [
        document([publisher(adapter)], nats, alerts=alerts, version="0.1.0")
        for adapter in adapters.values()
        for nats, alerts in ((NatsSettings(), []), (NatsSettings(content_mode="structured"), ["ops"]))
    ]
    for made, found in zip(documents, judged(documents), strict=True):
        assert found["found"] == []
        assert set(found["hints"]) <= {"asyncapi-latest-version"}
        assert found["channels"] == [channel["address"] for channel in made["channels"].values()]
        assert found["sent"] == len(made["operations"])


def test_the_document_of_all_vendors_passes(parser: None) -> None:
    """The reference configuration, which has a source of every adapter there is; and one without any source."""
    vendors = {channel.partition(".")[0].replace("-", "_") for channel in REFERENCED["channels"]}
    assert vendors >= set(Catalogue().names())
    empty = document([], NatsSettings(), version="0.1.0")
    whole, none = judged([REFERENCED, empty])
    assert (whole["found"], none["found"]) == ([], [])
    assert whole["channels"] == [channel["address"] for channel in REFERENCED["channels"].values()]


def _without_a_parameter(found: Any) -> None:
    found["channels"]["pcvisit.support.session"]["parameters"].pop("id")


def _with_a_dead_reference(found: Any) -> None:
    found["components"]["messages"]["pcvisit.support.session"]["payload"] = {"$ref": "#/components/schemas/nobody"}


def _with_an_unknown_action(found: Any) -> None:
    found["operations"]["pcvisit.support.session"]["action"] = "shout"


def _with_a_wrong_schema(found: Any) -> None:
    found["components"]["schemas"]["session-1"]["type"] = "thing"


@pytest.mark.parametrize(
    "spoil", [_without_a_parameter, _with_a_dead_reference, _with_an_unknown_action, _with_a_wrong_schema]
)
def test_a_document_that_is_wrong_does_not_pass(parser: None, spoil: Callable[[Any], None]) -> None:
    """The parser is able to complain: of parameters, references, keywords and schemas."""
    spoilt = json.loads(json.dumps(REFERENCED))
    spoil(spoilt)
    (found,) = judged([spoilt])
    assert found["found"]
