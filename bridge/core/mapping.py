"""A vendor's row as our `after`, by a table: our name = where it is at the vendor, and what it is.

One field is `path`, or `path as kind`, such as `team.id as id` or `taskEditDate as datetime`; `endTime or startTime`
takes the first that is there. Steps go through objects; where one goes through a list, so does all that follows. Our
name may have one dot: `private.email` is the field `email` of the object `private`.

Kinds: `text` (a number becomes its digits), `id` (text; "" and 0 are none), `number` (also spelled `"1.25"`), `whole`,
`truth` (also 0 and 1, `"0"` and `"1"`), `date`, `time`, `datetime` (becomes UTC with milliseconds), `epoch_s` and
`epoch_ms` (the same from seconds or milliseconds since 1970), `hours`, `minutes`, `seconds` (a length of time, becomes
whole milliseconds), `words 0=open 1=closed` (codes by name; others stay their digits), and `list of …` or `set of …`
(sorted, each once) of any of them. Without a kind the value stays as it is. What is absent or null is None, and so is
"" for every kind but `text`.

The same content gives the same values, whichever types, offsets or spellings the vendor chose today.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from bridge.core import kinds
from bridge.core.errors import Malformed
from bridge.core.fields import LONGEST_ID, kind
from bridge.core.kinds import KINDS, Read
from bridge.core.record import Json
from bridge.core.settings import BadSetting

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}(?:\.[A-Za-z_][A-Za-z0-9_]{0,59})?")
_PATH = re.compile(r"[^./\s]+(?:\.[^./\s]+)*")


class Mapper:
    """The fields of one table, compiled. Call it with a row; raises Malformed, which names path and kind only.

    `kinds`: by our name. `groups`: the names of our objects, such as `private`.
    """

    def __init__(
        self, fields: Mapping[str, str], *, zone: str = "", key: tuple[str | int, ...] = ("fields",),
        taken: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """`zone`: where the vendor's clock hangs, for times without an offset (`Europe/Berlin`); "": they are refused.

        `key`: the setting the table is, for errors; `taken`: names that are ours already. Raises BadSetting.
        """
        names, self.kinds = set(taken), dict[str, str]()
        self._fields: list[tuple[str, str, type | None, Read]] = []
        self._others: list[tuple[str, Read]] = []
        self._groups: list[tuple[str, Mapper]] = []
        inner: dict[str, dict[str, str]] = {}
        for name, text in fields.items():
            group, _, last = name.rpartition(".")
            if not _NAME.fullmatch(name) or name in names or group in fields:
                raise BadSetting("expected a name of letters, digits and _ on the left, one that is free", *key, name)
            paths, self.kinds[name] = _parsed(text, (*key, name))
            reads = [_reader(path, self.kinds[name], zone) for path in paths]
            if group:
                inner.setdefault(group, {})[last] = text
            elif len(paths) == 1:
                same = {"text": str, "truth": bool}.get(self.kinds[name])
                first, _, rest = paths[0].partition(".")
                self._fields.append((name, first, None if rest else same, reads[0]))
            else:
                self._others.append((name, _first_of(paths, reads)))
        self.groups = frozenset(inner)
        for group, below in inner.items():
            self._groups.append((group, Mapper(below, zone=zone)))

    def __call__(self, row: Json) -> dict[str, Json]:
        """`after` for a row."""
        if type(row) is not dict:
            raise Malformed(f"{kind(row)} where a record was expected")
        get, found = row.get, {}
        for name, key, same, read in self._fields:
            value = get(key)
            found[name] = value if value is None or type(value) is same else read(value)
        for name, read in self._others:
            found[name] = read(row)
        for name, inner in self._groups:
            found[name] = inner(row)
        return found


def reader(text: str, *, default: str = "", zone: str = "", key: tuple[str | int, ...] = ()) -> Read:
    """One field alone: a function from a row to its value. `default`: its kind where `text` names none.

    Raises BadSetting; what it returns raises Malformed.
    """
    paths, what = _parsed(text, key)
    return _first_of(paths, [_reader(path, what or default, zone) for path in paths])


def instant(text: str, *, zone: str = "", key: tuple[str | int, ...] = ()) -> Callable[[Json], int | None]:
    """The same for a moment, in milliseconds since the Unix epoch; `text` without a kind is a datetime."""
    read = reader(text, default="datetime", zone=zone, key=key)
    if kind_of(text) not in ("", "datetime", "epoch_s", "epoch_ms"):
        raise BadSetting("expected a moment: a datetime, epoch_s or epoch_ms", *key)

    def moment(row: Json) -> int | None:
        found = read(row)
        return None if found is None else round(datetime.fromisoformat(found).timestamp() * 1000)

    return moment


def identity(path: str, *, key: tuple[str | int, ...] = ()) -> Callable[[Json], str]:
    """A function from a row to its entity's id, as text. It raises Malformed where there is none.

    Of several paths the first decides that begins with a key of the row, also where it holds nothing: what is known by
    one key must not come in by another, as an entity that does not exist.
    """
    paths, what = _parsed(path, key)
    reads = [(one.partition(".")[0], _reader(one, what or "id", "")) for one in paths]

    def found(row: Json) -> str:
        if type(row) is not dict:
            raise Malformed(f"{kind(row)} where a record was expected")
        value = None
        for first, read in reads:
            if first in row:
                value = None if row[first] is None else read(row[first])
                break
        if not isinstance(value, str):
            raise Malformed(f"{path} is empty, expected the record's id")
        if len(value) > LONGEST_ID:
            raise Malformed(f"{path} has {len(value)} characters, expected an id of at most {LONGEST_ID}")
        return value

    return found


def kind_of(text: str) -> str:
    """The kind a field's text names; "" for none."""
    return _split(text)[1]


@lru_cache(maxsize=32)
def zone_of(name: str) -> tzinfo:
    """A time zone by its name. Raises BadSetting where this machine knows none of it."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise BadSetting(
            "expected a time zone that this machine knows, such as Europe/Berlin (its package is called tzdata)"
        ) from None


@lru_cache(maxsize=4096)
def comes_twice(minute: str, zone: str) -> bool:
    """Whether the clocks of a zone show this minute (`2021-10-31T00:30`, UTC) again, when summer time ends."""
    try:
        local = datetime.fromisoformat(minute).replace(tzinfo=UTC).astimezone(zone_of(zone))
    except OverflowError:
        return False  # they show a year that is none
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _split(text: str) -> tuple[str, str]:
    head, _, what = " ".join(text.split()).partition(" as ")
    return head, what


def _parsed(text: str, key: tuple[str | int, ...]) -> tuple[list[str], str]:
    head, what = _split(text)
    paths = head.split(" or ")
    if not all(map(_PATH.fullmatch, paths)):
        raise BadSetting('expected a path such as team.id, or "startTime as datetime"', *key)
    one = re.sub(r"^(list|set) of ", "", what)
    if one and one not in KINDS and not kinds.CODES.fullmatch(one):
        raise BadSetting(f"expected one of {', '.join(KINDS)} after `as`, or a list or set of it", *key)
    if one == "words":
        raise BadSetting("expected codes and their names after words, such as words 0=open 1=closed", *key)
    return paths, what


def _first_of(paths: list[str], reads: list[Read]) -> Read:
    parts = [(path.partition(".")[0], read) for path, read in zip(paths, reads, strict=True)]

    def read(row: Json) -> Json:
        if type(row) is not dict:
            raise Malformed(f"{kind(row)} where a record was expected")
        for key, read_one in parts:
            value = row.get(key)
            if value is not None and (found := read_one(value)) is not None:
                return found
        return None

    return read


def _reader(path: str, what: str, zone: str) -> Read:
    """From the value of a path's first step on."""
    try:
        where = zone_of(zone) if zone else None
    except BadSetting as error:
        raise BadSetting(str(error), "zone") from None
    many, _, one = what.rpartition(" of ")
    read = kinds.reader(path, one, where)
    if many:
        read = _many(path, read, sort=many == "set")
    steps = tuple(path.split(".")[1:])
    return _below(path, steps, read, plural=bool(many) or not what) if steps else read


def _below(path: str, steps: tuple[str, ...], read: Read, *, plural: bool) -> Read:
    def below(value: Json) -> Json:
        for step in steps:
            if type(value) is dict:
                value = value.get(step)
            elif value == [] and not plural:
                # How PHP spells an object without fields.
                return None
            elif type(value) is list:
                value = [_step(path, item, step) for item in value]
            else:
                raise Malformed(f"{path}: {kind(value)} where an object with {step} was expected")
            if value is None:
                return None
        return read(value)

    return below


def _step(path: str, item: Json, step: str) -> Json:
    if item is None or type(item) is dict:
        return item and item.get(step)
    raise Malformed(f"{path}: {kind(item)} where an object with {step} was expected")


def _many(path: str, read: Read, *, sort: bool) -> Read:
    def many(value: Json) -> Json:
        if type(value) is not list:
            raise Malformed(f"{path} is {kind(value)}, expected a list")
        found = [ours for item in value if item is not None and (ours := read(item)) is not None]
        return sorted(set(found)) if sort else found

    return many
