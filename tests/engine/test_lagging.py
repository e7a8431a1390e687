"""Vendors whose queries show an older state than their pushes, and who call things by new ids."""

from __future__ import annotations

import anyio
import pytest

from bridge.adapter import Request, Response
from bridge.core.lifecycle import State
from tests.support.engine import on_virtual_clock
from tests.support.laggard import Facts, Laggard, Replicas


def test_a_query_that_lags_never_overwrites_what_was_pushed() -> None:
    """It shows the state before the push, once and again; nothing comes of it."""
    bench = Laggard(30)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(200)
        bench.vendor.put("a", "2")
        await anyio.sleep(200)
        bench.vendor.put("a", "3")
        await anyio.sleep(200)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["1", "2", "3"]}
    bench.check()
    assert bench.runner.status.counts.held > 0


def test_what_disagrees_for_long_enough_is_believed() -> None:
    """A push that was withheld: the query shows the newer state, which is told when it cannot be an older one."""
    bench = Laggard(5)
    bench.vendor.push = lambda row: []

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(200)
        bench.vendor.put("a", "2")
        await anyio.sleep(80)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


@pytest.mark.parametrize("live", [True, False])
def test_replicas_that_disagree_are_not_two_changes(live: bool) -> None:
    """One shows the new state, the other still the old one, in turn."""
    bench = Laggard(0, 40, live=live)
    bench.vendor.push = lambda row: []

    async def script() -> None:
        bench.vendor.put("a", "1")
        for n in range(2, 6):
            await anyio.sleep(333)
            bench.vendor.put("a", str(n))
        await anyio.sleep(200)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["1", "2", "3", "4", "5"]}


def test_a_restart_does_not_make_the_old_state_news() -> None:
    """Nobody remembers when the entity changed: it may have been a moment before the restart."""
    bench = Laggard(30)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(200)
        bench.vendor.put("a", "2")
        await anyio.sleep(1)
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes == 1
    assert bench.values() == {"a": ["1", "2"]}


def test_a_walk_is_read_again_some_time_after_each_connect() -> None:
    """What changed just before the session began is not in the first reading, and is no push either."""

    class Late(Facts):
        again_s = (60.0, 600.0)

    bench = Laggard(30, facts=Late, every_s=100_000.0)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(1_000)
        reads = bench.replicas.reads
        bench.vendor.hang_up()
        bench.vendor.put("b", "missed by both")
        await anyio.sleep(30)
        assert bench.changes() == [("a", "created")]
        await anyio.sleep(40)
        assert bench.changes() == [("a", "created"), ("b", "created")]
        await anyio.sleep(600)
        assert bench.replicas.reads == reads + 3

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


class ById(Facts):
    by_id = True


def test_known_things_are_read_by_id_a_few_at_a_time() -> None:
    """Edits of what the collection no longer shows are found; each of the known is asked for once in a pass."""
    bench = Laggard(0, facts=ById)
    bench.vendor.push = lambda row: []
    names = ["a", "b", "c", "d", "e"]

    async def script() -> None:
        for name in names:
            bench.vendor.put(name, "1")
        await anyio.sleep(100)
        bench.replicas.hidden = set(names)
        bench.vendor.put("c", "2")
        bench.replicas.asked.clear()
        await anyio.sleep(301)
        assert bench.replicas.asked == [["a", "b"], ["c", "d"], ["e"]]

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values()["c"] == ["1", "2"]
    bench.check()


def test_with_nothing_known_nobody_is_asked_for() -> None:
    """An empty list of ids is no request."""
    bench = Laggard(0, facts=ById)

    async def script() -> None:
        await anyio.sleep(400)
        assert bench.runner.status.state is State.LIVE

    on_virtual_clock(lambda: bench.during(script))
    assert bench.replicas.asked == []


def test_new_ids_for_known_things_create_nothing() -> None:
    """The vendor encodes every id anew: pages, pushes and look-ups mean the same entities, after a restart too."""
    bench = Laggard(0, facts=ById)

    async def script() -> None:
        for name in "abcde":
            bench.vendor.put(name, "1")
        await anyio.sleep(1_000)
        bench.replicas.prefix = "new-"
        bench.vendor.put("a", "2")
        await anyio.sleep(1_000)
        bench.vendor.put("b", "2")
        await anyio.sleep(5)
        assert bench.values()["b"] == ["1", "2"]
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(100)
        bench.vendor.put("c", "2")
        await anyio.sleep(5)
        assert bench.values()["c"] == ["1", "2"]
        bench.vendor.put("f", "1")
        await anyio.sleep(400)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes == 1
    told = bench.values()
    assert told == {"a": ["1", "2"], "b": ["1", "2"], "c": ["1", "2"], "d": ["1"], "e": ["1"], "new-f": ["1"]}


def test_what_is_old_and_only_now_visible_is_created_after_a_look_up() -> None:
    """An unknown id on something old may be a new name; once every known id was looked up, it is not."""
    bench = Laggard(0, facts=ById)
    bench.vendor.push = lambda row: []

    async def script() -> None:
        bench.vendor.put("a", "1")
        bench.replicas.hidden = {"b"}
        bench.vendor.put("b", "1")
        await anyio.sleep(1_000)
        assert "b" not in bench.values()
        bench.replicas.asked.clear()
        bench.replicas.hidden = set()
        await anyio.sleep(100)
        assert bench.replicas.asked == [["a"]]

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_what_was_held_back_is_read_again_as_soon_as_it_can_be_believed() -> None:
    """And not when the walk is due anyway."""
    bench = Laggard(0, every_s=5_000.0)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(200)
        bench.vendor.put("a", "2")
        bench.vendor.push = lambda row: []
        bench.vendor.put("a", "3")
        await anyio.sleep(10)
        bench.vendor.hang_up()
        await anyio.sleep(20)
        assert bench.values() == {"a": ["1", "2"]}
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_new_ids_given_out_while_nobody_looked_create_nothing() -> None:
    """The stream says what was read before: an unknown id on something older than that waits for a look-up."""
    bench = Laggard(0, facts=ById)

    async def script() -> None:
        for name in "abcde":
            bench.vendor.put(name, "1")
        await anyio.sleep(1_000)
        bench.replicas.prefix = "new-"
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(1_000)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes == 1
    assert bench.values() == {name: ["1"] for name in "abcde"}


def test_two_things_in_one_answer_are_two_things() -> None:
    """A look-up that answered with another thing's id makes no alias of it for longer than until both are listed."""
    bench = Laggard(0, facts=ById, live=False)
    lies = True

    def answered(request: Request) -> Response:
        response = Replicas._things(bench.replicas, request)
        if lies and request.json["ids"] is not None:
            for row in response.json["rows"]:
                row["id"] = "z" if row["id"] == "a" else row["id"]
        return response

    bench.replicas._things = answered  # type: ignore[method-assign]

    async def script() -> None:
        nonlocal lies
        bench.vendor.put("a", "1")
        await anyio.sleep(1_000)
        lies = False
        bench.vendor.put("z", "2")
        await anyio.sleep(1_000)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["1"], "z": ["2"]}
