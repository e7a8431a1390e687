"""Strikes what a schedule says, and writes down when: the lanes of instances, of their ways to NATS, and of brokers."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from bridge.core.errors import Away
from bridge.edge.nats.jetstream import ApiError, JetStream
from tests.chaos.flow import Flow
from tests.chaos.parts import ACCOUNT, NO_ROOM, Parts
from tests.chaos.schedule import BOTH, INSTANCES, STEP_S, Blow, Schedule
from tests.chaos.vendor_strikes import strike_sender, strike_vendor
from tests.support.asking import plain_client
from tests.support.nats_cluster import leader
from tests.support.program import Child, elapse
from tests.support.proxy import Proxy
from tests.support.stream import STREAM
from tests.support.waiting import wait_until

TRIES: Final = 3
"""So often a blow of the first round falls that does nothing."""
ELECTION_S: Final = 15.0
DELAY_S: Final = 0.3
TRICKLE: Final = (200, 0.02)
"""Bytes at a time, and the pause before them: 10 kB/s at most."""
FELT_S: Final = 20.0
"""So much longer a fault lasts that has done nothing yet."""
START_S: Final = 60.0
FULL: Final = "limits exceeded"
"""What a broker logs about an account that may store no more."""
TORN_AFTER: Final = 300
"""Bytes of a message, or of several, that still pass before the connection is reset."""


@dataclass(frozen=True, slots=True)
class Struck:
    """One blow as it fell: in which lane, what, whom, and from when to when, in seconds since the Unix epoch."""

    lane: str
    kind: str
    target: str
    begin_s: float
    end_s: float


@dataclass
class Strikes:
    """`run` strikes. `problems`: daemons that ended by themselves, or badly. `did`: what blows themselves have seen."""

    parts: Parts
    flow: Flow
    struck: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)

    async def run(self, plan: Schedule) -> None:
        """All lanes at once. At the end everything runs, all ways are open and all vendors behave.

        A slow machine does not come to the end of the schedule in its time; every kind comes once nevertheless.
        """
        ends = time.monotonic() + plan.seconds
        async with anyio.create_task_group() as lanes:
            for lane, blows in plan.lanes.items():
                lanes.start_soon(self._lane, lane, blows, plan.first_round(lane), ends)

    async def _lane(self, lane: str, blows: Sequence[Blow], least: int, ends: float) -> None:
        first, later = blows[:least], iter(blows[least:])
        # A blow that has done nothing, since whom it was to hurt did nothing then, falls again before others do.
        again = deque((blow, TRIES) for blow in first)
        while again or time.monotonic() < ends:
            blow, tries = again.popleft() if again else (next(later, None), 1)
            if blow is None:
                break
            # Who does nothing is not hurt: a blow falls on what works.
            await self.flow.flows(lane if lane in self.parts.sources else "")
            await elapse(blow.after_s)
            begin_s = time.time()
            target, came = await self._strike(lane, blow)
            self.struck.append(Struck(lane, blow.kind, target, begin_s, time.time()))
            if not came and tries > 1:
                again.append((blow, tries - 1))

    async def _strike(self, lane: str, blow: Blow) -> tuple[str, bool]:
        """Who was struck, and whether anything came of it."""
        if lane in ("instances", "ways"):
            names = INSTANCES if blow.target == BOTH else (blow.target,)
            strike = self._strike_instance if lane == "instances" else self._strike_ways
            before = self.did[blow.kind]
            async with anyio.create_task_group() as at_once:
                for name in names:
                    at_once.start_soon(strike, blow, name)
            return blow.target, self.did[blow.kind] > before
        if lane == "broker":
            before = self.did[f"broker {blow.kind}"]
            target = await self._strike_broker(blow)
            return target, self.did[f"broker {blow.kind}"] > before
        if lane in self.parts.vendors:
            did, came = await strike_vendor(self.parts.vendors[lane], blow)
            self.did += did
            return lane, came
        return lane, await strike_sender(self.parts.sender, blow)

    # --- instances ---

    def _alive(self, daemon: Child) -> None:
        """One that has ended by itself is started again, as an operating system would."""
        if not daemon.running:
            self.problems.append(f"{daemon.name} ended by itself with {daemon.exit_code}: {daemon.tail()[-600:]}")
            daemon.start()

    async def _strike_instance(self, blow: Blow, name: str) -> None:
        daemon = self.parts.daemons[name]
        self._alive(daemon)
        match blow.kind:
            case "killed":
                daemon.kill()
                self.did["killed"] += 1
                await elapse(blow.seconds)
                await _restarted(daemon)
            case "paused":
                daemon.pause()
                self.did["paused"] += 1
                await elapse(blow.seconds)
                daemon.resume()
            case "stopped":
                code = await daemon.terminate()
                self.did["stopped"] += 1
                if code:
                    self.problems.append(f"{name} answered SIGTERM with {code}")
                await elapse(blow.seconds)
                await _restarted(daemon)
            case "clock stepped":
                refused = self.parts.sender.answers["401"]
                self.parts.clocks[name].set(blow.sign * STEP_S)
                await elapse(blow.seconds)
                with contextlib.suppress(AssertionError):
                    await wait_until(lambda: self.parts.sender.answers["401"] > refused, FELT_S)
                self.parts.clocks[name].set(0)
                self.did["clock stepped"] += self.parts.sender.answers["401"] - refused

    # --- the ways to NATS ---

    async def _strike_ways(self, blow: Blow, name: str) -> None:
        ways = self.parts.ways[name]
        if blow.kind == "refused":
            for way in ways:
                await way.refuse()
                self.did["refused"] += 1
                way.cut()
            await elapse(blow.seconds)
            for way in ways:
                await way.accept()
            return
        with contextlib.suppress(AssertionError):
            await wait_until(lambda: any(way.links for way in ways), FELT_S)
        before = felt(ways, blow.kind)
        for way in ways:
            await _misbehave(way, blow.kind)
        await elapse(blow.seconds)
        # Where nobody says anything nothing is done to anybody: it lasts until it has done something.
        with contextlib.suppress(AssertionError):
            await wait_until(lambda: felt(ways, blow.kind) > before, FELT_S)
        self.did[blow.kind] += felt(ways, blow.kind) - before
        for way in ways:
            way.heal()

    # --- brokers ---

    async def _strike_broker(self, blow: Blow) -> str:
        servers = self.parts.servers
        match blow.kind:
            case "full":
                await self.parts.room(NO_ROOM)
                await elapse(blow.seconds)
                with contextlib.suppress(AssertionError):
                    await wait_until(self._full, FELT_S)
                self.did["broker full"] += self._full()
                await self.parts.room()
                return "all" if len(servers) > 1 else servers[0].name
            case "away":
                for server in servers:
                    await server.kill()
                self.did["broker away"] += 1
                await elapse(blow.seconds)
                async with anyio.create_task_group() as at_once:
                    for server in servers:
                        at_once.start_soon(server.start)
                return "all" if len(servers) > 1 else servers[0].name
            case "rolled back":
                await self._roll_back(blow.seconds)
                return servers[0].name
        name = await self._leading()
        struck = next((server for server in servers if server.name == name), servers[0])
        match blow.kind:
            case "killed":
                await struck.kill()
                self.did["broker killed"] += not struck.running
                await elapse(blow.seconds)
                await struck.start()
            case "frozen":
                struck.pause()
                self.did["broker frozen"] += 1
                await elapse(blow.seconds)
                struck.resume()
            case "deposed":
                self.did["broker deposed"] += await self._depose()
                await elapse(blow.seconds)
        return struck.name

    def _full(self) -> bool:
        """Whether a broker has refused to store anything since it was started."""
        return any(FULL in server.log for server in self.parts.servers)

    async def _roll_back(self, seconds: float) -> None:
        """Two restarts: a copy is made at the first, and put back at the second."""
        (server,) = self.parts.servers
        store = server.store / "jetstream" / ACCOUNT / "streams" / STREAM
        copy = Path(server.folder) / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        await server.stop()
        shutil.copytree(store, copy)
        await server.start()
        await elapse(seconds)

        async def gone_on() -> bool:
            return await self._last() > before

        before = await self._last()
        with contextlib.suppress(AssertionError):
            await wait_until(gone_on, ELECTION_S)
        last = await self._last()
        await server.kill()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        await server.start()
        self.did["broker rolled back"] += max(0, last - await self._last())

    async def _last(self) -> int:
        """The sequence the stream of events has come to; 0 if nobody says."""
        async with plain_client(self.parts.servers[0].url) as client:
            try:
                answer = await JetStream(client, deadline_s=2.0).stream(STREAM)
            except (ApiError, Away):
                return 0
        return int(answer["state"]["last_seq"])

    async def _leading(self) -> str:
        """The server that leads the stream of events, if one does before long."""
        if len(self.parts.servers) == 1:
            return self.parts.servers[0].name
        found = ""

        async def known() -> bool:
            nonlocal found
            for server in self.parts.servers:
                async with plain_client(server.url) as client:
                    found = found or await leader(JetStream(client, deadline_s=2.0), STREAM)
            return bool(found)

        with contextlib.suppress(AssertionError):
            await wait_until(known, ELECTION_S)
        return found

    async def _depose(self) -> bool:
        async with plain_client(self.parts.servers[0].url) as client:
            try:
                await JetStream(client, deadline_s=2.0).call(f"STREAM.LEADER.STEPDOWN.{STREAM}")
            except (ApiError, Away):
                return False
        return True


async def _restarted(daemon: Child) -> None:
    """Started, and up: at any moment before it can be killed, but it answers no signal yet."""
    daemon.start()
    with contextlib.suppress(AssertionError):
        await wait_until(lambda: daemon.said("bridged.started", -1) or not daemon.running, START_S)


def felt(ways: Sequence[Proxy], kind: str) -> int:
    """How much a kind has done on these ways."""
    match kind:
        case "delayed":
            return sum(way.delayed for way in ways)
        case "trickled":
            return sum(way.trickled for way in ways)
        case "cut":
            return sum(way.torn for way in ways)
        case "half-closed":
            return sum(way.half_closed for way in ways)
        case "reset":
            return sum(way.cuts - way.torn for way in ways)
        case "silent":
            return sum(way.held[True] for way in ways)
        case "deaf":
            return sum(way.held[False] for way in ways)
    return 0


async def _misbehave(way: Proxy, kind: str) -> None:
    match kind:
        case "delayed":
            way.delay(DELAY_S)
        case "trickled":
            way.trickle(*TRICKLE)
        case "cut":
            way.cut_after(TORN_AFTER)
        case "half-closed":
            await way.half_close()
        case "reset":
            way.cut()
        case "silent":
            way.partition(upwards=True)
        case "deaf":
            way.partition(upwards=False)
