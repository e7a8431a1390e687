"""Collections of a vendor that are polled by REST: what each is, as data; and the walks, queries and records it makes.

A vendor's adapter ships a list of `Resource`s; `[[source.resource]]` tables change them key by key, or add more. A
sixth such vendor needs only this list, a login and an envelope.

A collection is read by up to four walks. Without a window: `NAME` reads all of it. With one: `NAME` reads a short
window often, `NAME-slow` a long one (or everything) slowly, since old rows are corrected, too. `NAME-probe` reads one
page cheaply and hastens `NAME`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from bridge.core import kinds, mapping, shapes
from bridge.core.event import timestamp
from bridge.core.facts import Ask, Walk, Window
from bridge.core.record import Json, Record
from bridge.core.resource_table import MOST, Deletion, ResourceTable
from bridge.core.settings import BadSetting, BaseSettings, setting

_NAME = re.compile(r"[A-Za-z0-9_-]{1,50}")
_ENTITY = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_BOUND = re.compile(r"([^=\s{}]+)=([^{}]*)\{(datetime|date|stamp|seconds|millis)\}([^{}]*)")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One collection, settled. The keys mean what those of `ResourceTable` do. Raises BadSetting when made.

    `zone` is the source's own, for times without an offset. Its functions are compiled once and are pure.
    """

    name: str
    entity: str
    path: str
    fields: Mapping[str, str]
    enabled: bool = True
    host: str = ""
    one: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    id: str = "id"
    version: str = ""
    at: str = ""
    dated: str = ""
    window_from: str = ""
    window_to: str = ""
    every_s: float = 600.0
    reach_s: float = 86_400.0
    ahead_s: float = 0.0
    slow_every_s: float = 0.0
    slow_reach_s: float = 0.0
    overlap_s: float = 900.0
    probe_every_s: float = 0.0
    page_size: int = 100
    worth: float = 1.0
    deletion: Deletion = "confirm"
    zone: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadSetting("expected letters, digits, - and _, at most 50", "name")
        if not _ENTITY.fullmatch(self.entity):
            raise BadSetting("expected a lower-case name, such as project", "entity")
        if not self.path or re.search(r"[\s?#]", self.path):
            raise BadSetting("expected a path without a query, such as schedule/shifts", "path")
        if self.one and ("{id}" not in self.one or re.search(r"[\s?#]", self.one)):
            raise BadSetting('expected a path with {id} in it, such as "projects/{id}"', "one")
        for key, most in MOST.items():
            if not 0 <= getattr(self, key) <= most:  # nor what TOML calls nan
                raise BadSetting(f"expected at most {most:.0f}", key)
        if not self.fields:
            raise BadSetting("the key fields is missing: nothing of a row would be published")
        for key, text in (("window_from", self.window_from), ("window_to", self.window_to)):
            if text and not _BOUND.fullmatch(text):
                raise BadSetting('expected a parameter such as "from={datetime}" or "date=>{date}"', key)
        if self.window_to and not self.window_from:
            raise BadSetting("a window needs a begin: set `window_from`, too", "window_to")
        for key, text in self.parts.items():
            if not re.fullmatch(r"[^=\s&]+=[^\s&]*", text):
                raise BadSetting('expected a query parameter such as "active=0"', "parts", key)
        self._check_dated()
        # Compiled here, so that what is wrong with them is said at once.
        self.key, self.mapper, self._instant, self._version  # noqa: B018

    def _check_dated(self) -> None:
        kind = self.mapper.kinds.get(self.dated)
        if self.dated and kind not in ("date", "datetime", "epoch_s", "epoch_ms"):
            raise BadSetting("expected one of our `fields` that is a date or a datetime", "dated")
        reads_all = self.slow_every_s > 0 and not self.slow_reach_s
        if self.windowed and self.deletion == "confirm" and not self.dated and not reads_all:
            raise BadSetting(
                "with a window, absence says something only of rows whose date is known: set `dated`, or read "
                'everything by slow_every_s with slow_reach_s = 0, or set deletion = "ignore"',
                "deletion",
            )

    @property
    def windowed(self) -> bool:
        """Whether it is read by windows."""
        return bool(self.window_from)

    @cached_property
    def key(self) -> Callable[[Json], str]:
        """A row's id. Raises Malformed."""
        return mapping.identity(self.id, key=("id",))

    @cached_property
    def mapper(self) -> mapping.Mapper:
        """A row's `after`. Raises Malformed."""
        return mapping.Mapper(self.fields, zone=self.zone)

    @cached_property
    def _instant(self) -> Callable[[Json], int | None] | None:
        return mapping.instant(self.at, zone=self.zone, key=("at",)) if self.at else None

    @cached_property
    def _version(self) -> kinds.Read | None:
        return mapping.reader(self.version, default="text", zone=self.zone, key=("version",)) if self.version else None

    def record(self, row: Json) -> Record:
        """Map one row. Raises Malformed."""
        version = self._version and self._version(row)
        if isinstance(version, str) and self.zone and mapping.kind_of(self.version) == "datetime":
            # In an hour that comes twice the clock says first what is last: nothing to go by.
            version = None if mapping.comes_twice(version[:16], self.zone) else version
        return Record(
            entity=self.entity,
            id=self.key(row),
            after=self.mapper(row),
            version=None if version in (None, "") else str(version),
            at_ms=self._instant and self._instant(row),
            raw=row,
        )

    @cached_property
    def edition(self) -> str:
        """Names what `record` makes of a row: tables that map differently have different ones."""
        said = repr((sorted(self.fields.items()), self.zone, shapes.announced(self.entity, self.mapper.kinds)))
        return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()

    @property
    def schema(self) -> str | None:
        """The shared shape its records have, as `person/1`; None if there is none, or fields are of other kinds."""
        return shapes.announced(self.entity, self.mapper.kinds)

    def walks(self, *, probe: bool = False) -> list[Walk]:
        """What to read, faster walks first. `probe`: whether the adapter knows a cheap look (see `Walk.wakes`)."""
        whole = Walk(
            self.name, self.entity, self.every_s, page_size=self.page_size, scope=self.name, worth=self.worth,
            reports_absence=self.deletion == "confirm", confirms=self.deletion == "confirm" and bool(self.one),
        )  # fmt: skip
        walks = [whole]
        if self.windowed:
            # What lies outside of a window proves nothing; of what is inside, only `dated` tells.
            proves = whole.reports_absence and bool(self.dated)
            short = replace(whole, reach_s=self.reach_s, overlap_s=self.overlap_s, reports_absence=proves,
                            confirms=proves and whole.confirms)  # fmt: skip
            walks = [short]
            if self.slow_every_s and self.slow_reach_s:
                walks.append(replace(short, name=f"{self.name}-slow", every_s=self.slow_every_s,
                                     reach_s=self.slow_reach_s, on_connect=False))  # fmt: skip
            elif self.slow_every_s:
                walks.append(replace(whole, name=f"{self.name}-slow", every_s=self.slow_every_s, on_connect=False))
        if probe and self.probe_every_s:
            walks.append(replace(whole, name=f"{self.name}-probe", every_s=self.probe_every_s, wakes=self.name,
                                 reports_absence=False, confirms=False))  # fmt: skip
        return sorted(walks, key=lambda walk: walk.every_s)

    def parameters(self, ask: Ask) -> dict[str, str]:
        """The query parameters that say what is read: `query`, those of the part and those of the window."""
        found = dict(self.query)
        if ask.ids:
            return found
        if name := part(self, ask):
            key, _, value = self.parts[name].partition("=")
            found[key] = value
        if ask.window is not None:
            window = self._reached(ask.window)
            for text, ms, days in ((self.window_from, window.start_ms, -1), (self.window_to, window.end_ms, 1)):
                if bound := _BOUND.fullmatch(text):
                    found[bound[1]] = f"{bound[2]}{_spelled(bound[3], ms, days, self.zone)}{bound[4]}"
        return found

    def belongs(self, ask: Ask, after: Json) -> bool:
        """Whether an entity last known as `after` must be in a complete pass: see `Adapter.belongs`."""
        if ask.window is None:
            return True
        when = after.get(self.dated) if self.dated and isinstance(after, Mapping) else None
        if not isinstance(when, str):
            return False
        window, overlap_ms = self._reached(ask.window), round(ask.walk.overlap_s * 1000)
        start_ms, end_ms = window.start_ms + overlap_ms, window.end_ms - overlap_ms
        if len(when) == len("2021-04-07"):
            # Whole days only, wherever the vendor's day begins: bounds that are dates lie a day further out anyway.
            slack_ms = 0 if "{date}" in self.window_from and "{date}" in (self.window_to or "{date}") else 86_400_000
            return timestamp(start_ms + slack_ms)[:10] < when < timestamp(end_ms - slack_ms)[:10]
        return timestamp(start_ms) <= when <= timestamp(end_ms)

    def _reached(self, window: Window) -> Window:
        return Window(window.start_ms, window.end_ms + round(self.ahead_s * 1000))


@dataclass(frozen=True, kw_only=True)
class ResourceSettings(BaseSettings):
    """The keys of every source that is polled by `Resource`s. The adapter's subclass sets `shipped` and `zone`."""

    zone: str = setting("UTC", doc="time zone of times that name none, such as Europe/Berlin", inferred=True)
    resource: list[ResourceTable] = setting([], doc="changes to the collections that are read, and more of them")

    @property
    def shipped(self) -> Sequence[Resource]:
        """The adapter's own collections."""
        return ()

    @cached_property
    def resources(self) -> Sequence[Resource]:
        """Those that are read, settled."""
        return resources(self.shipped, self.resource, self.zone)

    def __post_init__(self) -> None:
        self.resources  # noqa: B018 - made now, so that what is wrong is said at once


def resources(shipped: Sequence[Resource], configured: Sequence[ResourceTable], zone: str = "") -> list[Resource]:
    """The collections to read: the shipped ones, changed key by key by a table of the same name, and the new ones.

    Those that are not `enabled` are left out. Raises BadSetting, with the position in `resource`.
    """
    if zone:
        try:
            mapping.zone_of(zone)
        except BadSetting as error:
            raise BadSetting(str(error), "zone") from None
    found = {one.name: one if one.zone == zone else replace(one, zone=zone) for one in shipped}
    places: dict[str, int] = {}
    for index, table in enumerate(configured):
        if table.name in places:
            raise BadSetting("another resource of this source has that name", "resource", index, "name")
        places[table.name] = index
        try:
            found[table.name] = _settled(found.get(table.name), table, zone)
        except BadSetting as error:
            raise BadSetting(str(error), "resource", index, *error.key) from None
    kept = [one for one in found.values() if one.enabled]
    _check_apart(kept, places)
    return kept


def of(resources: Sequence[Resource], walk: Walk) -> Resource:
    """The collection that a walk reads. Raises KeyError for one of another source's walks."""
    return next(one for one in resources if one.name == walk.scope)


def schema(resources: Sequence[Resource], entity: str) -> str | None:
    """For `Adapter.schema`: the shape that all collections of this entity have."""
    found = {one.schema for one in resources if one.entity == entity}
    return found.pop() if len(found) == 1 else None


def edition(resources: Sequence[Resource], entity: str) -> str:
    """For `Adapter.edition`: what is made of this entity's rows."""
    return ".".join(one.edition for one in resources if one.entity == entity)


def part(resource: Resource, ask: Ask) -> str:
    """The part that a page is of; "" where there are none. For `Page.part`."""
    return list(resource.parts)[_index(resource, ask)] if resource.parts else ""


def _index(resource: Resource, ask: Ask) -> int:
    # Another version may have stored it, or another hand: what is no part's is the first one's.
    index = ask.position.get("part", 0) if isinstance(ask.position, dict) else 0
    return index if type(index) is int and 0 <= index < len(resource.parts) else 0


def basis(resource: Resource, ask: Ask) -> Json:
    """For `Adapter.basis`, where `record` goes by the collection, the part and whether an id was asked for."""
    return [resource.name, part(resource, ask), bool(ask.ids)]


def place(ask: Ask) -> Json:
    """Where in its part a page begins, in the vendor's own terms; None for the first page of a part."""
    return ask.position.get("at") if isinstance(ask.position, dict) else None


def onward(resource: Resource, ask: Ask, at: Json) -> Json:
    """The position after a page: `at` in the same part, or where that is None the next part's begin, or the end."""
    index = _index(resource, ask)
    if at is not None:
        return {"part": index, "at": at}
    return {"part": index + 1, "at": None} if index + 1 < len(resource.parts) else None


def _settled(base: Resource | None, table: ResourceTable, zone: str) -> Resource:
    given: dict[str, Any] = {
        one.name: value for one in dataclasses.fields(table) if (value := getattr(table, one.name)) is not None
    }
    if base is None:
        for key in ("entity", "path", "fields"):
            if key not in given:
                raise BadSetting(f"the key {key} is missing: no shipped resource is called so", "name")
    before = base.fields if base else {}
    joined = {**before, **given.get("fields", {})}
    for name, text in given.get("fields", {}).items():
        if not text and name not in before:
            raise BadSetting("nothing is called so, to be taken away", "fields", name)
    given["fields"] = {name: text for name, text in joined.items() if text}
    return replace(base, **given) if base else Resource(**given, zone=zone)


def _check_apart(kept: Sequence[Resource], places: Mapping[str, int]) -> None:
    names: set[str] = set()
    entities: dict[str, Resource] = {}
    for one in kept:
        key = ("resource", places[one.name]) if one.name in places else ("resource",)
        for walk in one.walks(probe=True):
            if walk.name in names:
                raise BadSetting(f"its walk {walk.name} is called like another resource's: rename one", *key, "name")
            names.add(walk.name)
        other = entities.setdefault(one.entity, one)
        if other is not one and "confirm" in (one.deletion, other.deletion):
            raise BadSetting(
                f"{other.name} has the same entity: what one of them does not hold would count as deleted; set "
                'deletion = "ignore" in both, or give it an entity of its own',
                *key,
                "entity",
            )


def _spelled(what: str, ms: int, days: int, zone: str) -> str:
    """A bound as a vendor wants it. A date lies a day further out: nobody says whether a given day is included."""
    if what == "datetime":
        return timestamp(ms)
    if what in ("seconds", "millis"):
        return str(ms if what == "millis" else ms // 1000 + (days > 0))
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(mapping.zone_of(zone or "UTC"))
    if what == "stamp":
        return f"{local:%Y-%m-%d %H:%M:%S}"
    return (local.date() + timedelta(days=days)).isoformat()
