"""The judge finds every planted error, and acquits every faithful stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report, Seen, compare, total
from bridge.sandbox.pcvisit_view import as_issued, as_seen
from bridge.sandbox.pcvisit_world import SAMPLE_COMPANY
from tests.sandbox.conftest import HandClock


def issued(*values: str | None, served: str = "") -> list[Change]:
    """A history of one entity, `x`: one change a second. `served` has a `+` for each version that was."""
    return [
        Change(
            seq=n + 1,
            at_ms=1000 * n,
            scope="s",
            id="x",
            operation="created" if n == 0 else "updated" if value else "deleted",
            kind="",
            record={"v": value} if value else None,
            served_ms=1000 * n if served[n : n + 1] == "+" else None,
        )
        for n, value in enumerate(values)
    ]


def stored(*values: str | None) -> list[Seen]:
    """A stream's events of that entity, 100 ms apart."""
    return [
        Seen("x", "updated" if value else "deleted", {"v": value} if value else None, 100 * n, f"ce-{n}")
        for n, value in enumerate(values)
    ]


def judge(changes: list[Change], events: list[Seen], *, strict: bool = False) -> Report:
    return compare(changes, events, view=dict, strict_served=strict)


def verdict(report: Report) -> dict[str, int]:
    names = ("missing", "duplicates", "out_of_order", "invented", "superseded", "lapsed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


@pytest.mark.parametrize(
    ("history", "stream", "expected"),
    [
        ("abc", "abc", {}),
        ("abc", "c", {"superseded": 2}),
        ("aba", "aba", {}),
        ("aba", "a", {"superseded": 2}),
        ("aabb", "ab", {}),
        ("ab-", "ab-", {}),
        ("ab-", "", {"superseded": 3}),
        ("ab-a", "ab-a", {}),
        ("abc", "", {"missing": 1, "superseded": 2}),
        ("abc", "ab", {"missing": 1}),
        ("ab-", "ab", {"missing": 1}),
        ("ab", "abb", {"duplicates": 1}),
        ("aba", "aab", {"duplicates": 1, "missing": 1, "superseded": 0}),
        ("abc", "abac", {"out_of_order": 1}),
        ("abc", "acbc", {"out_of_order": 1, "duplicates": 1, "superseded": 1}),
        ("ab", "abab", {"out_of_order": 1, "duplicates": 1}),
        ("ab", "azb", {"invented": 1}),
        ("ab", "ab-", {"invented": 1, "missing": 1}),
    ],
)
def test_verdicts(history: str, stream: str, expected: dict[str, int]) -> None:
    """Each kind of error has its name; what was overwritten unseen is nobody's loss."""
    values = [None if value == "-" else value for value in history]
    events = [None if value == "-" else value for value in stream]
    report = judge(issued(*values), stored(*events))
    assert verdict(report) == {name: count for name, count in expected.items() if count}
    assert (report.changes, report.events) == (len(history), len(stream))
    guilty = {"missing", "duplicates", "out_of_order", "invented"} & set(verdict(report))
    assert report.faithful is (not guilty)
    assert len(report.findings) >= len(guilty)


def test_served_versions_must_appear_only_if_strict() -> None:
    """A version that a page carried is missing if strict, and has lapsed (with a killed reader) if not."""
    changes = issued("a", "b", "c", served="+++")
    assert verdict(judge(changes, stored("a", "c"), strict=True)) == {"missing": 1}
    assert verdict(judge(changes, stored("a", "c"))) == {"lapsed": 1}
    unread = issued("a", "b", "c", served="+-+")
    assert verdict(judge(unread, stored("a", "c"), strict=True)) == {"superseded": 1}


def test_a_return_nobody_saw_leaving_is_no_event() -> None:
    """Of A → B → A with B unread a reader sees nothing, strict or not."""
    changes = issued("a", "b", "a", served="+-+")
    assert verdict(judge(changes, stored("a"), strict=True)) == {"superseded": 2}


def test_latencies_are_from_change_to_stream() -> None:
    """Each published state counts from the change that brought it about; snapshots are not news."""
    first, second = stored("a", "b")
    events = [dataclasses.replace(first, change="snapshot"), dataclasses.replace(second, at_ms=1250)]
    report = judge(issued("a", "b", "c"), events)
    assert report.latencies_ms == [250]
    report.latencies_ms = list(range(1, 101))
    assert [report.percentile(p) for p in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert Report().percentile(50) is None


def test_a_ce_id_may_not_come_back() -> None:
    """An event with a ce-id that was there before is a duplicate, whatever it says."""
    events = [dataclasses.replace(event, ce_id="same") for event in stored("a", "b")]
    assert verdict(judge(issued("a", "b"), events)) == {"duplicates": 1, "missing": 1}


def test_an_unknown_entity_is_invented() -> None:
    """The vendor has never heard of it."""
    assert verdict(judge([], stored("a", "b"))) == {"invented": 2}


def test_deletions_need_not_be_told_where_the_source_ignores_them() -> None:
    """With `expects_deletes` off the state before the deletion is the final one."""
    changes = issued("a", "b", None)
    assert compare(changes, stored("a", "b"), view=dict, expects_deletes=False).faithful
    assert not compare(changes, stored("a", "b"), view=dict).faithful


def test_nulls_empties_and_whole_floats_make_no_difference() -> None:
    """Two spellings of the same content are equal."""
    changes = issued("a")
    spelt: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
        ({"t": 1.6094592e12, "p": None, "c": {"id": None}}, {"t": 1609459200000, "q": [], "c": {}}),
        ({"p": [{"a": None, "b": True}]}, {"p": [{"b": True}]}),
    ]
    for ours, theirs in spelt:
        event = dataclasses.replace(stored("a")[0], after=ours)
        assert compare(changes, [event], view=lambda _, shown=theirs: shown).faithful  # type: ignore[misc]


ENTITIES = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), ENTITIES, st.integers(0, 3)),
        st.tuples(st.just("delete"), ENTITIES, st.just(0)),
        st.tuples(st.just("read"), ENTITIES, st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


def live_through(steps: list[tuple[str, int, int]]) -> tuple[list[Change], list[Seen]]:
    """A vendor making these changes, and a faithful reader that reads when told to, and everything at the end."""
    changes: list[Change] = []
    latest: dict[int, Change] = {}
    events: list[Seen] = []
    known: dict[int, Any] = {}

    def read(entity: int, now: int) -> None:
        change = latest.get(entity)
        if change is None:
            return
        if change.record is not None and change.served_ms is None:
            change.served_ms = now
        if change.record == known.get(entity):
            return
        kind = "deleted" if change.record is None else "updated" if entity in known else "created"
        events.append(Seen(str(entity), kind, change.record, now, f"ce-{len(events)}"))
        known[entity] = change.record

    for now, (what, entity, value) in enumerate(steps):
        if what == "read":
            read(entity, now)
        elif what == "write" or (entity in latest and latest[entity].record is not None):
            record = {"v": value} if what == "write" else None
            change = Change(len(changes) + 1, now, "s", str(entity), "updated", what, record)
            changes.append(change)
            latest[entity] = change
    for entity in range(3):
        read(entity, len(steps))
    return changes, events


@given(STEPS)
def test_a_faithful_reader_is_always_acquitted(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the vendor does and whenever it is read, a reader that tells what it read is faithful, even strictly."""
    changes, events = live_through(steps)
    report = judge(changes, events, strict=True)
    assert report.faithful, report.findings
    assert report.lapsed == 0
    assert len(report.latencies_ms) == len(events)
    assert min(report.latencies_ms, default=0) >= 0


@given(STEPS, st.data())
def test_an_event_left_out_is_found(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """Dropping any event of a record that was served makes the stream unfaithful."""
    changes, events = live_through(steps)
    places = [n for n, event in enumerate(events) if event.after is not None]
    if not places:
        return
    del events[data.draw(st.sampled_from(places))]
    assert not judge(changes, events, strict=True).faithful


@given(STEPS, st.data())
def test_an_event_told_twice_is_found(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """Repeating an event, at once, under its own id or a new one, is a duplicate."""
    changes, events = live_through(steps)
    if not events:
        return
    place = data.draw(st.integers(0, len(events) - 1))
    events.insert(place + 1, dataclasses.replace(events[place], ce_id=data.draw(st.sampled_from(["new", "ce-0"]))))
    report = judge(changes, events)
    assert report.duplicates >= 1


@given(STEPS, st.data())
def test_two_events_in_the_wrong_order_are_found(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """Swapping two events of one entity that follow one another makes the stream unfaithful."""
    changes, events = live_through(steps)
    pairs = []
    for first, event in enumerate(events):
        second = next((n for n in range(first + 1, len(events)) if events[n].id == event.id), None)
        if second is not None and event.after is not None and events[second].after is not None:
            pairs.append((first, second))
    if not pairs:
        return
    first, second = data.draw(st.sampled_from(pairs))
    events[first], events[second] = events[second], events[first]
    assert not judge(changes, events, strict=True).faithful


@given(STEPS, st.data())
def test_an_older_version_told_last_is_found(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """An event again at the end, where its entity has moved on, is out of order, and the final state is missing."""
    changes, events = live_through(steps)
    last = {event.id: event for event in events}
    stale = [event for event in events if event.after != last[event.id].after]
    if not stale:
        return
    events.append(dataclasses.replace(data.draw(st.sampled_from(stale)), ce_id="new"))
    report = judge(changes, events)
    assert report.missing >= 1
    assert not report.faithful


@given(STEPS, st.data())
def test_a_version_nobody_issued_is_found(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """An event that says what the ledger does not hold is invented."""
    changes, events = live_through(steps)
    if not events:
        return
    place = data.draw(st.integers(0, len(events) - 1))
    events.insert(place, dataclasses.replace(events[place], after={"v": 99}, change="updated", ce_id="new"))
    assert judge(changes, events).invented == 1


def test_the_view_of_a_session_is_the_published_sample() -> None:
    """The vendor's first sample, as a consumer must see it, in either spelling of times."""
    from bridge.sandbox.pcvisit import Options, PcvisitSandbox

    sandbox = PcvisitSandbox(Options(clock=HandClock()))
    sample = sandbox.ledger.changes[0]
    assert sample.record is not None
    after = {
        "id": "session-uuid-1",
        "name": "Support Session",
        "state": "Closed",
        "type": "Adhoc",
        "created_at": "2021-01-01T00:00:00Z",
        "finished_at": "2021-01-01T01:00:00.000Z",
        "duration_ms": 3600000,
        "custom_duration_ms": None,
        "invoice_state": "Invoiced",
        "company_id": SAMPLE_COMPANY,
        "participants": [],
        "computer": None,
        "client": None,
    }
    event = Seen(sample.id, "snapshot", after, 0, "ce-1")
    assert compare([sample], [event], view=as_issued, seen=as_seen).faithful
    wrong = dataclasses.replace(event, after={**after, "finished_at": "2021-01-01T01:00:00.001Z"})
    assert compare([sample], [wrong], view=as_issued, seen=as_seen).invented == 1
    [new] = sandbox.make_change(kind="new")
    assert new.record is not None
    person = as_issued(new.record)["participants"][0]
    assert person.keys() == {"supporter_id", "is_creator"}
    people = [{"supporter_id": id_, "is_creator": id_ == "b", "email": "x@y.example"} for id_ in ("b", "a")]
    other_way = as_seen({"participants": people[::-1]})
    assert as_seen({"participants": people}) == other_way
    assert other_way["participants"][0] == {"supporter_id": "a", "is_creator": False}


def pushed(*values: str | None, told: str) -> list[Change]:
    """As `issued`; `told` says of each version how it was carried: `p` by a push, `a` by an answer, `-` not at all."""
    changes = issued(*values, served=told.replace("p", "-").replace("a", "+"))
    for change, how in zip(changes, told, strict=True):
        change.pushed_ms = change.at_ms if how == "p" else None
    return changes


@pytest.mark.parametrize(
    ("history", "told", "stream", "strict", "expected"),
    [
        ("abc", "ppp", "abc", True, {}),
        ("abc", "p-p", "ac", True, {"superseded": 1}),
        ("abc", "ppp", "ac", False, {"lapsed": 1}),
        ("abc", "ppp", "ac", True, {"missing": 1}),
        ("abc", "pp-", "ab", False, {"missing": 1}),
        ("abc", "p-a", "ac", True, {"superseded": 1}),
        ("abc", "aap", "bac", False, {"out_of_order": 1, "lapsed": 1, "superseded": 1}),
        ("abc", "ppp", "aabc", False, {"duplicates": 1}),
        ("abc", "p-p", "axc", True, {"invented": 1, "superseded": 1}),
    ],
)
def test_a_push_withheld_and_overwritten_may_be_missing_and_nothing_else(
    history: str, told: str, stream: str, strict: bool, expected: dict[str, int]
) -> None:
    """Final state equal, every version one the vendor had, in order, none twice; only what nobody was told may miss."""
    report = compare(pushed(*history, told=told), stored(*stream), view=dict, strict_pushed=strict)
    assert verdict(report) == expected


def test_a_deletion_in_the_stream_parts_two_versions_that_look_alike() -> None:
    """A → deleted → A: who tells of the deletion has to tell of the first A as well."""
    changes = issued("a", None, "a", served="+-+")
    assert judge(changes, stored("a", None, "a"), strict=True).faithful
    assert judge(changes, stored("a"), strict=True).faithful
    assert judge(changes, stored(None, "a"), strict=True).missing == 1


def test_the_reports_of_several_vendors_add_up() -> None:
    """`total` is the sum, with the findings and latencies of all."""
    one, two = judge(issued("a", "b"), stored("a")), judge(issued("a"), stored("a", "a"))
    whole = total([one, two])
    assert (whole.changes, whole.events, whole.missing, whole.duplicates) == (3, 3, 1, 1)
    assert whole.findings == [*one.findings, *two.findings]
    assert whole.latencies_ms == [*one.latencies_ms, *two.latencies_ms]
