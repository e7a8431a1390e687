"""Rows that are as they were are passed over, and never one that could be news."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from bridge.adapter import Ask, Json, Malformed, Page, Record, Walk
from bridge.engine.aliases import Aliases
from bridge.engine.rows import Rows, read_rows
from bridge.engine.sequencer import Sequencer
from bridge.engine.unchanged import Unchanged
from tests.support.desk import Desk, gone, thing
from tests.support.engine import on_virtual_clock
from tests.support.memory_ledger import Fault
from tests.support.sim_collection import CollectionAdapter, CollectionSettings

THINGS = Walk("things", "thing", 60.0)


class Maker(CollectionAdapter):
    """Maps `value` alone, and sees what it is asked to map. `beep` rows occur once; `other` ones are another entity."""

    def __init__(self) -> None:
        super().__init__(CollectionSettings(name="main", adapter="sim"))
        self.mapped: list[Json] = []
        self.goes_by: Json = "things"

    def basis(self, ask: Ask) -> Json:
        return self.goes_by

    def record(self, ask: Ask, row: Json) -> Record:
        self.mapped.append(row)
        if not isinstance(row, dict) or "id" not in row:
            raise Malformed("a thing needs an id", raw=b"...")
        if row.get("gone"):
            return gone(str(row["id"]))
        found = thing(str(row["id"]), row.get("value"))
        return replace(found, entity=row.get("entity", "thing"), occurred="beep" in row)


@dataclass
class Scene:
    """A desk, and what reads pages for it."""

    desk: Desk
    sequencer: Sequencer
    maker: Maker = field(default_factory=Maker)

    def __post_init__(self) -> None:
        self.aliases = Aliases(self.sequencer, {})
        self.unchanged = Unchanged(self.maker, self.sequencer, self.aliases)

    async def read(
        self, *rows: Json, walk: Walk = THINGS, part: str = "", ids: Sequence[str] = (), since: int | None = None
    ) -> Rows:
        """One page, asked for now, read and stored. `since`: when its pass began; default: now."""
        arrivals = self.sequencer.arrivals
        ask, page, asked_at = Ask(walk, None, None, ids), Page(rows, part=part), arrivals.asked()
        since = arrivals.tick() if since is None else since
        marks = self.unchanged.marks(ask, page, since=since, asked_at=asked_at)
        found = await read_rows(self.maker, ask, page, marks)
        await self.desk.page(
            self.sequencer, *found.records, unreadable=found.unreadable, marks=found.marks, since=since,
            asked_at=asked_at, lag_s=walk.lag_s,
        )  # fmt: skip
        return found

    async def passes(self, *rows: Json, **how: Any) -> Sequence[str]:
        """The ids of those that are passed over."""
        return (await self.read(*rows, **how)).passed


def play(scene: Callable[[Scene], Awaitable[None]], **settings: Any) -> Desk:
    """Run a scene on a fresh ledger."""
    desk = Desk(**settings)

    async def main() -> None:
        await scene(Scene(desk, await desk.open()))

    on_virtual_clock(main)
    return desk


def row(id_: Json, value: Json = 1, **more: Json) -> Json:
    return {"id": id_, "value": value, **more}


def test_rows_that_are_as_they_were_are_not_even_mapped() -> None:
    """Once stored, or known to be no news, a row is passed over; its id is handed on in its place."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"), row("b"), row("c"))
        on.maker.mapped.clear()
        found = await on.read(row("c"), row("b", 2), row("a"), row("d"))
        assert (found.passed, found.listed) == (["c", "a"], ["c", "b", "a", "d"])
        assert on.maker.mapped == [row("b", 2), row("d")]
        assert await on.passes(row("a"), row("b", 2), row("c"), row("d")) == ["a", "b", "c", "d"]

    assert play(scene).told() == [
        ("a", "created", 1), ("b", "created", 1), ("c", "created", 1), ("b", "updated", 2), ("d", "created", 1),
    ]  # fmt: skip


def test_what_a_process_before_stored_is_passed_over_once_it_was_found_to_be_no_news() -> None:
    """Marks are not remembered from one opening to the next; the first reading judges each row."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        after = Scene(on.desk, await on.desk.open())
        assert await after.passes(row("a")) == []
        assert await after.passes(row("a")) == ["a"]

    assert play(scene).told() == [("a", "created", 1)]


def test_another_walker_over_the_same_knowledge_passes_over_nothing() -> None:
    """Its marks are made with a secret of its own."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        other = Scene(on.desk, on.sequencer)
        await other.read(row("b"))
        assert await other.passes(row("a"), row("b")) == ["b"]

    play(scene)


def test_a_row_that_becomes_again_what_it_was_is_news() -> None:
    """Only what was known last counts."""

    async def scene(on: Scene) -> None:
        for value in (1, 2, 1, 1, 2):
            await on.read(row("a", value))

    assert [value for _, _, value in play(scene).told()] == [1, 2, 1, 2]


def test_what_anything_else_stored_is_compared_anew() -> None:
    """Whatever replaces what is known of an entity, a row that is as it was before that is judged again."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"), row("b"))
        await on.desk.page(on.sequencer, thing("a", 2))
        assert await on.passes(row("a"), row("b")) == ["b"]

    assert play(scene).told()[2:] == [("a", "updated", 2), ("a", "updated", 1)]


def test_what_was_deleted_and_is_there_again_is_created() -> None:
    """Though its row is the very one that was known before."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        await on.desk.page(on.sequencer, gone("a"))
        assert await on.passes(row("a")) == []

    assert [change for _, change, _ in play(scene).told()] == ["created", "deleted", "created"]


def test_what_may_have_been_stored_is_looked_at_first() -> None:
    """A write that was cut off on its way makes what is known of its entity doubtful, marks and all."""

    class Cut(Exception):
        pass

    def cut(step: str) -> None:
        if step == "commit.stored":
            raise Cut

    async def scene(on: Scene) -> None:
        await on.read(row("a"), row("b"))
        on.desk.ledger.on_step = cut
        with pytest.raises(Cut):
            await on.read(row("a", 2), row("b"))
        on.desk.ledger.on_step = lambda _: None
        assert await on.passes(row("a"), row("b")) == ["b"]

    assert play(scene).told()[2:] == [("a", "updated", 2), ("a", "updated", 1)]


def test_what_was_not_stored_is_not_passed_over() -> None:
    """A page that was read and whose write failed comes again, and is judged again."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        page = Page([row("a", 2)])
        await read_rows(on.maker, Ask(THINGS, None), page, on.unchanged.marks(Ask(THINGS, None), page))
        assert await on.passes(row("a", 2)) == []

    assert play(scene).told() == [("a", "created", 1), ("a", "updated", 2)]


def test_a_refused_batch_marks_nothing_that_it_did_not_store() -> None:
    """What a look finds replaces what was known."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        on.desk.ledger.commit_faults.append(Fault.STALE)
        assert await on.passes(row("a", 2)) == []
        assert await on.passes(row("a", 2)) == ["a"]

    assert play(scene).told() == [("a", "created", 1), ("a", "updated", 2)]


@pytest.mark.parametrize("rows", [[row("a", 1), row("a", 2)], [row("a", 2), row("a", 1)]])
def test_two_rows_of_one_id_are_told_in_their_order(rows: Sequence[Json]) -> None:
    """The last one on the page is what remains, whichever was known before."""

    async def scene(on: Scene) -> None:
        await on.read(row("a", 2))
        await on.read(row("a", 2))
        for _ in range(2):
            assert await on.passes(*rows) == []

    assert [value for _, _, value in play(scene).told()][-1] == rows[-1]["value"]


def test_of_two_rows_of_one_id_the_first_may_be_all_that_is_stored() -> None:
    """Where it is cut off after that, the second is news when it comes again."""

    class Cut(Exception):
        pass

    def cut(step: str) -> None:
        if step == "after":
            raise Cut

    async def scene(on: Scene) -> None:
        on.desk.ledger.on_step = cut
        with pytest.raises(Cut):
            await on.read(row("a", 1), row("a", 2))
        on.desk.ledger.on_step = lambda _: None
        assert await on.passes(row("a", 2)) == []

    assert [value for _, _, value in play(scene).told()] == [1, 2]


def test_two_equal_rows_of_one_id_are_both_passed_over() -> None:
    """They say the same."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        assert await on.passes(row("a"), row("b"), row("a")) == ["a", "a"]

    play(scene)


def test_a_row_on_the_next_page_finds_what_the_one_before_left() -> None:
    """An id on two pages with different content changes to and fro, as it does without marks."""

    async def scene(on: Scene) -> None:
        for _ in range(2):
            await on.read(row("a", 1))
            await on.read(row("a", 2))

    assert [value for _, _, value in play(scene).told()] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "unfit",
    [
        {"value": 1},
        "text",
        None,
        row("a", gone=True),
        row("a", beep=1),
        row("a", entity="other"),
        row("a", "x" * 9_000),
    ],
    ids=["no id", "text", "null", "gone", "occurred", "another entity", "too large"],
)
def test_what_is_no_plain_record_of_its_walk_is_read_each_time(unfit: Json) -> None:
    """What cannot be read, is set aside, is gone, occurs once or is of another kind bears no mark."""

    async def scene(on: Scene) -> None:
        for _ in range(3):
            assert await on.passes(unfit, row("b")) in ([], ["b"])
        assert [one for one in on.maker.mapped if one != row("b")] == [unfit] * 3

    play(scene, max_payload=8_000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (row("1"), row(1)),
        (row("a", 1), row("a", True)),
        (row("a", 1), row("a", 1.0)),
        (row("a", None), row("a", math.inf)),
        (row("a", "1"), row("a", 1)),
        (row("a", ["b", "c"]), row("a", ["bc"])),
        (row("a", "\ud800"), row("a", "\udc00")),
        (row("a", unmapped=1), row("a", unmapped=2)),
        ({"id": "a"}, {"id": "a", "value": None}),
    ],
)
def test_what_differs_in_anything_is_mapped(before: Json, after: Json) -> None:
    """Types, fields that are not published, and what JSON cannot tell apart."""

    async def scene(on: Scene) -> None:
        await on.read(before)
        assert await on.passes(after) == []

    play(scene)


def test_a_row_that_is_listed_elsewhere_is_mapped() -> None:
    """In another part of the collection, or read by what else the adapter goes by."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"), part="active")
        assert await on.passes(row("a"), part="inactive") == []
        assert await on.passes(row("a"), part="inactive") == ["a"]
        on.maker.goes_by = "others"
        assert await on.passes(row("a"), part="inactive") == []

    play(scene)


def test_walks_of_one_collection_share_what_they_found() -> None:
    """The slow walk passes over what the fast one has read."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        assert await on.passes(row("a"), walk=replace(THINGS, name="things-slow", reach_s=60.0)) == ["a"]

    play(scene)


@pytest.mark.parametrize(
    "walk",
    [
        replace(THINGS, once=True),
        replace(THINGS, once=True, telemetry=True),
        replace(THINGS, batch=10, of="company"),
    ],
)
def test_walks_that_are_judged_by_more_take_no_part(walk: Walk) -> None:
    """By what they belong to, or by what the stream remembers."""

    async def scene(on: Scene) -> None:
        assert on.unchanged.marks(Ask(walk, None), Page([])) is None

    play(scene)


def test_sources_that_are_judged_by_more_take_no_part() -> None:
    """What has aliases, what is asked for beside a list, and an adapter that does not say what it goes by."""

    async def scene(on: Scene) -> None:
        ask, page = Ask(THINGS, None), Page([])
        assert on.unchanged.marks(ask, page) is not None
        assert on.unchanged.marks(replace(ask, ids=["a"]), page) is None
        assert on.unchanged.marks(ask, replace(page, aliases={"b": "a"})) is None
        on.maker.goes_by = None
        assert on.unchanged.marks(ask, page) is None
        await on.read(row("a"))
        assert await on.passes(row("a")) == []

    play(scene)


def test_known_aliases_keep_a_source_from_taking_part() -> None:
    """An id may stand for another then."""

    async def scene(on: Scene) -> None:
        await on.aliases.learn("thing", {"new": "old"})
        assert on.unchanged.marks(Ask(THINGS, None), Page([])) is None
        assert on.unchanged.marks(Ask(replace(THINGS, entity="other"), None), Page([])) is not None

    play(scene)


def test_of_what_is_read_by_id_only_what_was_asked_for_is_passed_over() -> None:
    """Nor is anything else there then, however familiar its row."""

    async def scene(on: Scene) -> None:
        by_id = replace(THINGS, name="by-id", batch=2)
        await on.read(row("a"), row("b"))
        assert await on.passes(row("a"), row("b"), walk=by_id, ids=["a"]) == ["a"]

    play(scene)


@pytest.mark.parametrize(("walk", "before"), [(THINGS, False), (replace(THINGS, lag_s=5.0), True)])
def test_a_page_speaks_of_what_it_passes_over(walk: Walk, before: bool) -> None:
    """A push that waited since before it was asked for is overtaken; where queries lag, only one that is old enough."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        arrived_at = anyio.current_time()
        on.sequencer.arrivals.waiting_since = lambda: arrived_at
        await anyio.sleep(1.0)
        assert await on.passes(row("a"), walk=walk) == ["a"]
        assert on.sequencer.outdated(thing("a", 0), arrived_at) is not before
        assert not on.sequencer.outdated(thing("b", 0), arrived_at)

    play(scene)


def test_a_page_that_was_overtaken_by_a_push_says_nothing() -> None:
    """What came after its pass began is newer, and so is what waits behind that."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"))
        since, arrived_at = on.sequencer.arrivals.tick(), anyio.current_time()
        await on.sequencer.live([thing("a", 2)])
        await on.read(row("a", 2))
        on.sequencer.arrivals.waiting_since = lambda: arrived_at
        assert await on.passes(row("a", 2), since=since) == ["a"]
        assert not on.sequencer.outdated(thing("a", 3), arrived_at)

    play(scene)


def test_what_is_being_written_is_judged_when_that_is_over() -> None:
    """A push on its way to the stream is older than a page that was asked for after it came."""

    async def scene(on: Scene) -> None:
        await on.read(row("a"), row("b"))
        on.desk.ledger.latency_s = 1.0
        async with anyio.create_task_group() as group:
            group.start_soon(on.sequencer.live, [thing("a", 2)])
            await anyio.sleep(0.5)
            assert await on.passes(row("a"), row("b")) == ["b"]

    assert play(scene).told()[2:] == [("a", "updated", 2), ("a", "updated", 1)]


def test_where_the_id_stands_is_found_out() -> None:
    """Other fields may show the same for a while; a wrong guess costs a mapping and nothing else."""

    async def scene(on: Scene) -> None:
        rows = [{"kind": 1, "id": 1, "value": 1}, {"kind": 1, "id": 2, "value": 1}, {"kind": 2, "id": 3, "value": 1}]
        await on.read(*rows)
        assert await on.passes(*rows) == ["1", "2", "3"]

    assert [id_ for id_, _, _ in play(scene).told()] == ["1", "2", "3"]


def test_a_wrong_guess_finds_no_other_entity_s_row() -> None:
    """Two rows that are alike but for the id."""

    async def scene(on: Scene) -> None:
        on.unchanged._places["thing", ""] = "kind"
        await on.read({"kind": "b", "id": "a", "value": 1}, {"kind": "a", "id": "b", "value": 2})
        assert await on.passes({"kind": "b", "id": "a", "value": 2}) == []

    assert play(scene).told() == [("a", "created", 1), ("b", "created", 2), ("a", "updated", 2)]
