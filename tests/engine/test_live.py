"""Live sessions: what happens when they do not come about, end, flap, or are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Json, Look, Malformed, Record, Refused, Retry, Token, Unauthorized, Walk
from bridge.core.lifecycle import State
from bridge.engine.live import CONNECT_DEADLINE_S
from bridge.engine.ports import Feed, Offer
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from bridge.engine.vigil import SessionStatistics
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter, SimSettings
from tests.support.sim_vendor import status as answer_status
from tests.support.waiting import wait_until

Hold = Callable[[Offer, TaskStatus[None]], Awaitable[None]]


class Scripted:
    """A feed that does what it is told."""

    def __init__(self, script: Hold) -> None:
        self._script = script

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        await self._script(offer, task_status)


class Stage(Bench):
    """A bench whose live sessions are scripted, and whose vendor may have nothing to ask."""

    def __init__(self, script: Hold, *, walks: bool = True, **settings: Any) -> None:
        super().__init__(live=True, **settings)
        self.tokens: list[Token] = []
        self._script = script
        self._walks = walks

        self.pushed_only = False
        self.statistics: SessionStatistics | None = None

    def _fresh(self) -> Runner:
        adapter = OneWay(self._settings, self._walks, self.pushed_only)
        return Runner(Source(adapter, self._feed, session=self.statistics), self._world)

    def _feed(self, token: Token) -> Feed:
        self.tokens.append(token)
        return Scripted(self._script)


class OneWay(SimAdapter):
    """Refuses, breaks or fails where a frame says so."""

    def __init__(self, settings: SimSettings, walks: bool, pushed_only: bool) -> None:
        super().__init__(settings)
        self._asked = walks
        self._pushed_only = pushed_only

    @property
    def live_only(self) -> bool:
        return self._pushed_only

    def walks(self, token: Token) -> Sequence[Walk]:
        return super().walks(token) if self._asked else []

    def live(self, frame: Json) -> Sequence[Record | Look]:  # type: ignore[override]
        if isinstance(frame, Exception):
            raise frame
        if "look" in frame:
            return [Look(frame["look"])]
        return super().live(frame)


def row(id_: str, value: str = "1") -> Json:
    return {"id": id_, "value": value, "n": 1}


def gaps(bench: Bench) -> list[Json]:
    return [e.data["after"] for e in bench.ledger.events if e.subject.startswith("events.bridge.acme.gap.closed.")]


def run(bench: Bench, seconds: float, check: Callable[[], None] = lambda: None) -> None:
    async def script() -> None:
        await anyio.sleep(seconds)
        check()

    on_virtual_clock(lambda: bench.during(script))


def test_a_session_that_is_never_subscribed_is_given_up() -> None:
    """It is the vendor's failure and no bug: reported, and tried again."""

    async def hang(offer: Offer, status: TaskStatus[None]) -> None:
        await anyio.sleep_forever()

    bench = Stage(hang)

    def check() -> None:
        assert bench.runner.status.state is State.WAITING
        assert "not subscribed within 60 s" in bench.runner.status.reason

    run(bench, CONNECT_DEADLINE_S + 0.05, check)


def test_a_session_that_just_ends_is_a_failure() -> None:
    """Quiet and dead are told apart: a feed that returns does not leave the source deaf."""

    async def leave(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(5)

    bench = Stage(leave)
    run(bench, 200)
    assert len(bench.tokens) > 5


@pytest.mark.parametrize("during", ["connect", "session", "frame"])
def test_a_refused_token_is_renewed_once(during: str) -> None:
    """Wherever the vendor says so; then the session goes on with the new one."""
    refusals = [Unauthorized("401")]

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        if refusals and during == "connect":
            raise refusals.pop()
        status.started()
        if refusals:
            await anyio.sleep(20)
            if during == "session":
                raise refusals.pop()
            offer(refusals.pop(), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=6_000.0)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 100, check)
    assert len({token.value.bare() for token in bench.tokens}) == 2


def test_a_renewed_token_that_is_refused_blocks_the_source() -> None:
    """It has not merely expired."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Unauthorized("401")

    bench = Stage(hold)

    def check() -> None:
        assert bench.runner.status.state is State.BLOCKED
        assert "refused again with a new token" in bench.runner.status.reason

    run(bench, 60, check)
    assert bench.vendor.logins == 2
    assert bench.own() == ["source.blocked"]


def test_a_token_that_lapses_every_hour_blocks_nothing() -> None:
    """Each session that came about was accepted: what is refused later has expired."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(3_600)
        raise Unauthorized("expired")

    bench = Stage(hold, every_s=100_000.0)
    run(bench, 36_000)
    assert len(bench.tokens) == 10
    assert "source.blocked" not in bench.own()


@pytest.mark.parametrize("error", [Refused("403"), Retry("502")])
def test_a_frame_may_end_the_session(error: Exception) -> None:
    """What the adapter makes of it is what happens next."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(error, 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=6_000.0)
    run(bench, 1_000)
    assert ("source.blocked" in bench.own()) == isinstance(error, Refused)


def test_a_flapping_session_is_tried_less_and_less_often() -> None:
    """One that lives for a moment has not proved itself, however often it is caught up."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(2)
        raise Retry("hung up")

    bench = Stage(hold)
    run(bench, 3_600)
    assert 10 < len(bench.tokens) < 60


def test_a_session_that_lasted_is_reconnected_at_once() -> None:
    """After a minute the back-off starts over."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up")

    bench = Stage(hold, every_s=6_000.0)
    run(bench, 3_600)
    assert len(bench.tokens) >= 34


def test_a_pass_that_began_before_the_session_proves_nothing_for_it() -> None:
    """Pages read before the session was cut may have changed meanwhile: they are read again on the next one."""
    bench = Bench(live=True, every_s=100_000.0, page_size=1)
    bench.vendor.push = lambda row: []
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 4)
        bench.vendor.hang_up()
        bench.vendor.put("a", "2")
        await anyio.sleep(100)
        assert bench.runner.status.state is State.LIVE

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_is_found_though_a_pass_was_under_way() -> None:
    """The pass that was under way had read its first pages already."""
    bench = Bench(live=True, every_s=500.0, page_size=1)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")
    offered = 0

    async def script() -> None:
        nonlocal offered
        await anyio.sleep(400)
        assert bench.runner.status.state is State.LIVE
        requests = bench.vendor.requests
        await wait_until(lambda: bench.vendor.requests == requests + 4, 1_000)
        bench.vendor.put("a", "2")
        for _ in range(1_001):
            bench.vendor.offer({"id": "z", "value": "gone", "n": 0})
        await anyio.sleep(100)
        assert bench.runner.status.inbox is not None
        assert bench.runner.status.inbox.overruns == 1

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_a_push_that_waited_while_something_newer_was_read_is_outdated() -> None:
    """It arrived before the page was asked for, so the page is newer, though the push is looked at later."""
    bench = Bench(live=True, every_s=6_000.0, page_size=1)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 2)
        bench.vendor.put("h", "2")
        bench.vendor.push = lambda row: []
        bench.vendor.put("h", "3")
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values()["h"] == ["3"]
    bench.check()


def test_a_cursor_whose_write_was_cut_off_is_looked_up() -> None:
    """The session ended while a page was being stored: what became of it is asked, and nobody else is suspected."""
    bench = Bench(live=True, every_s=5.0)
    bench.vendor.push = lambda row: []
    bench.vendor.put("a", "1")
    cut_off = 0

    def step(name: str) -> None:
        nonlocal cut_off
        if name == "commit.stored":
            cut_off += 1
            bench.vendor.hang_up()

    async def script() -> None:
        await anyio.sleep(30)
        bench.ledger.latency_s = 0.5
        for n in range(5):
            bench.ledger.on_step = step
            bench.vendor.put("a", f"again {n}")
            await wait_until(lambda: cut_off > n, 600)  # noqa: B023 - awaited at once
            bench.ledger.on_step = lambda _: None
            await anyio.sleep(100)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.ledger.opened == 1
    bench.check()


# --- vendors that cannot be asked ---


def test_a_live_only_source_is_live_at_once() -> None:
    """There is nothing to catch up with."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        offer(row("a"), 10)
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 5, check)
    assert bench.changes() == [("a", "created")]
    assert gaps(bench) == []


def test_while_its_session_is_down_there_is_a_gap() -> None:
    """From when it went down to when it was up again."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up", after=50)

    bench = Stage(hold, walks=False)
    run(bench, 140)
    assert gaps(bench) == []
    bench = Stage(hold, walks=False)
    run(bench, 170)
    (gap,) = gaps(bench)
    assert gap["from"] == "2023-11-14T22:15:00.020Z"
    assert gap["from"] < gap["to"] < "2023-11-14T22:16:00.000Z"


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_of_a_live_only_source_is_a_gap() -> None:
    """It reaches back to what was taken last, and is not empty."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(row("a"), 1)
        await anyio.sleep(10)
        for _ in range(2_000):
            offer(row("b"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)
    run(bench, 60)
    (gap,) = gaps(bench)
    assert gap["from"] == "2023-11-14T22:13:30.020Z"
    assert gap["to"] == "2023-11-14T22:13:40.020Z"


def test_frames_that_were_not_stored_when_the_session_ended_are_a_gap() -> None:
    """They arrived, and nobody can ask for them again: the gap begins before them, not when the session ended."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        bench.ledger.latency_s = 30.0
        offer(row("a"), 1)
        await anyio.sleep(20)
        bench.ledger.latency_s = 0.0
        raise Retry("hung up")

    bench = Stage(hold, walks=False)
    run(bench, 35)
    assert gaps(bench)[0]["from"] == "2023-11-14T22:13:30.020Z"


def test_frames_that_waited_for_the_first_reading_when_the_session_ended_are_a_gap() -> None:
    """Nobody had taken them yet: the gap begins when the first of them came."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        offer(row("a"), 1)
        await anyio.sleep(10)
        offer(row("b"), 1)
        await anyio.sleep(10)
        raise Retry("hung up")

    bench = Stage(hold)
    bench.pushed_only = True
    bench.vendor.faults.extend([answer_status(503)] * 1000)
    run(bench, 35)
    assert "2023-11-14T22:13:29.9" < gaps(bench)[0]["from"] < "2023-11-14T22:13:30.1"


@pytest.mark.usefixtures("small_inbox")
def test_what_an_overrun_forgot_before_the_first_reading_is_a_gap() -> None:
    """It reaches back to when the session began: nothing had been taken yet."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(1)
        for _ in range(2_000):
            offer(row("b"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold)
    bench.pushed_only = True
    bench.vendor.faults.extend([answer_status(503)] * 5)
    run(bench, 100)
    assert [gap["from"] < "2023-11-14T22:13:21" for gap in gaps(bench)] == [True]


def test_pushes_wait_until_everything_was_read_once() -> None:
    """What exists is no news on a first read, also if it is pushed meanwhile; what is pushed last is told last."""
    bench = Bench(live=True, every_s=6_000.0, page_size=1, versioned=True)
    for name in "abcdefgh":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) == 2)
        bench.vendor.put("h", "2")
        bench.vendor.put("a", "2")
        assert bench.runner.status.state is State.CATCHING_UP
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.changes() == [(name, "snapshot") for name in "abcdefgh"] + [("a", "updated")]
    bench.check()


def test_what_is_only_pushed_was_missed_while_no_process_was_there() -> None:
    """The stream says when somebody was there last: the gap begins then. On a first start nothing was missed."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=10.0)
    bench.pushed_only = True

    async def script() -> None:
        await anyio.sleep(95)
        assert gaps(bench) == []
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(30)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.crashes == 1
    (gap,) = gaps(bench)
    assert "2023-11-14T22:14:40" < gap["from"] < "2023-11-14T22:14:56" < gap["to"] < "2023-11-14T22:15:20"


def test_what_is_only_pushed_is_missed_while_the_session_is_down() -> None:
    """Though other things of the vendor can be read."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up", after=50)

    for pushed_only in (True, False):
        bench = Stage(hold)
        bench.pushed_only = pushed_only
        run(bench, 170)
        assert len(gaps(bench)) == pushed_only


# --- when only one half works ---


@pytest.mark.parametrize("error", [Refused("the sub-protocol is not spoken"), Retry("502", after=900)])
def test_a_source_whose_live_session_fails_is_polled_meanwhile(error: Exception) -> None:
    """Live is for speed: without it changes come as fast as the walks are read."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise error

    bench = Stage(hold)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(100)
        bench.vendor.put("a", "2")
        await anyio.sleep(30)
        assert bench.runner.status.state is (State.BLOCKED if isinstance(error, Refused) else State.WAITING)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_polling_meanwhile_goes_on_after_a_failed_page() -> None:
    """One answer that is a fault does not end it."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Refused("no")

    bench = Stage(hold)

    async def script() -> None:
        await anyio.sleep(100)
        bench.vendor.faults.append(answer_status(500))
        await anyio.sleep(20)
        bench.vendor.put("a", "1")
        await anyio.sleep(60)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_a_page_that_fails_does_not_end_a_session_that_is_well() -> None:
    """What is pushed goes on while reading fails, and reading is tried again less and less often."""
    sessions = 0

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        nonlocal sessions
        sessions += 1
        status.started()
        await anyio.sleep(100)
        for n in range(50):
            offer(row("a", str(n)), 1)
            await anyio.sleep(10)
        await anyio.sleep_forever()

    bench = Stage(hold)

    async def script() -> None:
        await anyio.sleep(95)
        bench.vendor.faults.extend([answer_status(500)] * 10_000)
        requests = bench.vendor.requests
        await anyio.sleep(495)
        assert bench.runner.status.state is State.LIVE
        assert bench.vendor.requests < requests + 25
        assert bench.own() == ["source.connected", "source.lost"]
        bench.vendor.faults.clear()
        bench.vendor.things.clear()
        await anyio.sleep(400)

    on_virtual_clock(lambda: bench.during(script))
    assert sessions == 1
    assert bench.values()["a"] == [str(n) for n in range(50)]
    assert bench.own() == ["source.connected", "source.lost", "source.recovered"]
    lost = next(e for e in bench.ledger.events if ".source.lost." in e.subject)
    assert lost.data["after"]["half"] == "reading"
    assert "2023-11-14T22:14:5" < lost.data["after"]["failing_since"] < "2023-11-14T22:15:10"


def test_what_failed_is_said_with_the_half_that_failed() -> None:
    """Live or all, since when, and when it is tried again."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        raise Refused("no", after=900)

    bench = Stage(hold)
    run(bench, 5)
    blocked = next(e for e in bench.ledger.events if ".source.blocked." in e.subject).data["after"]
    assert blocked["half"] == "live"
    assert "2023-11-14T22:28:20" <= blocked["again"] < "2023-11-14T22:28:25"


def test_a_failure_the_vendor_pushes_is_a_reason_to_read() -> None:
    """It had something to tell and could not: the session goes on, and catch-up finds it."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(100)
        bench.vendor.put("a", "1")
        offer(Retry("BackendFailure"), 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=100_000.0)

    def check() -> None:
        assert bench.runner.status.state is State.LIVE

    run(bench, 110, check)
    assert len(bench.tokens) == 1
    bench.check()


def test_a_subscription_that_is_refused_is_remembered_until_it_is_taken() -> None:
    """In the stream, where `status` reads it, beside what was known of it."""
    statistics = SessionStatistics()

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        statistics.off = {"things.c-1": "not in the schema"} if len(bench.tokens) < 2 else {}
        status.started()
        await anyio.sleep(100)
        raise Retry("hung up")

    bench = Stage(hold)
    bench.statistics = statistics
    seen: list[Json] = []

    async def script() -> None:
        await anyio.sleep(50)
        seen.append(bench.ledger.cursor("acme", "subscription-things"))
        await anyio.sleep(100)
        seen.append(bench.ledger.cursor("acme", "subscription-things"))

    on_virtual_clock(lambda: bench.during(script))
    refused, taken = seen
    assert refused["reason"] == "not in the schema"
    assert refused["off"].startswith("2023-11-14T22:13:2")
    assert taken == {}


def test_the_first_push_of_a_subscription_is_remembered() -> None:
    """Once, in the stream; a frame that tells nothing does not count."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        for n in range(3):
            await anyio.sleep(100)
            offer({"operation": "things", **row("a", str(n))}, 1)
            offer({"operation": "others", "id": 1}, 1)
        await anyio.sleep_forever()

    bench = Stage(hold, every_s=100_000.0)
    run(bench, 500)
    assert bench.ledger.cursor("acme", "subscription-things")["first"] == "2023-11-14T22:15:00.020Z"
    assert bench.ledger.cursor("acme", "subscription-others") is None


# --- events that ask to be acknowledged ---


def told(bench: Bench, note: list[tuple[str, bool]], name: str) -> Callable[[], None]:
    """Notes that it was told, and whether the ledger held the entity by then."""

    def stored() -> None:
        held = {e.data.get("id") for e in bench.ledger.events}
        quarantined = any(e.subject.startswith("events.bridge.acme.quarantine.") for e in bench.ledger.events)
        note.append((name, quarantined if name == "odd" else name in held))

    return stored


def test_whoever_asks_is_told_once_the_ledger_has_it() -> None:
    """Not before, however long that takes; in the order in which it came; what was stored already is told, too."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        bench.ledger.latency_s = 5.0
        offer(row("a"), 1, told(bench, note, "a"))
        offer(row("b"), 1)
        offer(row("c"), 1, told(bench, note, "c"))
        offer(row("a"), 1, told(bench, note, "a"))
        await anyio.sleep(4.9)
        assert note == []
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)
    run(bench, 60)
    assert note == [("a", True), ("c", True), ("a", True)]


@pytest.mark.parametrize("what", ["failure", "look", "away", "cut off"])
def test_nobody_is_told_what_the_ledger_may_not_have(what: str) -> None:
    """A failure, a hint to look, a ledger that went away, a session that ended: the vendor may send it again."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        if len(bench.tokens) > 1:
            await anyio.sleep_forever()
        await anyio.sleep(20)
        frame: Any = {"failure": Retry("busy"), "look": {"look": "thing"}}.get(what, row("a"))
        if what in ("away", "cut off"):
            bench.ledger.latency_s = 30.0
        offer(frame, 1, told(bench, note, "a"))
        await anyio.sleep(5)
        if what == "away":
            bench.ledger.drop_connection()
        bench.ledger.latency_s = 0.0
        if what == "cut off":
            raise Retry("hung up")
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 200)
    assert note == []


def test_what_is_quarantined_is_stored() -> None:
    """The vendor need not send again what nobody can read."""
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        offer(Malformed("odd", raw=b"{"), 1, told(bench, note, "odd"))
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 60)
    assert note == [("odd", True)]


def test_what_is_doubted_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two pushes in a moment the second may be the older: the vendor is asked, and may send it again."""
    monkeypatch.setattr(OneWay, "push_disorder_s", 2.0)
    note: list[tuple[str, bool]] = []

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(20)
        offer(row("a", "1"), 1, told(bench, note, "a"))
        await anyio.sleep(0.1)
        offer(row("a", "2"), 1, told(bench, note, "a"))
        await anyio.sleep(10)
        offer(row("b", "1"), 1, told(bench, note, "b"))
        await anyio.sleep_forever()

    bench = Stage(hold)
    run(bench, 60)
    assert note == [("a", True), ("b", True)]
