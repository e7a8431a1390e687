"""What the deliveries of a webhook mean: `[[source.event]]` tables, compiled once, from a delivery to its records.

A delivery is plain JSON: `{"delivery": its id, "body": …, "headers": {lower-case name: text}, "query": {name: text},
"event": the attributes of a CloudEvent, or null}`. Paths begin at one of these names, or at `item`, one of the list
that `each` names. Kinds are those of `bridge/core/mapping.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from bridge.core import kinds, mapping, published
from bridge.core.canonical import legible
from bridge.core.errors import Malformed
from bridge.core.fields import kind
from bridge.core.hooks.event_table import (
    DROP,
    GONE,
    ITEM,
    NAME,
    ONCE,
    PLAIN,
    ROOTS,
    STATES,
    EventTable,
    is_path,
    many,
    rooted,
)
from bridge.core.published import Published
from bridge.core.record import Json, Record
from bridge.core.settings import BadSetting

Unmatched = Literal["quarantine", "drop", "publish"]
_OTHERS = re.compile(r"[^a-z0-9_]+")


class Tables:
    """All tables of a source. Its functions are compiled once and are pure."""

    def __init__(self, tables: Sequence[EventTable], *, zone: str = "", unmatched: Unmatched = "quarantine") -> None:
        """`zone`: for times without an offset. `unmatched`: what becomes of a delivery that no table fits.

        Without any table each delivery is published as it is. Raises BadSetting, with the position in `event`.
        """
        self._tables: list[_Table] = []
        self._unmatched: Unmatched = unmatched if tables else "publish"
        for index, table in enumerate(tables):
            try:
                self._tables.append(_Table(table, zone))
            except BadSetting as error:
                raise BadSetting(str(error), "event", index, *error.key) from None
        self._each = any(table.each for table in tables)
        self._said = tuple(tables)
        self._zone = zone

    def records(self, frame: Json) -> list[Record]:
        """What a delivery tells; nothing where it is to be dropped. If one of its items cannot be read, none is taken.

        Raises Malformed, with the body as `raw`.
        """
        if not isinstance(frame, dict) or not isinstance(frame.get("delivery"), str):
            raise Malformed("this is no delivery", raw=legible(frame))
        try:
            return self._records(frame)
        except Malformed as error:
            raise Malformed(str(error), raw=legible(frame.get("body"))) from None

    def count(self, frame: Mapping[str, Json]) -> int:
        """How many events a delivery makes, at most; 1 where it makes none. Cheap, and never raises."""
        if not self._each:
            return 1
        return next((table.count(frame) for table in self._tables if table.fits(frame)), 1)

    def _records(self, frame: Mapping[str, Json]) -> list[Record]:
        for table in self._tables:
            if table.fits(frame):
                return list(table.records(frame))
        if self._unmatched == "quarantine":
            raise Malformed("no [[source.event]] fits this delivery: add one, or one with drop = true")
        return [] if self._unmatched == "drop" else [plain(frame)]

    def entities(self) -> list[Published]:
        """What may come of it: see `Adapter.entities`."""
        found = [told for one in self._said for told in _told(one)]
        if self._unmatched == "publish":
            found += [Published(PLAIN, published.ONCE), Published(None, published.ONCE)]
        return published.joined(found)

    def edition(self, entity: str) -> str:
        """Names how this entity is mapped: tables that map differently have different ones."""
        said = [
            (sorted(one.fields.items()), one.change, sorted(one.changes.items()), self._zone)
            for one in self._said
            if one.entity == entity or is_path(one.entity)
        ]
        return hashlib.blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest() if said else ""


def plain(frame: Mapping[str, Json]) -> Record:
    """A delivery that no table maps: it occurred, and its body is what there is to say of it."""
    event = frame.get("event")
    entity = entity_of(event.get("type"), "event.type") if isinstance(event, dict) else PLAIN
    body = frame.get("body")
    return Record(entity, frame["delivery"], _object(body), at_ms=_time_of(event), raw=body, occurred=True)


def path(text: str, *key: str | int, item: bool = False) -> Callable[[Json], Json]:
    """A function from a delivery to what lies at a path of it, as text; None where nothing does. Raises BadSetting.

    What it returns raises Malformed.
    """
    return mapping.reader(rooted(text, (*ROOTS, ITEM) if item else ROOTS, key), default="id", key=key)


def entity_of(word: Json, where: str) -> str:
    """A sender's word for a kind of thing, as a name of ours: `Order.Created` becomes `order-created`.

    Raises Malformed.
    """
    name = _OTHERS.sub("-", word.lower()).strip("-_")[:60] if isinstance(word, str) else ""
    if not NAME.fullmatch(name):
        raise Malformed(f"{where} is {kind(word)} that makes no name of an entity")
    return name


class _Table:
    """One table, compiled."""

    def __init__(self, table: EventTable, zone: str) -> None:
        roots = (*ROOTS, ITEM) if table.each else ROOTS
        self._table = table
        self._when = [(_steps(rooted(where, ROOTS, ("when", where))), _wanted(value))
                      for where, value in table.when.items()]  # fmt: skip
        self._each = _steps(rooted(table.each, ROOTS, ("each",))) if table.each else None

        def compiled(key: str, default: str) -> kinds.Read | None:
            text = getattr(table, key)
            if not text:
                return None
            return mapping.reader(rooted(text, roots, (key,)), default=default, zone=zone, key=(key,))

        self._entity = compiled("entity", "text") if is_path(table.entity) else None
        self._change = compiled("change", "text") if table.changes else None
        self._id = mapping.identity(rooted(table.id, roots, ("id",)), key=("id",)) if table.id else None
        self._version = compiled("version", "text")
        self._gone = compiled("gone", "")
        self._at = mapping.instant(rooted(table.at, roots, ("at",)), zone=zone, key=("at",)) if table.at else None
        fields = {name: rooted(text, roots, ("fields", name)) for name, text in table.fields.items()}
        self._mapper = mapping.Mapper(fields, zone=zone) if fields else None

    def fits(self, frame: Mapping[str, Json]) -> bool:
        """Whether it is for this delivery."""
        return all(_look(frame, steps) in wanted for steps, wanted in self._when)

    def count(self, frame: Mapping[str, Json]) -> int:
        """See `Tables.count`."""
        items = None if self._each is None else _value(frame, self._each)
        return max(1, len(items)) if isinstance(items, list) else 1

    def records(self, frame: Mapping[str, Json]) -> Iterator[Record]:
        """What the delivery tells. Raises Malformed."""
        if self._table.drop:
            return
        if self._each is None:
            yield from self._record(frame, frame["delivery"], frame.get("body"))
            return
        items = _value(frame, self._each)
        if not isinstance(items, list):
            raise Malformed(f"{self._table.each} is {kind(items)}, expected a list")
        for number, item in enumerate(items, 1):
            try:
                yield from self._record({**frame, ITEM: item}, f"{frame['delivery']}-{number}", item)
            except Malformed as error:
                raise Malformed(f"item {number}: {error}") from None

    def _record(self, row: Mapping[str, Json], delivery: str, whole: Json) -> Iterator[Record]:
        table, change = self._table, self._table.change
        if self._change is not None:
            word = self._change(row)
            if word not in table.changes:
                raise Malformed(f"{change} is {kind(word)} that `changes` does not know")
            change = table.changes[word]
        if change == DROP:
            return
        entity = table.entity if self._entity is None else entity_of(self._entity(row), table.entity)
        id_ = self._id(row) if self._id else delivery
        at_ms = self._at(row) if self._at else _time_of(row.get("event"))
        occurred = change == ONCE
        version = self._version(row) if self._version else None
        if version in (None, ""):
            version = None
            if not occurred:
                raise Malformed(f"{table.version} is empty: without a version an older state might return")
        gone = change == GONE or (self._gone is not None and self._gone(row) not in (None, False))
        after = None if gone else self._mapper(row) if self._mapper else _object(whole)
        yield Record(entity, id_, after, version=None if version is None else str(version), at_ms=at_ms, raw=whole,
                     gone=gone, occurred=occurred, unordered=not occurred)  # fmt: skip


def _told(table: EventTable) -> Iterator[Published]:
    if table.drop:
        return
    entity = None if is_path(table.entity) else table.entity
    if ONCE in table.words:
        yield Published(entity, published.ONCE)
    if set(STATES) & set(table.words):
        yield Published(entity, published.LIVES)
    if GONE in table.words or table.gone:
        yield Published(entity, ("deleted",))


def _object(value: Json) -> Mapping[str, Json]:
    """`after` is always an object."""
    return value if isinstance(value, dict) else {"body": value}


_CE_TIME = mapping.instant("time")


def _time_of(event: Json) -> int | None:
    """When a CloudEvent says that it happened. A time that cannot be read spoils nothing."""
    if not isinstance(event, dict) or event.get("time") is None:
        return None
    try:
        return _CE_TIME(event)
    except Malformed:
        return None


def _steps(text: str) -> Sequence[str]:
    return text.split(".")


def _value(frame: Json, steps: Sequence[str]) -> Json:
    """What lies there; None where nothing does."""
    for step in steps:
        frame = frame.get(step) if isinstance(frame, dict) else None
    return frame


def _look(frame: Json, steps: Sequence[str]) -> tuple[type, Json]:
    """The value there with its type: to Python 1 and true are equal."""
    return _typed(_value(frame, steps))


def _typed(value: Json) -> tuple[type, Json]:
    if isinstance(value, (dict, list)):
        return dict, None
    return (float, value) if type(value) is int else (type(value), value)


def _wanted(value: Json) -> list[tuple[type, Json]]:
    return [_typed(one) for one in many(value)]
