"""Reads what platforms tell that keep a journal of events: event records, packets of measurements, rows of stores.

An event record is `{_msgid, event, time, data}`, with `_oid` and `_gid` where it is about an object or a group; times
are milliseconds since the Unix epoch. `<entity>-insert`, `-update` and `-remove` tell of a row of a store, which is
read there: a journal holds states of the past. All other types occur once. A packet is known by its object and by the
server's time `_ts`, in microseconds, wherever it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.canonical import legible
from bridge.core.errors import Malformed
from bridge.core.fields import EXACT, key, kind, millis, text
from bridge.core.omit import gathered
from bridge.core.published import DIES, LIVES, ONCE, Published, joined
from bridge.core.record import Json, Look, Record
from bridge.core.settings import BadSetting

PACKET = "object-packet"
"""The type of the event that carries a packet."""
PERSON = "personal_data"
"""Where the fields of a user are gathered that say who somebody is."""
PERSONAL = (
    "address", "avatar", "contacts", "email", "fio", "firstName", "fullName", "info", "ip", "lastName", "login",
    "middleName", "name", "patronymic", "phone", "profile", "surname", "telegram", "userAgent",
)  # fmt: skip
PRIVATE = b"(left out, as it is about a person)"
"""What is kept of a user's row or event that cannot be read: not what came, which may say who somebody is."""
LATEST = frozenset({"state", "success", "sucess"})
"""Of the latest packet, and of the answer: no part of a row. The misspelling is the vendor's."""

SKEW_MS = 60_000
"""A packet whose own time is further from the server's is dated by the server's."""

_NAMED = ("_id", "_oid", "_ts")
"""Of a packet what names it, which is no value that was measured."""
_STORE = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VERBS = frozenset({"insert", "update", "remove"})
_USER = "user-"


def entity_of(store: str) -> str:
    """What one row of a store is called in event types: `object` for `objects`, `company` for `companies`."""
    return f"{store[:-3]}y" if store.endswith("ies") else store.removesuffix("s")


def check_stores(stores: Sequence[str], fields: Mapping[str, Sequence[str]], taken: Collection[str]) -> None:
    """Returns if every store can be read beside the others and `taken`, each with its fields. Raises BadSetting."""
    seen: set[str] = set()
    for index, store in enumerate(stores):
        if not _STORE.fullmatch(store):
            raise BadSetting("expected a store's name of lower-case letters, digits, - and _", "stores", index)
        if store in taken:
            raise BadSetting("is read by keys of its own: remove it here", "stores", index)
        if entity_of(store) in seen:
            raise BadSetting("another store of the list has rows by the same name", "stores", index)
        seen.add(entity_of(store))
    for store, names in fields.items():
        if store not in stores:
            raise BadSetting("this store is not in `stores`", "store_fields", store)
        if not names or not all(_FIELD.fullmatch(name) for name in names):
            raise BadSetting("expected a list of field names, at least one", "store_fields", store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """`entities`: of the stores that are read, by what their rows are called. `fields`: of a store's rows, if not all.

    `types` and `ignored`: which event types are wanted (none: all) and which are not; `objects`: whose (none: all).
    `whole`: a pushed row is the whole row, not a hint that it has changed.
    """

    entities: Mapping[str, str]
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    types: Collection[str] = ()
    ignored: Collection[str] = ()
    objects: Collection[str] = ()
    whole: bool = True

    def published(self, confirms: bool, listens: bool, packets: bool) -> list[Published]:
        """What is published of stores, events and packets.

        `confirms`: absence from a store counts as deleted. `packets`: they are read, not only heard where it `listens`.
        """
        rows = DIES if confirms or (listens and self.whole) else LIVES
        found = [Published(entity, rows) for entity in self.entities]
        types = {*self.types} - {*self.ignored, PACKET}
        named = {self._entity(type_) for type_ in types if self._change(type_) is None}
        found += [Published(entity, ONCE) for entity in (named if self.types else {None})]
        if (packets or listens) and self.wants_event(PACKET, {}):
            found.append(Published("packet", ONCE, telemetry=True))
        return joined(found)

    def wants(self, entity: str, id_: Json) -> bool:
        """Whether a row of a store is wanted: every one that is no object, and of objects those that were named."""
        return entity != "object" or self._wants_object(id_)

    def enters(self, event: Json) -> bool:
        """Whether an event of the journal is to be published from there. What cannot be read is."""
        type_ = event.get("event") if isinstance(event, dict) else None
        if not isinstance(type_, str):
            return True
        return self.wants_event(type_, event) and type_ != PACKET and self._change(type_) is None

    def pushed(self, frame: Json, *, named: bool) -> list[Record | Look]:
        """What a live frame tells: an event record, or (`named`) a Socket.IO event that carries one.

        Raises Malformed, with the frame as `raw`.
        """
        try:
            event = _unpacked(frame) if named else frame
            type_ = key(event, "event")
            if not self.wants_event(type_, event):
                return []
            if type_ == PACKET:
                return [self.packet(key(event, "_oid"), event.get("data"), event)]
            if (change := self._change(type_)) is not None:
                found = self._changed(*change, event)
                return [found] if isinstance(found, Look) or self.wants(found.entity, found.id) else []
            return [self.occurred(event)]
        except Malformed as error:
            raw = PRIVATE if _is_about_people(frame) else legible(frame)
            raise Malformed(f"live event: {error}", raw=raw) from None

    def row(self, entity: str, row: Json, at_ms: int | None = None) -> Record:
        """A row of a store, as the vendor has it. `at_ms`: when it changed; default: when it was created."""
        try:
            return self._row(entity, row, at_ms)
        except Malformed as error:
            raise Malformed(str(error), raw=PRIVATE if entity == "user" else error.raw) from None

    def _row(self, entity: str, row: Json, at_ms: int | None) -> Record:
        id_, names = key(row, "_id"), self.fields.get(self.entities.get(entity, ""))
        after = {name: value for name, value in row.items() if name not in LATEST}
        if names is not None:
            after = {name: value for name, value in after.items() if name == "_id" or name in names}
        if "id" in after:
            # Not the entity's id in our events, but one that users give.
            after["given_id"] = after.pop("id")
        if entity == "user":
            after = gathered(after, PERSONAL, PERSON)
        return Record(entity, id_, after, at_ms=millis(row, "time") if at_ms is None else at_ms, raw=row)

    def occurred(self, event: Json) -> Record:
        """An event of the journal, or a pushed one."""
        type_, id_, at_ms = key(event, "event"), key(event, "_msgid"), millis(event, "time")
        data = event.get("data")
        after = {"object_id": text(event, "_oid"), "group_id": text(event, "_gid"), "data": data}
        if type_.startswith(_USER):
            after |= _apart(data)
        return Record(self._entity(type_), id_, after, at_ms=at_ms, raw=event, occurred=True)

    def _entity(self, type_: str) -> str:
        # A row and an event that are called the same would be one entity, which can be only one of the two.
        return f"event-{type_}" if type_ in self.entities or type_ == "packet" else type_

    def packet(self, object_id: str, packet: Json, event: Json = None) -> Record:
        """A packet of an object, as it is listed, or (`event`) as it was pushed."""
        if not isinstance(packet, dict):
            raise Malformed(f"the packet is {kind(packet)}, expected an object")
        ts, at_ms = _micros(packet, "_ts"), millis(packet, "time")
        if event is not None and at_ms is None:
            at_ms = millis(event, "time")
        # Never spelled as a time is, whatever it says.
        name = (
            f"{ts}"
            if ts is not None
            else "i" + key(*((packet, "_id") if "_id" in packet or not event else (event, "_msgid")))
        )
        if ts is not None and (at_ms is None or abs(ts // 1000 - at_ms) > SKEW_MS):
            # The device's clock is off. What is read again is judged by when the platform got it.
            at_ms = ts // 1000
        values = packet.copy()
        for named in _NAMED:
            values.pop(named, None)
        after = {"object_id": object_id, "ts": ts, "values": values}
        id_ = f"{object_id}-{name}"
        return Record("packet", id_, after, at_ms=at_ms, raw=packet, occurred=True, telemetry=True)

    def _changed(self, entity: str, verb: str, event: Json) -> Record | Look:
        data, at_ms = event.get("data"), millis(event, "time")
        if data is not None and not isinstance(data, dict):
            raise Malformed(f"data is {kind(data)}, expected a row of the store")
        if not self.whole:
            return Look(entity)
        if verb == "remove":
            id_ = text(data or {}, "_id") or (text(event, "_oid") if entity == "object" else None)
            return Record(entity, id_, None, at_ms=at_ms, raw=event, gone=True) if id_ else Look(entity)
        return self.row(entity, data, at_ms) if data and "_id" in data else Look(entity)

    @property
    def filter(self) -> Callable[[str, Sequence[Json]], bool] | None:
        """Which events of Socket.IO to pass on, by the types and objects that are wanted; None: all."""
        return self._passes if self.types or self.ignored or self.objects else None

    def _passes(self, name: str, args: Sequence[Json]) -> bool:
        try:
            event = _unpacked({"name": name, "args": args})
            return self.wants_event(key(event, "event"), event)
        except Malformed:
            # To be found unreadable, and kept.
            return True

    def wants_event(self, type_: str, event: Mapping[str, Json]) -> bool:
        if (self.types and type_ not in self.types) or type_ in self.ignored:
            return False
        return event.get("_oid") is None or self._wants_object(event["_oid"])

    def _wants_object(self, id_: Json) -> bool:
        # What is no id is let through, to be found unreadable.
        return not self.objects or not isinstance(id_, str) or id_ in self.objects

    def _change(self, type_: str) -> tuple[str, str] | None:
        """The entity and what happened to it, if it is a row of a store that is read."""
        entity, _, verb = type_.rpartition("-")
        return (entity, verb) if verb in _VERBS and entity in self.entities else None


def _apart(data: Json) -> dict[str, Json]:
    """What an event about a user says, with what says who that is apart from it; what is no row is all apart."""
    if not isinstance(data, dict):
        return {PERSON: data, "data": None}
    rest = gathered(data, {*PERSONAL, *(name for name, item in data.items() if _names_somebody(item))}, PERSON)
    return {PERSON: rest.pop(PERSON, None), "data": rest}


def _names_somebody(value: Json) -> bool:
    """Whether a personal field stands in it, however deep: it came through our decoder, which bounds that."""
    if isinstance(value, dict):
        return any(name in PERSONAL or _names_somebody(item) for name, item in value.items())
    return isinstance(value, list) and any(map(_names_somebody, value))


def _is_about_people(frame: Json) -> bool:
    """Whether what cannot be read must not be kept either."""
    names = [frame.get("name"), frame.get("event")] if isinstance(frame, dict) else []
    args = frame.get("args") if isinstance(frame, dict) else None
    names += [arg.get("event") for arg in args[:1] if isinstance(arg, dict)] if isinstance(args, list) else []
    return any(isinstance(name, str) and name.startswith(_USER) for name in names)


def _unpacked(frame: Json) -> dict[str, Json]:
    """The event record inside a Socket.IO event: its first argument, which may leave its type to the event's name."""
    args = frame.get("args") if isinstance(frame, dict) else None
    if not isinstance(args, list) or not args or not isinstance(args[0], dict):
        raise Malformed("the event carries no object")
    return args[0] if "event" in args[0] else {**args[0], "event": frame.get("name")}


def _micros(row: Mapping[str, Json], name: str) -> int | None:
    """A time in microseconds, exactly as sent. Raises Malformed for what is no whole number."""
    value = row.get(name)
    if value is None or (type(value) is int and 0 <= value <= EXACT):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed(f"{name} is {kind(value)}, expected microseconds")
    if not 0 <= value <= EXACT or value != int(value):
        raise Malformed(f"{name} is no whole number from 0 to {EXACT}")
    return int(value)
