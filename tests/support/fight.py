"""A fight: two daemons, the same sources, three replicas; between each daemon and each server a proxy; and a judge.

The vendor's ledger is the oracle. A witness beside the fighters hears what they try to write and what is republished.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.core.errors import Away
from bridge.edge.nats.jetstream import ApiError, JetStream
from bridge.sandbox.oracle import Report
from tests.support.asking import lasting_client
from tests.support.fight_plan import AT_INSTANCES, AT_NATS, BOTH, INSTANCES, LEASE_S, OWNER, SOURCES, Blow, Plan
from tests.support.nats_cluster import cluster_ready, leader, nats_cluster
from tests.support.nats_server import NatsServer
from tests.support.program import Child, PlayedVendor, elapse
from tests.support.proxy import Proxy, proxy
from tests.support.stream import STREAM, Stored, StreamReader, chain_faults, judge, stream_reader, view_faults
from tests.support.waiting import wait_until

START_S = 150.0
SETTLE_S = 90.0
ELECTION_S = 15.0
LEASES = "bridge-leases"
TOGETHER = (1.0, 2.5)
"""How often the short and the long window are read, in seconds."""
APART = {"north": (1.0, 3600.0), "south": (3600.0, 1.0)}
"""Where both work all the time: each reads one window, so no cursor stands between them, the expectations alone do."""


class Witness:
    """Hears everything that is published, whoever publishes it, on a connection that no proxy touches.

    `live`: what was republished, `ce-id` by sequence. `tries`: by `ce-id`, which instance tried to write it how often;
    an instance is known by the prefix of its inboxes. `owners`: who wrote an owner record of what, in order.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.live: dict[int, str] = {}
        self.tries: dict[str, Counter[str]] = defaultdict(Counter)
        self.writers: dict[str, Counter[str]] = defaultdict(Counter)
        self.owners: list[tuple[str, str]] = []
        self._batches: dict[str, str] = {}

    async def listen(self) -> None:
        """From now on."""
        for subject, hear in (("live.>", self._live), ("bridge.in.>", self._try), ("bridge.owner.*", self._owner)):
            await self.client.subscribe(subject, cb=hear)
        await self.client.flush()

    def contradictions(self, events: Sequence[Stored]) -> list[str]:
        """What was republished and is not in the stream at its place."""
        stored = {event.seq: event.headers["ce-id"] for event in events}
        return [
            f"{seq}: {ce_id} was republished, the stream holds {stored.get(seq)}"
            for seq, ce_id in sorted(self.live.items())
            if stored.get(seq) != ce_id
        ]

    async def _live(self, message: Msg) -> None:
        headers = message.headers or {}
        self.live[int(headers["Nats-Sequence"])] = headers["ce-id"]

    async def _try(self, message: Msg) -> None:
        headers = message.headers or {}
        instance = message.reply.split(".")[0].removeprefix("_")
        if batch := headers.get("Nats-Batch-Id"):
            # Of a batch, only the first message and the last ask for an answer; "" if the first was not heard.
            instance = self._batches.setdefault(batch, instance)
        self.tries[headers["ce-id"]][instance] += 1
        self.writers[message.subject.split(".")[3]][instance] += 1

    async def _owner(self, message: Msg) -> None:
        self.owners.append((message.subject.split(".")[2], json.loads(message.data)["instance"]))


@dataclass(slots=True)
class Verdict:
    """What a fight has come to. `problems` is empty if the stream is what it must be.

    `recovery_s`: from the end of the last blow to the first event stored, by source. `settled_s`: to the last final
    state. `view_s`: how long after that, and two more passes, the view needed. `takeovers`: leases taken, by source
    and instance.
    """

    reports: dict[str, Report]
    problems: list[str]
    counts: dict[str, int]
    takeovers: dict[str, Counter[str]]
    recovery_s: dict[str, float]
    settled_s: float
    view_s: float
    witness: Witness = field(repr=False)
    events: list[Stored] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """The table: one line for each source."""
        contested = Counter(
            event.tokens[2] for event in self.events if sum(self.witness.tries[event.headers["ce-id"]].values()) > 1
        )
        return [
            {
                "source": source,
                "changes": report.changes,
                "events": report.events,
                "missing": report.missing,
                "duplicates": report.duplicates,
                "out_of_order": report.out_of_order,
                "invented": report.invented,
                "lapsed": report.lapsed,
                **{f"{name} took": self.takeovers[source][name] for name in INSTANCES},
                **{f"{name} wrote": self.witness.writers[source][name] for name in INSTANCES},
                "contested": contested[source],
                "recovery s": round(self.recovery_s[source], 1),
            }
            for source, report in self.reports.items()
        ]

    def must_be_faithful(self) -> None:
        """Fails with everything that was found."""
        assert not self.problems, f"{self.rows()}\n{self.counts}\n" + "\n".join(self.problems[:40])
        assert all(report.faithful for report in self.reports.values())


class Fight:
    """The parts. `run` strikes, `verdict` judges."""

    def __init__(self, vendor: PlayedVendor, servers: list[NatsServer], witness: Witness) -> None:
        self.vendor = vendor
        self.servers = servers
        self.witness = witness
        self.blows: Counter[str] = Counter()
        self.daemons: dict[str, Child] = {}
        self.ways: dict[str, list[Proxy]] = {}
        self.company = dict(zip(SOURCES, vendor.facts["companies"], strict=True))
        self._js = JetStream(witness.client, deadline_s=2.0)
        self._leaders: set[tuple[str, str]] = set()

    async def begin(self) -> None:
        """Both start; returns when every source is live somewhere."""
        for daemon in self.daemons.values():
            daemon.start()

        def live() -> bool:
            said = [line["source"] for daemon in self.daemons.values() for line in daemon.said("source.live")]
            return set(said) >= set(SOURCES)

        await wait_until(live, START_S, "every source to be live")

    async def run(self, plan: Plan, seconds: float) -> None:
        """Strike the plan's blows, both lanes at once. At the end everything runs and all ways are open.

        A slow machine does not come to the end of its plan within `seconds`; every kind comes once nevertheless.
        """
        ends = time.monotonic() + seconds
        async with anyio.create_task_group() as lanes:
            lanes.start_soon(self._lane, plan.instances, len(AT_INSTANCES), ends)
            lanes.start_soon(self._lane, plan.nats, len(AT_NATS), ends)

    async def _lane(self, blows: Sequence[Blow], least: int, ends: float) -> None:
        for number, blow in enumerate(blows):
            if number >= least and time.monotonic() > ends:
                break
            await elapse(blow.after_s)
            if blow.kind.startswith("leader"):
                await self._strike_leader(blow)
            else:
                async with anyio.create_task_group() as at_once:
                    for name in await self._meant(blow):
                        self.blows[blow.kind] += 1
                        at_once.start_soon(self._strike, blow, self.daemons[name], self.ways[name])

    async def _meant(self, blow: Blow) -> Sequence[str]:
        if blow.target == BOTH:
            return INSTANCES
        if not blow.target.startswith(OWNER):
            return (blow.target,)
        subject = f"$KV.{LEASES}.{blow.target.removeprefix(OWNER)}"
        try:
            found = await self._js.get(f"KV_{LEASES}", {"last_by_subj": subject})
        except (ApiError, Away):
            found = None
        holder = json.loads(found.payload).get("instance") if found is not None and found.payload else None
        return (holder if holder in INSTANCES else blow.otherwise,)

    async def _strike(self, blow: Blow, daemon: Child, ways: list[Proxy]) -> None:
        match blow.kind:
            case "paused":
                daemon.pause()
                await elapse(blow.seconds)
                daemon.resume()
            case "killed":
                daemon.kill()
                await elapse(blow.seconds)
                daemon.start()
            case "silenced":
                for way in ways:
                    way.blackhole()
                await elapse(blow.seconds)
                for way in ways:
                    way.heal()
            case "cut off":
                for way in ways:
                    await way.refuse()
                    way.cut()
                await elapse(blow.seconds)
                for way in ways:
                    await way.accept()
            case "delayed":
                for way in ways:
                    way.delay(0.3)
                await elapse(blow.seconds)
                for way in ways:
                    way.heal()

    async def _strike_leader(self, blow: Blow) -> None:
        name = await self._leading(blow.target)
        struck = next((server for server in self.servers if server.name == name), self.servers[0])
        match blow.kind:
            case "leader killed":
                await struck.kill()
                await elapse(blow.seconds)
                await struck.start()
            case "leader paused":
                struck.pause()
                await elapse(blow.seconds)
                struck.resume()
            case "leader stepped down":
                try:
                    await self._js.call(f"STREAM.LEADER.STEPDOWN.{blow.target}")
                except (ApiError, Away):
                    name = ""
        # A blow that found no leader has hit some server, and is not counted among those that were meant.
        self.blows[blow.kind if name else f"{blow.kind} (there was none)"] += 1

    async def _leading(self, stream: str) -> str:
        """The stream's leader, if it has one before long."""
        found = ""

        async def known() -> bool:
            nonlocal found
            found = await leader(self._js, stream)
            return bool(found)

        with contextlib.suppress(AssertionError):
            await wait_until(known, ELECTION_S)
        return found

    async def verdict(self) -> Verdict:
        """After the last blow: when each source works again, then rest, then judgement."""
        healed = time.time()
        await cluster_ready(self.servers)
        async with stream_reader(self.servers[0].url) as reader:
            recovery_s = await self._recovered(reader, healed)
            await self.vendor.calm()
            changes = await self.vendor.ledger()
            of = {
                source: [change for change in changes if change.scope == scope]
                for source, scope in self.company.items()
            }

            async def complete() -> bool:
                events = await reader.events()
                return not any(judge(of[source], events, source).missing for source in SOURCES)

            # What is still missing at the deadline is the verdict's to say.
            with contextlib.suppress(AssertionError):
                await wait_until(complete, SETTLE_S)
            settled_s = time.time() - healed
            for _ in range(2):
                await self._another_pass(reader)
            events = await reader.events()
            state = await self.vendor.call("GET", "state")
            rested = time.time()
            with contextlib.suppress(AssertionError):
                await wait_until(lambda: self._viewed(reader, state), SETTLE_S)
            view = await reader.view()
        view_s = time.time() - rested
        reports = {source: judge(of[source], events, source) for source in SOURCES}
        problems = [finding for report in reports.values() for finding in report.findings]
        problems += chain_faults(events)
        problems += self._view_faults(state, view)
        problems += self.witness.contradictions(events)
        problems += self._complaints()
        return Verdict(
            reports, problems, self._counts(), self._takeovers(), recovery_s, settled_s, view_s, self.witness, events
        )

    async def _viewed(self, reader: StreamReader, state: Any) -> bool:
        return not self._view_faults(state, await reader.view())

    def _view_faults(self, state: Any, view: dict[str, Any]) -> list[str]:
        found = []
        for source, scope in self.company.items():
            own = {key: value for key, value in view.items() if key.startswith(f"pcvisit.{source}.")}
            found += view_faults({scope: state[scope]}, own, source)
        return found

    async def _recovered(self, reader: StreamReader, healed: float) -> dict[str, float]:
        """When the first event after `healed` was stored, by source. The vendor must still be changing."""
        found: dict[str, float] = {}

        async def all_work() -> bool:
            for event in await reader.events():
                if event.tokens[1] == "pcvisit" and event.at_ms / 1000 > healed:
                    found.setdefault(event.tokens[2], event.at_ms / 1000 - healed)
            return len(found) == len(SOURCES)

        await wait_until(all_work, SETTLE_S, "every source to work again")
        return found

    async def _another_pass(self, reader: StreamReader) -> None:
        """Every walk reads everything once more, which shows in its cursor."""
        now_ms = time.time_ns() // 1_000_000
        wanted = 2 * len(SOURCES)

        async def passed() -> bool:
            cursors = (await reader.cursors()).values()
            return len(cursors) == wanted and all(cursor.get("completed_ms", 0) > now_ms for cursor in cursors)

        await wait_until(passed, SETTLE_S, f"{wanted} walks to be read once more")

    def _counts(self) -> dict[str, int]:
        """What was done to them, as the parts themselves have counted it."""
        ways = [way for ways in self.ways.values() for way in ways]
        logs = [server.log_path.read_text("utf-8", "replace") for server in self.servers]
        return {
            **self.blows,
            "SIGKILLs of a daemon": sum(daemon.kills for daemon in self.daemons.values()),
            "SIGSTOPs of a daemon": sum(daemon.pauses for daemon in self.daemons.values()),
            "chunks swallowed": sum(way.swallowed for way in ways),
            "chunks delayed": sum(way.delayed for way in ways),
            "connections cut": sum(way.cuts for way in ways),
            "listeners closed": sum(way.refusals for way in ways),
            "server restarts": sum(server.starts - 1 for server in self.servers),
            "leaders elected": sum(log.count(f"new stream leader for '$G > {STREAM}'") for log in logs),
            "leases that ran out": sum(
                "ran out" in line.get("reason", "")
                for daemon in self.daemons.values()
                for line in daemon.said("source.standby")
            ),
        }

    def _takeovers(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {source: Counter() for source in SOURCES}
        for name, daemon in self.daemons.items():
            for line in daemon.said("lease.taken"):
                found[line["source"]][name] += 1
        return found

    def _complaints(self) -> list[str]:
        """What no log may hold."""
        found = []
        for daemon in self.daemons.values():
            text = daemon.text()
            found += [f"{daemon.name}: {line}" for line in daemon.said("source.bug")]
            # A majority is always there, so the stream loses nothing, and its view is never wrong about it.
            found += [f"{daemon.name}: {line}" for line in daemon.said("view.remade")]
            found += [f"{daemon.name}: a traceback" for _ in range(text.count("Traceback (most recent call last)"))]
        return found


@asynccontextmanager
async def fight(folder: Path, *, seed: int, rate: float = 6.0, one_bucket: bool = True) -> AsyncIterator[Fight]:
    """Vendor, cluster, proxies and witness run, the daemons do not yet. At the end everything is gone.

    `one_bucket`: whether the daemons agree on who works; if not, each has a lease bucket of its own, and a window.
    """
    vendor = PlayedVendor(folder, rate=rate, seed=seed, companies=len(SOURCES), recent_samples=True, jwt_lifetime_s=30)
    daemons: dict[str, Child] = {}
    try:
        await vendor.begin()
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(nats_cluster(folder, advertise=False))
            witness = await stack.enter_async_context(_witness(servers))
            scene = Fight(vendor, servers, witness)
            for name in INSTANCES:
                ways = [await stack.enter_async_context(proxy(server.port)) for server in servers]
                leases = LEASES if one_bucket else f"{LEASES}-{name}"
                pace = TOGETHER if one_bucket else APART[name]
                daemons[name] = _daemon(folder, name, vendor, [way.url for way in ways], leases, pace)
                scene.daemons[name], scene.ways[name] = daemons[name], ways
            await witness.listen()
            try:
                yield scene
            finally:
                for daemon in daemons.values():
                    daemon.close()
    finally:
        vendor.close()


@asynccontextmanager
async def _witness(servers: list[NatsServer]) -> AsyncIterator[Witness]:
    async with lasting_client([server.url for server in servers]) as client:
        yield Witness(client)


def _daemon(
    folder: Path, name: str, vendor: PlayedVendor, urls: list[str], leases: str, pace: tuple[float, float]
) -> Child:
    path = folder / f"{name}.toml"
    environ = {"INTEGRATOR_TOKEN": vendor.secrets[0]}
    lines = [
        "[nats]",
        f"url = {json.dumps(urls)}",
        "replicas = 3",
        f'inbox_prefix = "_{name}"',
        f"lease_bucket = {json.dumps(leases)}",
        "[status]",
        "enabled = false",
        "[daemon]",
        f'instance = "{name}"',
        f"lease_s = {LEASE_S}",
        f"state_dir = {json.dumps(str(folder / f'state-{name}'))}",
        'log_format = "json"',
    ]
    for source, user, company in zip(SOURCES, vendor.facts["users"], vendor.facts["companies"], strict=False):
        variable = f"USER_TOKEN_{source.upper()}"
        environ[variable] = user["token"]
        lines += [
            "[[source]]",
            f'name = "{source}"',
            'adapter = "pcvisit"',
            f"http_url = {json.dumps(vendor.facts['url'])}",
            f'companies = ["{company}"]',
            "requests_per_minute = 1_000_000",
            "request_timeout_s = 15.0",
            f"history_fast_every_s = {pace[0]}",
            f"history_slow_every_s = {pace[1]}",
            'integrator_token = { env = "INTEGRATOR_TOKEN" }',
            f'user_token = {{ env = "{variable}" }}',
        ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return Child(folder, name, ["run", "--config", str(path)], environ)
