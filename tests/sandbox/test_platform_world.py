"""The played platform's world tells everything that happens, in order, and forgets nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bridge.sandbox.platform_world import PlatformWorld
from bridge.sandbox.recording import nino
from tests.sandbox.conftest import NOW_MS, HandClock

HOUR = 3_600_000


def world(clock: HandClock, seed: int = 7, **options: Any) -> tuple[PlatformWorld, list[Any]]:
    made = PlatformWorld(seed, clock, **options)
    told: list[Any] = []
    made.listeners.append(told.append)
    return made, told


def test_the_same_seed_makes_the_same_things_happen() -> None:
    """And another seed others."""

    def story(seed: int) -> list[Any]:
        made, told = world(HandClock(), seed)
        made.changes(200)
        return told

    assert story(1) == story(1) != story(2)


def test_everything_that_happens_is_told_once_and_written_down(clock: HandClock) -> None:
    """Listeners get every event; the journal all but packets, by time; each has its entry in one ledger."""
    made, told = world(clock)
    before = len(made.journal), len(made.ledger), len(made.occurrences)
    for _ in range(500):
        made.change()
        clock.advance(0.01)
    packets = [event for event in told if event["event"] == "object-packet"]
    assert len(told) == 500
    assert made.journal[before[0] :] == [event for event in told if event["event"] != "object-packet"]
    assert [event["time"] for event in made.journal] == sorted(event["time"] for event in made.journal)
    assert len(made.ledger) - before[1] + len(made.occurrences) - before[2] + len(packets) == 500
    assert len({event["_msgid"] for event in [*made.journal, *packets]}) == len(made.journal) + len(packets)
    assert {(oid, ts) for oid, ts, _ in made.issued_packets()} == {(e["_oid"], e["data"]["_ts"]) for e in packets}
    assert {change.id: change.record for change in made.occurrences.since(before[2])} == {
        event["_msgid"]: event for event in told if event["_msgid"] in {c.id for c in made.occurrences.changes}
    }


def test_all_kinds_of_things_happen(clock: HandClock) -> None:
    """The documented vocabulary, and names that only this project has."""
    made, told = world(clock)
    made.changes(3000)
    seen = Counter(event["event"] for event in told)
    expected = {
        "object-packet", "object-online", "object-offline", "object-insert", "object-update", "object-remove",
        "object-command-req", "object-command-res", "object-command-err", "model-insert", "model-update",
        "user-update", "user-signin", "door-opened", "Überhitzung Zone 3", "geofence/left",
    }  # fmt: skip
    assert expected <= set(seen)
    kinds = {change.kind for change in made.ledger.changes}
    assert {"insert", "update", "flip", "revert", "deleted"} <= kinds


def test_rows_and_ledger_agree(clock: HandClock) -> None:
    """What the stores hold is each row's last entry; what was removed is gone; `state` is in no entry."""
    made, _ = world(clock)
    made.changes(1000)
    last = {change.id: (change.scope, change.record) for change in made.ledger.changes}
    held = {id_: (store, row) for store, rows in made.stores.items() for id_, row in rows.items()}
    assert {id_: entry for id_, entry in last.items() if entry[1] is not None} == held
    assert not [change for change in made.ledger.changes if change.record and "state" in change.record]


def test_pushes_carry_rows_or_hints(clock: HandClock) -> None:
    """Whole rows as REST shows them, or only a name; a removed row is told with what it was last."""
    made, told = world(clock)
    oid = next(iter(made.objects))
    made.packet(oid)
    made.write("objects", {**made.objects[oid], "status": "blocked"})
    assert (told[-1]["event"], told[-1]["_oid"], told[-1]["data"]["status"]) == ("object-update", oid, "blocked")
    assert told[-1]["data"]["state"]["_ts"] == NOW_MS * 1000
    made.write("objects", None, oid)
    assert (told[-1]["event"], told[-1]["data"]["_id"]) == ("object-remove", oid)
    made.whole = False
    made.insert("models")
    assert (told[-1]["event"], set(told[-1]["data"])) == ("model-insert", {"name"})


def test_a_push_is_noted_once(clock: HandClock) -> None:
    """The ledger says when an event was first pushed, of a row's change as of what happens once."""
    made, told = world(clock)
    changes = [made.occur("door-opened", {}), made.change("object-update"), made.change("packet")]
    for event in told:
        made.told(event)
    clock.advance(1)
    made.told(told[0])
    assert [change.pushed_ms for change in changes] == [NOW_MS, NOW_MS, None]


def test_packets_carry_a_public_recording(clock: HandClock) -> None:
    """The Pacific's temperatures, one after the other, from the beginning again after the last."""
    values = nino()
    assert (len(values), values[:2]) == (264, (-0.654, 0.14))
    made, _ = world(clock, objects=1, recording=values)
    made.changes(len(values) + 2, "packet")
    measured = [data["temperature"] for _, _, data in made.issued_packets()]
    start = values.index(measured[0])
    assert measured[: len(values)] == [*values[start:], *values[:start]]
    assert measured[len(values) :] == measured[:2]


def test_unknown_kinds_are_refused(clock: HandClock) -> None:
    """A slip of the pen makes nothing happen."""
    made, told = world(clock)
    for kind in ("earthquake", "unicorn-update", "object-", "object-state"):
        with pytest.raises(ValueError, match="nothing that happens"):
            made.change(kind)
    assert told == []
