"""Erases one entity from the streams and from the view, for good: by purging its subjects, through JetStream's API.

A purge needs no message of its own, so nothing remains that tells of what was there. The entity may live on: its next
event expects that the stream holds none of it. Events tell what was `before`, so a writer that had read the content
just before the purge may still bring it back: that is looked for, and erased as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
from nats.aio.client import Client

from bridge.core.content import data_of
from bridge.core.errors import Away, Unfit
from bridge.core.record import Json
from bridge.core.subject import EVENTS, TELEMETRY, token, untoken
from bridge.edge.ledger.shape import STATE_CHANGES, LedgerNames, origin
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream, Message
from bridge.edge.operator.tail import explained, stream_state

DEADLINE_S = 5.0
PATIENCE_S = 30.0
"""How long the view may take to arrive where the stream is."""
SETTLE_S = 1.0
"""After this long nobody writes any more what he had read before the purge."""
ROUNDS = 5
POLL_S = 0.05


class NotAnEntity(ValueError):
    """The text does not name one entity."""


class Unerasable(Unfit):
    """The server refuses to purge a stream: its settings, or what it is, do not allow it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity by its four tokens. Its `repr` does not show the id, which may be personal data."""

    vendor: str
    source: str
    entity: str
    id: str = field(repr=False)

    @property
    def kind(self) -> str:
        """Everything but the id, as in subjects."""
        return f"{self.vendor}.{self.source}.{self.entity}"

    @property
    def events(self) -> str:
        """The filter that selects its history."""
        return f"{EVENTS}.{self.kind}.*.{self.id}"

    @property
    def telemetry(self) -> str:
        """The filter that selects its telemetry."""
        return f"{TELEMETRY.events}.{self.kind}.*.{self.id}"

    @property
    def key(self) -> str:
        """Its key in the view."""
        return f"{self.kind}.{self.id}"


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of an entity. Holds no content.

    `changes`: how many events of each change; `first`, `last`: when the oldest and the newest were stored (RFC 3339);
    `telemetry`: how many events of telemetry; `view`: whether the view has an entry. `quarantined`: how many unreadable
    records of the whole source are kept.
    """

    changes: Mapping[str, int]
    first: str
    last: str
    telemetry: int
    view: bool
    quarantined: int

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to erase."""
        return not (self.changes or self.telemetry or self.view)


@dataclass(frozen=True, slots=True)
class Erased:
    """How many events, of either stream, and entries of the view were removed."""

    events: int
    view: int


def readings(text: str) -> list[Entity]:
    """What `VENDOR.SOURCE.ENTITY.ID` may mean; the id is everything after the third dot.

    Parts are taken as tokens where they are some, as in subjects; an id that is a token may also be meant as plain
    text, and is then given in both readings, tokens first. Raises NotAnEntity for wildcards and for what is empty.
    """
    parts = text.split(".", 3)
    if parts[0] == EVENTS:
        raise NotAnEntity(
            "give VENDOR.SOURCE.ENTITY.ID, as the view's keys are: without events. and without the change"
        )
    if len(parts) < 4:
        raise NotAnEntity("give VENDOR.SOURCE.ENTITY.ID: one entity, with all four parts")
    for name, part in zip(("vendor", "source", "entity", "id"), parts, strict=True):
        if not part:
            hint = "; the token of an id that really is empty is =" if name == "id" else ""
            raise NotAnEntity(f"the {name} is empty: one entity is erased at a time{hint}")
        if part in ("*", ">") or (name != "id" and ("*" in part or ">" in part)):
            hint = f"; the token of an id that really is {part} is {token(part)}" if name == "id" else ""
            raise NotAnEntity(f"the {name} is a wildcard: one entity is erased at a time{hint}")
    vendor, source, entity = (part if _is_token(part) else token(part) for part in parts[:3])
    ids = [parts[3]] if _is_token(parts[3]) else []
    plain = token(parts[3])
    return [Entity(vendor, source, entity, id_) for id_ in dict.fromkeys([*ids, plain])]


class Eraser:
    """Looks and erases. Raises StreamMissing, JetStreamOff, Unerasable and Away (NoAnswer: not permitted, perhaps)."""

    def __init__(
        self, nc: Client, names: LedgerNames, *, patience_s: float = PATIENCE_S, settle_s: float = SETTLE_S
    ) -> None:
        self._js = JetStream(nc, prefix=names.api, deadline_s=DEADLINE_S)
        self._names = names
        self._patience_s = patience_s
        self._settle_s = settle_s

    async def look(self, entity: Entity) -> Held:
        """What is held of it now."""
        await stream_state(self._js, self._names.stream)
        names = self._names
        subjects = await self._subjects(names.stream, entity.events)
        changes: Counter[str] = Counter()
        for subject, count in subjects.items():
            changes[subject.split(".")[4]] += count
        first, last = await self._first(entity), await self._last(entity.events)
        quarantine = await self._subjects(names.stream, f"{EVENTS}.bridge.{entity.source}.quarantine.>")
        return Held(
            changes=dict(sorted(changes.items())),
            first="" if first is None else first.time,
            last="" if last is None else last.time,
            telemetry=sum((await self._subjects(names.telemetry_stream, entity.telemetry)).values()),
            view=await self._entry(entity) is not None,
            quarantined=sum(quarantine.values()),
        )

    async def erase(self, entity: Entity) -> Erased:
        """Erase it; returns when neither the stream nor the view holds anything of it, or only what came afterwards."""
        await self._check_allowed()
        view, events = 0, await self._purge(self._names.telemetry_stream, entity.telemetry)
        for _ in range(ROUNDS):
            last, entry = await self._agreed(entity)
            # Only what is known to be there: what is stored from now on stays, in the stream and in the view alike. The
            # stream first: if this ends between the two, the view is the one that can be asked again, or made anew.
            if last:
                events += await self._purge(self._names.stream, entity.events, last)
            if entry:
                view += await self._purge(self._names.state_stream, self._names.state_subject(entity.key), entry)
            await anyio.sleep(self._settle_s)
            if not await self._came_back(entity):
                return Erased(events, view)
        raise Away(f"it was written again {ROUNDS} times while it was erased: stop its source's daemon, and ask again")

    async def _agreed(self, entity: Entity) -> tuple[int, int]:
        """Its last sequence in the stream, and that of its entry in the view, once the one was made from the other.

        What is still on its way into the view would arrive there after the purge. 0 where there is none.
        """
        with anyio.move_on_after(self._patience_s):
            while True:
                entry = await self._entry(entity)
                found = [await self._last(f"{EVENTS}.{entity.kind}.{name}.{entity.id}") for name in STATE_CHANGES]
                state = max((message.seq for message in found if message is not None), default=0)
                last = await self._last(entity.events)
                shown = 0 if entry is None else origin(entry.headers)[0]
                if state in (0, shown) or not await self._config(self._names.state_stream):
                    return 0 if last is None else last.seq, 0 if entry is None else entry.seq
                await anyio.sleep(POLL_S)
        raise Away(
            f"stream {self._names.state_stream} lacks what {self._names.stream} holds of it, after "
            f"{self._patience_s:g} s: nothing more was erased; ask again when it has caught up"
        )

    async def _came_back(self, entity: Entity) -> bool:
        """Whether erased content is there again: in `before` of the first event since, or in the view."""
        entry, first = await self._entry(entity), await self._first(entity)
        if first is not None and _before(first) is not None:
            return True
        return entry is not None and (first is None or origin(entry.headers)[0] < first.seq)

    async def _check_allowed(self) -> None:
        """Before anything is erased: half a purge would be the worst of all answers."""
        for stream in (self._names.stream, self._names.state_stream, self._names.telemetry_stream):
            config = await self._config(stream)
            reasons = [name for name in ("deny_purge", "sealed", "mirror") if config.get(name)]
            if reasons:
                raise Unerasable(
                    f"stream {stream} refuses to be purged ({', '.join(reasons)}), so nothing was erased: alter that, "
                    "or where it cannot be altered, copy what may stay, and remove the stream"
                )

    async def _purge(self, stream: str, subject: str, up_to: int = 0) -> int:
        """Remove what matches `subject`, up to this sequence (0: all of it); returns how many."""
        query: dict[str, Json] = {"filter": subject} | ({"seq": up_to + 1} if up_to else {})
        try:
            return int((await self._js.call(f"STREAM.PURGE.{stream}", query))["purged"])
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return 0
            raise Away(f"stream {stream} could not be purged now: {error}") from None

    async def _config(self, stream: str) -> Mapping[str, Json]:
        try:
            return (await self._js.state(stream)).config
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return {}
            raise explained(error, stream) from None

    async def _entry(self, entity: Entity) -> Message | None:
        try:
            return await self._js.get(self._names.state_stream, {"last_by_subj": self._names.state_subject(entity.key)})
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return None
            raise explained(error, self._names.state_stream) from None

    async def _first(self, entity: Entity) -> Message | None:
        return await self._get({"next_by_subj": entity.events, "seq": 1})

    async def _last(self, subjects: str) -> Message | None:
        return await self._get({"last_by_subj": subjects})

    async def _get(self, query: Mapping[str, Json]) -> Message | None:
        try:
            return await self._js.get(self._names.stream, query)
        except ApiError as error:
            raise explained(error, self._names.stream) from None

    async def _subjects(self, stream: str, subjects: str) -> Mapping[str, int]:
        try:
            info = await self._js.stream(stream, subjects=subjects)
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return {}
            raise explained(error, stream) from None
        found: Mapping[str, int] = info["state"].get("subjects") or {}
        return found


def _is_token(text: str) -> bool:
    try:
        untoken(text)
    except ValueError:
        return False
    return True


def _before(message: Message) -> Json:
    try:
        data = data_of(message.headers, wire.decode(message.payload))
    except ValueError:
        return None
    return data.get("before") if isinstance(data, dict) else None
