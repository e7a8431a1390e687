"""The runner: connect, catch up, live, reconcile, and what happens after each kind of failure."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from bridge.adapter import Ask, Page, Response
from bridge.core.lifecycle import State
from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock


def test_first_read_is_snapshot_and_later_changes_are_news() -> None:
    """What is found on the first read is not news; what changes later is."""
    bench = Bench()
    for name in "abcdefg":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.put("b", "2")
        bench.vendor.put("h", "1")
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes() == [(name, "snapshot") for name in "abcdefg"] + [("b", "updated"), ("h", "created")]
    updated = bench.things()[7].data
    assert (updated["before"], updated["after"], updated["changed"]) == ({"value": "1"}, {"value": "2"}, ["value"])
    bench.check()


def test_quiet_vendor_causes_no_events() -> None:
    """A thousand passes over unchanged records publish nothing."""
    bench = Bench()
    for name in "abcde":
        bench.vendor.put(name, "1")
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(10_000)))
    assert len(bench.things()) == 5
    assert bench.own() == ["source.connected"]
    assert bench.vendor.requests > 1_900


def test_content_that_returns_is_a_new_event() -> None:
    """A → B → A are three events with three ids."""
    bench = Bench()
    bench.vendor.put("x", "A")

    async def script() -> None:
        for value in "BABA":
            await anyio.sleep(15)
            bench.vendor.put("x", value)
        await anyio.sleep(15)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"x": ["A", "B", "A", "B", "A"]}
    bench.check()


def test_restart_publishes_nothing_twice() -> None:
    """A process that dies and starts again goes on where the stream stands."""
    bench = Bench()
    for name in "abcdef":
        bench.vendor.put(name, "1")
    bench.crash_at({30, 60, 90})
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(300)))
    assert bench.crashes == 3
    assert len(bench.things()) == 6
    assert {change for _, change in bench.changes()} == {"snapshot"}
    bench.check()


def test_first_read_interrupted_is_still_a_first_read() -> None:
    """Dying in the middle of the first pass does not turn the rest of it into news."""
    bench = Bench(page_size=1)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")
    bench.crash_at({12})
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(100)))
    assert bench.crashes == 1
    assert {change for _, change in bench.changes()} == {"snapshot"}
    bench.check()


def test_lost_cursors_are_no_first_read() -> None:
    """Where the stream knows entities but no cursor, what differs from them is news."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.put("b", "1")

    async def script() -> None:
        await anyio.sleep(5)

    on_virtual_clock(lambda: bench.during(script))
    for seq in [s for s, e in bench.ledger._messages.items() if e.subject.startswith("bridge.cursor.")]:
        entry = bench.ledger._messages.pop(seq)
        del bench.ledger._last[entry.subject]
    bench.vendor.put("a", "2")
    bench.vendor.put("c", "1")
    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes()[2:] == [("a", "updated"), ("c", "created")]


def test_deleted_only_after_two_complete_passes() -> None:
    """A record is reported deleted after two complete passes without it, and created again when it returns."""
    bench = Bench(deletes=True)
    for name in "abcd":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.drop("b")
        await anyio.sleep(11)
        assert ("b", "deleted") not in bench.changes()
        await anyio.sleep(11)
        assert ("b", "deleted") in bench.changes()
        bench.vendor.put("b", "1")
        await anyio.sleep(15)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes()[4:] == [("b", "deleted"), ("b", "created")]
    bench.check()


def test_incomplete_answers_prove_no_absence() -> None:
    """While the vendor says that it is still loading nothing counts as complete, so nothing counts as deleted."""
    bench = Bench(deletes=True)
    for name in "abcd":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.faults.extend([sim.loading] * 30)
        await anyio.sleep(400)
        assert not bench.vendor.faults

    on_virtual_clock(lambda: bench.during(script))
    assert len(bench.changes()) == 4
    bench.check()


def test_a_pass_that_cannot_see_all_completes_and_proves_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing it did not hold counts as deleted, until passes see all again."""
    bench, blind = Bench(deletes=True), True
    for name in "abcd":
        bench.vendor.put(name, "1")
    page = sim.SimAdapter.page

    def partial(self: sim.SimAdapter, ask: Ask, response: Response) -> Page:
        return replace(page(self, ask, response), proves_absence=not blind)

    monkeypatch.setattr(sim.SimAdapter, "page", partial)

    async def script() -> None:
        nonlocal blind
        await anyio.sleep(5)
        bench.vendor.drop("b")
        await anyio.sleep(100)
        assert len(bench.changes()) == 4
        blind = False
        await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes()[4:] == [("b", "deleted")]
    bench.check()


def test_unreadable_rows_are_quarantined_once_and_the_page_goes_on() -> None:
    """A row that cannot be read costs its neighbours nothing, and is one event however often it is met."""
    bench = Bench()
    for name in "abc":
        bench.vendor.put(name, "1")
    bench.vendor.rows_wrapped = lambda rows: [{"id": 7, "why": "number"}, *rows]
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(100)))
    assert bench.own().count("quarantine.occurred") == 1
    aside = next(e for e in bench.ledger.events if ".quarantine." in e.subject).data["after"]
    assert aside["raw"] == '{"id": 7, "why": "number"}'
    assert len(bench.things()) == 3


@pytest.mark.parametrize(
    "fault",
    [
        sim.status(500),
        sim.status(503),
        sim.garbage,
        sim.stuck,
        sim.status(410),
        sim.status(429, **{"retry-after": "20"}),
    ],
)
def test_faults_delay_and_lose_nothing(fault: object) -> None:
    """Whatever a page answers, the walk is read again until it is whole."""
    bench = Bench()
    for name in "abcdefghij":
        bench.vendor.put(name, "1")
    bench.vendor.faults.extend([None, None, fault, None, fault, fault])  # type: ignore[list-item]
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(300)))
    assert not bench.vendor.faults
    assert bench.runner.status.state is State.LIVE
    bench.check()


def test_outage_is_told_once_when_it_lasts_and_once_when_it_ends() -> None:
    """`lost` after half a minute of failures, `recovered` when everything was read again; no more than that."""
    bench = Bench()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.faults.extend([sim.status(502)] * 8)
        await anyio.sleep(3_000)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.own() == ["source.connected", "source.lost", "source.recovered"]


def test_refused_source_is_blocked_and_told() -> None:
    """A vendor that says no for good blocks the source, with an event, and waking it tries again."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.faults.extend([sim.status(403)])

    async def script() -> None:
        await anyio.sleep(60)
        assert bench.runner.status.state is State.BLOCKED
        bench.runner.wake()
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.own() == ["source.blocked", "source.recovered"]
    bench.check()


def test_refused_again_with_a_new_token_is_not_about_expiry() -> None:
    """401 is answered by one renewal; a second 401 blocks the source."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.faults.extend([sim.status(401), None, sim.status(401)])
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(60)))
    assert bench.runner.status.state is State.BLOCKED
    assert bench.vendor.logins == 2


def test_tokens_are_renewed_before_they_lapse() -> None:
    """No request ever carries a lapsed token, however short its life."""
    bench = Bench(every_s=0.7)
    bench.vendor.token_life_s = 5
    bench.vendor.put("a", "1")
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(600)))
    assert bench.vendor.logins > 100
    assert bench.vendor.lapsed == 0


def test_nats_away_pauses_the_source_and_loses_nothing() -> None:
    """While NATS is away the vendor is the buffer; afterwards the source reads what it missed."""
    bench = Bench()
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.ledger.go_away()
        await anyio.sleep(20)
        assert bench.runner.status.state is State.AWAY
        requests = bench.vendor.requests
        bench.vendor.put("a", "2")
        bench.vendor.put("b", "1")
        await anyio.sleep(3_600)
        assert bench.vendor.requests == requests
        bench.ledger.come_back()
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_live_changes_do_not_wait_for_the_next_pass() -> None:
    """With a live session a change is stored at once, and the later pass adds nothing to it."""
    bench = Bench(live=True, every_s=600.0, versioned=True)
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.put("a", "2")
        bench.vendor.put("b", "1")
        await anyio.sleep(1)
        assert bench.values() == {"a": ["1", "2"], "b": ["1"]}
        await anyio.sleep(3_000)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.things()[1].headers["ce-via"] == "live"
    assert len(bench.things()) == 3
    bench.check()


def test_changes_while_hung_up_are_caught_up() -> None:
    """What was pushed while no session was open is read on the next connect."""
    bench = Bench(live=True, every_s=6_000.0, versioned=True)
    bench.vendor.put("a", "1")
    bench.vendor.push = lambda row: []

    async def script() -> None:
        await anyio.sleep(5)
        bench.vendor.put("a", "2")
        await anyio.sleep(60)
        assert bench.values() == {"a": ["1"]}
        bench.vendor.hang_up()
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


@pytest.mark.usefixtures("small_inbox")
def test_overrun_inbox_is_forgotten_and_read_again() -> None:
    """More frames than the inbox holds: it is emptied, and catch-up finds every one of them."""
    bench = Bench(live=True, every_s=6_000.0, versioned=True, page_size=1_000)

    async def script() -> None:
        await anyio.sleep(5)
        for number in range(1_050):
            bench.vendor.put(f"t{number}", "1")
        await anyio.sleep(600)
        assert bench.runner.status.inbox is not None
        assert bench.runner.status.inbox.overruns == 1

    on_virtual_clock(lambda: bench.during(script))
    assert len(bench.things()) == 1_050
    bench.check()


def test_a_page_that_repeats_one_row_without_end_is_refused() -> None:
    """Far more rows than were asked for: not stored one by one for hours, but an error with a sentence."""
    bench = Bench()
    bench.vendor.put("a", "1")
    bench.vendor.rows_wrapped = lambda rows: rows * 5_000
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(60)))
    assert "5000 rows where 3 were asked for" in bench.runner.status.reason
    assert not bench.things()


def test_one_record_that_is_not_text_costs_its_neighbours_nothing() -> None:
    """Half a surrogate pair cannot be published: that record is set aside, the others are stored."""
    bench = Bench()
    for name, value in (("a", "1"), ("b", "\ud83d"), ("c", "1")):
        bench.vendor.put(name, value)
    on_virtual_clock(lambda: bench.during(lambda: anyio.sleep(60)))
    assert [name for name, _ in bench.changes()] == ["a", "c"]
    assert bench.own().count("quarantine.occurred") == 1
