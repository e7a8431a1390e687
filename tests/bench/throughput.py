"""From the vendor's socket to the ledger's acknowledgement, kind by kind, beside scripts fed by the same vendor.

Vendor, nats-server and each of those who take events are processes of their own; only one of them is given events at a
time, in rounds. Whatever a vendor sent is looked for in the stream: who lost or doubled something fails the bench.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.edge.nats.answers import Entry
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError
from tests.bench import throughput_node as node
from tests.bench.report import Figure
from tests.bench.stage import BARE, Stage, cpu_s, stage
from tests.bench.throughput_first import first
from tests.bench.throughput_first import wanted as wanted_first
from tests.bench.throughput_frames import number_of
from tests.bench.throughput_parties import Taker, TakerGone, Vendor, hook_daemon, hook_script, python, vendor
from tests.bench.throughput_report import KINDS, LIVE, RATES, Run, Runs, Throughput, beside_node, fastest, paced
from tests.support.stream import STREAM, TELEMETRY

WARM_UP = 500
"""Events of each kind before anything is counted: compiled code, warm caches, windows that have opened."""
_ENTRIES = {
    "deliver_policy": "by_start_sequence", "ack_policy": "none", "headers_only": True, "mem_storage": True,
    "inactive_threshold": 60_000_000_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one run is about: events numbered from `base` on."""

    kind: str
    base: int
    count: int
    rate: int


@dataclass(slots=True)
class _Bench:
    """`faults`: in words, what was missing in a stream, or there twice."""

    on: Stage
    vendor: Vendor
    faults: list[str] = field(default_factory=list)

    async def run(self, kind: str, taker: Taker, count: int, rate: int = 0) -> Run:
        """One run, whose events are then looked for in the stream."""
        batch = _Batch(kind, self.vendor.fresh(count), count, rate)
        place = (TELEMETRY, "telemetry.>") if (kind, taker.name) == ("packets", "bridge") else taker.place
        before = await self._last(place[0])
        give = {"rows": self._read, "webhooks": self._posted}.get(kind, self._pushed)
        cpu, server = taker.cpu_s, cpu_s(self.on.server.pid)
        with first([self.on.server.pid, self.vendor.pid, taker.pid]) if wanted_first() else nullcontext():
            told = await give(batch, taker)
        cpu, server = taker.cpu_s - cpu, cpu_s(self.on.server.pid) - server
        await self._judge(batch, taker, place, before)
        known = told.get("stored", count), told.get("twice", 0)
        if known != (count, 0):
            self.faults.append(
                f"{KINDS[kind]}, {taker.name}: of {count:,} events {known[0]:,} were acknowledged, "
                f"and {known[1]:,} of them again"
            )
        return Run(
            per_s=count * 1e9 / (told["last_ns"] - told["start_ns"]),
            cpu_us=cpu / count * 1e6,
            server_us=server / count * 1e6,
            told=told,
        )

    async def _pushed(self, batch: _Batch, taker: Taker) -> Mapping[str, Any]:
        what = {"base": batch.base, "count": batch.count}
        await taker.ask("expect", **what)
        account = await self.vendor.ask("push", name=taker.name, kind=batch.kind, rate=batch.rate, **what)
        return account | await taker.ask("settle", start_ns=account["start_ns"], rate=batch.rate)

    async def _read(self, batch: _Batch, taker: Taker) -> Mapping[str, Any]:
        # A source's own events bear its name, which must not end like an id of ours.
        name, what = f"{batch.base}-{taker.name}", {"base": batch.base, "count": batch.count}
        await self.vendor.ask("stock", **what)
        await taker.ask("expect", **what)
        await taker.ask("read", name=name)
        account = await self.vendor.ask("asked_at", name=name)
        return account | await taker.ask("settle", start_ns=account["start_ns"], rate=0)

    async def _posted(self, batch: _Batch, taker: Taker) -> Mapping[str, Any]:
        account = await self.vendor.ask("post", port=taker.port, base=batch.base, count=batch.count)
        return account | {"last_ns": account["sent_ns"]}

    async def _last(self, stream: str) -> int:
        try:
            return (await self.on.api.state(stream)).last_seq
        except ApiError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return 0

    async def _judge(self, batch: _Batch, taker: Taker, place: tuple[str, str], before: int) -> None:
        missing, twice, (stream, subjects) = set(range(batch.count)), 0, place

        def take(entry: Entry) -> None:
            nonlocal twice
            number = number_of(entry.subject, batch.base)
            if number in missing:
                missing.remove(number)
            elif 0 <= number < batch.count:
                twice += 1

        config = {**_ENTRIES, "filter_subject": subjects, "opt_start_seq": before + 1}
        name = await self.on.api.consumer(stream, config)
        async with self.on.api.reader(stream, name, take) as reader:
            # Part by part; it says when there is no more.
            while not await reader.read():
                pass
        await self.on.api.drop_consumer(stream, name)
        if missing or twice:
            self.faults.append(
                f"{KINDS[batch.kind]}, {taker.name}: of {batch.count:,} events {len(missing):,} are not in {stream}, "
                f"and {twice:,} are there twice"
            )


async def measure(folder: Path, wanted: Throughput) -> list[Figure]:
    """All kinds as fast as they go, those that are live at fixed rates, then GraphQL beside Node.js."""
    runs: Runs = defaultdict(list)
    beside: Runs = defaultdict(list)
    missing = node.missing()
    async with stage(folder, sync_always=False) as on, vendor() as sender, AsyncExitStack() as parties:
        bench = _Bench(on, sender)
        ours = await parties.enter_async_context(python("bridge", sender, on, (STREAM, "events.>")))
        theirs = await parties.enter_async_context(python("script", sender, on, (BARE, "bare.>")))
        for kind in (*LIVE, "rows"):
            await _fast(bench, runs, kind, (ours, theirs), wanted.events, wanted.rounds)
        for _ in range(wanted.paced_rounds):
            for kind in LIVE:
                for rate in RATES:
                    for taker in (ours, theirs):
                        count = int(rate * wanted.seconds)
                        runs[kind, taker.name, rate].append(await bench.run(kind, taker, count, rate))
                    await on.settle()
        if not missing:
            try:
                async with node.script(sender, on) as scripted, node.red(folder, sender, on) as red:
                    await _fast(bench, beside, "graphql", (ours, theirs, scripted, red), wanted.events, wanted.rounds)
            except TakerGone as error:
                # All else that was measured still holds.
                missing = str(error)
                bench.faults.append(missing)
        async with hook_daemon(folder, on) as daemon, hook_script(on) as by_hand:
            await _fast(bench, runs, "webhooks", (daemon, by_hand), wanted.webhooks, wanted.rounds)
    return [
        fastest(runs, wanted, "; ".join(bench.faults)),
        paced(runs, wanted),
        beside_node(beside, wanted, missing),
    ]


async def _fast(bench: _Bench, runs: Runs, kind: str, takers: Sequence[Taker], count: int, rounds: int) -> None:
    for taker in takers:
        await bench.run(kind, taker, min(count, WARM_UP))
    for _ in range(rounds):
        for taker in takers:
            runs[kind, taker.name, 0].append(await bench.run(kind, taker, count))
            await bench.on.settle()
