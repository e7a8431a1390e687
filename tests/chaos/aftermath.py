"""After the last blow: when each source works again, then rest, then everything there is to judge."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio

from tests.chaos.effects import effects
from tests.chaos.judge import Evidence, reports, silent, view_differs
from tests.chaos.parts import Parts
from tests.chaos.schedule import SHOP, Schedule
from tests.chaos.strikes import Strikes
from tests.support.command import bridged
from tests.support.live_scene import read_once_more
from tests.support.nats_cluster import cluster_ready
from tests.support.program import elapse
from tests.support.stream import Stored, StreamReader, stream_reader

PATIENCE_S: Final = 180.0
"""How long a source may take to work again, and everything to come to rest, before that is what is wrong."""
LOOK_S: Final = 2.0
"""Judging takes its time: no more often than that."""


class Aftermath:
    """`evidence` waits, and gathers."""

    def __init__(self, parts: Parts, strikes: Strikes, plan: Schedule, begun_s: float) -> None:
        self.parts = parts
        self.strikes = strikes
        self.plan = plan
        self.begun_s = begun_s
        self.healed_s = time.time()
        self.recovery_s: dict[str, float | None] = dict.fromkeys(parts.sources)
        self.complaints: list[str] = []
        self._status = ""

    async def evidence(self, say: Callable[[str], None]) -> Evidence:
        """Vendors and sender still go on with their work when this is called."""
        for daemon in self.parts.daemons.values():
            if not daemon.running:
                self.complaints.append(f"{daemon.name} ended by itself with {daemon.exit_code}")
                daemon.start()
        await cluster_ready(self.parts.servers)
        async with stream_reader(self.parts.servers[0].url) as reader:
            await self._recovered(reader)
            say(f"works again after {self._slowest()}; no more changes")
            await self._ask_status()
            await self._rest(reader, say)
            return await self._gathered(reader)

    def _slowest(self) -> str:
        times = [after_s for after_s in self.recovery_s.values() if after_s is not None]
        return f"{max(times, default=0.0):.1f} s" if len(times) == len(self.recovery_s) else "never"

    async def _recovered(self, reader: StreamReader) -> None:
        async def all_work() -> bool:
            for event in [*await reader.events(), *await reader.telemetry()]:
                source, after_s = event.tokens[2], event.at_ms / 1000 - self.healed_s
                if event.tokens[1] != "bridge" and after_s > 0 and self.recovery_s.get(source, 0.0) is None:
                    self.recovery_s[source] = after_s
            return None not in self.recovery_s.values()

        await self._until(all_work)

    async def _rest(self, reader: StreamReader, say: Callable[[str], None]) -> None:
        async with anyio.create_task_group() as tasks:
            for vendor in self.parts.vendors.values():
                tasks.start_soon(vendor.calm)
        try:
            await self.parts.sender.confirmed(PATIENCE_S)
        except AssertionError as late:
            self.complaints.append(f"{SHOP}: {late}")
        before = await self._gathered(reader)

        async def missing() -> int:
            before.events, before.telemetry = await reader.events(), await reader.telemetry()
            return sum(len(silent(source, report, before.events)) for source, report in reports(before).items())

        # While less and less is missing it is on its way. What is still missing then is the verdict's to say.
        least = await missing()
        ends = time.monotonic() + PATIENCE_S
        while least and time.monotonic() < ends:
            await elapse(LOOK_S)
            if (now := await missing()) < least:
                least, ends = now, time.monotonic() + PATIENCE_S
        say("everything is read once more")
        try:
            await read_once_more(reader, set(self.parts.vendors))
        except AssertionError as late:
            self.complaints.append(str(late)[:2000])

        async def viewed() -> bool:
            return not view_differs(await reader.events(), await reader.view())

        await self._until(viewed, PATIENCE_S / 2)

    async def _gathered(self, reader: StreamReader) -> Evidence:
        parts = self.parts
        changes = {name: await vendor.ledger() for name, vendor in parts.vendors.items()}
        events, telemetry = await reader.events(), await reader.telemetry()
        view = await reader.view()
        counters = {name: await vendor.counters() for name, vendor in parts.vendors.items()}
        return Evidence(
            changes=changes,
            played=dict(parts.vendors),
            sent=parts.sender.ledger,
            events=events,
            telemetry=telemetry,
            view=view,
            recovery_s=self.recovery_s,
            effects=effects(parts, self.strikes, self.plan, counters, events),
            artefacts={**self._artefacts(), "the stream": _dump([*events, *telemetry]), "the view": json.dumps(view)},
            secrets=parts.secrets,
            faults_ms=(round(self.begun_s * 1000), round(self.healed_s * 1000)),
            complaints=[*self.complaints, *self.strikes.problems, *_complaints(parts)],
        )

    def _artefacts(self) -> dict[str, str]:
        """What instances and brokers have written; of the vendors nothing, who may know their own secrets."""
        found = {f"what {name} said": daemon.text() for name, daemon in self.parts.daemons.items()}
        for server in self.parts.servers:
            found[f"the log of {server.name}"] = server.log_path.read_text("utf-8", "replace")
        for daemon in self.parts.daemons.values():
            for path in daemon.state_dir.rglob("*"):
                if path.is_file():
                    found[f"{daemon.state_dir.name}/{path.name}"] = path.read_text("utf-8", "replace")
        return {**found, "status": self._status}

    async def _ask_status(self) -> None:
        """Both forms of it, while everything runs."""
        for more in ((), ("--json",)):
            config = str(self.parts.folder / "north.toml")
            done = await bridged("status", *more, "--config", config, environ=self.parts.environ)
            self._status += done.out + done.err

    async def _until(self, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        ends = time.monotonic() + patience_s
        while not await condition() and time.monotonic() < ends:
            await elapse(LOOK_S)


def _complaints(parts: Parts) -> list[str]:
    """What no log may hold."""
    found = []
    for name, daemon in parts.daemons.items():
        found += [f"{name}: {line}" for line in daemon.said("source.bug")]
        tracebacks = daemon.text().count("Traceback (most recent call last)")
        found += [f"{name}: {tracebacks} tracebacks"] if tracebacks else []
    return found


def _dump(events: Sequence[Stored]) -> str:
    """Everything of each event, one a line, as it is searched and kept."""
    lines = ([event.seq, event.subject, event.at_ms, dict(event.headers), event.data] for event in events)
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
