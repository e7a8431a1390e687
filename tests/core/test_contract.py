"""What was promised stays promised: the frozen schemas and document, and the judge who holds changes against them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.core.record import Json
from tests.support.compatibility import document_breaks, schema_breaks
from tests.support.contract_pages import DOCUMENT, FOLDER, REFERENCE, document, frozen, schemas, text

HOW = "harmless, but not frozen: python -m tests.support.contract_pages"
IDS = sorted(schemas())


def kept(id_: str) -> Json:
    return json.loads(frozen(id_).read_text("utf-8"))


@pytest.mark.parametrize("id_", IDS)
def test_a_published_schema_changes_only_by_what_joins(id_: str) -> None:
    """Of headers, data and the bridge's own events. Anything else needs a new version beside the old one."""
    assert frozen(id_).exists(), HOW
    assert schema_breaks(kept(id_), schemas()[id_], id_) == []
    assert text(schemas()[id_]) == frozen(id_).read_text("utf-8"), HOW


def test_no_published_schema_is_dropped() -> None:
    """What is frozen is still there."""
    assert {path for path in FOLDER.iterdir() if path not in (DOCUMENT, REFERENCE)} == {frozen(id_) for id_ in IDS}


def test_the_document_of_a_configuration_stays_what_it_is() -> None:
    """Channels, messages and where they are kept, for a source of every adapter."""
    assert document_breaks(json.loads(DOCUMENT.read_text("utf-8")), document()) == []
    assert text(document()) == DOCUMENT.read_text("utf-8"), HOW


def changed(id_: str, change: Callable[[Any], object]) -> list[str]:
    """What the judge says when a schema is changed under its version."""
    now = copy.deepcopy(schemas()[id_])
    change(now)
    return schema_breaks(schemas()[id_], now, "s")


def after(schema: Any) -> Any:
    """The schema of `after`."""
    return next(iter(schema["$defs"].values()))


def renamed(fields: dict[str, Any], old: str, new: str) -> None:
    fields[new] = fields.pop(old)


@pytest.mark.parametrize(
    ("id_", "change", "said"),
    [
        ("bridge-gap/1", lambda s: after(s)["properties"].pop("reason"), "s.bridge-gap.reason is gone"),
        ("bridge-gap/1", lambda s: renamed(after(s)["properties"], "to", "until"), "s.bridge-gap.to is gone"),
        ("bridge-gap/1", lambda s: after(s)["properties"]["to"].update(type="string"), "to: type was ['string'"),
        ("bridge-gap/1", lambda s: after(s)["properties"]["feed"].update(type=["string", "null"]), "feed: type was"),
        ("bridge-gap/1", lambda s: after(s)["properties"]["from"].pop("pattern"), "from: pattern was"),
        ("bridge-gap/1", lambda s: after(s)["required"].remove("to"), "s.bridge-gap.to need not be there any more"),
        ("bridge-gap/1", lambda s: s["properties"]["change"]["enum"].append("paused"), "s.change: enum was"),
        ("bridge-source/1", lambda s: after(s)["required"].append("walks"), "walks must be there now"),
        ("bridge-source/1", lambda s: after(s)["properties"]["half"]["enum"].remove("live"), "half: enum was"),
        ("bridge-source/1", lambda s: after(s)["properties"]["walks"].update(maxItems=5), "walks: maxItems was 100"),
        ("bridge-source/1", lambda s: after(s)["properties"]["held"]["items"]["required"].pop(), "held[].count need"),
        ("bridge-source/1", lambda s: after(s).update(additionalProperties=False), "additionalProperties was None"),
        ("data/1", lambda s: s["properties"].pop("raw"), "s.raw is gone"),
        ("data/1", lambda s: s["properties"].update(raw=False), "s.raw: was True, is False"),
        ("data/1", lambda s: s["required"].remove("changed"), "s.changed need not be there any more"),
        ("headers-binary/1", lambda s: s["properties"].pop("Bridge-Digest"), "s.Bridge-Digest is gone"),
        ("headers-binary/1", lambda s: s["properties"]["ce-via"]["enum"].append("push"), "s.ce-via: enum was"),
        ("headers-binary/1", lambda s: s["required"].append("ce-subject"), "s.ce-subject must be there now"),
        ("headers-structured/1", lambda s: renamed(s["properties"], "Bridge-Id", "ce-id"), "s.Bridge-Id is gone"),
        ("cloudevent/1", lambda s: s.update({"$id": "urn:other"}), "s: $id was urn:bridged:schema:cloudevent:1"),
    ],
)
def test_what_breaks_a_consumer_or_an_old_event_is_found(id_: str, change: Callable[[Any], object], said: str) -> None:
    """Taken away, renamed, narrowed, widened, made necessary or not necessary any more."""
    found = changed(id_, change)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("id_", "change"),
    [
        ("bridge-gap/1", lambda s: after(s)["properties"].update(walks={"type": "array"})),
        ("bridge-gap/1", lambda s: s.update(description="said in other words")),
        ("bridge-gap/1", lambda s: after(s)["properties"]["feed"].update({"x-unit": "none", "examples": ["live"]})),
        ("data/1", lambda s: s["properties"].update(more={"type": "string"})),
        ("headers-binary/1", lambda s: s["properties"].update({"ce-more": {"type": "string"}})),
    ],
)
def test_what_joins_and_need_not_be_there_is_harmless(id_: str, change: Callable[[Any], object]) -> None:
    """And words for people."""
    assert changed(id_, change) == []


SESSION = "pcvisit.support.session"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["channels"].pop(SESSION), f"channel {SESSION} is gone"),
        (lambda d: d["channels"][SESSION].update(address="events.x.{change}.{id}"), "address was events.pcvisit."),
        (lambda d: d["channels"][SESSION]["parameters"]["change"]["enum"].append("merged"), "change was one of"),
        (lambda d: d["channels"][SESSION]["parameters"].pop("change"), "change was one of"),
        (lambda d: d["channels"][SESSION]["x-bridged"].update(stream="OTHER"), "x-bridged.stream was BRIDGE"),
        (lambda d: d["channels"][SESSION]["x-bridged"].pop("view"), "x-bridged.view was"),
        (lambda d: d["components"]["messages"].pop(SESSION), f"message {SESSION} is gone"),
        (lambda d: d["components"]["messages"][SESSION].update(contentType="text/plain"), "contentType was"),
        (
            lambda d: d["components"]["messages"][SESSION].update(payload={"$ref": "#/components/schemas/data-1"}),
            "was #/components/schemas/session-1",
        ),
        (
            lambda d: d["components"]["messages"][SESSION]["headers"]["properties"].pop("ce-dataschema"),
            "was {'const': 'urn:bridged:schema:session:1'}",
        ),
        (
            lambda d: d["components"]["messages"][SESSION]["headers"]["properties"]["ce-type"]["enum"].pop(),
            "ce-type.enum",
        ),
        (
            lambda d: d["components"]["schemas"]["session-1"]["properties"]["after"]["properties"].pop("name"),
            "schema session-1.after.name is gone",
        ),
    ],
)
def test_a_document_that_breaks_a_consumer_is_found(change: Callable[[Any], object], said: str) -> None:
    """Where events are, what they are called, what they keep to."""
    now = document()
    change(now)
    found = document_breaks(document(), now)
    assert any(said in one for one in found), found


def test_a_new_version_and_more_channels_are_harmless() -> None:
    """A shape's next version is announced in place of the one before, which is still printed by the program."""
    now = json.loads(json.dumps(document()).replace("session:1", "session:2").replace("session-1", "session-2"))
    now["channels"]["pcvisit.support.room"] = now["channels"][SESSION]
    now["channels"]["bridge.gap"]["parameters"]["source"]["enum"].append("another")
    now["components"]["messages"]["bridge.gap"]["headers"]["properties"]["ce-source"]["enum"].append("/bridge/another")
    assert document_breaks(document(), now) == []
    assert document_breaks(now, document()), "and never the other way round"
