"""What an adapter says of its entities reaches the stream: the shape they have, and how settings have them mapped."""

from __future__ import annotations

import anyio
import pytest

from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter


async def a_while() -> None:
    """Several passes."""
    await anyio.sleep(35)


def test_every_event_names_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """On each change of an entity that has one, and on nothing the bridge says itself."""
    monkeypatch.setattr(SimAdapter, "schema", lambda self, entity: {"thing": "task/1"}.get(entity))
    bench = Bench(deletes=True)
    bench.vendor.put("a", "1")
    bench.vendor.put("b", "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.put("a", "2")
        bench.vendor.drop("b")
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert {change for _, change in bench.changes()} == {"snapshot", "updated", "deleted"}
    assert {entry.headers.get("ce-dataschema") for entry in bench.things()} == {"urn:bridged:schema:task:1"}
    own = [entry for entry in bench.ledger.events if entry.subject.startswith("events.bridge.")]
    assert own
    assert {entry.headers.get("ce-dataschema") for entry in own} == {"urn:bridged:schema:bridge-source:1"}


def test_settings_that_map_otherwise_are_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart with another edition everything is a `snapshot` once more; what changes is news."""
    bench = Bench()
    for name in "abc":
        bench.vendor.put(name, "1")
    on_virtual_clock(lambda: bench.during(a_while))
    monkeypatch.setattr(SimAdapter, "edition", lambda self, entity: "other")
    on_virtual_clock(lambda: bench.during(a_while))
    bench.vendor.put("a", "2")
    on_virtual_clock(lambda: bench.during(a_while))
    assert bench.changes() == [
        *((name, "snapshot") for name in "abc"), *((name, "snapshot") for name in "abc"), ("a", "updated"),
    ]  # fmt: skip
