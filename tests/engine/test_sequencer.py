"""The one writer of a source's events, against a ledger that refuses, forgets to answer, and breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from bridge.core.errors import Away, Malformed
from bridge.core.own import SOURCE
from bridge.core.record import Record
from bridge.engine import batching
from bridge.engine.sequencer import REFUSALS, Sequencer
from tests.support.desk import WALK, Desk, gone, once, thing
from tests.support.engine import on_virtual_clock
from tests.support.memory_ledger import Fault

Play = Callable[[Desk, Sequencer], Awaitable[None]]


def play(scene: Play, **settings: object) -> Desk:
    """Run a scene on a fresh ledger."""
    desk = Desk(**settings)  # type: ignore[arg-type]

    async def main() -> None:
        await scene(desk, await desk.open())

    on_virtual_clock(main)
    return desk


# --- what is written ---


def test_live_records_of_one_entity_keep_their_order() -> None:
    """Several changes of one entity in one call are stored one after the other, each once."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 1), thing("b", 1), thing("a", 2), thing("a", 2), thing("a", 1)])

    told = play(scene).told()
    assert [event for event in told if event[0] == "a"] == [
        ("a", "created", 1),
        ("a", "updated", 2),
        ("a", "updated", 1),
    ]
    assert ("b", "created", 1) in told


def test_before_and_changed_tell_what_was() -> None:
    """An update carries what the entity was; a deletion too."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 1)])
        await desk.page(sequencer, thing("a", 2))
        await sequencer.live([gone("a")])

    data = [entry.data for entry in play(scene).entries("events.acme.")]
    assert [(each["before"], each["changed"]) for each in data] == [
        (None, []),
        ({"value": 1}, ["value"]),
        ({"value": 2}, []),
    ]


def test_a_page_and_its_cursor_are_one_batch() -> None:
    """Where the cursor lies, the events of its page lie right before it."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, thing("a", 1), thing("b", 1), cursor={"at": 1})
        assert sequencer.counts.batches == 1
        assert sequencer.cursor(WALK).value == {"at": 1}
        assert [entry.seq for entry in desk.entries("events.acme.")] == [
            sequencer.cursor(WALK).seq - 2,
            sequencer.cursor(WALK).seq - 1,
        ]

    assert play(scene).cursor() == {"at": 1}


def test_one_entity_once_per_batch() -> None:
    """Its next change goes into the next batch, and only the last batch carries the page's cursor."""
    cursors: list[object] = []

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.on_step = lambda step: cursors.append(desk.cursor()) if step == "commit" else None
        await desk.page(sequencer, thing("a", 1), thing("b", 1), thing("a", 2), thing("a", 3), cursor={"at": 1})
        assert sequencer.counts.batches == 3

    desk = play(scene)
    assert cursors == [None, {"part": True}, {"part": True}]
    assert desk.cursor() == {"at": 1}
    assert [value for id_, _, value in desk.told() if id_ == "a"] == [1, 2, 3]


def test_a_page_is_cut_at_500_events() -> None:
    """Parts before the last carry the part cursor; a crash between them leaves it, and what is stored is not stored
    again."""

    class Dead(Exception):
        pass

    def die(step: str) -> None:
        if step == "commit" and len(desk.told()) == 1_000:
            raise Dead

    desk = Desk()
    records = [thing(f"t{number:04}", 1) for number in range(1_234)]

    async def main() -> None:
        desk.ledger.on_step = die
        with pytest.raises(Dead):
            await desk.page(await desk.open(), *records, cursor={"at": 1})
        assert desk.cursor() == {"part": True}
        desk.ledger.on_step = lambda step: None
        sequencer = await desk.open()
        await desk.page(sequencer, *records, cursor={"at": 1})
        assert sequencer.counts.stored == 234
        assert sequencer.counts.unchanged == 1_000

    on_virtual_clock(main)
    assert desk.cursor() == {"at": 1}
    assert [id_ for id_, _, _ in desk.told()] == [record.id for record in records]


def test_a_page_is_cut_at_4_mib() -> None:
    """No batch is larger, and a part costs its events no second look."""
    sizes: list[int] = []

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        steps: list[str] = []
        await desk.page(sequencer, *[thing(f"t{number}", 0) for number in range(20)])
        stored = len(desk.told())
        desk.ledger.on_step = steps.append
        commit = desk.book.commit

        async def measured(events, *rest):  # type: ignore[no-untyped-def]
            sizes.append(sum(event.size for event in events))
            return await commit(events, *rest)

        desk.book.commit = measured  # type: ignore[method-assign]
        await desk.page(sequencer, *[thing(f"t{number}", "x" * 500_000) for number in range(20)], cursor={"at": 2})
        assert len(desk.told()) == stored + 20
        assert steps.count("after") == 1

    desk = play(scene)
    assert len(sizes) == 3
    assert max(sizes) <= batching.BATCH_BYTES
    assert desk.cursor() == {"at": 2}


def test_one_event_above_the_batch_size_still_goes() -> None:
    """A batch holds at least one event."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, thing("a", "x" * 5_000_000), thing("b", 1), cursor={"at": 1})
        assert sequencer.counts.batches == 2

    assert play(scene, max_payload=8_000_000).cursor() == {"at": 1}


@pytest.mark.parametrize("alone", [True, False])
def test_a_page_without_changes(alone: bool) -> None:
    """Its cursor is written only if asked for, and only if it says something new."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, thing("a", 1), cursor={"at": 1})
        for at in (1, 2, 2):
            await desk.page(sequencer, thing("a", 1), cursor={"at": at}, cursor_alone=alone)
        assert sequencer.counts.batches == 1 + alone

    assert play(scene).cursor() == {"at": 2 if alone else 1}


# --- doubts about single writes ---


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_STORED, Fault.UNKNOWN_LOST, Fault.STALE])
@pytest.mark.parametrize("record", [thing("a", 2), once("beep")])
def test_a_doubt_is_settled_by_a_look(fault: Fault, record: Record) -> None:
    """Stored or not, refused or not: afterwards the change is there once, and its successor follows it."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 1)])
        desk.ledger.append_faults.append(fault)
        await sequencer.live([record, thing("a", 3)])
        assert sequencer.counts.unknown == (fault is not Fault.STALE)
        assert sequencer.counts.refused == (fault is Fault.STALE)

    told = play(scene).told()
    change = "occurred" if record.occurred else "updated"
    value = (record.after or {})["value"]
    assert set(told) == {("a", "created", 1), (record.id, change, value), ("a", "updated", 3)}
    assert len(told) == 3
    assert [each for id_, _, each in told if id_ == "a"][-1] == 3


def test_a_doubt_costs_its_own_entity_only() -> None:
    """The others are stored at once; only the doubtful one is looked up."""
    looked: list[str] = []

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([None, Fault.UNKNOWN_STORED, None])
        desk.ledger.on_step = looked.append
        await sequencer.live([thing("a", 1), thing("b", 1), thing("c", 1)])

    assert len(play(scene).told()) == 3
    assert looked.count("head") == 1


def test_another_writer_is_seen_and_not_overwritten() -> None:
    """It told a newer version: ours, which is older, is dropped; and its deletion is respected."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", "one", 1)])
        desk.foreign(thing("a", "three", 3), "updated", await desk.book.head(desk.scribe.key("thing", "a")))
        await sequencer.live([thing("a", "two", 2)])
        await sequencer.live([thing("a", "four", 4)])

    assert [value for _, _, value in play(scene).told()] == ["one", "three", "four"]


def test_another_writer_told_the_same_change() -> None:
    """Two instances see the same push: one event."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        other = await desk.open()
        await sequencer.live([thing("a", 1), once("beep")])
        await other.live([thing("a", 1), once("beep")])
        await other.live([thing("a", 2)])
        await sequencer.live([thing("a", 2)])

    assert [event[1:] for event in sorted(play(scene).told())] == [
        ("created", 1),
        ("updated", 2),
        ("occurred", "x"),
    ]


def test_refused_again_and_again_the_source_reads_anew() -> None:
    """Somebody else writes without end: no endless loop, but Away."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([Fault.STALE] * 100)
        with pytest.raises(Away, match=f"{REFUSALS} times in a row"):
            await sequencer.live([thing("a", 1)])
        assert len(desk.ledger.append_faults) == 100 - REFUSALS - 1

    play(scene)


def test_refusals_of_different_changes_do_not_add_up() -> None:
    """Each change of an entity may be refused once or twice without anybody else being at work."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([Fault.STALE, None] * 8)
        await sequencer.live([thing("a", value) for value in range(8)])

    assert [value for _, _, value in play(scene).told()] == list(range(8))


def test_an_entity_that_aged_out_is_expected_nowhere() -> None:
    """The stream no longer holds it: the next change expects nothing, and is still an update."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 1)])
        desk.ledger.age_out(1_000)
        await sequencer.live([thing("a", 1)])
        assert desk.told() == []
        await sequencer.live([thing("a", 2)])
        sequencer = await desk.open()
        await sequencer.live([thing("a", 2)])

    assert play(scene).told() == [("a", "updated", 2)]


# --- doubts about batches ---


def test_a_refused_batch_is_looked_at_and_judged_again() -> None:
    """Another writer told one of its changes already: the rest is stored with the cursor, nothing twice."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.foreign(thing("b", 1), "created")
        await desk.page(sequencer, thing("a", 1), thing("b", 1), thing("c", 1), cursor={"at": 1})
        assert (sequencer.counts.refused, sequencer.counts.batches) == (1, 1)

    desk = play(scene)
    assert sorted(desk.told()) == [("a", "created", 1), ("b", "created", 1), ("c", "created", 1)]
    assert desk.cursor() == {"at": 1}


def test_a_refused_batch_is_halved_while_another_writer_is_at_work() -> None:
    """Someone interferes with every batch of more than two events: the smaller ones get through."""
    sizes: list[int] = []

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        commit, value = desk.book.commit, 100

        async def disturbed(events, *rest):  # type: ignore[no-untyped-def]
            nonlocal value
            sizes.append(len(events))
            if len(events) > 2:
                value += 1
                head = await desk.book.head(events[0].key)
                desk.foreign(thing(events[0].key.id, value, value), "updated" if head else "created", head)
            return await commit(events, *rest)

        desk.book.commit = disturbed  # type: ignore[method-assign]
        await desk.page(sequencer, *[thing(f"t{number}", 1, 1_000) for number in range(8)], cursor={"at": 1})

    desk = play(scene)
    assert sizes == [8, 8, 8, 4, 4, 4, 2, 2, 2, 2]
    assert {id_ for id_, _, value in desk.told() if value == 1} == {f"t{number}" for number in range(8)}
    assert desk.cursor() == {"at": 1}


def test_a_cursor_that_another_writer_moved_is_not_overwritten() -> None:
    """Its owner knows more than we do: Away, and nothing of ours is stored."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        other = await desk.open()
        await desk.page(other, thing("x", 1), cursor={"other": 1})
        desk.book = sequencer._book  # type: ignore[assignment]
        with pytest.raises(Away, match="somebody else writes"):
            await desk.page(sequencer, thing("a", 1), thing("b", 1), cursor={"at": 1})

    desk = play(scene)
    assert desk.told() == [("x", "created", 1)]
    assert desk.cursor() == {"other": 1}


def test_a_batch_refused_without_a_reason_is_given_up() -> None:
    """Three looks explain nothing: Away instead of a loop."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.commit_faults.extend([Fault.STALE] * 100)
        with pytest.raises(Away):
            await desk.page(sequencer, thing("a", 1), thing("b", 1))
        assert len(desk.ledger.commit_faults) == 100 - REFUSALS

    assert play(scene).told() == []


def test_what_occurred_already_is_dropped_before_the_commit() -> None:
    """The stream is asked once for all of them, and no batch is refused."""
    steps: list[str] = []

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, *[once(f"o{number}") for number in range(100)], cursor={"at": 1})
        sequencer = await desk.open()
        desk.ledger.on_step = steps.append
        await desk.page(sequencer, *[once(f"o{number}") for number in range(50, 150)], cursor={"at": 2})
        await desk.page(sequencer, *[once(f"o{number}") for number in range(50, 150)], cursor={"at": 3})
        assert sequencer.counts.refused == 0
        assert sequencer.counts.stored == 50

    desk = play(scene)
    assert steps.count("stored") == 1
    assert len(desk.told()) == len({id_ for id_, _, _ in desk.told()}) == 150
    assert desk.cursor() == {"at": 3}


def test_what_occurred_twice_in_a_page_is_one_event() -> None:
    """Entries of one batch do not see each other, so they must not meet there."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await desk.page(sequencer, once("a"), once("a"), once("b"), once("a", "other"), cursor={"at": 1})

    assert play(scene).told() == [("a", "occurred", "x"), ("b", "occurred", "x")]


# --- too large, or not JSON ---


@pytest.mark.parametrize("live", [True, False])
def test_what_no_server_takes_is_set_aside_once(live: bool) -> None:
    """A record above `max_payload`, or one that is not JSON, is one quarantine event, and its neighbours pass."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        records = [thing("a", 1), thing("huge", "x" * 30_000), thing("nan", float("nan")), thing("b", 1)]
        late = Record("thing", "late", {"value": 1}, at_ms=10**18)
        for _ in range(3):
            for _ in range(2):
                if live:
                    await sequencer.live([*records, late])
                else:
                    await desk.page(sequencer, *records, late, cursor={"at": 1})
            sequencer = await desk.open()

    desk = play(scene, max_payload=20_000)
    assert sorted(desk.told()) == [("a", "created", 1), ("b", "created", 1)]
    aside = {each["feed"]: each for each in desk.quarantined()}
    reasons = sorted(each["reason"] for each in desk.quarantined())
    assert len(reasons) == 3
    assert reasons[0].startswith("thing cannot be stored: ")
    assert reasons[1].startswith("thing cannot be stored: not a point in time")
    assert reasons[2] == "thing exceeds the NATS server's limit of 20000 bytes"
    assert set(aside) == {"thing"}
    assert any(each["truncated"] and each["raw"].startswith('{"after":{"value":"xxx') for each in desk.quarantined())


def test_unreadable_rows_are_stored_with_the_page() -> None:
    """In the same batch, once each."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        broken = [Malformed("no id", raw=b"{}"), Malformed("no id", raw=b"{}"), Malformed("no id", raw=b"[]")]
        await desk.page(sequencer, thing("a", 1), unreadable=broken, cursor={"at": 1})
        assert sequencer.counts.quarantined == 2

    desk = play(scene)
    assert sorted(each["raw"] for each in desk.quarantined()) == ["[]", "{}"]
    assert desk.cursor() == {"at": 1}


# --- live and pages side by side ---


def test_an_entity_in_a_batch_is_closed_to_live_writes() -> None:
    """A live change waits until the batch is settled, and then follows it; other entities do not wait."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.latency_s = 1.0
        since = sequencer.arrivals.tick()

        async def live(*records: Record) -> None:
            await sequencer.live(records)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: desk.page(sequencer, thing("a", 1), thing("b", 1), since=since))
            await anyio.wait_all_tasks_blocked()
            group.start_soon(live, thing("a", 2))
            group.start_soon(live, thing("z", 1))
        assert sequencer.counts.refused == 0

    told = play(scene).told()
    assert [event for event in told if event[0] == "a"] == [("a", "created", 1), ("a", "updated", 2)]
    assert told.index(("z", "created", 1)) < told.index(("a", "updated", 2))


def test_an_entity_in_a_live_write_is_closed_to_pages() -> None:
    """And the page, which is older, leaves alone what the live record touched."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 0), thing("b", 0)])
        desk.ledger.latency_s = 1.0
        since = sequencer.arrivals.tick()
        async with anyio.create_task_group() as group:
            group.start_soon(sequencer.live, [thing("a", 2)])
            await anyio.wait_all_tasks_blocked()
            group.start_soon(lambda: desk.page(sequencer, thing("a", 1), thing("b", 1), since=since))
        assert sequencer.counts.refused == 0

    told = play(scene).told()
    assert [value for id_, _, value in told if id_ == "a"] == [0, 2]
    assert [value for id_, _, value in told if id_ == "b"] == [0, 1]


@pytest.mark.parametrize("version", [None, 5])
def test_a_page_does_not_overwrite_a_live_record_that_is_newer(version: int | None) -> None:
    """By version where there is one, else by when its pass began."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        before = sequencer.arrivals.tick()
        await sequencer.live([thing("a", "live", version)])
        await desk.page(sequencer, thing("a", "old", version and version - 1), since=before)
        await desk.page(sequencer, thing("a", "new", version and version + 1), since=sequencer.arrivals.tick())

    assert [value for _, _, value in play(scene).told()] == ["live", "new"]


def test_a_page_that_waits_for_a_live_write_looks_again_whom_it_has_overtaken() -> None:
    """While it waits for one entity, a live record of another arrives: that one is newer than the page."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 0), thing("b", 0)])
        desk.ledger.latency_s = 1.0
        since = sequencer.arrivals.tick()

        async def pump() -> None:
            await sequencer.live([thing("a", 2)])
            await sequencer.live([thing("b", 2)])

        async with anyio.create_task_group() as group:
            group.start_soon(pump)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(lambda: desk.page(sequencer, thing("a", 1), thing("b", 1), since=since))

    for _ in range(10):  # trio wakes tasks in random order
        told = play(scene).told()
        assert [value for id_, _, value in told if id_ == "b"] == [0, 2]


def test_live_writes_do_not_starve_a_page() -> None:
    """However fast the same entities are pushed, the page has its turn."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        done = anyio.Event()

        async def pump() -> None:
            value = 0
            while not done.is_set():
                value += 1
                await sequencer.live([thing("a", value)])
                await anyio.lowlevel.checkpoint()
                assert value < 1_000

        async def page() -> None:
            await desk.page(sequencer, thing("a", -1), thing("b", 1))
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(pump)
            group.start_soon(page)

    assert ("b", "created", 1) in play(scene).told()


def test_what_live_records_touched_is_remembered_for_every_pass_under_way() -> None:
    """Forgetting is by the oldest of them; what only happens once needs no memory."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 1), once("beep")], [Malformed("m", raw=b"r")])
        slow = sequencer.arrivals.tick()
        await sequencer.live([thing("b", 1)])
        sequencer.arrivals.forget(slow)
        assert set(sequencer.arrivals._pushed) == {desk.scribe.key("thing", "b")}
        sequencer.arrivals.forget(sequencer.arrivals.tick())
        assert not sequencer.arrivals._pushed

    play(scene)


# --- cut off ---


@pytest.mark.parametrize("where", ["append", "append.stored", "commit", "commit.stored", "head", "after", "stored"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("fresh", [True, False])
def test_cancelled_anywhere_nothing_is_doubled_or_lost(where: str, nth: int, fresh: bool) -> None:
    """Cut off at any call to the ledger and done again, by a fresh process or by the same: each change is there
    once."""
    desk = Desk()

    async def work(sequencer: Sequencer) -> None:
        await sequencer.live([thing("a", 2, 2), once("beep"), thing("b", 1, 1)])
        await desk.page(sequencer, thing("a", 3, 3), thing("c", 1, 1), thing("c", 2, 2), once("boop"), once("beep"))
        await sequencer.live([thing("b", 2, 2)])

    async def main() -> None:
        sequencer, seen = await desk.open(), 0
        await desk.page(sequencer, thing("a", 1, 1), cursor={"at": 0})
        desk.ledger.append_faults.extend([Fault.STALE, None])
        with anyio.CancelScope() as scope:

            def cut(step: str) -> None:
                nonlocal seen
                seen += step == where
                if seen == nth:
                    scope.cancel()

            desk.ledger.on_step = cut
            await work(sequencer)
        desk.ledger.on_step = lambda step: None
        for attempt in range(5):
            if fresh or attempt:
                sequencer = await desk.open()
            try:
                return await work(sequencer)
            except Away:
                # The cursor moved while nobody listened.
                assert not fresh
        raise AssertionError

    on_virtual_clock(main)
    values = {id_: [value for each, _, value in desk.told() if each == id_] for id_, _, _ in desk.told()}
    assert values["beep"] == values["boop"] == ["x"]
    assert values["c"] == [1, 2]
    assert values["a"] in ([1, 2, 3], [1, 3])
    assert values["b"] == [1, 2]
    assert desk.cursor() == {"completed_ms": 1}


def test_a_live_write_that_was_cut_off_may_have_been_stored() -> None:
    """A → B was on its way when the session ended; the vendor goes back to A: the stream must end with A."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.live([thing("x", "A")])
        with anyio.CancelScope() as scope:
            desk.ledger.on_step = lambda step: scope.cancel() if step == "append.stored" else None
            await sequencer.live([thing("x", "B")])
        assert scope.cancelled_caught
        desk.ledger.on_step = lambda step: None
        await desk.page(sequencer, thing("x", "A"), since=sequencer.arrivals.tick())

    assert [value for _, _, value in play(scene).told()] == ["A", "B", "A"]


@pytest.mark.parametrize("together", [False, True], ids=["live", "page"])
def test_what_was_new_in_a_write_that_was_cut_off_is_known(together: bool) -> None:
    """Stored, and nobody heard of it: the vendor may delete it before any record mentions it again."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        with anyio.CancelScope() as scope:
            stored = "commit.stored" if together else "append.stored"
            desk.ledger.on_step = lambda step: scope.cancel() if step == stored else None
            await (desk.page(sequencer, thing("x", "A")) if together else sequencer.live([thing("x", "A")]))
        assert scope.cancelled_caught
        desk.ledger.on_step = lambda step: None
        assert sequencer.ids("thing") == set()
        assert await sequencer.certain_ids("thing") == {"x"} == sequencer.ids("thing")

    play(scene)


def test_who_asks_for_certain_waits_for_writes_under_way() -> None:
    """An entity that is being written is known as soon as that write is settled, and not asked about in between."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        found: list[set[str]] = []

        async def ask() -> None:
            found.append(await sequencer.certain_ids("thing"))

        def slow_to_write(step: str) -> None:
            desk.ledger.latency_s = 5.0 if step == "append" else 0.0
            if step == "append":
                group.start_soon(ask)

        desk.ledger.on_step = slow_to_write
        async with anyio.create_task_group() as group:
            await sequencer.live([thing("x", "A")])
        assert found == [{"x"}]

    play(scene)


def test_a_void_book_writes_nothing() -> None:
    """After a lost connection every write is Away, and nothing is stored behind our back."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.drop_connection()
        with pytest.raises(Away):
            await sequencer.live([thing("a", 1)])
        with pytest.raises(Away):
            await desk.page(sequencer, thing("a", 1))

    desk = play(scene)
    assert desk.told() == []
    assert desk.cursor() is None


# --- the bridge's own ---


def test_own_events_are_chained_and_told_once() -> None:
    """A lost acknowledgement doubles none of them, and the same change may follow itself later."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        desk.ledger.append_faults.extend([Fault.UNKNOWN_STORED, Fault.UNKNOWN_LOST, None, Fault.STALE])
        for change in ("connected", "lost", "recovered", "lost"):
            await sequencer.announce("source", change, "main", SOURCE.example)
        assert await sequencer.announced("source", "main") == "lost"
        assert await sequencer.announced("source", "other") is None

    entries = play(scene).entries("events.bridge.main.source.")
    assert [entry.change for entry in entries] == ["connected", "lost", "recovered", "lost"]
    assert len({entry.ce_id for entry in entries}) == 4


def test_own_events_are_no_knowledge_of_the_source() -> None:
    """A source that only said that it is blocked has read nothing yet: what it finds then is no news."""

    async def scene(desk: Desk, sequencer: Sequencer) -> None:
        await sequencer.announce("source", "blocked", "main", SOURCE.example)
        assert not sequencer.knows_anything()
        await sequencer.live([thing("a", 1)])
        assert sequencer.knows_anything()

    play(scene)
