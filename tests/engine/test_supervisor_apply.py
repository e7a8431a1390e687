"""Sources that come, go and change while others run: those are not touched, and nothing is lost or told twice."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus
from structlog.testing import capture_logs

from bridge.adapter import Limit, Token
from bridge.core.errors import Unfit
from bridge.core.lease import Tenant
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.engine.ports import Offer
from bridge.engine.quota import Quotas
from bridge.engine.source import Source, Status, World
from bridge.engine.supervisor import END_S, Supervisor
from bridge.engine.tenancy import LeaseOffice
from tests.support import sim_vendor as sim
from tests.support.engine import on_virtual_clock
from tests.support.memory_leases import Bucket, MemoryLeases
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import SimAdapter, SimFeed, SimSettings, SimVendor, wall

ME = Tenant(instance="here", boot="boot-1", host="host", place="place", pid=1, started=1, build="1.0")


class CountedFeed(SimFeed):
    """A live session that is counted, and takes its time to say goodbye."""

    def __init__(self, house: House, name: str) -> None:
        super().__init__(house.vendor)
        self._house = house
        self._name = name

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        house = self._house
        house.opened[self._name] = house.opened.get(self._name, 0) + 1
        house.open_now.append(self._name)
        try:
            await super().hold(offer, task_status=task_status)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(house.goodbye_s)
            house.open_now.remove(self._name)


class House:
    """A supervisor over live sources of one vendor, with leases, a ledger, and no limit to what may be asked."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.vendor = SimVendor()
        self.vendor.put("a", "1")
        self.bucket = Bucket()
        self.opened: dict[str, int] = {}
        """How many live sessions each source has had."""
        self.open_now: list[str] = []
        self.goodbye_s = 0.5
        office = LeaseOffice(
            MemoryLeases(self.bucket), ME, lease_s=10.0, wall=wall, roll=Random(0).random, alive=lambda _: True
        )
        self.world = World(
            ledger=self.ledger,
            http=self.vendor,
            quotas=Quotas(),
            encode=lambda value: json.dumps(value).encode(),
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={},
            tenancies=office,
        )
        self.supervisor: Supervisor

    def source(self, name: str, **settings: Any) -> Source:
        def feed(_: Token) -> CountedFeed:
            return CountedFeed(self, name)

        return Source(SimAdapter(SimSettings(name=name, adapter="sim", **settings)), feed)

    def status(self, name: str) -> Status:
        return next(status for status in self.supervisor.statuses() if status.name == name)

    def told(self, name: str) -> list[tuple[str, str]]:
        """Change and value of what the source has stored of `a` and its like."""
        prefix = f"events.sim.{name}."
        return [
            (entry.change, str((entry.data["after"] or {}).get("value")))
            for entry in self.ledger.events
            if entry.subject.startswith(prefix)
        ]

    def during(self, script: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
        """Run the sources while `script` runs, from when all are live. Returns what was logged."""

        async def main() -> None:
            self.supervisor = Supervisor([self.source("one"), self.source("two")], self.world)
            async with anyio.create_task_group() as group:
                group.start_soon(self.supervisor.run)
                await anyio.sleep(30)
                assert {status.state for status in self.supervisor.statuses()} == {State.LIVE}
                await script()
                group.cancel_scope.cancel()

        with capture_logs() as logs:
            on_virtual_clock(main)
        assert not [line for line in logs if line["event"].endswith(".bug")]
        return [dict(line) for line in logs]


def test_the_others_keep_runner_session_and_lease() -> None:
    """One is added, one removed, one changed: the fourth has the runner, the session and the claim it had."""
    house = House()

    async def script() -> None:
        await house.supervisor.apply(begun=[house.source("three")], order=["one", "two", "three"])
        await anyio.sleep(30)
        runner = next(one for one in house.supervisor.runners() if one.status.name == "two")
        holders = list(house.bucket.history)
        await house.supervisor.apply(
            begun=[house.source("one", page_size=7), house.source("four")],
            ended=["three"],
            order=["four", "two", "one"],
        )
        await anyio.sleep(30)
        assert [status.name for status in house.supervisor.statuses()] == ["four", "two", "one"]
        assert {status.state for status in house.supervisor.statuses()} == {State.LIVE}
        assert house.supervisor.runners()[1] is runner
        assert house.opened == {"one": 2, "two": 1, "three": 1, "four": 1}
        assert sorted(house.open_now) == ["four", "one", "two"]
        assert {source for _, source, _ in house.bucket.history[len(holders) :]} == {"one", "three", "four"}
        assert house.bucket.owner("three") == ""

    house.during(script)


def test_what_happens_while_a_source_changes_is_told_once_and_no_gap_is_opened() -> None:
    """What was changed at the vendor between the old session's end and the new one's begin is read."""
    house = House()
    house.goodbye_s = 5.0

    async def script() -> None:
        async with anyio.create_task_group() as group:

            async def change() -> None:
                await house.supervisor.apply(begun=[house.source("one", page_size=7)], order=["one", "two"])

            group.start_soon(change)
            await anyio.sleep(2.0)
            house.vendor.put("a", "2")
            house.vendor.put("b", "1")
        await anyio.sleep(60)
        house.vendor.put("a", "3")
        await anyio.sleep(60)

    house.during(script)
    for name in ("one", "two"):
        assert sorted(house.told(name)) == [("created", "1"), ("snapshot", "1"), ("updated", "2"), ("updated", "3")]
    assert not [entry for entry in house.ledger.events if ".gap." in entry.subject]


def test_the_old_one_has_ended_before_the_new_one_begins() -> None:
    """Never do two work for one source: the session is closed and the lease given back first."""
    house = House()
    house.goodbye_s = 3.0
    seen: list[tuple[int, str]] = []

    async def script() -> None:
        async with anyio.create_task_group() as group:

            async def look() -> None:
                while True:
                    seen.append((house.open_now.count("one"), house.bucket.owner("one")))
                    await anyio.sleep(0.1)

            group.start_soon(look)
            began = anyio.current_time()
            assert await house.supervisor.apply(begun=[house.source("one", page_size=7)]) == []
            assert anyio.current_time() - began == pytest.approx(3.0, abs=0.5)
            await anyio.sleep(20)
            group.cancel_scope.cancel()

    house.during(script)
    assert max(count for count, _ in seen) == 1
    assert (0, "") in seen
    assert seen[-1] == (1, "here")


def test_the_counters_of_a_changed_source_go_on() -> None:
    """It is the same source to whoever looks; its status says why it was begun again."""
    house = House()

    async def script() -> None:
        house.vendor.put("a", "2")
        await anyio.sleep(30)
        before, meter = house.status("one").counts.stored, house.supervisor.runners()[0]._source.meter
        assert before >= 2
        await house.supervisor.apply(begun=[house.source("one", page_size=7)])
        assert house.status("one").counts.stored == before
        assert house.supervisor.runners()[0]._source.meter is meter
        house.vendor.put("a", "3")
        await anyio.sleep(30)
        assert house.status("one").counts.stored > before

    house.during(script)


def test_one_that_does_not_end_is_waited_for_no_longer_than_the_deadline() -> None:
    """It is named; its successor begins all the same once it has ended, and one that was removed can come back."""
    house = House()

    async def script() -> None:
        house.goodbye_s = 300.0
        began = anyio.current_time()
        slow = await house.supervisor.apply(begun=[house.source("one", page_size=7)], ended=["two"], order=["one"])
        assert sorted(slow) == ["one", "two"]
        assert anyio.current_time() - began == pytest.approx(10.0) == pytest.approx(END_S)
        house.goodbye_s = 0.0
        await house.supervisor.apply(begun=[house.source("two")], order=["one", "two"])
        assert house.opened == {"one": 1, "two": 1}
        await anyio.sleep(400)
        assert house.opened == {"one": 2, "two": 2}
        assert {status.state for status in house.supervisor.statuses()} == {State.LIVE}

    logs = house.during(script)
    assert {line["source"] for line in logs if line["event"] == "source.ends_slowly"} == {"one", "two"}


def test_a_source_that_cannot_be_made_leaves_all_as_it_was() -> None:
    """Whatever else was to be changed with it is not changed either."""
    house = House()

    class Broken(SimAdapter):
        @property
        def limit(self) -> Limit:
            raise ZeroDivisionError("our own mistake")

    async def script() -> None:
        broken = Source(Broken(SimSettings(name="three", adapter="sim")))
        with pytest.raises(ZeroDivisionError):
            await house.supervisor.apply(begun=[house.source("one", page_size=7), broken], ended=["two"])
        await anyio.sleep(60)
        assert house.opened == {"one": 1, "two": 1}
        assert [status.name for status in house.supervisor.statuses()] == ["one", "two"]

    house.during(script)


def test_all_may_go_and_some_come_again() -> None:
    """Without any source it goes on, and waits."""
    house = House()

    async def script() -> None:
        await house.supervisor.apply(ended=["one", "two"])
        await anyio.sleep(100)
        assert house.supervisor.statuses() == []
        house.vendor.put("a", "2")
        await house.supervisor.apply(begun=[house.source("one")], order=["one"])
        await anyio.sleep(30)
        assert house.status("one").state is State.LIVE

    house.during(script)
    assert house.told("one") == [("snapshot", "1"), ("updated", "2")]


def test_a_source_that_the_server_lacks_something_for_ends_nobody_who_ran_before() -> None:
    """What only an operator can change is said once, and the newcomer is tried again until it is there."""
    house = House()
    lacks = True

    def unfit(step: str) -> None:
        if step == "open" and lacks:
            raise Unfit("stream ASIDE is missing")

    async def script() -> None:
        nonlocal lacks
        house.ledger.on_step = unfit
        await house.supervisor.apply(begun=[house.source("three")], order=["one", "two", "three"])
        await anyio.sleep(200)
        assert [status.state for status in house.supervisor.statuses()][:2] == [State.LIVE, State.LIVE]
        assert house.status("three").reason == "stream ASIDE is missing"
        lacks = False
        await anyio.sleep(100)
        assert house.status("three").state is State.LIVE

    logs = house.during(script)
    said = [(line["source"], line["reason"]) for line in logs if line["event"] == "source.unfit"]
    assert said == [("three", "stream ASIDE is missing")]


def test_who_waits_for_a_vendor_tries_again_at_once_when_woken() -> None:
    """A source whose login failed for an hour would wait for minutes; one that is live keeps the session it has."""
    house = House()

    async def script() -> None:
        house.vendor.faults.extend([sim.status(403)] * 1_000)
        polled = Source(SimAdapter(SimSettings(name="one", adapter="sim")))
        await house.supervisor.apply(begun=[polled])
        await anyio.sleep(3_600)
        assert house.status("one").state is State.WAITING
        house.vendor.faults.clear()
        house.supervisor.wake()
        await anyio.sleep(2)
        assert house.status("one").state is State.LIVE
        assert house.opened["two"] == 1

    house.during(script)
