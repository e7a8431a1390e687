"""The whole program with live sessions: played vendors and one daemon as processes, a real nats-server, a judgement.

Nothing here looks inside the program: it is started, the vendors misbehave, its log and its stream are read.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio

from bridge.sandbox import oracle, pcvisit_view, platform_judge, x_assist_view
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from bridge.sandbox.setup import Setup
from bridge.sandbox.x_assist_ids import canonical
from tests.support import live_agyletime, live_platform, live_prosonata
from tests.support.command import Done
from tests.support.inside import within
from tests.support.nats_server import NatsServer
from tests.support.program import Child, PlayedVendor
from tests.support.stream import Stored, StreamReader, chain_faults, stream_reader
from tests.support.waiting import wait_until

START_S = 150.0
SETTLE_S = 120.0
ALL_TIME_S = 20 * 365 * 86_400.0
"""The vendors' published samples are years old."""

MEMORIES = ("subscription-", "aliases-")
"""Cursors that remember something else than how far a walk has come."""

QUICK: Mapping[str, Mapping[str, Any]] = {
    "pcvisit": {
        "requests_per_minute": 1_000_000,
        "request_timeout_s": 15.0,
        "history_page_size": 100,
        "history_fast_every_s": 1.0,
        "history_slow_every_s": 3.0,
        "history_slow_reach_s": ALL_TIME_S,
        "batch_loading_retry_s": 1.0,
        "ws_settle_s": 0.2,
    },
    "x_assist": {
        "requests_per_hour": 1_000_000,
        "burst": 1_000,
        "request_timeout_s": 15.0,
        "settle_delay_s": 0.0,
        "late_backfill_delay_s": 1.0,
        "recent_every_s": 1.0,
        "by_id_every_s": 2.0,
        "all_every_s": 2.0,
        "ws_settle_s": 0.2,
    },
    "platform": live_platform.QUICK,
    "agyletime": live_agyletime.QUICK,
    "prosonata": live_prosonata.QUICK,
}
"""What makes a source quick enough for a test, by adapter."""

OWN: Mapping[str, Any] = {"platform": live_platform, "agyletime": live_agyletime, "prosonata": live_prosonata}
"""Modules that know their vendor's keys and secrets; none of these needs a subscription."""


class LiveVendor(PlayedVendor):
    """`bridged sandbox VENDOR` under a name of its own, so that there may be several."""

    def __init__(self, folder: Path, vendor: str, name: str, *, seed: int, **options: Any) -> None:
        sets = [part for key, value in options.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        arguments = ["sandbox", vendor, "--json", "--rate", "0", "--seed", str(seed), *sets]
        Child.__init__(self, folder, name, arguments)
        self.vendor = vendor
        self.facts: dict[str, Any] = {}
        self.stores: Sequence[str] = ()
        """Which of the platform's stores its last source reads."""

    @property
    def subject(self) -> str:
        """What its events' subjects begin with."""
        return "events." + self.vendor.replace("_", "-")

    @property
    def environment(self) -> dict[str, str]:
        """Its secrets, by variables that are its own."""
        return {f"{self.name.upper()}_{name}": value for name, value in self.facts["environment"].items()}

    def source(self, name: str, **settings: Any) -> str:
        """A source that reads it and listens to it, as TOML. None takes a key away."""
        facts, prefix = self.facts, f"{self.name.upper()}_"
        keys: dict[str, Any] = {"name": name, "adapter": self.vendor}
        if (own := OWN.get(self.vendor)) is not None:
            keys |= own.keys(facts)
            secrets = own.secrets()
        elif self.vendor == "pcvisit":
            keys |= {"ws_url": facts["ws_url"], "http_url": facts["url"]}
            secrets = {"integrator_token": "PCVISIT_INTEGRATOR_TOKEN", "user_token": "PCVISIT_USER_TOKEN"}
        else:
            keys |= {"ws_url": facts["ws_url"], "graphql_url": facts["url"]}
            keys |= {"issuer": facts["issuer"], "client_id": facts["client_id"]}
            keys["transport"] = "graphql-transport-ws"
            secrets = {"client_secret": "X_ASSIST_CLIENT_SECRET"}
        if settings.get("transport") == "actioncable":
            keys["ws_url"] = facts["cable_url"]
        keys = {key: value for key, value in {**keys, **QUICK[self.vendor], **settings}.items() if value is not None}
        named = {key: prefix + variable for key, variable in secrets.items()}
        self.stores = keys.get("stores", ())
        subscribed = "" if self.vendor in OWN else f"{self.vendor}_subscriptions.toml"
        return Setup(keys, named, {}, subscribed).source()

    async def ledger(self) -> list[Change]:
        """Every change so far; of the platform also what happened once, as `platform_judge.happened` has it."""
        changes = await super().ledger()
        once = platform_judge.happened(await self.call("GET", "issued")) if self.vendor == "platform" else []
        return [*changes, *once]

    async def fault(self, kind: str, **how: Any) -> None:
        """Plan a fault."""
        await self.call("POST", "faults", {"kind": kind, **how})

    async def rate(self, changes_per_s: float) -> None:
        """Set the pace of its changes."""
        await self.call("POST", "rate", {"changes_per_s": changes_per_s})

    async def changed(self, times: int, deadline_s: float = 60.0) -> None:
        """Returns when it has changed so many times more than when it was called."""
        wanted = (await self.counters())["changes"] + times

        async def enough() -> bool:
            return bool((await self.counters())["changes"] >= wanted)

        await wait_until(enough, deadline_s, f"{times} more changes at {self.name}")

    async def served(self, kind: str) -> int:
        """How often a fault has struck."""
        return int((await self.call("GET", "faults"))["served"].get(kind, 0))

    async def struck(self, kinds: Collection[str], deadline_s: float = 150.0, *, at_least: int = 0) -> None:
        """Returns when so many of these faults have struck; 0: each of them."""
        wanted = at_least or len(set(kinds))

        async def enough() -> bool:
            return len(set(kinds) & set((await self.call("GET", "faults"))["served"])) >= wanted

        await wait_until(enough, deadline_s, f"{wanted} of {', '.join(sorted(kinds))} to strike at {self.name}")


@dataclass(slots=True)
class Verdict:
    """What a scene has come to, by source. `problems`: what must not be, in words."""

    reports: dict[str, Report]
    problems: list[str]
    events: list[Stored] = field(repr=False)

    def must_be_faithful(self) -> None:
        """Fails with everything that was found."""
        rows = "\n".join(f"{name}: {figures(report)}" for name, report in self.reports.items())
        assert not self.problems, f"{rows}\n" + "\n".join(self.problems[:60])

    def of(self, source: str, *, entity: str = "", change: str = "") -> list[Stored]:
        """The events of one source."""
        return [
            event
            for event in self.events
            if event.tokens[2] == source and entity in ("", event.tokens[3]) and change in ("", event.change)
        ]


class LiveScene:
    """The parts. `listeners`: which vendor each source of the daemon reads."""

    def __init__(self, folder: Path, broker: NatsServer, vendors: Sequence[LiveVendor]) -> None:
        self.folder = folder
        self.broker = broker
        self.vendors = vendors
        self.listeners: dict[str, LiveVendor] = {}
        self.path = folder / "live.toml"
        self._tables: list[str] = []
        self._more: dict[str, str] = {}
        self.daemon = Child(folder, "daemon", ["run", "--config", str(self.path)])
        self.reader: StreamReader
        self.lease_s = 30.0
        """So long that a machine which stands still for seconds does not cost it. Who restarts takes its own back."""

    def listen(self, name: str, vendor: LiveVendor, **settings: Any) -> None:
        """One more source of the daemon, which does not run yet."""
        self.listeners[name] = vendor
        self._tables.append(vendor.source(name, **settings))

    def also(self, tables: str) -> None:
        """More of the configuration, as TOML. The daemon does not run yet."""
        self._tables.append(tables)

    def clear(self) -> None:
        """No sources, and nothing else; the daemon may run, and learns of it by a reload."""
        self.listeners.clear()
        self._tables.clear()

    @property
    def environ(self) -> dict[str, str]:
        """Every vendor's secrets."""
        found: dict[str, str] = {}
        for vendor in self.vendors:
            found |= vendor.environment
        return found

    def start(self, **environ: str) -> None:
        """Write the configuration and start the daemon."""
        self.write()
        self._more = {**self.environ, **environ}
        self.daemon = Child(self.folder, "daemon", ["run", "--config", str(self.path)], self._more)
        self.daemon.start()

    def write(self) -> None:
        """Write the configuration."""
        head = [
            "[nats]",
            f"url = {json.dumps(self.broker.url)}",
            "[status]",
            "enabled = false",
            "[daemon]",
            f"lease_s = {self.lease_s}",
            f"state_dir = {json.dumps(str(self.daemon.state_dir))}",
            'log_format = "json"',
            "",
        ]
        self.path.write_text("\n".join([*head, *self._tables]), encoding="utf-8")

    async def begin(self, **environ: str) -> None:
        """Start the daemon and wait until every source is live."""
        self.start(**environ)
        await self.all_live()

    async def command(self, *arguments: str) -> Done:
        """One command of the program, with the daemon's configuration and secrets."""
        return await within(*arguments, "--config", str(self.path), environ=self._more)

    # --- what the log says ---

    def states(self) -> dict[str, str]:
        """Each source's last state, as far as the present life has said it."""
        found = dict.fromkeys(self.listeners, "")
        for line in self.daemon.lines(-1):
            event = str(line.get("event"))
            if event.startswith("source.") and line.get("source") in found and event != "source.unread":
                found[line["source"]] = event.removeprefix("source.")
        return found

    def told(self, source: str, event: str) -> list[dict[str, Any]]:
        """The present life's log lines of one event about one source."""
        return [line for line in self.daemon.said(event, -1) if line.get("source") == source]

    async def all_live(self, but: Iterable[str] = (), deadline_s: float = START_S) -> None:
        """Wait until every source is live, `but` for some."""
        wanted = set(self.listeners) - set(but)

        def live() -> bool:
            states = self.states()
            return all(states[name] == "live" for name in wanted)

        try:
            await wait_until(live, deadline_s)
        except AssertionError:
            late = {name: state for name, state in self.states().items() if name in wanted and state != "live"}
            raise AssertionError(f"not live after {deadline_s:g} s: {late}\n{self.daemon.tail()}") from None

    # --- judgement ---

    async def calm(self) -> None:
        """No more changes, no more faults."""
        async with anyio.create_task_group() as tasks:
            for vendor in self.vendors:
                tasks.start_soon(vendor.calm)

    async def verdict(self, *, passes: int = 1, but: Iterable[str] = (), settle_s: float = SETTLE_S) -> Verdict:
        """Let it settle and judge: until nothing is missing, and every walk was read so many times more.

        `but`: sources that are not held against the ledger here; what they stored is in the verdict all the same.
        `settle_s`: how long at most until nothing is missing; who tells deletions by several passes needs more.
        """
        await self.calm()
        ledgers = {vendor.name: await vendor.ledger() for vendor in self.vendors}
        judged_ones = {name: vendor for name, vendor in self.listeners.items() if name not in set(but)}

        async def judged() -> dict[str, Report]:
            events = [*await self.reader.events(), *await self.reader.telemetry()]
            return {name: judge(ledgers[vendor.name], events, name, vendor) for name, vendor in judged_ones.items()}

        async def complete() -> bool:
            return not any(report.missing for report in (await judged()).values())

        # What is still missing at the deadline is the verdict's to say.
        with contextlib.suppress(AssertionError):
            await wait_until(complete, settle_s)
        for _ in range(passes):
            await read_once_more(self.reader, set(judged_ones), self.daemon.tail)
        reports = await judged()
        events = await self.reader.events()
        problems = [f"{name}: {finding}" for name, report in reports.items() for finding in report.findings]
        return Verdict(reports, [*problems, *chain_faults(events), *self._complaints()], events)

    def _complaints(self) -> list[str]:
        """What no log may hold: bugs, tracebacks, secrets."""
        text = self.daemon.text()
        found = [f"{line}" for line in self.daemon.said("source.bug")]
        found += ["a traceback"] * text.count("Traceback (most recent call last)")
        return [*found, *("a secret in the log" for secret in self._more.values() if secret in text)]


async def read_once_more(reader: StreamReader, sources: Collection[str], tail: Callable[[], str] = str) -> None:
    """Returns when every walk of these sources has read everything once more, which shows in its cursor."""
    now_ms = time.time_ns() // 1_000_000
    prefix = "bridge.cursor."

    async def passed() -> bool:
        cursors = await reader.cursors()
        done = [
            (subject.split(".")[2], cursor.get("completed_ms", 0) > now_ms)
            for subject, cursor in cursors.items()
            if subject.startswith(prefix) and not subject.split(".")[3].startswith(MEMORIES)
        ]
        return {name for name, _ in done} >= set(sources) and all(late for name, late in done if name in sources)

    try:
        await wait_until(passed, SETTLE_S)
    except AssertionError:
        cursors = await reader.cursors()
        late = {subject: cursor for subject, cursor in cursors.items() if cursor.get("completed_ms", 0) <= now_ms}
        raise AssertionError(f"not read again in {SETTLE_S:g} s: {late}\n{tail()}") from None


class Played(Protocol):
    """What judging a source needs to know of its vendor."""

    vendor: str
    stores: Sequence[str]
    started_ms: list[int]

    @property
    def subject(self) -> str: ...


def judge(changes: Sequence[Change], events: Iterable[Stored], source: str, vendor: Played) -> Report:
    """The vendor's ledger against one source's events of the entity that the ledger is about; the platform's of all."""
    if vendor.vendor == "platform":
        # Journals are read back for some time only; what happened before the vendor was played may be told, or not.
        return live_platform.judge(changes, events, source, stores=vendor.stores, since_ms=vendor.started_ms[0])
    if vendor.vendor == "agyletime":
        return live_agyletime.judge(changes, events, source)
    if vendor.vendor == "prosonata":
        return live_prosonata.judge(changes, events, source)
    entity = {"pcvisit": "session", "x_assist": "event"}[vendor.vendor]
    view = {"pcvisit": pcvisit_view, "x_assist": x_assist_view}[vendor.vendor]
    key: Callable[[str], str] = canonical if vendor.vendor == "x_assist" else str
    seen = [
        oracle.Seen(key(event.data["id"]), event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in events
        if event.subject.startswith(f"{vendor.subject}.{source}.{entity}.")
    ]
    # Neither vendor pushes deletions, and no source here takes absence for one.
    return oracle.compare(changes, seen, view=view.as_issued, seen=view.as_seen, expects_deletes=False)


def figures(report: Report) -> dict[str, Any]:
    """The numbers of a report."""
    names = ("changes", "events", "superseded", "lapsed", "missing", "duplicates", "out_of_order", "invented")
    return {name: getattr(report, name) for name in names} | {"p50 ms": report.percentile(50)}


Vendors = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By name: whom to play, and its options."""


@asynccontextmanager
async def live_scene(folder: Path, vendors: Vendors, *, seed: int) -> AsyncIterator[LiveScene]:
    """Vendors and nats-server running, the daemon not yet. At the end everything is gone, whatever has happened."""
    broker = NatsServer(folder)
    played = [LiveVendor(folder, kind, name, seed=seed, **options) for name, (kind, options) in vendors.items()]
    scene = LiveScene(folder, broker, played)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.start)
            for vendor in played:
                tasks.start_soon(vendor.begin)
        async with stream_reader(broker.url) as scene.reader:
            yield scene
    finally:
        scene.daemon.close()
        broker.kill_blocking()
        for vendor in played:
            vendor.close()
