"""What the demo has on its stage, and how it is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.daemon import Daemon
from bridge.core.subject import untoken
from bridge.edge.operator.tail import Seen
from bridge.edge.process import wall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridge.sandbox.oracle import Report, View
    from bridge.sandbox.oracle_once import Once
    from bridge.sandbox.player import Player

ALL_TIME_S = 20 * 365 * 86_400.0
"""The vendors' published samples are years old."""

ROSTER: Mapping[str, Mapping[str, float]] = {
    "shifts": {"every_s": 1.0},
    "tasks": {"every_s": 1.0, "slow_every_s": 2.0},
    "users": {"every_s": 2.0},
    "business-roles": {"every_s": 3.0},
    "system-roles": {"every_s": 3.0},
    "definitions": {"every_s": 3.0},
}
"""How often a demo of seconds reads what else is read every few minutes."""
DESK: Mapping[str, Mapping[str, float]] = {
    "projects": {"every_s": 1.0},
    "projecttasks": {"every_s": 1.0, "probe_every_s": 1.0},
    **{name: {"every_s": 1.0, "slow_every_s": 2.0} for name in ("projecttimes", "workingtimes", "crmevents")},
    **{name: {"every_s": 2.0} for name in ("quotations", "customers", "contacts", "addresses", "externalcosts")},
}
"""The same at the agency."""

PLANT: Mapping[str, str] = {"objects": "object", "models": "model"}
"""The stores of the platform that are read unless others are named, and what their rows are called."""


@dataclass(frozen=True, slots=True)
class Part:
    """One vendor on the stage: its sandbox, its source's settings, and how its ledger is compared with the stream.

    `judged` says what is: entities by the ledger's scope ("": all of it). `key` turns an event's id into the ledger's.
    `strict`: every state that an answer carried must be in the stream; not so where answers may be stale. `once`: the
    judgement of what happens once there, telemetry too.
    """

    name: str
    judged: Mapping[str, str]
    sandbox: Player
    settings: Mapping[str, Any]
    view: View
    seen: View
    strict: bool
    key: Callable[[str], str] = str
    once: Callable[[Iterable[Once]], Report] | None = None

    def subjects(self, entity: str) -> str:
        """What the subjects of its events of this entity begin with."""
        return f"events.{self.sandbox.vendor}.{self.name}.{entity}."

    def source(self) -> str:
        """Its source, as TOML."""
        return self.sandbox.setup().source(name=self.name, **self.settings)


@asynccontextmanager
async def cast(seed: int) -> AsyncIterator[list[Part]]:
    """The vendors of the demo, playing but at rest."""
    from bridge.sandbox import (
        agyletime,
        agyletime_view,
        pcvisit,
        pcvisit_view,
        platform,
        platform_view,
        prosonata,
        prosonata_view,
        recording,
        x_assist,
        x_assist_view,
    )

    async with AsyncExitStack() as stack:
        # Without a history of its own, so that the published samples are the first to flow.
        support = await stack.enter_async_context(
            pcvisit.pcvisit_sandbox(pcvisit.Options(seed=seed, companies=1, history=0, ka_s=2.0))
        )
        # Queries a second behind, and a budget that lets a demo of seconds read everything many times.
        travel = await stack.enter_async_context(
            x_assist.x_assist_sandbox(
                x_assist.Options(seed=seed, history=5, lag_s=1.0, ping_s=2.0, requests_per_hour=36_000, burst=100)
            )
        )
        # Devices that measure the Pacific, where the recording is installed.
        plant = await stack.enter_async_context(
            platform.platform_sandbox(
                platform.Options(
                    seed=seed, ping_interval_ms=2000, recording="nino" if recording.available() else "", ask_acks=True
                )
            )
        )
        began_ms = wall()
        # Polled only: small pages, and answers that say when nothing is new.
        workforce = await stack.enter_async_context(
            agyletime.agyletime_sandbox(agyletime.Options(seed=seed, most_per_page=20, etag=True))
        )
        # Polled only: a quota in blocks, and numbers that are texts in the next answer.
        agency = await stack.enter_async_context(
            prosonata.prosonata_sandbox(prosonata.Options(seed=seed, quota=4_000, block_s=2.0, most=20))
        )
        # What these push comes in order, so nothing need be asked about, and every state that was served is told.
        yield [
            Part(
                "support",
                {"": "session"},
                support,
                {
                    "requests_per_minute": 60_000,
                    "history_fast_every_s": 1.0,
                    "history_slow_every_s": 3.0,
                    "history_slow_reach_s": ALL_TIME_S,
                    "push_disorder_s": 0,
                    "ws_settle_s": 0.2,
                },
                pcvisit_view.as_issued,
                pcvisit_view.as_seen,
                strict=True,
            ),
            Part(
                "travel",
                {"": "event"},
                travel,
                {
                    "requests_per_hour": 36_000,
                    "burst": 100,
                    "settle_delay_s": 2.0,
                    "late_backfill_delay_s": 4.0,
                    "recent_every_s": 2.0,
                    "by_id_every_s": 3.0,
                    "all_every_s": 3.0,
                    "push_disorder_s": 0,
                    "ws_settle_s": 0.2,
                },
                x_assist_view.as_issued,
                x_assist_view.as_seen,
                strict=False,
                key=travel.canonical,
            ),
            Part(
                "plant",
                PLANT,
                plant,
                {
                    "requests_per_minute": 60_000,
                    "stores_every_s": 2.0,
                    "journal_every_s": 2.0,
                    "packets_every_s": 3.0,
                    "push_disorder_s": 0,
                    "ws_settle_s": 0.2,
                },
                platform_view.as_issued,
                platform_view.as_seen,
                strict=False,
                once=partial(_happened, plant, began_ms),
            ),
            Part(
                "workforce",
                {scope: agyletime_view.ENTITIES[scope] for scope in agyletime_view.READ},
                workforce,
                {"requests_per_30s": 60_000, "resource": [{"name": name, **pace} for name, pace in ROSTER.items()]},
                agyletime_view.as_issued,
                agyletime_view.as_seen,
                strict=True,
            ),
            Part(
                "agency",
                prosonata_view.ENTITIES,
                agency,
                {"resource": [{"name": name, **pace} for name, pace in DESK.items()]},
                prosonata_view.as_issued,
                prosonata_view.as_seen,
                strict=True,
            ),
        ]


def _happened(plant: Player, since_ms: int, events: Iterable[Once]) -> Report:
    from bridge.sandbox import platform_judge

    # What happened before is a sample of the past; how far back a source reads is not judged here.
    ledger = [*platform_judge.happened(plant.issued()), *plant.ledger.changes]
    return platform_judge.judge(ledger, events, stores=PLANT, since_ms=since_ms)


@dataclass(slots=True)
class Stage:
    """What is on show: the vendors, the daemon, and every event read back from the stream. `act`: what happens now.

    `measured`: what was read back from the telemetry stream. `login`: the file that says how to connect to its NATS.
    """

    parts: list[Part]
    daemon: Daemon
    events: list[Seen] = field(default_factory=list)
    measured: list[Seen] = field(default_factory=list)
    act: str = "starting"
    login: Path | None = None

    def set_rate(self, changes_per_s: float) -> None:
        """The pace at which every vendor changes things."""
        for part in self.parts:
            part.sandbox.set_rate(changes_per_s)

    def reports(self) -> dict[str, Report]:
        """Each sandbox's ledger against the stream, by source."""
        from bridge.sandbox import oracle

        return {part.name: oracle.total(self._reports(part)) for part in self.parts}

    def _reports(self, part: Part) -> Iterator[Report]:
        from bridge.sandbox import oracle

        for scope, entity in part.judged.items():
            yield oracle.compare(
                [change for change in part.sandbox.ledger.changes if scope in ("", change.scope)],
                self._seen(part, entity),
                view=part.view,
                seen=part.seen,
                strict_served=part.strict,
            )
        if part.once is not None:
            yield part.once(self._once(part))

    def _once(self, part: Part) -> Iterator[Once]:
        from bridge.sandbox.oracle_once import Once

        whose = [part.sandbox.vendor, part.name]
        for event in (*self.events, *self.measured):
            _, *source, entity, change, _ = event.subject.split(".")
            if source == whose and change == "occurred":
                key = (str(untoken(entity)), event.data["id"])
                yield Once(key, change, event.data["after"], event.stored_ms, event.headers["ce-id"])

    def _seen(self, part: Part, entity: str) -> Iterator[Any]:
        from bridge.sandbox import oracle

        beginning = part.subjects(entity)
        for event in self.events:
            if event.subject.startswith(beginning) and (ce_id := event.headers["ce-id"]):
                change = event.subject.split(".")[4]
                id_ = part.key(event.data["id"])
                yield oracle.Seen(id_, change, event.data["after"], event.stored_ms, ce_id)


def total(reports: Mapping[str, Report]) -> Report:
    """All of them as one."""
    from bridge.sandbox import oracle

    return oracle.total(reports.values())


def as_json(report: Report) -> dict[str, Any]:
    """The figures of a report, without its findings."""
    figures = dataclasses.asdict(report)
    del figures["latencies_ms"], figures["findings"]
    return figures | {"latency_ms": {f"p{percent}": report.percentile(percent) for percent in (50, 90, 99)}}
