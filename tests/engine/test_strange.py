"""What no vendor and no operator should do, and does: names too long, cursors written by hand, NATS away for hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.adapter import Json, Token, Walk
from bridge.core.lifecycle import State
from bridge.engine.counts import Counts
from bridge.engine.ports import Cursor
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sealing import key, sealed
from tests.support.sim_vendor import SimAdapter


class LongNames(SimAdapter):
    """Its walks are named after something the vendor sent."""

    def walks(self, token: Token) -> Sequence[Walk]:
        """One walk, whose cursor's subject cannot be read back."""
        return [Walk("things of " + 180 * "x", "thing", 10.0, page_size=3)]


class LongBench(Bench):
    """A bench with that adapter."""

    def _fresh(self) -> Runner:
        return Runner(Source(LongNames(self._settings)), self._world)


def test_a_walk_whose_name_is_too_long_is_refused() -> None:
    """Its cursor could be stored and never be found again: the source is blocked, and the reason says what to check."""
    bench = LongBench()
    bench.vendor.put("a", "1")
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(60)))
    assert bench.runner.status.state is State.BLOCKED
    assert bench.things() == []
    assert bench.own() == ["source.blocked"]
    reason = bench.ledger.events[0].data["after"]["reason"]
    assert "walk things of xxx" in reason
    assert "the name is too long to be a cursor's" in reason
    assert len(reason) < 300


@pytest.mark.parametrize("written", ["yesterday", -1, 10**30, True, 1.5, [1], {}], ids=repr)
def test_a_cursor_written_by_hand_does_no_harm(written: Json) -> None:
    """A time that is none counts as none: the walk is read as if it had never been complete, and goes on by itself."""
    bench = Bench()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(30)
        bench.vendor.put("a", "2")
        await anyio.sleep(30)

    async def main() -> None:
        book = await bench.ledger.open("sim", "acme", {})
        await book.commit([], "things", Cursor({"completed_ms": written, "pass_ms": written}))
        await bench.during(script)

    on_virtual_clock(main)
    assert bench.runner.status.state is State.LIVE
    assert [value for values in bench.values().values() for value in values] == ["1", "2"]
    completed = bench.ledger.cursor("acme", "things")["completed_ms"]
    assert 1_700_000_000_000 < completed < 1_700_000_100_000


def test_what_is_set_aside_is_logged_ever_more_rarely() -> None:
    """The first, the second, the fourth, …: with source, number and the id under which it is found; nothing of it."""
    counts = Counts()
    event = sealed(key("c0ffee", "quarantine", vendor="bridge"), "occurred", {"raw": "jane@example.org"})
    with capture_logs() as logs:
        for _ in range(9):
            counts.quarantine(event)
    assert [entry["total"] for entry in logs] == [1, 2, 4, 8]
    assert logs[0] == {
        "event": "record.quarantined", "log_level": "warning", "source": "main", "total": 1, "id": "c0ffee"
    }  # fmt: skip


def test_an_outage_of_nats_is_one_line_and_its_end_another() -> None:
    """Not one line per attempt: what is tried in between is for whoever looks closely."""
    bench = Bench()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(30)
        logs.clear()
        # Each time it is back only for a moment, and every attempt fails in the same way.
        for _ in range(20):
            bench.ledger.go_away()
            await anyio.sleep(30)
            bench.ledger.come_back()
            bench.ledger.go_away()
            await anyio.sleep(30)
        bench.ledger.come_back()
        await anyio.sleep(300)

    with capture_logs() as logs:
        on_virtual_clock(lambda: bench.during(script))
    loud = Counter(entry["event"] for entry in logs if entry["log_level"] != "debug" and "source" in entry)
    assert bench.runner.status.state is State.LIVE
    assert loud["source.away"] == 1
    assert loud["source.live"] == 1
    assert sum(loud.values()) <= 4
