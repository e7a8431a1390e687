"""The AsyncAPI document: what it says of a configuration, that it is sound, and that it shows no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from bridge.core.asyncapi import document
from bridge.core.asyncapi_topic import Publisher
from bridge.core.config import NatsSettings
from bridge.core.published import DIES, LIVES, ONCE, Published
from tests.support.contract import Contract, references
from tests.support.contract_pages import document as reference

SESSIONS = Publisher(
    vendor="pcvisit",
    source="acme",
    type_prefix="de.pcvisit",
    entities=[Published("session", LIVES)],
    schemas={"session": "session/1"},
)
PLANT = Publisher(
    vendor="platform",
    source="Werk 3",
    type_prefix="iot.platform",
    entities=[Published("object", DIES), Published("packet", ONCE, telemetry=True), Published(None, ONCE)],
)


def made(*publishers: Publisher, alerts: tuple[str, ...] = (), **nats: Any) -> dict[str, Any]:
    return document(publishers, NatsSettings(**nats), alerts=alerts, version="1.2.3")


@pytest.fixture(params=["binary", "structured"])
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_an_entity_is_a_channel_with_a_twin() -> None:
    """Its subject, with change and id as parameters; where it is kept, for how long, and its current state."""
    found = made(SESSIONS)
    assert found["asyncapi"] == "3.0.0"
    assert found["info"]["version"] == "1.2.3"
    channel = found["channels"]["pcvisit.acme.session"]
    assert channel["address"] == "events.pcvisit.acme.session.{change}.{id}"
    assert channel["parameters"]["change"]["enum"] == ["created", "updated", "snapshot"]
    assert channel["parameters"]["id"] == {"$ref": "#/components/parameters/id"}
    assert channel["x-bridged"] == {
        "stream": "BRIDGE",
        "filter": "events.pcvisit.acme.session.*.*",
        "max_age_s": 7_776_000,
        "history": "events.pcvisit.acme.session.*.{id}",
        "stored": "each change once; it is refused unless it follows its entity's last event",
        "live": "pcvisit.acme.session.live",
        "view": {"bucket": "bridge-state", "key": "pcvisit.acme.session.{id}"},
    }
    twin = found["channels"]["pcvisit.acme.session.live"]
    assert twin["address"] == "live.pcvisit.acme.session.{change}.{id}"
    assert twin["messages"] == channel["messages"]
    assert twin["x-bridged"] == {"filter": "live.pcvisit.acme.session.*.*", "of": "pcvisit.acme.session"}


def test_every_channel_is_sent_to() -> None:
    """The program publishes, and nothing in the document is received."""
    found = made(SESSIONS, PLANT)
    assert found["operations"].keys() == found["channels"].keys()
    for name, operation in found["operations"].items():
        assert operation["action"] == "send"
        assert operation["channel"] == {"$ref": f"#/channels/{name}"}


def test_the_bridge_s_own_events_are_about_every_source() -> None:
    """One channel for each kind, with the sources as its parameter; alerts only where some are configured."""
    found = made(SESSIONS, PLANT)["channels"]
    gap = found["bridge.gap"]
    assert gap["address"] == "events.bridge.{source}.gap.{change}.{id}"
    assert gap["parameters"]["source"]["enum"] == ["Werk=203", "acme"]
    assert gap["parameters"]["change"]["enum"] == ["opened", "closed"]
    assert found["bridge.source"]["parameters"]["change"]["enum"] == ["connected", "lost", "blocked", "recovered"]
    assert found["bridge.quarantine"]["address"] == "events.bridge.{source}.quarantine.occurred.{id}"
    assert "view" not in gap["x-bridged"]
    assert "bridge.alert" not in found
    alerting = made(SESSIONS, alerts=("ops", "night"))["channels"]
    assert alerting["bridge.quarantine"]["parameters"]["source"]["enum"] == ["acme", "night", "ops"]
    alert = alerting["bridge.alert"]
    assert alert["address"] == "events.bridge.{source}.alert.occurred.{id}"
    assert alert["parameters"]["source"]["enum"] == ["night", "ops"]


def test_telemetry_has_a_stream_of_its_own() -> None:
    """And there its own gaps and quarantine; what it is called and how long it is kept is configured."""
    found = made(PLANT, telemetry_stream="T", telemetry_max_age_days=2.0)["channels"]
    packet = found["telemetry.platform.Werk_203.packet"]
    assert packet["address"] == "telemetry.platform.Werk=203.packet.occurred.{id}"
    assert (packet["x-bridged"]["stream"], packet["x-bridged"]["max_age_s"]) == ("T", 172_800)
    assert "view" not in packet["x-bridged"]
    twin = found["telemetry.platform.Werk_203.packet.live"]
    assert twin["address"] == "live.telemetry.platform.Werk=203.packet.occurred.{id}"
    assert found["telemetry.bridge.gap"]["parameters"]["source"]["enum"] == ["Werk=203"]
    assert "telemetry.bridge.gap" not in made(SESSIONS)["channels"]


def test_entities_that_nobody_knows_in_advance_are_a_parameter() -> None:
    """Their type follows a pattern, and nothing is said of their fields."""
    found = made(PLANT)
    channel = found["channels"]["platform.Werk_203.any"]
    assert channel["address"] == "events.platform.Werk=203.{entity}.occurred.{id}"
    assert channel["x-bridged"]["filter"] == "events.platform.Werk=203.*.*.*"
    message = found["components"]["messages"]["platform.Werk_203.any"]
    assert message["headers"]["properties"]["ce-type"]["pattern"] == r"^iot\.platform\..+\.(occurred)$"
    assert message["payload"] == {"$ref": "#/components/schemas/data-1"}


def test_a_message_says_whose_it_is_and_what_it_keeps_to() -> None:
    """Source, types and schema are fixed; repeated deliveries are known by the id."""
    found = made(SESSIONS)
    message = found["components"]["messages"]["pcvisit.acme.session"]
    assert message["contentType"] == "application/json"
    assert message["headers"]["properties"] == {
        "ce-source": {"const": "/pcvisit/acme"},
        "ce-type": {
            "enum": ["de.pcvisit.session.created", "de.pcvisit.session.updated", "de.pcvisit.session.snapshot"]
        },
        "ce-dataschema": {"const": "urn:bridged:schema:session:1"},
    }
    assert message["headers"]["required"] == ["ce-dataschema"]
    assert message["payload"] == {"$ref": "#/components/schemas/session-1"}
    assert found["components"]["schemas"]["session-1"]["$id"] == "urn:bridged:schema:session:1"
    assert found["components"]["correlationIds"]["event"]["location"] == "$message.header#/ce-id"


def test_in_structured_mode_the_payload_is_the_event() -> None:
    """Attributes and data are in it; the headers are what the bridge's own memory needs."""
    found = made(SESSIONS, content_mode="structured")
    message = found["components"]["messages"]["pcvisit.acme.session"]
    assert message["contentType"] == "application/cloudevents+json"
    assert message["payload"]["allOf"] == [{"$ref": "#/components/schemas/cloudevent-1"}]
    assert message["payload"]["properties"]["data"] == {"$ref": "#/components/schemas/session-1"}
    assert message["payload"]["properties"]["source"] == {"const": "/pcvisit/acme"}
    assert message["payload"]["required"] == ["dataschema"]
    assert message["headers"] == {"$ref": "#/components/schemas/headers-structured-1"}
    assert found["components"]["correlationIds"]["event"]["location"] == "$message.payload#/id"


def test_servers_show_neither_login_nor_path() -> None:
    """Host and port alone; the embedded one is this machine's."""
    urls = ["nats://reader:hunter2@a.example/x", "tls://b.example:4333", "wss://c.example", "nats://[::1]"]
    servers = made(SESSIONS, url=urls)["servers"]
    assert [server["host"] for server in servers.values()] == ["a.example:4222", "b.example:4333", "c.example:443",
                                                               "[::1]:4222"]  # fmt: skip
    assert {server["protocol"] for server in servers.values()} == {"nats"}
    assert "hunter2" not in json.dumps(servers)
    assert "TLS" in servers["nats-2"]["description"]
    embedded = made(SESSIONS)["servers"]
    assert [server["host"] for server in embedded.values()] == ["127.0.0.1"]
    assert "nats.json" in embedded["embedded"]["description"]


def test_the_order_of_the_configuration_does_not_matter() -> None:
    """Two documents can be compared line by line."""
    assert json.dumps(made(SESSIONS, PLANT)) == json.dumps(made(PLANT, SESSIONS))


def test_names_that_look_alike_stay_apart() -> None:
    """What a name in the document cannot hold is replaced there, and only there."""
    alike = [
        Publisher(vendor="v", source=name, type_prefix="x.v", entities=[Published("e", LIVES)])
        for name in ("a b", "a_20b", "a=20b")
    ]
    found = made(*alike)["channels"]
    stored = [name for name in found if name.startswith("v.") and not name.endswith(".live")]
    assert len(stored) == 3
    assert {found[name]["address"] for name in stored} == {
        "events.v.a=20b.e.{change}.{id}",
        "events.v.a_20b.e.{change}.{id}",
        "events.v.a=3D20b.e.{change}.{id}",
    }


def test_without_sources_nothing_is_published() -> None:
    """A document all the same."""
    assert made()["channels"] == {}


def test_every_reference_leads_somewhere_and_everything_is_referred_to(mode: str) -> None:
    """No schema, message or parameter is there for nothing."""
    found = {**reference(), **made(SESSIONS, PLANT, alerts=("ops",), content_mode=mode)}
    contract, used = Contract(found), set(references(found))
    for one in used:
        assert contract.resolve({"$ref": one})
    for kind, components in found["components"].items():
        unused = {f"#/components/{kind}/{name}" for name in components} - used
        assert unused <= {"#/components/schemas/data-1"}


def test_every_schema_is_valid(mode: str) -> None:
    """By the drafts that AsyncAPI knows, and by the one that `bridged schema` prints."""
    found = made(SESSIONS, PLANT, alerts=("ops",), content_mode=mode)["components"]["schemas"]
    for schema in found.values():
        Draft7Validator.check_schema(schema)
        Draft202012Validator.check_schema(schema)
        assert not list(references(schema)), "what is embedded has no references of its own"


def test_every_example_is_as_the_document_says(mode: str) -> None:
    """Of every message: they are sealed as real events are."""
    found = made(SESSIONS, PLANT, alerts=("ops",), content_mode=mode)
    contract = Contract(found)
    for name, message in found["components"]["messages"].items():
        (example,) = message["examples"]
        address = found["channels"][name]["address"]
        subject = (
            address.replace("{change}", example["name"]).replace("{id}", "1").replace("{entity}", "e")
            .replace("{source}", next(iter(found["channels"][name]["parameters"].get("source", {}).get("enum", "-"))))
        )  # fmt: skip
        assert contract.complaints(subject, example["headers"], example["payload"]) == []


@pytest.mark.parametrize(
    ("subject", "headers", "data", "wrong"),
    [
        ("events.pcvisit.acme.session.deleted.1", {}, {}, "change is deleted"),
        ("events.pcvisit.other.session.created.1", {}, {}, "no channel"),
        ("events.pcvisit.acme.computer.created.1", {}, {}, "no channel"),
        ("events.pcvisit.acme.session.created.1", {"ce-id": "1"}, {}, "headers['ce-id']"),
        ("events.pcvisit.acme.session.created.1", {"ce-type": "de.pcvisit.session.deleted"}, {}, "headers['ce-type']"),
        ("events.pcvisit.acme.session.created.1", {"ce-via": None}, {}, "headers['ce-via']"),
        ("events.pcvisit.acme.session.created.1", {}, {"after": {"name": 5}}, "payload.after.name"),
        ("events.pcvisit.acme.session.created.1", {}, {"after": 5}, "payload.after"),
        ("live.pcvisit.acme.session.created.1", {}, {"changed": "x"}, "payload.changed"),
    ],
)
def test_what_is_not_as_the_document_says_is_found(
    subject: str, headers: dict[str, Any], data: dict[str, Any], wrong: str
) -> None:
    """The judge of all other tests is able to fail."""
    found = made(SESSIONS)
    (example,) = found["components"]["messages"]["pcvisit.acme.session"]["examples"]
    fine = "events.pcvisit.acme.session.updated.1", example["headers"], example["payload"]
    assert Contract(found).complaints(*fine) == []
    complaints = Contract(found).complaints(subject, {**example["headers"], **headers}, {**example["payload"], **data})
    assert any(wrong in complaint for complaint in complaints), complaints
