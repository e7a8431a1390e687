"""What the stream holds, read with plain nats-py and nothing of ours: events, view, cursors; and how it is judged.

What is read is also held against the AsyncAPI documents of those who published it: see `tests/support/published.py`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from bridge.sandbox import oracle, pcvisit_view
from bridge.sandbox.ledger import Change
from tests.support.asking import DEADLINE_S, ask, plain_client, plain_jetstream
from tests.support.published import Watch

STREAM = "BRIDGE"
TELEMETRY = "BRIDGE_TELEMETRY"
BUCKET = "bridge-state"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
PORTION = 500


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as it lies in the stream. `at_ms`: when the server stored it.

    Where it is one document with everything in it, `headers` holds the attributes as if they were headers, too.
    """

    seq: int
    subject: str
    at_ms: int
    headers: Mapping[str, str]
    data: Any

    @property
    def tokens(self) -> list[str]:
        """events, vendor, source, entity, change, id."""
        return self.subject.split(".")

    @property
    def change(self) -> str:
        return self.tokens[4]

    @property
    def entity(self) -> tuple[str, ...]:
        """Vendor, source, entity and id."""
        return (*self.tokens[1:4], self.tokens[5])


class StreamReader:
    """Reads the stream from its beginning, and each time from where it has come to."""

    def __init__(self, client: Client) -> None:
        self._js = plain_jetstream(client)
        self._events: dict[str, list[Stored]] = {STREAM: [], TELEMETRY: []}
        self._consumers: dict[str, Any] = {}
        self._watch = Watch()

    async def events(self) -> list[Stored]:
        """Every event up to now, in stream order."""
        return await self._all(STREAM, "events.>")

    async def telemetry(self) -> list[Stored]:
        """The same of the telemetry's stream; nothing while there is none."""
        try:
            return await self._all(TELEMETRY, "telemetry.>")
        except NotFoundError:
            return []

    async def _all(self, stream: str, subjects: str) -> list[Stored]:
        found = self._events[stream]
        with anyio.fail_after(DEADLINE_S) as scope:
            if stream not in self._consumers:
                self._consumers[stream] = await self._consumer(stream, subjects)
            while pending := await self._pending(stream, subjects):
                consumer = self._consumers[stream]
                for message in await consumer.fetch(min(pending, PORTION), timeout=DEADLINE_S):
                    meta = message.metadata
                    at_ms = round(meta.timestamp.timestamp() * 1000)
                    data = json.loads(message.data)
                    self._watch.see(message.subject, message.headers or {}, data)
                    headers, data = _content(message.headers or {}, data)
                    found.append(Stored(meta.sequence.stream, message.subject, at_ms, headers, data))
                # Minutes of changes are hundreds of thousands of events: only standing still is a failure.
                scope.deadline = anyio.current_time() + DEADLINE_S
        self._watch.must_be_content()
        return list(found)

    async def _consumer(self, stream: str, subjects: str) -> Any:
        found = self._events[stream]
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if found else DeliverPolicy.ALL,
            opt_start_seq=found[-1].seq + 1 if found else None,
            inactive_threshold=300,
            mem_storage=True,
        )
        return await self._js.pull_subscribe(subjects, stream=stream, config=config)

    async def _pending(self, stream: str, subjects: str) -> int:
        """How many events there are that were not read."""
        try:
            info = await self._consumers[stream].consumer_info()
        except NotFoundError:
            # Nobody has asked for minutes, or the server was restarted: it is gone, what was read is not.
            self._consumers[stream] = await self._consumer(stream, subjects)
            info = await self._consumers[stream].consumer_info()
        return int(info.num_pending or 0)

    async def view(self) -> dict[str, Any]:
        """The KV bucket: what it holds by key."""
        found: dict[str, Any] = {}
        with anyio.fail_after(DEADLINE_S):
            watcher: Any = await (await self._js.key_value(BUCKET)).watchall()
            while (entry := await watcher.updates(timeout=DEADLINE_S)) is not None:
                if not entry.operation:
                    value = json.loads(entry.value)
                    found[entry.key] = value["data"] if "specversion" in value else value
            await watcher.stop()
        return found

    async def cursors(self) -> dict[str, Any]:
        """Every cursor by its subject. Each lies in the stream once."""
        info = await self._js.stream_info(STREAM, subjects_filter="bridge.cursor.>")
        found = {}
        for subject, count in (info.state.subjects or {}).items():
            assert count == 1, f"{subject} holds {count} cursors"
            found[subject] = json.loads((await self._js.get_last_msg(STREAM, subject)).data or b"")
        return found


def _content(headers: Mapping[str, str], body: Any) -> tuple[Mapping[str, str], Any]:
    if not headers.get("Content-Type", "").startswith("application/cloudevents"):
        return headers, body
    return {**headers, **{f"ce-{name}": value for name, value in body.items() if name != "data"}}, body["data"]


@asynccontextmanager
async def stream_reader(url: str, user: str | None = None, password: str | None = None) -> AsyncIterator[StreamReader]:
    """A reader of the server at `url`, while the block runs. The server must be up."""
    async with plain_client(url, user=user, password=password) as client:
        yield StreamReader(client)


async def narrow_duplicate_window(url: str, seconds: float) -> None:
    """Give the stream a duplicate window of our choice; all else stays as the daemon has made it."""
    async with plain_client(url) as client:
        answer = await ask(client, f"$JS.API.STREAM.INFO.{STREAM}")
        config = {**json.loads(answer.data)["config"], "duplicate_window": round(seconds * 1e9)}
        answer = await ask(client, f"$JS.API.STREAM.UPDATE.{STREAM}", json.dumps(config).encode())
        assert "error" not in json.loads(answer.data), answer.data


async def duplicate_window_s(url: str) -> float | None:
    """The duplicate window the stream has."""
    async with plain_client(url) as client:
        return (await plain_jetstream(client).stream_info(STREAM)).config.duplicate_window


def judge(changes: Sequence[Change], events: Iterable[Stored], source: str) -> oracle.Report:
    """The vendor's ledger against the stream. Final states must be there; served ones need not (killed readers)."""
    seen = [
        oracle.Seen(event.data["id"], event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in events
        if event.tokens[1:3] == ["pcvisit", source]
    ]
    return oracle.compare(changes, seen, view=pcvisit_view.as_issued, seen=pcvisit_view.as_seen, strict_served=False)


def chain_faults(events: Sequence[Stored]) -> list[str]:
    """Where the stream contradicts its own expectations, in words. Needs no ledger to compare with.

    Each event names the sequence of its entity's event before it; its `before` is that one's `after`. What
    `occurred` did so once. No `ce-id` twice, no `Nats-Msg-Id` anywhere: no duplicate window does any work.
    """
    faults = []
    last: dict[tuple[str, ...], Stored] = {}
    for event in events:
        previous = last.get(event.entity)
        if event.headers.get(EXPECTED) != str(previous.seq if previous else 0):
            faults.append(f"{event.seq}: expects {event.headers.get(EXPECTED)} after {previous and previous.seq}")
        if previous and event.data["before"] not in (None, previous.data["after"]):
            faults.append(f"{event.seq}: `before` is not what {previous.seq} left")
        if previous and event.change in ("created", "snapshot", "occurred") and previous.change != "deleted":
            faults.append(f"{event.seq}: {event.change} after {previous.seq}")
        if "Nats-Msg-Id" in event.headers:
            faults.append(f"{event.seq}: has a Nats-Msg-Id")
        last[event.entity] = event
    identities = Counter(event.headers["ce-id"] for event in events)
    faults += [f"ce-id {identity} appears {count} times" for identity, count in identities.items() if count > 1]
    return faults


def view_faults(state: Mapping[str, Mapping[str, Any]], view: Mapping[str, Any], source: str) -> list[str]:
    """Where the view is not the vendor's state, in words."""
    wanted = {
        f"pcvisit.{source}.session.{id_}": oracle.plain(pcvisit_view.as_issued(record))
        for records in state.values()
        for id_, record in records.items()
    }
    found = {key: oracle.plain(pcvisit_view.as_seen(value["after"])) for key, value in view.items()}
    return [
        f"view: {key} {'is absent' if key not in found else 'is unknown' if key not in wanted else 'differs'}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]


def recovery_ms(starts: Sequence[int], events: Iterable[Stored], source: str) -> list[int]:
    """From each start to the first event stored in that life; a life that stored none has no figure."""
    stored = sorted(event.at_ms for event in events if event.tokens[2] == source)
    lives = defaultdict(list)
    for at_ms in stored:
        life = sum(start <= at_ms for start in starts) - 1
        lives[life].append(at_ms)
    return [min(times) - starts[life] for life, times in sorted(lives.items()) if life >= 0]
