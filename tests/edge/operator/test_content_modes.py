"""An operator switches the content mode: a stream that holds events in both, and everybody who reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.core.gap import Gap
from bridge.edge.operator.forget import Eraser, readings
from bridge.edge.operator.overview import Observer
from bridge.edge.operator.tail import Seen, Tail
from bridge.events import parse
from tests.support import sealing
from tests.support.nats_server import NatsServer, nats_server
from tests.support.sealing import key, sealed
from tests.support.sim_vendor import wall
from tests.support.source_rig import Packets, SourceRig, source_rig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

DOCUMENT = "application/cloudevents+json; charset=UTF-8"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


async def tailed(rig: SourceRig, subjects: str = "events.>") -> list[Seen]:
    """What `bridged tail` has to show."""
    found: list[Seen] = []
    async with Tail(rig.client, stream="BRIDGE", prefix="$JS.API", subjects=subjects) as tail:
        while more := await tail.take(wait_s=0):
            found += more
    return found


async def viewed(rig: SourceRig) -> dict[str, tuple[str, Any, bool]]:
    """Of each entry of the view its change, its `after`, and whether it is one document."""
    found = {}
    seq = 1
    while (
        message := await rig.js.get("KV_bridge-state", {"next_by_subj": "$KV.bridge-state.>", "seq": seq})
    ) is not None:
        event = parse(message.subject, message.headers, message.payload)
        found[event.id] = (event.change, event.after, message.headers.get("Content-Type") == DOCUMENT)
        seq = message.seq + 1
    return found


async def test_who_switches_the_mode_loses_and_doubles_nothing(server: NatsServer) -> None:
    """Binary, structured, binary, each in a life of its own: what is unchanged is not told again, an update knows what
    was before whichever way that was written, and tail, the view and `forget` read both."""
    async with source_rig(server.url) as rig:
        for id_ in ("same", "first", "second", "third"):
            rig.vendor.put(id_, "1")
        async with rig.running():
            pass
        rig.structured = True
        async with rig.running():
            rig.vendor.put("first", "2")
            rig.vendor.put("second", "2")
            rig.vendor.put("new", "1")
            await rig.pass_completed()
        async with rig.running():
            # Read back from structured messages alone.
            rig.vendor.put("second", "3")
            await rig.pass_completed()
        rig.structured = False
        async with rig.running():
            rig.vendor.put("second", "4")
            rig.vendor.put("new", "2")
            await rig.pass_completed()
        rig.structured = True
        async with rig.running():
            await rig.pass_completed()

        told: dict[str, list[tuple[str, Any, Any]]] = {}
        for news in rig.news:
            if news.entity == "sim.thing":
                told.setdefault(news.id, []).append((news.change, news.data["before"], news.data["after"]))
        one, two, three, four = ({"value": str(n)} for n in (1, 2, 3, 4))
        assert told == {
            "same": [("snapshot", None, one)],
            "third": [("snapshot", None, one)],
            "first": [("snapshot", None, one), ("updated", one, two)],
            "second": [
                ("snapshot", None, one),
                ("updated", one, two),
                ("updated", two, three),
                ("updated", three, four),
            ],
            "new": [("created", None, one), ("updated", one, two)],
        }

        seen = [one for one in await tailed(rig) if ".thing." in one.subject]
        assert [one.data["id"] for one in seen] == [news.id for news in rig.news if news.entity == "sim.thing"]
        assert len({one.headers["ce-id"] for one in seen}) == len(seen) == 10
        assert {one.headers["ce-subject"] for one in seen} == set(told)
        assert [one.headers.get("Content-Type") for one in seen] == [*[None] * 4, *[DOCUMENT] * 4, *[None] * 2]

        async def followed() -> bool:
            return await viewed(rig) == {
                "same": ("snapshot", one, False),
                "third": ("snapshot", one, False),
                "first": ("updated", two, True),
                "second": ("updated", four, False),
                "new": ("updated", two, False),
            }

        await wait_until(followed, what="the view to follow the stream")

        # Written again before it was all erased, it would have brought back what it was as `before`.
        eraser = Eraser(rig.client, rig.names, patience_s=5, settle_s=0.05)
        entity = readings("sim.acme.thing.first")[0]
        assert (await eraser.erase(entity)).events == 2
        rig.vendor.put("first", "9")
        async with rig.running():
            await rig.pass_completed()
        assert (await tailed(rig, "events.sim.acme.thing.*.first"))[0].data["before"] is None


async def test_a_sources_condition_is_read_from_a_document(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it is blocked and since when, its open gaps, and what was set aside last."""
    monkeypatch.setattr(sealing, "structured", lambda change: True)
    gap = Gap("live", "the session was down", 1_000)
    own = {"vendor": "bridge", "source": "acme"}
    async with source_rig(server.url) as rig:
        book = await rig.ledger.open("sim", "acme", {})
        await book.append(
            [
                sealed(key("acme", "source", **own), "blocked", {"reason": "refused"}),
                sealed(key(gap.id, "gap", **own), "opened", gap.data()),
                sealed(key("1", "quarantine", **own), "occurred", {"reason": "no JSON"}),
            ]
        )
        status = await Observer(rig.client, rig.names).source("sim", "acme")
    since = "2023-11-14T22:13:20.000Z"
    assert (status.condition, status.since, status.reason) == ("blocked", since, "refused")
    assert status.open_gaps == [gap.data()]
    assert status.last_quarantine == {"observed": since, "reason": "no JSON"}


async def test_what_is_erased_does_not_come_back_in_a_document(server: NatsServer) -> None:
    """`forget` looks for what was erased in `before` of structured events, too, and erases again."""
    async with source_rig(server.url) as rig:
        rig.structured = True
        rig.vendor.put("alice", "secret")
        async with rig.running():
            rig.vendor.put("alice", "2")
            await rig.pass_completed()
        # Erased up to the first only, as if the second had been on its way.
        await rig.js.call("STREAM.PURGE.BRIDGE", {"filter": "events.sim.acme.thing.snapshot.alice"})
        eraser = Eraser(rig.client, rig.names, patience_s=5, settle_s=0.05)
        entity = readings("sim.acme.thing.alice")[0]
        assert await eraser._came_back(entity)
        await eraser.erase(entity)
        assert not await eraser._came_back(entity)
        assert (await eraser.look(entity)).nothing


async def test_measurements_are_written_in_the_same_mode(server: NatsServer) -> None:
    """Telemetry goes by the same setting, and what was stored is not stored again in the other mode."""
    async with source_rig(server.url, adapter=Packets) as rig:
        for id_, structured in (("1", False), ("2", True)):
            rig.structured = structured
            rig.vendor.put(id_, str(wall()))
            async with rig.running():
                await rig.pass_completed()
        assert rig.told("sim.packet") == [("1", "occurred"), ("2", "occurred")]
        kinds = {}
        for id_ in "12":
            found = await rig.js.get("BRIDGE_TELEMETRY", {"last_by_subj": f"telemetry.sim.acme.packet.occurred.{id_}"})
            assert found is not None
            kinds[parse(found.subject, found.headers, found.payload).id] = found.headers.get("Content-Type")
        assert kinds == {"1": None, "2": DOCUMENT}
