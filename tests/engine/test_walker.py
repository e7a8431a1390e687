"""Walks: passes that go on where they stopped, gaps, absence, and what a pass may believe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.adapter import Ask, Json, Page, Record, Request, Response, Token, Walk
from bridge.core.lifecycle import State
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter
from tests.support.waiting import wait_until


def own(bench: Bench, entity: str) -> list[tuple[str, Json]]:
    """(change, after) of the bridge's own events about an entity."""
    prefix = f"events.bridge.acme.{entity}."
    return [(entry.change, entry.data["after"]) for entry in bench.ledger.events if entry.subject.startswith(prefix)]


class Odd(Bench):
    """A bench with another adapter, made by `adapter`."""

    adapter: type[SimAdapter] = SimAdapter

    def _fresh(self) -> Runner:
        source = Source(self.adapter(self._settings), self.vendor.feed if self._live else None)
        return Runner(source, self._world)


def test_a_failed_page_is_read_again_and_no_other() -> None:
    """After an error the pass goes on with the page that failed."""
    bench, asked = Bench(page_size=1), []
    for name in "abcde":
        bench.vendor.put(name, "1")
    things = bench.vendor._things

    def seen(request):  # type: ignore[no-untyped-def]
        asked.append(request.json["after"])
        return things(request)

    bench.vendor._things = seen  # type: ignore[method-assign]
    bench.vendor.faults.extend([None, None, sim.status(500), sim.status(502)])
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(9)))
    assert len(asked) == 6 + 2
    assert [at for at in asked if asked.count(at) > 1] == [[2, "b"]] * 3


def test_said_before_it_was_read_is_no_first_read() -> None:
    """A source that was announced as blocked or lost has still never been read: what it finds is no news."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.faults.extend([sim.status(403)])

    async def script() -> None:
        await anyio.sleep(60)
        bench.runner.wake()
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert "source.blocked" in bench.own()
    assert bench.changes() == [("a", "snapshot")]


def test_an_unreadable_record_is_not_a_deleted_one() -> None:
    """A row that can no longer be read is set aside; its entity was not absent."""
    bench = Bench(deletes=True)
    for name in "abc":
        bench.vendor.put(name, "1")

    def unreadable(rows: list[Json]) -> list[Json]:
        return [{"id": None, "n": 0} if row["id"] == "b" else row for row in rows]

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.rows_wrapped = unreadable
        await anyio.sleep(100)
        bench.vendor.rows_wrapped = lambda rows: rows
        bench.vendor.drop("c")
        await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes()[3:] == [("c", "deleted")]
    bench.check()


def test_many_deletions_at_once_are_held() -> None:
    """The brake: nothing is told deleted, until the vendor has most of it again."""
    bench = Bench(deletes=True, page_size=100)
    for number in range(40):
        bench.vendor.put(f"t{number}", "1")

    async def script() -> None:
        await anyio.sleep(5)
        kept = dict(bench.vendor.things)
        for number in range(20):
            bench.vendor.drop(f"t{number}")
        await anyio.sleep(100)
        assert len(bench.changes()) == 40
        bench.vendor.things = kept
        await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert len(bench.changes()) == 40


def test_a_record_that_moved_into_the_window_can_be_missed_there() -> None:
    """It was outside when it was first looked for; since then it was seen, and then it vanished."""

    class Windowed(SimAdapter):
        def belongs(self, ask: Ask, after: Json) -> bool:
            return bool(after["value"] != "outside")

    class Moving(Odd):
        adapter = Windowed

    bench = Moving(deletes=True)
    for name, value in [("a", "1"), ("x", "outside")]:
        bench.vendor.put(name, value)

    async def script() -> None:
        await anyio.sleep(5)
        kept = bench.vendor.things.pop("x")
        await anyio.sleep(50)
        assert ("x", "deleted") not in bench.changes()
        bench.vendor.things["x"] = kept
        bench.vendor.put("x", "inside")
        await anyio.sleep(20)
        bench.vendor.drop("x")
        await anyio.sleep(50)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes()[2:] == [("x", "updated"), ("x", "deleted")]


def test_what_the_vendor_no_longer_tells_of_is_a_gap() -> None:
    """From our last complete pass to the oldest the vendor holds; opened and closed once, before the page."""
    oldest: list[int | None] = [None]

    class Forgetful(SimAdapter):
        def page(self, ask: Ask, response: Response) -> Page:
            page = super().page(ask, response)
            return Page(page.rows, page.next, page.complete, oldest[0])

    class Forgetting(Odd):
        adapter = Forgetful

    bench = Forgetting()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.ledger.go_away()
        await anyio.sleep(1_000)
        oldest[0] = sim.wall() - 500_000
        bench.vendor.put("b", "1")
        bench.ledger.commit_faults.append(None)
        bench.ledger.come_back()
        await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    (opened, first), (closed, last) = own(bench, "gap")
    assert (opened, closed) == ("opened", "closed")
    assert first["to"] is None
    assert (last["feed"], last["from"]) == ("things", first["from"])
    assert last["from"] < last["to"]
    bench.check()


@pytest.mark.parametrize("seconds", [0, 30, 100])
def test_a_pass_cut_off_while_its_page_was_stored_begins_anew(seconds: int) -> None:
    """The live session ends while a page is on its way to the stream: nothing of the page is skipped."""
    bench = Bench(live=True, every_s=6_000.0, page_size=2)
    for name in "abcdef":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(seconds)
        commits = 0

        def hang_up(step: str) -> None:
            nonlocal commits
            commits += step == "commit"
            if step == "commit" and commits in (1, 2, 3, 4):
                bench.vendor.hang_up()

        bench.ledger.latency_s = 0.5
        bench.ledger.on_step = hang_up
        for name in "abcdef":
            bench.vendor.put(name, "2")
        await anyio.sleep(300)

    with capture_logs() as logs:
        on_virtual_clock(lambda: bench.during(script))
    assert not [entry for entry in logs if "does not advance" in entry.get("reason", "")]
    assert bench.runner.status.state is State.LIVE
    bench.check()


def test_a_live_record_outlives_the_slow_pass_that_began_before_it() -> None:
    """An eventually consistent query tells at its end what was true at its begin. That fast passes end in between
    does not make the sequencer forget what was live since then."""
    snapshot: list[Json] = []

    class Consistent(SimAdapter):
        def request(self, ask: Ask, token: Token) -> Request:
            return super().request(Ask(ask.walk, None), token)

        def walks(self, token: Token) -> Sequence[Walk]:
            return [Walk("fast", "other", 0.03), Walk("slow", "thing", 10.0)]

        def page(self, ask: Ask, response: Response) -> Page:
            if ask.walk.name == "fast":
                return Page([])
            if ask.position is None:
                snapshot[:] = [thing.row() for thing in bench.vendor.things.values()]
            at = ask.position or 0
            return Page(snapshot[at : at + 1], at + 1 if at + 1 < len(snapshot) else None)

    class Eventual(Odd):
        adapter = Consistent

    bench = Eventual(live=True)
    for name in "abcdefghijklmnopqrstuvwx":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(1)
        await wait_until(lambda: bench.runner.status.state is State.LIVE, 1_000)
        snapshot.clear()
        await wait_until(lambda: snapshot, 1_000)
        bench.vendor.put("x", "2")
        await anyio.sleep(8)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values()["x"] == ["1", "2"]
    bench.check()


@pytest.mark.parametrize("loading", [1, 5])
def test_while_the_vendor_loads_the_cursor_stands_still(loading: int) -> None:
    """Its pages are news all the same, but nothing counts as complete."""
    bench = Bench(every_s=1_000.0)
    for name in "ab":
        bench.vendor.put(name, "1")
    bench.vendor.faults.extend([sim.loading] * (loading + 1))

    async def script() -> None:
        await anyio.sleep(10 * loading - 5)
        cursor = bench.ledger.cursor("acme", "things")
        assert cursor is None or "completed_ms" not in cursor
        assert bench.runner.status.state is State.CATCHING_UP
        await anyio.sleep(50)

    on_virtual_clock(lambda: bench.during(script))
    assert "completed_ms" in bench.ledger.cursor("acme", "things")
    assert {change for _, change in bench.changes()} == {"snapshot"}
    bench.check()


def test_a_vendor_that_never_stops_loading_is_a_failure() -> None:
    """After the walk's patience it is reported, and tried again."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.faults.extend([sim.loading] * 1_000)

    async def script() -> None:
        await anyio.sleep(590)
        assert bench.runner.status.failures == 0
        await anyio.sleep(300)
        assert bench.runner.status.failures == 1

    on_virtual_clock(lambda: bench.during(script))
    assert "source.connected" not in bench.own()


@pytest.mark.parametrize("broken", ["A", "B", "C"])
def test_one_broken_walk_does_not_starve_its_equals(broken: str) -> None:
    """Of three companies one answers with errors for ever: the others are read all the same."""
    done: set[str] = set()

    class Companies(SimAdapter):
        def walks(self, token: Token) -> Sequence[Walk]:
            return [Walk(name, "thing", 10.0) for name in "ABC"]

        def page(self, ask: Ask, response: Response) -> Page:
            if ask.walk.name == broken:
                self._raise_for(Response(500, {}, b""))
            done.add(ask.walk.name)
            return super().page(ask, response)

    class Three(Odd):
        adapter = Companies

    bench = Three()
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(3_000)))
    assert done == set("ABC") - {broken}
    assert bench.runner.status.failures > 5


def test_a_poisonous_record_costs_one_record() -> None:
    """Not JSON, beyond the calendar: it is set aside, and the source goes on."""

    class Poison(SimAdapter):
        def record(self, ask: Ask, row: Json) -> Record:
            record = super().record(ask, row)
            if row["id"] == "nan":
                return Record("thing", "nan", {"value": float("nan")})
            if row["id"] == "late":
                return Record("thing", "late", {"value": "1"}, at_ms=10**18)
            return record

    class Poisoned(Odd):
        adapter = Poison

    bench = Poisoned()
    for name in ("a", "nan", "late", "z"):
        bench.vendor.put(name, "1")
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(100)))
    assert bench.changes() == [("a", "snapshot"), ("z", "snapshot")]
    assert bench.own().count("quarantine.occurred") == 2
    assert bench.runner.status.state is State.LIVE


@pytest.mark.parametrize(
    ("fault", "logged"),
    [(sim.garbage, "cannot be read"), (sim.stuck, "does not advance"), (sim.status(410), "forgot our position")],
)
def test_errors_name_the_walk(fault: Callable[[Response], Response], logged: str) -> None:
    """Whoever reads the status learns where it hangs."""
    bench = Bench()
    for name in "abcdef":
        bench.vendor.put(name, "1")
    bench.vendor.faults.extend([fault] * 1_000)

    async def script() -> None:
        await anyio.sleep(100)
        await wait_until(lambda: bench.runner.status.state is State.WAITING, 400)
        assert "walk things: " in bench.runner.status.reason
        assert logged in bench.runner.status.reason

    on_virtual_clock(lambda: bench.during(script))
