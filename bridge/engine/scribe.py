"""Writes events: from a record and what is known of its entity to the sealed event. Holds a source's constants."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core import own
from bridge.core.canonical import Spell, canonical, digest, legible
from bridge.core.differ import changed_fields
from bridge.core.errors import Malformed
from bridge.core.event import Encode, Event, Form, TooLarge, data_of
from bridge.core.omit import Path, omit
from bridge.core.record import Head, Json, Key, Record, Via
from bridge.core.secret import Masker
from bridge.core.shape import uri
from bridge.core.subject import MAIN, Lane
from bridge.engine.ports import Wall

OWN_VENDOR = own.VENDOR
OWN_MAPPING = "1"
QUARANTINE_RAW = 64 * 1024
"""At most this many bytes of what could not be read are kept, and a sixteenth of the server's `max_payload`."""
QUARANTINE_ROOM = 16 * 1024
"""Of a message, for all else in it, where as much is kept as fits."""
LONGEST_SECRET = 16 * 1024
"""A secret that lies across the cut is recognised if it is no longer than this, in bytes."""
LONGEST_REASON = 1_000
MOST_KINDS = 1_000
"""Kinds of things, or of events, of which is remembered what is said of all: a vendor may make up new ones for ever."""

Traces = Mapping[int, str | None]
"""The `traceparent` of a record, or of why there is none, by the `id()` of the object."""


@dataclass(slots=True)
class Note:
    """A record on its way to becoming an event. `forced` overrides the differ, for the bridge's own events.

    `mark`: what its row came to, for what is remembered of it; see `bridge/engine/unchanged.py`. `traceparent`: of the
    frame or page that it came with; it stays the same, however often the note is written.
    """

    key: Key
    record: Record
    digest: str
    via: Via
    first_read: bool = False
    forced: str | None = None
    mark: bytes | None = None
    traceparent: str | None = None

    @property
    def own(self) -> bool:
        """Whether it is the bridge's own and not a vendor's."""
        return self.key.vendor == OWN_VENDOR


Noted = Callable[[Record | Malformed], Note]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribe:
    """`omits` are the paths never published; `limit` is the server's `max_payload` in bytes.

    `schema` names the shared shape of an entity, as `person/1`; `edition` how the settings have it mapped: both are
    asked once for a kind of thing. `structured`, `spell` and `trace`: see `World`. `whole`: what could not be read is
    kept as far as it fits, as nobody can ask for it again.
    """

    vendor: str
    source: str
    type_prefix: str
    mapping_version: str
    omits: Sequence[Path]
    keep_raw: bool
    encode: Encode
    limit: int
    wall: Wall
    masker: Masker
    lane: Lane = MAIN
    schema: Callable[[str], str | None] = lambda _: None
    edition: Callable[[str], str] = lambda _: ""
    structured: bool = False
    trace: Callable[[], str | None] = lambda: None
    whole: bool = False
    spell: Spell = canonical
    _mappings: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By entity, as `edition` said: it is asked once, and not for every event."""
    _forms: dict[tuple[str, str, str, Via], Form] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By vendor (there are the bridge's own events, too), entity, change, and how it was heard of."""

    def key(self, entity: str, id_: str) -> Key:
        """The key of one of the source's entities."""
        return Key(self.vendor, self.source, entity, id_)

    def note(
        self,
        record: Record,
        via: Via,
        *,
        first_read: bool = False,
        mark: bytes | None = None,
        traceparent: str | None = None,
        innocent: bool = False,
    ) -> Note:
        """A vendor's record, without what must not be published, and its digest; its quarantine if it has none.

        `innocent`: its id and version are known to be no secrets of ours.
        """
        if record.after is not None and self.omits:
            after = omit(record.after, self.omits)
            if after is not record.after:
                # Not by `replace`, which asks for each field's name.
                record = Record(
                    record.entity, record.id, after, record.version, record.at_ms, record.raw,
                    record.gone, record.occurred, record.telemetry, record.unordered,
                )  # fmt: skip
        names = _names(record)
        if not innocent and self._may_be_secret(names) and self.masker.mask(names) != names:
            return self._aside(record, "bears a secret of ours as its id or version", traceparent)
        try:
            content = digest(record.after, self._mapping(record.entity), self.spell)
        except ValueError as error:
            return self._aside(record, f"cannot be stored: {error}", traceparent)
        key = Key(self.vendor, self.source, record.entity, record.id)
        return Note(key, record, content, via, first_read, None, mark, traceparent)

    def noting(
        self,
        given: Sequence[Record | Malformed],
        via: Via,
        feed: str,
        *,
        first_read: bool = False,
        marks: Mapping[tuple[str, str], bytes] | None = None,
        traces: Traces | None = None,
        begun: str | None = None,
    ) -> Noted:
        """`note` for the `given` records of a page or of frames, and `quarantine` for what could not be read of it.

        `marks`: by entity and id. Without `traces` all of them are of the trace `begun`, or of one that begins here.
        """
        begun = None if traces else begun or self.trace()
        # One look at all of them: as good as never one of them bears a secret, and then each is looked at.
        innocent = not self._may_be_secret("\n".join([_names(one) for one in given if isinstance(one, Record)]))

        def noted(one: Record | Malformed) -> Note:
            traceparent = traces.get(id(one)) if traces else begun
            if isinstance(one, Malformed):
                return self.quarantine(one, feed, traceparent)
            mark = marks.get((one.entity, one.id)) if marks else None
            return self.note(
                one, via, first_read=first_read, mark=mark, traceparent=traceparent, innocent=innocent
            )  # fmt: skip

        return noted

    def _may_be_secret(self, names: str) -> bool:
        return self.masker.found_in(names.encode("utf-8", "surrogatepass"))

    def _mapping(self, entity: str) -> str:
        known = self._mappings.get(entity)
        if known is None:
            edition = self.edition(entity)
            if len(self._mappings) == MOST_KINDS:
                self._mappings.clear()
            known = self._mappings[entity] = f"{self.mapping_version}.{edition}" if edition else self.mapping_version
        return known

    def own(self, entity: str, change: str, id_: str, after: Json, traceparent: str | None = None) -> Note:
        """An event of the bridge's own about this source; a trace begins with it, unless it has one."""
        record = Record(entity, id_, after, occurred=change == "occurred")
        return Note(
            key=Key(OWN_VENDOR, self.source, entity, id_),
            record=record,
            digest=digest(after, OWN_MAPPING),
            via="live",
            forced=change,
            traceparent=traceparent or self.trace(),
        )

    def quarantine(self, error: Malformed, feed: str, traceparent: str | None = None) -> Note:
        """What could not be read, kept raw. The same bytes for the same reason are one event, however often met."""
        # A kind of thing may be a vendor's own word, and hold half of a surrogate pair, which nothing can store.
        feed, reason = _storable(feed), _storable(self.masker.mask(str(error)))
        said = (feed.encode(), str(error).encode("utf-8", "surrogatepass"), error.raw)
        identity = hashlib.sha256(b"\0".join(said)).hexdigest()[:32]
        # JSON spells one byte with six at worst, and the rest of the event needs its room too.
        most = min(QUARANTINE_RAW, self.limit // 16)
        if self.whole and len(error.raw) > most:
            # As text, unless it is full of what JSON spells with two bytes and more.
            for as_text in (True, False):
                after = self._kept(error, feed, reason, self.limit * 3 // 4, as_text=as_text)
                if len(self.encode(after)) <= self.limit - QUARANTINE_ROOM:
                    return self.own("quarantine", "occurred", identity, after, traceparent)
        return self.own("quarantine", "occurred", identity, self._kept(error, feed, reason, most), traceparent)

    def _kept(self, error: Malformed, feed: str, reason: str, most: int, *, as_text: bool = True) -> dict[str, Json]:
        # Masked before it is cut: half a secret would not be recognised.
        shown = error.raw[: most + LONGEST_SECRET]
        masked = self.masker.mask(shown.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        sure = len(masked) if shown == error.raw else len(masked) - LONGEST_SECRET
        raw = masked[: min(most, sure)]
        truncated = len(raw) < len(masked)
        after: dict[str, Json] = {
            "vendor": self.vendor,
            "feed": feed,
            "reason": reason[:LONGEST_REASON],
            "bytes": len(error.raw),
            "truncated": truncated,
        }
        text = _text(raw, truncated) if as_text else None
        return after | ({"raw_base64": base64.b64encode(raw).decode()} if text is None else {"raw": text})

    def seal(self, note: Note, change: str, head: Head | None, before: Json) -> tuple[Note, Event]:
        """The event for a note. One that exceeds the server's limit or is not JSON is turned into its quarantine."""
        try:
            return note, self._sealed(note, change, head, before)
        except TooLarge as error:
            # The text is the same each time, so that the same record is one quarantine event.
            why = f"exceeds the NATS server's limit of {error.limit} bytes"
        except ValueError as error:
            why = f"cannot be stored: {error}"
        aside = self._aside(note.record, why, note.traceparent)
        return aside, self._sealed(aside, "occurred", None, None)

    def _sealed(self, note: Note, change: str, head: Head | None, before: Json) -> Event:
        record = note.record
        version = record.version
        if record.gone and version is None and head is not None:
            # Absence names no version; the one that vanished is kept, so that it does not return as a late push.
            version = head.version
        changed: Sequence[str] = ()
        if before is not None:
            changed = changed_fields(before, record.after)
            # It was stored under the paths of its day: what is to be left out now must not return this way.
            before = omit(before, self.omits) if self.omits else before
        raw = record.raw if self.keep_raw else None
        data = data_of(note.key.id, change, version, record.after, before, changed, raw)
        event = self._written(note, change, head, data)
        if not self.masker.found_in(event.payload):
            return event
        # A vendor that puts our own credentials into a record does not get them published. What cannot be masked is
        # looked at once more, as a token may have been learned since the note was written.
        if not note.own and self.masker.mask(names := _names(record)) != names:
            raise ValueError("its id or version is a secret of ours")
        masked = {name: self.masker.mask_tree(data[name]) for name in ("after", "before", "raw")}
        return self._written(note, change, head, {**data, **masked})

    def _written(self, note: Note, change: str, head: Head | None, data: dict[str, Json]) -> Event:
        record = note.record
        # A vendor without versions does not say when it changed a record: then the time of observation is the truth.
        dated = change not in ("updated", "deleted") or data["version"] is not None
        return self._form(note, change).seal(
            note.key,
            data,
            note.digest,
            expected=0 if head is None or record.occurred else head.seq,
            previous="" if head is None else head.ce_id,
            observed_ms=self.wall(),
            at_ms=record.at_ms if dated else None,
            traceparent=note.traceparent,
            encode=self.encode,
            limit=self.limit,
            structured=self.structured,
        )

    def _form(self, note: Note, change: str) -> Form:
        vendor, source, entity, _ = note.key
        kind = vendor, entity, change, note.via
        known = self._forms.get(kind)
        if known is None:
            prefix = own.PREFIX if note.own else self.type_prefix
            shape = own.announced(entity) if note.own else self.schema(entity)
            if len(self._forms) == MOST_KINDS:
                self._forms.clear()
            known = self._forms[kind] = Form(
                vendor,
                source,
                entity,
                change,
                ce_type=f"{prefix}.{entity}.{change}",
                via=note.via,
                dataschema=None if shape is None else uri(shape),
                lane=self.lane,
            )
        return known

    def _aside(self, record: Record, why: str, traceparent: str | None) -> Note:
        raw = legible({"id": record.id, "after": record.after})
        return self.quarantine(Malformed(f"{record.entity} {why}", raw=raw), record.entity, traceparent)


def together(records: Sequence[Record], unreadable: Sequence[Malformed]) -> list[Record | Malformed]:
    """What was read and what could not be, for `Scribe.noting`."""
    return [*records, *unreadable]


def _names(record: Record) -> str:
    """What else of a record is published but its fields: as text, and in places that are no JSON."""
    return record.id if record.version is None else f"{record.id} {record.version}"


def _storable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _text(raw: bytes, truncated: bool) -> str | None:
    """`raw` as text, None if it is none. A character that the cut went through is left out."""
    for dropped in range(4 if truncated else 1):
        try:
            return raw[: len(raw) - dropped].decode()
        except UnicodeDecodeError:
            continue
    return None
