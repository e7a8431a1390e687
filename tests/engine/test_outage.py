"""What is said of a vendor that fails: of which half, how soon, and how often."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import structlog
from anyio.abc import TaskStatus

from bridge.adapter import Refused, Request, Response, Retry
from bridge.core.lifecycle import State
from bridge.engine.ports import Offer
from bridge.engine.vigil import SessionStatistics
from bridge.engine.vitals import take_vitals
from tests.engine.test_refusals import Narrow
from tests.support.engine import Bench, on_virtual_clock
from tests.support.scripted import Stage
from tests.support.sim_vendor import SimVendor


class Moody(SimVendor):
    """Answers, fails with `error`, or is frozen: then whatever is sent to it hangs for `hangs_s` and fails."""

    error: Retry | Refused | None = None
    hangs_s = 0.0
    slow_s = 0.0

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        if self.hangs_s:
            await anyio.sleep(self.hangs_s)
            raise Retry(f"no answer within {self.hangs_s:g} s")
        await anyio.sleep(self.slow_s)
        if self.error:
            raise self.error
        return await super().send(request, timeout_s=timeout_s, max_bytes=max_bytes)


class Peer:
    """A vendor both of whose halves fail as told."""

    def __init__(self, **settings: Any) -> None:
        self.error: Retry | Refused | None = None
        self.down = anyio.Event()
        self.vendor = Moody()
        share = Bench()
        share.vendor = self.vendor
        self.bench = Stage(self._hold, beside=share, **settings)
        self.bench.statistics = SessionStatistics()

    async def _hold(self, offer: Offer, status: TaskStatus[None]) -> None:
        if self.vendor.hangs_s:
            await anyio.sleep(self.vendor.hangs_s)
            raise Retry("no answer to the upgrade")
        if self.error:
            raise self.error
        status.started()
        await self.down.wait()
        raise Retry("hung up")

    def fail(self, error: Retry | Refused) -> None:
        """From now on there are no live sessions."""
        self.error = error
        self.hang_up()

    def hang_up(self) -> None:
        self.down.set()
        self.down = anyio.Event()


def told(bench: Bench) -> list[str]:
    """The source's own events with their half."""
    events = [entry for entry in bench.ledger.events if entry.subject.startswith("events.bridge.acme.source.")]
    return [f"{entry.change} {entry.data['after']['half'] or 'all'}" for entry in events]


def afters(bench: Bench, change: str) -> list[Any]:
    return [e.data["after"] for e in bench.ledger.events if f".source.{change}." in e.subject]


def test_a_dead_vendor_is_lost_and_not_polled() -> None:
    """Both halves fail: all of it is lost, once; when polling works again only the live half is; then neither."""

    async def main() -> None:
        peer = Peer()
        bench = peer.bench

        async def script() -> None:
            await anyio.sleep(100)
            peer.vendor.error = Retry("answered 502")
            peer.fail(Retry("refused the connection"))
            await anyio.sleep(25)
            assert told(bench) == ["connected all"]
            await anyio.sleep(10)
            assert told(bench) == ["connected all", "lost all"]
            await anyio.sleep(7_200)
            assert told(bench) == ["connected all", "lost all"]
            peer.vendor.error = None
            await anyio.sleep(600)
            assert told(bench) == ["connected all", "lost all", "lost live"]
            assert bench.runner.status.state is not State.LIVE
            peer.error = None
            await anyio.sleep(600)

        await bench.during(script)
        assert told(bench) == ["connected all", "lost all", "lost live", "recovered all"]
        [everything, live] = afters(bench, "lost")
        assert everything["failing_since"].startswith("2023-11-14T22:15:0")
        assert (everything["reason"], live["reason"]) == ("answered 502", "refused the connection")

    on_virtual_clock(main)


@pytest.mark.parametrize("error", [Retry("no session"), Refused("no such namespace", after=900.0)])
def test_polling_that_stops_working_beside_a_dead_session_is_told(error: Retry | Refused) -> None:
    """It was polled, then not that either, then polled again: each is told once, with how the session is."""
    live = "blocked live" if isinstance(error, Refused) else "lost live"

    async def main() -> None:
        peer = Peer()

        async def script() -> None:
            await anyio.sleep(100)
            peer.fail(error)
            await anyio.sleep(3_000)
            assert told(peer.bench) == ["connected all", live]
            peer.vendor.error = Retry("answered 502")
            await anyio.sleep(29)
            assert told(peer.bench) == ["connected all", live]
            await anyio.sleep(20)
            assert told(peer.bench) == ["connected all", live, "lost all"]
            await anyio.sleep(5_000)
            peer.vendor.error = None
            await anyio.sleep(600)
            assert told(peer.bench) == ["connected all", live, "lost all", live]
            await anyio.sleep(5_000)

        await peer.bench.during(script)
        assert told(peer.bench) == ["connected all", live, "lost all", live]
        since = afters(peer.bench, "lost")[-1 if live == "blocked live" else 1]["failing_since"]
        assert since.startswith("2023-11-14T23:05:")

    on_virtual_clock(main)


def test_a_vendor_that_refuses_both_halves_is_blocked_once() -> None:
    """What may not be read while there is no session is not polled, and every later attempt is no news."""

    async def main() -> None:
        peer = Peer()

        async def script() -> None:
            await anyio.sleep(100)
            peer.vendor.error = Refused("the account is closed")
            peer.fail(Refused("not for you"))
            await anyio.sleep(20_000)

        await peer.bench.during(script)
        assert told(peer.bench) == ["connected all", "blocked all"]

    on_virtual_clock(main)


@pytest.mark.parametrize("hangs_s", [10.0, 55.0])
def test_a_frozen_vendor_is_lost_while_an_attempt_hangs(hangs_s: float) -> None:
    """Half a minute after the first failure, however long one attempt takes; and its vitals say since when."""

    async def main() -> None:
        peer = Peer()

        async def script() -> None:
            await anyio.sleep(100)
            peer.vendor.hangs_s = hangs_s
            peer.hang_up()
            await anyio.sleep(29)
            assert told(peer.bench) == ["connected all"]
            await anyio.sleep(2)
            assert told(peer.bench) in (["connected all", "lost live"], ["connected all", "lost all"])
            vitals = take_vitals(peer.bench.runner.status, 1_700_000_131_000)
            assert vitals is not None
            assert (vitals.live, vitals.shut_ms) == (False, 1_700_000_100_000)
            await anyio.sleep(600)
            assert told(peer.bench)[-1] == "lost all"
            peer.vendor.hangs_s = 0.0
            await anyio.sleep(900)
            vitals = take_vitals(peer.bench.runner.status, 1_700_001_631_000)
            assert vitals is not None
            assert (vitals.live, vitals.shut_ms) == (True, None)

        await peer.bench.during(script)
        assert told(peer.bench)[-1] == "recovered all"
        assert len(told(peer.bench)) <= 5

    on_virtual_clock(main)


def test_a_frozen_vendor_that_is_only_polled_is_lost_while_a_request_hangs() -> None:
    """The second request hangs for longer than a consumer is to wait for the news."""

    async def main() -> None:
        vendor = Moody()
        share = Bench()
        share.vendor = vendor
        bench = Bench(beside=share)

        async def script() -> None:
            await anyio.sleep(100)
            vendor.error = Retry("answered 502")
            await anyio.sleep(15)
            vendor.hangs_s = 300.0
            await anyio.sleep(10)
            assert told(bench) == ["connected all"]
            await anyio.sleep(20)
            assert told(bench) == ["connected all", "lost all"]

        await bench.during(script)

    on_virtual_clock(main)


@pytest.mark.parametrize("live", [False, True])
def test_a_long_reading_after_a_hiccup_is_no_loss(live: bool) -> None:
    """Pages that arrive are no failure, though all is read only after minutes."""

    async def main() -> None:
        peer = Peer(page_size=1, every_s=1_000.0)
        bench = peer.bench if live else Bench(beside=peer.bench, page_size=1, every_s=1_000.0)
        for number in range(40):
            peer.vendor.put(f"t{number:02}", "1")

        async def script() -> None:
            await anyio.sleep(950)
            assert told(bench) == ["connected all"]
            peer.vendor.slow_s = 8.0
            if live:
                peer.hang_up()
            else:
                await anyio.sleep(60)
                peer.vendor.error = Retry("answered 502")
                await anyio.sleep(8)
                peer.vendor.error = None
            await anyio.sleep(200)
            assert told(bench) == ["connected all"]
            await anyio.sleep(1_000)

        await bench.during(script)
        assert told(bench) == ["connected all"]

    on_virtual_clock(main)


def test_a_refusal_is_logged_once() -> None:
    """With why, of which half, and when it is tried again; and again only for another reason."""

    async def main() -> None:
        peer = Peer()

        async def script() -> None:
            await anyio.sleep(100)
            peer.fail(Refused("no such namespace", after=900.0))
            await anyio.sleep(3_000)
            peer.error = Refused("the account is closed", after=900.0)
            await anyio.sleep(3_000)

        with structlog.testing.capture_logs() as logs:
            await peer.bench.during(script)
        blocked = [entry for entry in logs if entry["event"] == "source.blocked"]
        assert [(entry["half"], entry["reason"], entry["log_level"]) for entry in blocked] == [
            ("live", "no such namespace", "warning"),
            ("live", "the account is closed", "warning"),
        ]
        assert blocked[0]["again"].startswith("2023-11-14T22:30:0")
        assert told(peer.bench) == ["connected all", "blocked live"]

    on_virtual_clock(main)


@pytest.mark.parametrize("refused", [False, True])
def test_what_fails_in_many_walks_is_complained_of_once(refused: bool) -> None:
    """The walk and the address differ from one failure to the next; the kind of error does not."""
    bench = Narrow(live=True)

    async def script() -> None:
        await anyio.sleep(100)
        bench.broken = {"things", "parts"}
        await anyio.sleep(2_000)
        bench.broken = set()
        await anyio.sleep(1_000)
        bench.broken = {"parts"}
        await anyio.sleep(300)

    if refused:
        bench.vendor.feed = lambda token: Shut()  # type: ignore[method-assign,assignment,return-value]
    bench.play(script)
    said = bench.said("source.unread" if refused else "reading.failed")
    assert len(said) == 2
    assert all("answered 502" in entry["reason"] for entry in said)


class Shut:
    """A feed of a vendor that refuses it."""

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        raise Refused("no")
