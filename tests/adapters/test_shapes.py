"""What each shipped adapter announces, and that a sample which breaks its promise would be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.adapter import Adapter, Json, Record, Subscription
from tests.adapters.cases import CASES, pcvisit_settings
from tests.adapters.contract import events_keep_to_the_shape_they_announce as kept
from tests.adapters.contract import what_a_shape_calls_private_is_left_out_by_default as hidden
from tests.support.conformance import published
from tests.support.schemas import complaints

PCVISIT = next(case for case in CASES if case.name == "pcvisit")
WHOLE = Record("session", "1", {"name": "x", "created_at": "2021-01-01T00:00:00.000Z", "participants": []})


def vendor(name: str) -> Adapter[Any]:
    return next(case for case in CASES if case.name == name).make()


def test_who_announces_what() -> None:
    """Where two vendors tell of the same, it is the same shape; where the meaning is a vendor's own, there is none."""
    assert vendor("pcvisit").schema("session") == "session/1"
    assert vendor("pcvisit").schema("person") is None
    assert [vendor("platform").schema(entity) for entity in ("object", "user", "packet")] == [None, None, None]
    assert vendor("x_assist").schema("event") is None
    for entity in ("person", "shift", "time-entry"):
        assert vendor("agyletime").schema(entity) == f"{entity}/1"
    for entity in ("project", "task", "time-entry", "company", "contact"):
        assert vendor("prosonata").schema(entity) == f"{entity}/1"
    assert vendor("prosonata").schema("working-time") is None


def test_an_entity_that_an_operator_maps_announces_nothing() -> None:
    """A subscription with fields of its own may make anything of it."""
    own = Subscription(name="a", document="subscription { a { id } }", entity="session", id="id", fields={"x": "y"})
    shaped = Subscription(name="a", document="subscription { a { id } }", shape="session")
    adapter = type(PCVISIT.make())
    assert adapter(pcvisit_settings(subscription=[own])).schema("session") is None
    assert adapter(pcvisit_settings(subscription=[shaped])).schema("session") == "session/1"


@pytest.mark.parametrize(
    "after",
    [{"name": 5}, {"created_at": 1_609_459_200_000}, {"participants": {}}, {"participants": [{"email": 1}]}, []],
)
def test_what_breaks_the_promise_is_found(after: Json) -> None:
    """The suite is able to fail: an adapter that maps otherwise than its schema says."""
    adapter = PCVISIT.make()
    adapter.record = lambda ask, row: Record("session", "1", after)  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        kept(replace(PCVISIT, make=lambda: adapter))


def test_what_is_published_though_private_is_found() -> None:
    """An adapter whose `omit` forgets a path of its shape."""
    adapter = PCVISIT.make()
    adapter.omit = ("name",)  # type: ignore[misc]
    with pytest.raises(AssertionError, match=r"participants\.\*\.email is published by default"):
        hidden(replace(PCVISIT, make=lambda: adapter))


def test_the_header_names_the_schema() -> None:
    """As a URN that `bridged schema` can print; entities without a shape have none, the bridge's own events theirs."""
    adapter = PCVISIT.make()
    event = published(adapter, WHOLE)
    assert event.headers["ce-dataschema"] == "urn:bridged:schema:session:1"
    assert "ce-dataschema" not in published(adapter, Record("computer", "1", {"name": 5})).headers
    aside = published(adapter, Record("session", "1", {"name": float("nan")}))
    assert aside.headers["ce-dataschema"] == "urn:bridged:schema:bridge-quarantine:1"
    gone = published(adapter, Record("session", "1", None, gone=True))
    assert gone.headers["ce-dataschema"] == "urn:bridged:schema:session:1"
    assert complaints(gone.headers, {"after": None}) != []
