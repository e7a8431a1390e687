"""Weeks of an agency on a virtual clock: the played ProSonata without a socket, the real adapter and engine, a ledger
in memory. Edits in working hours, faults, other people's tools, a quota that changes, processes that die.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog
import trio
from trio.testing import MockClock

from adapters import prosonata
from bridge.adapter import Request, ResourceTable, Response, Retry, Secret
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from bridge.sandbox import oracle, prosonata_rows, prosonata_view
from bridge.sandbox.faults import KINDS
from bridge.sandbox.ledger import Change
from bridge.sandbox.prosonata import Options, ProsonataSandbox
from tests.support.answers import raw_answer
from tests.support.live_prosonata import false_deletes
from tests.support.memory_ledger import MemoryLedger

START_MS = 1_792_382_400_000
"""Monday 2026-10-19 04:00 UTC: the first Sunday has an hour that comes twice."""
DAY_S, HOUR_S = 86_400.0, 3_600.0
SAMPLES = ("http_500", "http_502", "http_503", "html", "truncated", "data_object", "total_lies", "repeat", "overlap",
           "doubled", "unreadable", "cut", "hang")  # fmt: skip


def wall() -> int:
    """The wall clock: the virtual one, moved to `START_MS`."""
    return START_MS + round(anyio.current_time() * 1000)


@dataclass
class Course:
    """What happens in how many days. `changes`: a day, within working hours. `faults`: a day. `crashes`: in all.

    `quotas`: the account's calls per block, changed at even distances. `others`: calls of other tools per block.
    """

    days: int
    seed: int
    size: int = 6
    changes: int = 60
    faults: int = 6
    crashes: int = 4
    quotas: tuple[int, ...] = (20, 50, 12, 30)
    others: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)


class Weeks:
    """One agency, one source, one ledger. Implements the engine's `Http` port itself."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.dice = random.Random(course.seed)
        self.ledger = MemoryLedger()
        self.sandbox = ProsonataSandbox(
            Options(
                seed=course.seed, clock=wall, size=course.size, quota=course.quotas[0], others=course.others,
                reserve=int(course.quotas[0] * 0.2), flips=0.3, nulls="mixed",
            )
        )  # fmt: skip
        self.crashes = self.requests = 0
        self.runner: Runner | None = None
        self._adapter = prosonata.Adapter(
            prosonata.Settings(
                name="agency", adapter="prosonata", base_url="http://agency.example",
                api_key=Secret(self.sandbox.key), app_id=Secret(self.sandbox.app_id),
                **{"requests_per_block": course.quotas[0], **course.settings},
            )
        )  # fmt: skip

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        self.requests += 1
        await anyio.sleep(self.dice.uniform(0.05, 0.6))
        url = urlsplit(request.url)
        headers = {k.lower(): v.reveal() if isinstance(v, Secret) else v for k, v in request.headers.items()}
        reply = self.sandbox.api.respond(request.method, url.path, url.query, headers)
        await anyio.sleep(self.dice.uniform(0.05, 0.6))
        kind = reply.struck.kind if reply.struck else ""
        if kind == "hang":
            await anyio.sleep(timeout_s)
        if kind in ("hang", "cut"):
            raise Retry(f"the connection did not survive: {kind}")
        if kind == "truncated":
            return raw_answer(reply.body[: len(reply.body) // 2], reply.status)
        assert kind == "", f"{kind} (stage {KINDS[kind][0]}) has no wire here"
        reply.told()
        return raw_answer(reply.body, reply.status)

    async def run(self) -> None:
        """All of it."""
        with anyio.fail_after((self.course.days + 10) * DAY_S):
            async with anyio.create_task_group() as group:
                group.start_soon(self._lives)
                await self._happen()
                group.cancel_scope.cancel()

    async def _lives(self) -> None:
        """One process after another; each knows only what the ledger holds."""
        course = self.course
        ends = sorted(self.dice.uniform(0.5, course.days * 24) * HOUR_S for _ in range(course.crashes))
        # The first dies in the middle of its first reading.
        for end in [8.0, *ends, None]:
            await self._life(None if end is None else end - anyio.current_time())

    async def _life(self, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            return
        world = World(
            ledger=self.ledger, http=self, quotas=Quotas(), encode=encode, wall=wall, roll=random.Random(0).random,
            masker=Masker(), owner={"instance": "weeks"},
        )  # fmt: skip
        self.runner = Runner(Source(self._adapter), world)
        with anyio.move_on_after(seconds):
            await self.runner.run()
        self.crashes += 1
        self.ledger.drop_connection()
        # Whoever comes next has been told nothing, and what was served to the dead may be lost with them.
        self.sandbox.api.quota.newcomer()
        for change in self.sandbox.ledger.changes:
            if change.served_ms is not None and change.served_ms > wall() - 120_000:
                change.served_ms = None
        await anyio.sleep(self.dice.uniform(1, 600))

    async def _happen(self) -> None:
        course, dice = self.course, self.dice
        happenings: list[tuple[float, Callable[[], object]]] = []
        for day in range(course.days):
            hours = [dice.gauss(12, 3) if dice.random() < 0.9 else dice.uniform(0, 24) for _ in range(course.changes)]
            happenings += [((day * 24 + hour % 24) * HOUR_S, self._change) for hour in hours]
            happenings += [((day + dice.random()) * DAY_S, self._fault) for _ in range(course.faults)]
        for number, quota in enumerate(course.quotas):
            at = number * course.days * DAY_S / len(course.quotas)
            happenings.append((at, lambda quota=quota: self.sandbox.alter({"quota": quota})))  # type: ignore[misc]
        # 02:50 summer time, and forty minutes later 02:30 winter time: what is newer has the older stamp.
        happenings += [(5 * DAY_S + minutes * 60, self._edit_newest_task) for minutes in (20 * 60 + 50, 21 * 60 + 30)]
        for at, happen in sorted(happenings, key=lambda each: each[0]):
            await anyio.sleep(max(0.0, at - anyio.current_time()))
            happen()
        self.sandbox.faults.clear()
        await self._settle()

    def _change(self) -> None:
        # A few at once, as people work; now and then somebody cleans up.
        kind = "projecttimes-delete" if self.dice.random() < 0.02 else ""
        self.sandbox.make_change(self.dice.choice((1, 1, 1, 2, 3)), kind)

    def _edit_newest_task(self) -> None:
        tasks = self.sandbox.world.rows["projecttasks"]
        stamp = prosonata_rows.stamp(wall())
        self.sandbox.world.update("projecttasks", max(tasks), taskName=f"edited {stamp}", taskEditDate=stamp)

    def _fault(self) -> None:
        kind = self.dice.choice(SAMPLES)
        how: dict[str, Any] = {"rows": self.dice.choice((-4, 3, 200))} if kind == "total_lies" else {}
        self.sandbox.faults.plan(kind, times=self.dice.choice((1, 1, 2, 5)), **how)

    async def _settle(self) -> None:
        """Until every walk has been read six times more: what lies between two pages is looked at every second time."""
        for _ in range(6):
            now = wall()
            while not self._read_since(now):  # noqa: ASYNC110 - plain data, virtual time
                await anyio.sleep(300)

    def _read_since(self, ms: int) -> bool:
        assert self.runner is not None
        walks = self._adapter.walks(None)  # type: ignore[arg-type]
        completed = self.runner.status.completed_ms
        return all(completed.get(walk.name, 0) > ms for walk in walks)

    # --- judgement ---

    def seen(self, scope: str) -> list[oracle.Seen]:
        """The stream's events of one collection."""
        start = f"events.prosonata.agency.{prosonata_view.ENTITIES[scope]}."
        return [
            oracle.Seen(
                entry.data["id"], entry.change, entry.data["after"], START_MS + round(entry.at * 1000), entry.ce_id
            )
            for entry in self.ledger.events
            if entry.subject.startswith(start)
        ]

    def reports(self) -> dict[str, oracle.Report]:
        """The vendor's ledger against the stream, by collection. What an answer carried and no event tells is missing,
        and what is told deleted before it was is invented.
        """
        found = {}
        for scope in self.scopes:
            changes = [change for change in self.sandbox.ledger.changes if change.scope == scope]
            seen = self.seen(scope)
            found[scope] = oracle.compare(changes, seen, view=prosonata_view.as_issued, seen=prosonata_view.as_seen)
            for id_ in unheard(changes, seen):
                found[scope].missing += 1
                found[scope].found(f"{id_}: an answer carried what no event tells")
            for event in false_deletes(changes, seen):
                found[scope].invented += 1
                found[scope].found(f"{event.id}: told deleted while it was there")
        return found

    @property
    def scopes(self) -> list[str]:
        """The collections that are read."""
        return [one.name for one in self._adapter.settings.resources]


def unheard(changes: Iterable[Change], seen: Iterable[oracle.Seen]) -> list[str]:
    """Ids of which an answer carried a state that the stream lacks, or has in another order.

    What came twice in a row is one state: nobody who only looks knows what was in between.
    """
    carried, told = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for change in changes:
        if change.served_ms is not None and change.record is not None:
            carried[change.id].append(oracle.plain(prosonata_view.as_issued(change.record)))
    for event in seen:
        told[event.id].append(oracle.plain(prosonata_view.as_seen(event.after or {})))
    found = []
    for id_, states in carried.items():
        rest = iter(told[id_])
        if not all(state in rest for state, _ in groupby(states)):
            found.append(id_)
    return found


def lived(course: Course) -> Weeks:
    """The weeks, over: sleeps have taken no real time."""

    async def main() -> Weeks:
        weeks = Weeks(course)
        await weeks.run()
        return weeks

    # A line for every page would cost more than the pages.
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        found: Weeks = trio.run(main, clock=MockClock(autojump_threshold=0.0))
    finally:
        structlog.configure(**before)
    return found


def tables(page_size: int, *left_out: str, **every_s: float) -> list[ResourceTable]:
    """`resource` with small pages, some collections left out, and some read at other intervals."""
    return [
        ResourceTable(
            name=name, page_size=page_size, enabled=name not in left_out, every_s=every_s.get(name),
        )
        for name in prosonata_view.ENTITIES
    ]  # fmt: skip
