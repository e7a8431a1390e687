"""What a span is called, what it tells, and which traces are recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from bridge.core.record import Key
from bridge.core.span import Context, Kind, Origin, Via, alerted, context_of, created, is_chosen, is_sampled, received
from bridge.core.span import published as named
from bridge.core.subject import TELEMETRY
from tests.support.sealing import sealed

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLANT = Origin("acme", "plant 1")
SHOP = Origin("webhook", "shop", open=True)


def test_a_context_is_read() -> None:
    """Trace, step and whether it is recorded."""
    assert context_of(GIVEN) == Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert is_sampled(GIVEN)
    assert not is_sampled(GIVEN[:-2] + "00")
    assert not is_sampled(GIVEN[:-2] + "fe")


@given(st.binary(min_size=16, max_size=16).filter(any), st.floats(0, 1))
def test_a_ratio_chooses_as_opentelemetry_does(trace: bytes, ratio: float) -> None:
    """Everybody who samples by the same ratio records the same traces."""
    theirs = TraceIdRatioBased(ratio).should_sample(None, int.from_bytes(trace), "x").decision
    assert is_chosen(trace.hex(), ratio) == (theirs is Decision.RECORD_AND_SAMPLE)


def test_what_has_come_in() -> None:
    """The vendor is the system that messages come from; a page is asked for, the rest is pushed."""
    name, kind, attributes = received(PLANT, Via.PAGE, "session")
    assert (name, kind) == ("receive plant 1", Kind.CLIENT)
    assert attributes == {
        "messaging.system": "acme",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        "messaging.destination.name": "plant 1",
        "bridged.vendor": "acme",
        "bridged.source": "plant 1",
        "bridged.via": "page",
        "bridged.entity": "session",
    }
    assert received(PLANT, Via.LIVE)[:2] == ("receive plant 1", Kind.CONSUMER)
    assert received(SHOP, Via.WEBHOOK)[2]["bridged.via"] == "webhook"


def test_what_was_noticed_came_from_nobody() -> None:
    """No message was received where the bridge noticed something by itself."""
    name, kind, attributes = received(PLANT, Via.NOTICE)
    assert (name, kind) == ("notice plant 1", Kind.INTERNAL)
    assert not [key for key in attributes if key.startswith("messaging.operation") or key == "messaging.system"]


def test_a_record_that_became_an_event() -> None:
    """By the messaging conventions and those of CloudEvents: the id is the event's, the subject has none in it."""
    event = sealed(Key("acme", "plant 1", "session", "Erika"), "updated", {"name": "Mustermann"})
    name, attributes = created(PLANT, event)
    assert name == "create events.acme.plant=201.session.updated.*"
    assert attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.template": "events.acme.plant=201.session.updated.*",
        "messaging.message.id": event.ce_id,
        "cloudevents.event_id": event.ce_id,
        "cloudevents.event_source": "/acme/plant%201",
        "cloudevents.event_spec_version": "1.0",
        "bridged.vendor": "acme",
        "bridged.source": "plant 1",
        "bridged.change": "updated",
        "bridged.entity": "session",
    }


def test_a_senders_word_for_a_thing_is_not_told() -> None:
    """A webhook may say by itself what it is about, and any vendor what has occurred; not the bridge's own events."""
    event = sealed(Key("webhook", "shop", "Erika Mustermann", "1"), "created", {})
    name, attributes = created(SHOP, event)
    assert name == "create events.webhook.shop.*.created.*"
    assert "Erika" not in str(attributes)
    happened = created(PLANT, sealed(Key("acme", "plant 1", "Erika came", "1"), "occurred", {}))
    assert happened[0] == "create events.acme.plant=201.*.occurred.*"
    assert "Erika" not in str(happened)
    own = sealed(Key("bridge", "shop", "quarantine", "1"), "occurred", {})
    assert created(SHOP, own)[0] == "create events.bridge.shop.quarantine.occurred.*"


def test_a_write() -> None:
    """One message has its id; several have a number."""
    one, two = (sealed(Key("acme", "plant 1", "session", id_), "created", {}) for id_ in "ab")
    name, attributes = named(PLANT, [one], batch=False)
    assert name == "publish events.*.plant=201.>"
    assert (attributes["messaging.message.id"], attributes["bridged.atomic"]) == (one.ce_id, "no")
    assert (attributes["messaging.operation.name"], attributes["messaging.operation.type"]) == ("publish", "send")
    attributes = named(PLANT, [one, two], batch=True)[1]
    assert (attributes["messaging.batch.message_count"], attributes["bridged.atomic"]) == (2, "yes")
    assert "messaging.message.id" not in attributes
    assert named(Origin("bridge", "alerts"), [one], batch=True)[0] == "publish events.bridge.>"
    measured = sealed(Key("acme", "plant 1", "packet", "1"), "occurred", {}, lane=TELEMETRY)
    assert named(PLANT, [measured], batch=True)[0] == "publish telemetry.*.plant=201.>"
    assert created(PLANT, measured)[0] == "create telemetry.acme.plant=201.*.occurred.*"


@pytest.mark.parametrize("id_", ["Erika Mustermann", "0" * 31 + "G", "0" * 33, ""])
def test_an_alert_that_somebody_else_named(id_: str) -> None:
    """Only what is a digest of ours is told; the channel by its name."""
    name, attributes = alerted("each", "hook", id_, 2)
    assert name == "alert each"
    assert attributes == {
        "messaging.system": "bridged",
        "messaging.operation.name": "alert",
        "messaging.operation.type": "send",
        "messaging.destination.name": "hook",
        "bridged.alert": "each",
        "bridged.tries": 2,
    }
    known = alerted("each", "hook", "0123456789abcdef" * 2, 1)[1]
    assert known["messaging.message.id"] == known["cloudevents.event_id"] == "0123456789abcdef" * 2
