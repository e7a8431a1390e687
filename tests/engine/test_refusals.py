"""A walk that the vendor refuses stops itself, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
import structlog

from bridge.adapter import Ask, Page, Response, Retry, Token, Walk
from bridge.core.errors import Refused
from bridge.core.lifecycle import State
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter
from tests.support.sim_vendor import status as answer_status

SCOPES = "the token lacks a scope"


class Scoped(SimAdapter):
    """Reads things, and parts by a second walk; refuses or breaks as the bench says."""

    bench: Narrow

    def walks(self, token: Token) -> Sequence[Walk]:
        every_s = self.settings.every_s
        first = Walk("things", "thing", every_s, page_size=self.settings.page_size)
        return [first, Walk("parts", "part", self.bench.parts_every_s, page_size=100, on_connect=self.bench.on_connect)]

    def page(self, ask: Ask, response: Response) -> Page:
        bench, name = self.bench, ask.walk.name
        bench.asked.append((anyio.current_time(), name))
        if name in bench.broken:
            raise Retry(f"walk {name}: https://api.example/{name}?page={len(bench.asked)}: answered 502")
        if name == "things" and bench.pages_left is not None:
            bench.pages_left -= 1
            if bench.pages_left < 0:
                bench.refused["things"] = SCOPES
        if name in bench.refused:
            raise Refused(bench.refused[name], after=bench.after)
        page = super().page(ask, response)
        return page if name == "things" else Page([])


class Narrow(Bench):
    """A bench whose vendor refuses single walks. `asked`: when it was asked for which.

    `pages_left`: so many pages of things it still gives; None: any number.
    """

    def __init__(self, *refused: str, live: bool = False, **settings: Any) -> None:
        super().__init__(live=live, **settings)
        self.refused = dict.fromkeys(refused, SCOPES)
        self.broken: set[str] = set()
        self.after: float | None = None
        self.pages_left: int | None = None
        self.asked: list[tuple[float, str]] = []
        self.on_connect = True
        self.parts_every_s = 20.0
        self.logs: list[Any] = []

    def _fresh(self) -> Runner:
        adapter = Scoped(self._settings)
        adapter.bench = self
        return Runner(Source(adapter, self.vendor.feed if self._live else None), self._world)

    def times(self, name: str) -> list[float]:
        return [at for at, walk in self.asked if walk == name]

    def told(self) -> list[str]:
        """The bridge's own events, `blocked` and `lost` with their half."""
        events = [entry for entry in self.ledger.events if entry.subject.startswith("events.bridge.")]
        return [f"{entry.change} {entry.data['after'].get('half', '')}".strip() for entry in events]

    def after_of(self, change: str) -> Any:
        return next(e.data["after"] for e in self.ledger.events if f".source.{change}." in e.subject)

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.logs if entry["event"] == event]

    def play(self, script: Callable[[], Awaitable[None]]) -> None:
        with structlog.testing.capture_logs() as logs:
            self.logs = logs
            on_virtual_clock(lambda: self.during(script))

    def is_(self, state: State) -> bool:
        return self.runner.status.state is state


def test_a_polled_source_reads_what_it_may() -> None:
    """Its other walk goes on and the source is live; the refused one is asked once an hour, and told of once."""
    bench = Narrow("parts")
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(5)
        assert bench.is_(State.LIVE)
        for n in range(2, 8):
            await anyio.sleep(1800)
            bench.vendor.put("a", str(n))
        await anyio.sleep(60)
        assert bench.is_(State.LIVE)

    bench.play(script)
    bench.check()
    assert bench.values()["a"] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [round(at) for at in bench.times("parts")] == [0, 3600, 7200, 10800]
    assert bench.told() == ["blocked reading"]
    after = bench.after_of("blocked")
    assert after["reason"] == "walk parts: the token lacks a scope"
    assert after["walks"] == ["parts"]
    assert after["state"] == "live"
    assert after["again"].startswith("2023-11-14T23:13:20")
    assert after["failing_since"].startswith("2023-11-14T22:13:20")
    [refused] = bench.said("walk.refused")
    assert (refused["source"], refused["walk"], refused["log_level"]) == ("acme", "parts", "warning")
    assert refused["reason"] == "walk parts: the token lacks a scope"
    assert refused["again"].startswith("2023-11-14T23:13:20")
    assert len(bench.said("source.blocked")) == 1


def test_it_is_asked_when_the_vendor_says() -> None:
    """`after` of the refusal counts where there is one."""
    bench = Narrow("parts")
    bench.after = 100.0

    async def script() -> None:
        await anyio.sleep(350)

    bench.play(script)
    assert [round(at) for at in bench.times("parts")] == [0, 100, 200, 300]


@pytest.mark.parametrize("both", [False, True])
def test_a_live_source_goes_live_without_the_walk(both: bool) -> None:
    """Pushes are stored though a walk, or every walk, is refused; a new session does not ask it sooner."""
    bench = Narrow("parts", *(["things"] if both else []), live=True, every_s=100_000.0)

    async def script() -> None:
        await anyio.sleep(5)
        assert bench.is_(State.LIVE)
        bench.vendor.put("a", "1")
        await anyio.sleep(0.5)
        assert bench.values() == {"a": ["1"]}
        bench.vendor.hang_up()
        await anyio.sleep(300)
        bench.vendor.put("a", "2")
        await anyio.sleep(300)
        assert bench.is_(State.LIVE)

    bench.play(script)
    assert bench.values() == {"a": ["1", "2"]}
    assert len(bench.times("parts")) == 1
    assert bench.told() == ["blocked reading"]
    reason = bench.after_of("blocked")["reason"]
    assert ("walk things: " in reason, "walk parts: " in reason) == (both, True)


def test_a_walk_that_is_readable_again_is_told_once() -> None:
    """In the log when it was read, and as an event once no walk is refused any more."""
    bench = Narrow("parts", "things", live=True, every_s=50.0)

    async def script() -> None:
        await anyio.sleep(1800)
        del bench.refused["things"]
        await anyio.sleep(2000)
        assert [entry["walk"] for entry in bench.said("walk.readable")] == ["things"]
        assert bench.told() == ["blocked reading"]
        del bench.refused["parts"]
        await anyio.sleep(20_000)

    bench.play(script)
    assert [(e["walk"], e["log_level"]) for e in bench.said("walk.readable")] == [("things", "info"), ("parts", "info")]
    assert bench.told() == ["blocked reading", "recovered"]


@pytest.mark.parametrize("meanwhile", ["nothing", "restart"])
def test_one_more_refused_walk_is_announced(meanwhile: str) -> None:
    """What the stream says last names each walk that is refused now, and none that a restart found readable."""
    bench = Narrow(every_s=50.0)

    async def script() -> None:
        await anyio.sleep(600)
        bench.refused["parts"] = SCOPES
        await anyio.sleep(600)
        bench.refused["things"] = "there is no such path"
        if meanwhile == "restart":
            del bench.refused["parts"]
            bench.crash_at({bench._steps + 1})
        await anyio.sleep(600)
        bench.refused["parts"] = SCOPES
        await anyio.sleep(10_000)

    bench.play(script)
    said = [entry.data["after"] for entry in bench.ledger.events if ".source.blocked." in entry.subject]
    expected = [["parts"], ["things"], ["parts", "things"]] if meanwhile == "restart" else [["parts"]]
    assert [sorted(after["walks"]) for after in said][: len(expected)] == expected


def test_another_reason_is_said() -> None:
    """The same one is not, however often the vendor gives it."""
    bench = Narrow("parts")

    async def script() -> None:
        await anyio.sleep(10_000)
        bench.refused["parts"] = "the account is closed"
        await anyio.sleep(10_000)

    bench.play(script)
    assert [entry["reason"] for entry in bench.said("walk.refused")] == [
        "walk parts: the token lacks a scope", "walk parts: the account is closed",
    ]  # fmt: skip
    assert bench.told() == ["blocked reading"]


def test_a_source_of_which_nothing_may_be_read_is_blocked() -> None:
    """Once in an hour every walk is asked; when one may be read, the source goes on with that."""
    bench = Narrow("things", "parts")
    bench.vendor.put("a", "1")

    async def script() -> None:
        await anyio.sleep(60)
        assert bench.is_(State.BLOCKED)
        assert bench.told() == ["blocked"]
        await anyio.sleep(10_000)
        assert bench.is_(State.BLOCKED)
        assert [round(at) for at in bench.times("parts")] == [0, 3600, 7200]
        assert [round(at) for at in bench.times("things")] == [0, 3600, 7200]
        assert bench.told() == ["blocked"]
        del bench.refused["things"]
        await anyio.sleep(2000)
        assert bench.is_(State.LIVE)
        assert bench.told() == ["blocked", "blocked reading"]
        bench.refused["things"] = SCOPES
        await anyio.sleep(60)
        assert bench.is_(State.BLOCKED)
        bench.refused.clear()
        await anyio.sleep(4000)

    bench.play(script)
    assert bench.told() == ["blocked", "blocked reading", "blocked", "recovered"]
    bench.check()


def test_a_lost_vendor_brings_no_false_recovery() -> None:
    """After an outage the walk is refused as before: the stream says so, and recovers only with the walk."""
    bench = Narrow("parts")

    async def script() -> None:
        await anyio.sleep(100)
        bench.broken.add("things")
        await anyio.sleep(200)
        bench.broken.clear()
        await anyio.sleep(1000)
        assert bench.is_(State.LIVE)
        assert bench.told() == ["blocked reading", "lost", "blocked reading"]
        assert len(bench.times("parts")) == 1
        bench.refused.clear()
        await anyio.sleep(4000)

    bench.play(script)
    assert bench.told() == ["blocked reading", "lost", "blocked reading", "recovered"]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("on_connect", [True, False])
@pytest.mark.parametrize("meanwhile", ["refused", "readable", "gone"])
def test_a_restart_asks_at_once_and_tells_nothing_twice(live: bool, on_connect: bool, meanwhile: str) -> None:
    """The stream remembers which walk it was, also where that was read before and would not be due for long."""
    bench = Narrow(live=live)
    bench.on_connect, bench.parts_every_s = on_connect, 500.0

    async def script() -> None:
        await anyio.sleep(600)
        bench.refused["parts"] = SCOPES
        bench.after = 7_000.0
        await anyio.sleep(600)
        assert bench.told() == ["connected", "blocked reading"]
        if meanwhile == "readable":
            bench.refused.clear()
        bench.asked.clear()
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(50)
        assert bench.crashes == 1
        assert len(bench.times("parts")) == 1
        assert bench.is_(State.LIVE)
        if meanwhile == "gone":
            bench.ledger.drop_connection()
            await anyio.sleep(600)
            assert len(bench.times("parts")) == 1

    bench.play(script)
    assert bench.told() == ["connected", "blocked reading", *(["recovered"] if meanwhile == "readable" else [])]


def test_a_restart_after_a_loss_knows_the_walk_too() -> None:
    """Until it has answered, nothing is said: it may well be readable by now."""
    bench = Narrow("parts", live=True)
    bench.on_connect = False

    async def script() -> None:
        await anyio.sleep(100)
        bench.broken.add("things")
        await anyio.sleep(200)
        assert bench.told() == ["connected", "blocked reading", "lost reading"]
        bench.broken.clear()
        bench.refused.clear()
        bench.crash_at({bench._steps + 1})
        await anyio.sleep(200)
        assert bench.crashes == 1

    bench.play(script)
    assert bench.told() == ["connected", "blocked reading", "lost reading", "recovered"]
    assert bench.after_of("lost")["walks"] == ["parts"]


@pytest.mark.parametrize("live", [False, True])
def test_waking_asks_at_once(live: bool) -> None:
    """While the source is live, too; whoever still refuses waits again."""
    bench = Narrow("parts", live=live)

    async def script() -> None:
        await anyio.sleep(100)
        bench.runner.wake()
        await anyio.sleep(1)
        assert [round(at) for at in bench.times("parts")] == [0, 100]
        assert len(bench.said("walk.refused")) == 1
        await anyio.sleep(1000)
        assert len(bench.times("parts")) == 2
        bench.refused.clear()
        bench.runner.wake()
        await anyio.sleep(1)
        assert bench.told() == ["blocked reading", "recovered"]

    bench.play(script)


def test_a_refused_login_still_blocks_the_source() -> None:
    """401 again with a new token is about the credentials, and not about one walk."""
    bench = Narrow(live=True)

    async def script() -> None:
        await anyio.sleep(100)
        bench.vendor.faults.extend([answer_status(401), None, answer_status(401)])
        await anyio.sleep(60)
        assert bench.is_(State.BLOCKED)

    bench.play(script)


def test_a_refused_walk_proves_no_absence() -> None:
    """What was not shown because of it is not gone."""
    bench = Narrow(live=True, page_size=2, deletes=True)
    for name in "abcdef":
        bench.vendor.put(name, "1")

    async def script() -> None:
        await anyio.sleep(60)
        bench.pages_left = 2
        await anyio.sleep(20_000)
        assert bench.told() == ["connected", "blocked reading"]
        bench.pages_left = None
        bench.refused.clear()
        await anyio.sleep(8_000)

    bench.play(script)
    assert {change for _, change in bench.changes()} == {"snapshot"}
    bench.check()


def test_a_pass_that_was_cut_short_begins_anew() -> None:
    """What its first pages said has had an hour to change, and a session that was down to miss it."""
    bench = Narrow(live=True, page_size=2, every_s=100_000.0)
    for name in "abcdef":
        bench.vendor.put(name, "1")
    bench.pages_left = 2
    bench.vendor.push = lambda row: []

    async def script() -> None:
        await anyio.sleep(60)
        assert set(bench.values()) == set("abcd")
        bench.vendor.put("a", "2")
        bench.vendor.hang_up()
        await anyio.sleep(60)
        bench.pages_left = None
        bench.refused.clear()
        await anyio.sleep(4_000)

    bench.play(script)
    bench.check()


@pytest.mark.usefixtures("small_inbox")
def test_an_overrun_does_not_ask_it_sooner() -> None:
    """Reading everything again leaves out what may not be read, and waits for nothing of it."""
    bench = Narrow("parts", live=True, every_s=100_000.0, page_size=20_000)

    async def script() -> None:
        await anyio.sleep(60)
        for number in range(1_050):
            bench.vendor.put(f"t{number}", "1")
        await anyio.sleep(600)
        assert bench.runner.status.inbox is not None
        assert bench.runner.status.inbox.overruns == 1
        assert len(bench.times("parts")) == 1

    bench.play(script)
    bench.check()
