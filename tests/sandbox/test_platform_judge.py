"""A whole stream of the played platform's events, judged: rows by their states, packets and all else exactly once."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from bridge.sandbox.platform_judge import happened
from bridge.sandbox.platform_world import PlatformWorld
from tests.sandbox.conftest import NOW_MS, HandClock
from tests.support.live_platform import judge
from tests.support.stream import Stored

CHANGES = {"created": "created", "updated": "updated", "deleted": "deleted"}


def played() -> tuple[PlatformWorld, list[Change]]:
    """A world in which much has happened, and its ledger as a scene reads it."""
    clock = HandClock()
    world = PlatformWorld(3, clock, history=5)
    for _ in range(400):
        world.change()
        clock.advance(0.1)
    packets: dict[str, dict[str, Any]] = {oid: {} for oid in world.packets}
    for oid, ts, data in world.issued_packets():
        packets[oid][str(ts)] = data
    occurred = [change.to_json() for change in world.occurrences.changes]
    return world, [
        *world.ledger.changes,
        *happened({"occurred": occurred, "packets": packets, "rows": list(world.row_events())}),
    ]


def faithful(ledger: list[Change], world: PlatformWorld) -> list[Stored]:
    """The stream that a perfect bridge would have made of it."""
    found: list[Stored] = []
    for change in ledger:
        if change.scope in ("models", "users", "groups") or change.kind == "rows of objects":
            continue  # told as events only, or as changes only
        record: Any = change.record
        if change.operation != "occurred":
            entity, after = "object", record and {**record, "vendor_id": record.get("id"), "created_at": record["time"]}
            after = after and {name: value for name, value in after.items() if name not in ("id", "_id", "time")}
            told = CHANGES[change.operation]
        else:
            entity, told = change.scope, "occurred"
            after = record if entity == "packet" else {**record["data"], "object": record.get("_oid")}
        token = urllib.parse.quote(entity, safe="").replace(".", "%2E").replace("%", "=")
        seq = len(found) + 1
        data = {"id": change.id, "change": told, "after": after}
        subject = f"events.platform.plant.{token}.{told}.{change.id.replace('.', '=2E')}"
        found.append(Stored(seq, subject, change.at_ms + 20, {"ce-id": f"ce-{seq}"}, data))
    return found


WORLD, LEDGER = played()
STREAM = faithful(LEDGER, WORLD)


def verdict(report: Report) -> dict[str, int]:
    names = ("missing", "duplicates", "out_of_order", "invented")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def test_a_faithful_stream_is_acquitted() -> None:
    """With all types of events, custom names and removed objects; other sources' events are not looked at."""
    stray = dataclasses.replace(STREAM[0], subject=STREAM[0].subject.replace(".plant.", ".other."))
    report = judge(LEDGER, [*STREAM, stray], "plant")
    assert (verdict(report), report.findings) == ({}, [])
    assert report.events == len(STREAM) > 300
    assert any("=" in event.tokens[3] for event in STREAM)
    assert {"model-update", "user-insert", "packet", "object"} <= {event.tokens[3] for event in STREAM}


def of(entity: str, change: str = "occurred") -> int:
    """The place of an event in the middle of the stream: not the last of its entity."""
    places = [n for n, event in enumerate(STREAM) if event.tokens[3:5] == [entity, change]]
    return places[len(places) // 2]


def living_packet() -> int:
    """The place of a packet whose object is still there."""
    return max(
        n
        for n, event in enumerate(STREAM)
        if event.tokens[3] == "packet" and event.data["id"].partition("-")[0] in WORLD.objects
    )


def again(place: int) -> list[Stored]:
    return [*STREAM, dataclasses.replace(STREAM[place], headers={"ce-id": "another"})]


def without(place: int) -> list[Stored]:
    return [*STREAM[:place], *STREAM[place + 1 :]]


def altered(place: int, **fields: Any) -> list[Stored]:
    event = STREAM[place]
    after = {**event.data["after"], **fields}
    return [*STREAM[:place], dataclasses.replace(event, data={**event.data, "after": after}), *STREAM[place + 1 :]]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda: again(living_packet()), {"duplicates": 1}, id="a doubled packet"),
        pytest.param(lambda: without(living_packet()), {"missing": 1}, id="a lost packet"),
        pytest.param(lambda: altered(living_packet(), temperature=99.5), {"invented": 1}, id="another measurement"),
        pytest.param(lambda: without(of("object-command-req")), {"missing": 1}, id="a lost event of the journal"),
        pytest.param(lambda: again(of("object-online")), {"duplicates": 1}, id="a doubled event of the journal"),
        pytest.param(lambda: again(of("object", "updated")), {"out_of_order": 1}, id="an old state comes back"),
        pytest.param(lambda: without(of("object", "deleted")), {"missing": 1}, id="a removal that is not told"),
        pytest.param(
            lambda: altered(of("object", "updated"), status="unheard of"), {"invented": 1}, id="a state it never had"
        ),
    ],
)
def test_planted_errors_are_found(spoil: Callable[[], list[Stored]], expected: dict[str, int]) -> None:
    """Each is called by its name."""
    report = judge(LEDGER, spoil(), "plant")
    assert expected.items() <= verdict(report).items()
    assert report.findings


def test_a_state_that_was_overwritten_unseen_may_lack() -> None:
    """An update that only a push could have told, and none did, is no loss."""
    place = of("object", "updated")
    report = judge(LEDGER, without(place), "plant")
    assert (verdict(report), report.superseded) == ({}, 1)


def test_packets_of_removed_objects_may_lack() -> None:
    """Their history went with the object."""
    removed = [
        n
        for n, event in enumerate(STREAM)
        if event.tokens[3] == "packet" and event.data["id"].partition("-")[0] not in WORLD.objects
    ]
    report = judge(LEDGER, without(removed[0]), "plant")
    assert (verdict(report), report.lapsed) == ({}, 1)


def test_windows_and_filters_bound_what_is_judged() -> None:
    """What lies before the window, or is filtered out, is not missed, and may be there if it lies before."""
    since = NOW_MS + 10_000
    late = [event for event in STREAM if event.change != "occurred" or event.at_ms - 20 >= since]
    assert len(late) < len(STREAM) - 50
    assert verdict(judge(LEDGER, late, "plant"))["missing"] > 20
    assert verdict(judge(LEDGER, late, "plant", since_ms=since)) == {}
    assert verdict(judge(LEDGER, STREAM, "plant", since_ms=since)) == {}
    packets = [event for event in STREAM if event.change != "occurred" or event.tokens[3] == "packet"]
    assert verdict(judge(LEDGER, packets, "plant", types={"packet"})) == {}
    assert verdict(judge(LEDGER, STREAM, "plant", types={"packet"}))["invented"] > 20
