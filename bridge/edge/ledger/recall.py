"""Reads back what the stream knows of one source: cursors, and every entity's last event."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

import anyio
import structlog

from bridge.core.errors import Away
from bridge.core.head import DIGEST, ID, SUBJECT, VERSION, head_of, id_of
from bridge.core.record import Json
from bridge.core.subject import EVENTS, cursor_subject, token, untoken
from bridge.edge.ledger.confirm import confirmed, replicated
from bridge.edge.ledger.doubt import assess
from bridge.edge.ledger.line import Line
from bridge.edge.ledger.shape import SOURCE, STATE_CHANGES, origin
from bridge.edge.nats import wire
from bridge.edge.nats.answers import parse_headers
from bridge.edge.nats.jetstream import ApiError, Entry, JetStream
from bridge.engine.ports import Cursor, Memory

POLL_S = 1.0
IDLE_S = 30
STALL_S = 3.0
"""How long the view may stand still until its leader is asked to step down. Usually it trails by milliseconds."""
STEP_DOWN_S = 10.0
"""Between two such requests of one process: several sources open at a time, and one request serves them all."""

_NEEDED = [(name, f"\r\n{name}: ".encode()) for name in (SOURCE, "ce-id", "ce-subject", DIGEST)]
_INSTEAD = {of: (name, f"\r\n{name}: ".encode()) for of, name in (("ce-id", ID), ("ce-subject", SUBJECT))}
_VERSION = f"\r\n{VERSION}: ".encode()

log = structlog.get_logger()


class ViewLies(Away):
    """The view holds what the stream has lost: it must be made anew."""


class Recall:
    """One reading for one source. `patience_s`: how long the view may stand still before we give up, in seconds."""

    def __init__(self, line: Line, vendor: str, source: str, *, patience_s: float) -> None:
        self._line = line
        self._patience_s = patience_s
        self._source = source
        self._events = f"{EVENTS}.{token(vendor)}.{token(source)}"
        self._state = line.names.state_subject(f"{token(vendor)}.{token(source)}.>")
        self._highest = 0

    async def read(self, memory: Memory) -> None:
        """Fill `memory`. Raises ViewLies, other Away, and ApiError."""
        names = self._line.names
        view = await self._line.js.stream(names.state_stream)
        assess(memory, await self.cursors(memory), await self._line.js.stream(names.stream), view)
        await self._heads(memory)
        await self._check_view(memory.owner_seq)

    async def cursors(self, memory: Memory) -> dict[str, str]:
        """Fill in the cursors; when each was stored, by walk. Raises Away and ApiError."""
        # Asked of the leader, one by one: a lagging replica would give a cursor that can no longer be replaced.
        prefix = cursor_subject(self._source, "", self._line.lane).removesuffix("=")
        info = await self._line.js.stream(self._line.names.stream, subjects=f"{prefix}*")
        stored: dict[str, str] = {}
        for subject in info["state"].get("subjects") or ():
            found = await self._line.get({"last_by_subj": subject})
            if found is not None:
                walk = _text(subject.removeprefix(prefix))
                memory.cursors[walk] = Cursor(_object(found.payload), found.seq)
                stored[walk] = found.time
        return stored

    async def _heads(self, memory: Memory) -> None:
        needed = 0
        for change in STATE_CHANGES:
            last = await self._line.get({"last_by_subj": f"{self._events}.*.{change}.*"})
            needed = max(needed, 0 if last is None else last.seq)
        oldest = await self._line.get({"next_by_subj": f"{EVENTS}.>", "seq": 1})
        # Older ones have aged out: the view still knows what they said, the stream no longer expects them.
        first = sys.maxsize if oldest is None else oldest.seq

        entities: dict[str, str] = {}

        def take(entry: Entry) -> None:
            headers = headers_of_head(entry.block)
            seq, came_from = origin(headers)
            if not seq:
                return
            subject = came_from.split(".")
            entity = entities.get(subject[3])
            if entity is None:
                entity = entities[subject[3]] = _text(subject[3])
            memory.heads[entity, id_of(headers)] = head_of(seq if seq >= first else 0, subject[4], headers)
            if seq > self._highest:
                self._highest = seq

        names = self._line.names
        async with Consumer(self._line.js, names.state_stream, self._state, take) as consumer:
            await consumer.read_until(lambda: self._highest >= needed, self._patience_s, self._get_going)

    async def _get_going(self) -> None:
        """Ask the view's leader to step down: the next one reads the stream at once.

        When the stream's leader dies, the view's may wait half a minute before it looks for the new one.
        """
        names, now = self._line.names, anyio.current_time()
        if names.manage != "create" or now < self._line.stepped_down + STEP_DOWN_S:
            return
        self._line.stepped_down = now
        try:
            if not replicated((await self._line.js.state(names.state_stream)).config):
                return
            await self._line.js.call(f"STREAM.LEADER.STEPDOWN.{names.state_stream}")
        except (ApiError, Away) as error:
            # It is only a short cut. A user who may not ask waits as long as the server does.
            log.warning("view.stalled", view=names.state_stream, asked=False, reason=str(error))
        else:
            log.info("view.stalled", view=names.state_stream, asked=True)

    async def _check_view(self, owner_seq: int) -> None:
        """`owner_seq`: of the owner record, which the leader has just acknowledged: the stream reaches that far."""
        stream, view = self._line.names.stream, self._line.names.state_stream
        if self._highest <= owner_seq:
            return
        end = 0

        async def look() -> str:
            nonlocal end
            end = (await self._line.js.state(stream)).last_seq
            return (
                ""
                if self._highest <= end
                else (
                    f"stream {view} holds an entry made from sequence {self._highest} of {stream}, which ends at "
                    f"{end}: {stream} has lost its end, and {view} must be removed and made anew from it"
                )
            )

        if wrong := await confirmed(look, (await self._line.js.state(stream)).config):
            if end < owner_seq:
                raise Away(
                    f"stream {stream} says it ends at {end}, and has acknowledged a record at {owner_seq}: "
                    "a former leader answers, or it was rolled back just now"
                )
            raise ViewLies(wrong)


class Consumer:
    """A consumer for one reading: headers only, the last message of each subject. An async context manager."""

    def __init__(self, js: JetStream, stream: str, subjects: str, take: Callable[[Entry], None]) -> None:
        self._js = js
        self._stream = stream
        self._subjects = subjects
        self._take = take
        self._name = ""

    async def __aenter__(self) -> Consumer:
        config = {
            "deliver_policy": "last_per_subject",
            "filter_subject": self._subjects,
            "ack_policy": "none",
            "headers_only": True,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": IDLE_S * 1_000_000_000,
        }
        self._name = await self._js.consumer(self._stream, config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.move_on_after(1, shield=True):
            await self._js.drop_consumer(self._stream, self._name)

    async def read_until(
        self, caught_up: Callable[[], bool], patience_s: float, stalled: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Read to the end, and on until `caught_up`. Raises Away when the stream stands still for `patience_s`.

        `stalled` is called when it has stood still for STALL_S, once.
        """
        async with self._js.reader(self._stream, self._name, self._take) as reader:
            while not await reader.read():
                pass
            position, since = -1, anyio.current_time()
            while not caught_up():
                await reader.read(wait_s=POLL_S)
                while not await reader.read():
                    pass
                now = (await self._js.state(self._stream)).last_seq
                if now != position:
                    position, since = now, anyio.current_time()
                elif anyio.current_time() - since > patience_s:
                    raise Away(
                        f"stream {self._stream} has stood still at {now} for {patience_s:g} s and lacks events that "
                        "the ledger's stream holds: if that lasts, remove it, and it is made anew"
                    )
                elif stalled is not None and anyio.current_time() - since >= STALL_S:
                    await stalled()
                    stalled = None


def headers_of_head(block: bytes) -> Mapping[str, str]:
    """The headers of a header block that make a head. A million blocks are read at a start: the rest is left alone."""
    found: dict[str, str] = {}
    for name, mark in _NEEDED:
        at = block.find(mark)
        if at < 0 and name in _INSTEAD:
            name, mark = _INSTEAD[name]
            at = block.find(mark)
        if at < 0:
            # Spelt by another hand than ours.
            return parse_headers(block)
        at += len(mark)
        found[name] = block[at : block.find(b"\r\n", at)].decode("utf-8", "replace")
    at = block.find(_VERSION)
    if at >= 0:
        at += len(_VERSION)
        found[VERSION] = block[at : block.find(b"\r\n", at)].decode("utf-8", "replace")
    return found


def _text(subject_token: str) -> str:
    """What a subject token stands for; itself if somebody else spelt it."""
    try:
        return untoken(subject_token) or ""
    except ValueError:
        return subject_token


def _object(payload: bytes) -> Mapping[str, Json]:
    """A JSON object; an empty one if it is none, for records that somebody else wrote."""
    try:
        value = wire.decode(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
