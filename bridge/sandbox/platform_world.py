"""The world behind the played platform: stores of rows, objects that send packets, and what happens to them.

Everything that happens is an event record `{_msgid, _oid?, _gid?, event, time, data}`, handed to every listener in
the order in which it happened, and written down: changes of rows in `ledger`, what happens once in `occurrences`,
packets in `packets`. The journal shows all but packets.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.sandbox.ledger import Change, Clock, Ledger
from bridge.sandbox.platform_names import COMMANDS, CUSTOM, ENTITIES, OPERATIONS, edited, fields, hex_id
from bridge.sandbox.platform_packets import DEFAULT_RECORDING, PacketLog

Row = Mapping[str, Any]
"""A row of a store without its `state`. Never altered: a change makes a new one."""
Event = Mapping[str, Any]
"""An event record. Never altered."""

DAY: Final = 86_400_000
SCOPE: Final = "platform"
PACKET: Final = "object-packet"
SINGLE: Final = ("presence", "command", "custom", "signin", "reset")
EDITS: Final = ("insert", "update", "remove", "flip")
# How often what happens when it is no packet, in parts of a hundred.
WEIGHTS: Final = {
    "update": 30, "presence": 20, "command": 16, "custom": 10, "insert": 10, "flip": 6, "remove": 5, "signin": 3,
}  # fmt: skip


class PlatformWorld:
    """All stores. The seed decides what `change` does.

    `objects`, `models`, `users`: rows there are at the start, created within the last 60 days; `history`: events of
    the last day before it. `packet_share`: how much of what happens by chance is a packet. `deletes`: whether rows
    are ever removed by chance. `whole`: whether `<entity>-insert|update` carry the whole row, or only its name.
    `recording`: the values packets carry.
    """

    def __init__(
        self,
        seed: random.Random | int,
        clock: Clock,
        *,
        objects: int = 5,
        models: int = 2,
        users: int = 3,
        history: int = 10,
        packet_share: float = 0.5,
        deletes: bool = True,
        whole: bool = True,
        recording: Sequence[float] = DEFAULT_RECORDING,
    ) -> None:
        self._rng = seed if isinstance(seed, random.Random) else random.Random(seed)  # noqa: S311  # guessable on purpose
        self._clock = clock
        self.packet_share, self.deletes, self.whole = packet_share, deletes, whole
        self.recording = recording
        self.listeners: list[Callable[[Event], None]] = []
        """Called with every event, packets too, at the moment it happens."""
        self.ledger = Ledger(clock)
        """Every change of every row: `scope` is the store, `id` the `_id`, `record` the row without `state`."""
        self.occurrences = Ledger(clock)
        """What happened once: `scope` is the event type, `id` the `_msgid`, `record` the whole event."""
        self.journal: list[Event] = []
        """Every event but packets, `time` ascending."""
        self.stores: dict[str, dict[str, Row]] = {store: {} for store in ENTITIES}
        self.version: dict[str, int] = {}
        """The ledger's number of each row's version, by `_id`."""
        self.writes: dict[str, int] = dict.fromkeys(ENTITIES, 0)
        """How often each store was written to."""
        self.packets: dict[str, PacketLog] = {}
        """Of every object there ever was, by `_id`."""
        self._online: dict[str, bool] = {}
        self._seqs: dict[str, tuple[Ledger, int]] = {}
        self._keys: dict[str, tuple[int, list[str]]] = {}
        self._reverts: list[tuple[str, str, Any]] = []
        self._asked: list[tuple[str, dict[str, Any]]] = []
        self._prefix = "".join(self._rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz", k=10))
        self._count = self._number = 0
        self._begin(clock(), {"groups": 2, "models": models, "users": users, "objects": objects}, history)

    @property
    def objects(self) -> dict[str, Row]:
        """The rows of the store `objects` by `_id`."""
        return self.stores["objects"]

    @property
    def models(self) -> dict[str, Row]:
        return self.stores["models"]

    @property
    def users(self) -> dict[str, Row]:
        return self.stores["users"]

    # What happens.

    def change(self, kind: str = "") -> Change:
        """Make one thing happen: of this kind, or of one the seed decides; what cannot happen becomes an insert.

        `kind`: `packet`, one of `SINGLE`, one of `EDITS` (of any store), or `<entity>-insert|update|remove`.
        Returns the ledger's entry; a packet has none, so its entry is made up (`seq` 0). Raises ValueError.
        """
        if not kind:
            packet = self._rng.random() < self.packet_share and self.objects
            kind = "packet" if packet else self._choose()
        entity, _, verb = kind.rpartition("-")
        store = next((name for name, what in ENTITIES.items() if what == entity), "")
        if kind == "packet":
            return self._packet_change()
        if kind in SINGLE:
            return self._single(kind)
        if kind not in EDITS and not (store and verb in OPERATIONS.values()):
            known = ", ".join(("packet", *SINGLE, *EDITS, "object-update"))
            raise ValueError(f"nothing that happens is called {kind!r}; there are: {known}, and so on")
        return self._edit(verb, store or self._rng.choices(("objects", "models", "users"), (7, 2, 1))[0])

    def changes(self, n: int, kind: str = "") -> list[Change]:
        """n times `change`."""
        return [self.change(kind) for _ in range(n)]

    def packet(self, oid: str = "", given: Mapping[str, Any] | None = None) -> Event:
        """One packet of an object, or of one the seed decides. `given`: what it says instead of the recording."""
        oid = oid or self._any("objects")
        log = self.packets[oid]
        place = log.add(self._clock(), online=self._online.get(oid, True), given=given)
        event = self._record(PACKET, log.data(place), oid)
        self._tell(event)
        return event

    def occur(self, type_: str, data: Mapping[str, Any], oid: str = "") -> Change:
        """One event that is no change of a row: journalled, written down, told."""
        event = self._record(type_, data, oid)
        change = self.occurrences.append(type_, event["_msgid"], "occurred", type_, event)
        self._enter(event, self.occurrences, change.seq)
        return change

    def write(self, store: str, row: Row | None, id_: str = "", kind: str = "") -> Change:
        """Put a row into a store in place of what it held, or (None) remove `id_`."""
        id_ = row["_id"] if row is not None else id_
        before = self.stores[store].get(id_)
        operation = "deleted" if row is None else "updated" if before is not None else "created"
        change = self.ledger.append(store, id_, operation, kind or operation, row)
        self.writes[store] += 1
        if row is None:
            del self.stores[store][id_], self.version[id_]
        else:
            self.stores[store][id_] = row
            self.version[id_] = change.seq
            if store == "objects" and id_ not in self.packets:
                start = len(self.packets) * 37 % len(self.recording)
                self.packets[id_] = PacketLog(id_, f"devices/{row.get('id')}", self.recording, start)
        shown = self.shown(store, row or before or {})
        data = shown if self.whole else {"name": shown.get("name")}
        event = self._record(f"{ENTITIES[store]}-{OPERATIONS[operation]}", data, id_ if store == "objects" else "")
        self._enter(event, self.ledger, change.seq)
        return change

    def insert(self, store: str, created_ms: int | None = None, **given: Any) -> Change:
        """A new row. `created_ms`: its creation time, now by default; `given`: what it says instead of chance."""
        self._number += 1
        created = self._clock() if created_ms is None else created_ms
        id_ = hex_id(self._rng, created)
        some = {name: self._any(f"{name}s") for name in ("group", "model")}
        row = fields(self._rng, store, self._number, owner=self._any("users"), group=some["group"], model=some["model"])
        always = {"_id": id_, "time": created, "access": [], "branch": [some["group"]] if some["group"] else []}
        return self.write(store, {**always, **row, **given}, kind="insert")

    # What there is.

    def shown(self, store: str, row: Row) -> Row:
        """A row as the vendor shows it: objects have their `state`, the latest packet."""
        log = self.packets.get(row.get("_id", ""))
        if store != "objects" or log is None or not len(log):
            return row
        return {**row, "state": log.row(len(log) - 1)}

    def told(self, event: Event) -> None:
        """An event is being pushed to a client whose socket is open: the ledgers say since when."""
        if event.get("event") != PACKET and (entry := self._seqs.get(event["_msgid"])) is not None:
            entry[0].pushed([entry[1]])

    def listed(self, events: Sequence[Event]) -> None:
        """Events of the journal were served to a client. Changes of rows count as served by their store only."""
        seqs = [self._seqs[event["_msgid"]] for event in events]
        self.occurrences.served(seq for ledger, seq in seqs if ledger is self.occurrences)

    def during(self, low_ms: int, high_ms: int) -> list[Event]:
        """The journal's events whose `time` is from `low_ms` to `high_ms`, both inclusive."""
        low = bisect.bisect_left(self.journal, low_ms, key=_time)
        return self.journal[low : bisect.bisect_right(self.journal, high_ms, key=_time)]

    def state(self) -> dict[str, dict[str, Row]]:
        """What the vendor holds now: rows by store and `_id`."""
        return {store: dict(rows) for store, rows in self.stores.items()}

    def issued_packets(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Every packet: `_oid`, `_ts` in microseconds, `data`."""
        for oid, log in self.packets.items():
            for place, ts in enumerate(log.ts):
                yield oid, ts, log.data(place)

    def row_events(self) -> Iterator[tuple[str, Event]]:
        """Every event that told of a row's change, with the row's store."""
        for event in self.journal:
            ledger, seq = self._seqs[event["_msgid"]]
            if ledger is self.ledger:
                yield ledger.changes[seq - 1].scope, event

    # How it comes about.

    def _begin(self, now: int, counts: Mapping[str, int], history: int) -> None:
        born = [(now - self._rng.randrange(2 * DAY, 60 * DAY), store) for store, n in counts.items() for _ in range(n)]
        real, at = self._clock, 0
        self._clock = lambda: at
        for at, store in sorted(born, key=lambda each: (each[1] == "objects", each[0])):  # noqa: B007  # the clock reads it
            self.insert(store)
        self.journal.sort(key=_time)
        for at in sorted(now - self._rng.randrange(1, DAY) for _ in range(history)):  # noqa: B007
            self._single(self._rng.choice(SINGLE))
        self._clock = real

    def _choose(self) -> str:
        weights = {kind: weight for kind, weight in WEIGHTS.items() if self.deletes or kind != "remove"}
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def _single(self, kind: str) -> Change:
        rng, oid = self._rng, self._any("objects")
        match kind:
            case "presence" if oid:
                there = self._online[oid] = not self._online.get(oid, True)
                return self.occur("object-online" if there else "object-offline", {"online": there}, oid)
            case "command" if self._asked and rng.random() < 0.6:
                asker, asked = self._asked.pop(0)
                failed = rng.random() < 0.2
                data = {**asked, "result": None if failed else "ok", **({"error": "timeout"} if failed else {})}
                return self.occur("object-command-err" if failed else "object-command-res", data, asker)
            case "command" if oid:
                data = {"id": rng.choice(COMMANDS), "request": self._count, "params": {"value": rng.randrange(100)}}
                self._asked.append((oid, data))
                return self.occur("object-command-req", data, oid)
            case "signin":
                return self.occur("user-signin", {"user": self._any("users"), "address": "192.0.2.7"})
            case "reset" if oid:
                return self.occur("object-state-reset", {"reason": rng.choice(("operator", "update"))}, oid)
        return self.occur(rng.choice(CUSTOM), {"level": rng.randrange(5), "note": "ä" * rng.randrange(4)}, oid)

    def _edit(self, verb: str, store: str) -> Change:
        rows = self.stores[store]
        if verb == "flip" and self._reverts:
            owner, id_, before = self._reverts.pop(0)
            if (row := self.stores[owner].get(id_)) is not None:
                return self.write(owner, {**row, "name": before}, kind="revert")
        if verb == "insert" or not rows:
            return self.insert(store)
        id_ = self._any(store)
        if verb == "remove":
            return self.write(store, None, id_)
        if verb == "flip":  # edited, and edited back by a later change: A → B → A
            self._reverts.append((store, id_, rows[id_]["name"]))
            return self.write(store, {**rows[id_], "name": f"to be undone {self._count}"}, kind="flip")
        return self.write(store, {**rows[id_], **edited(self._rng, store, dict(rows[id_]), self._count)}, kind=verb)

    def _packet_change(self) -> Change:
        if not self.objects:
            return self.insert("objects")
        event = self.packet()
        id_ = f"{event['_oid']}.{event['data']['_ts']}"
        return Change(0, event["time"], event["_oid"], id_, "occurred", "packet", event["data"])

    def _any(self, store: str) -> str:
        known = self._keys.get(store)
        if known is None or known[0] != self.writes[store]:
            known = self._keys[store] = self.writes[store], list(self.stores[store])
        return self._rng.choice(known[1]) if known[1] else ""

    def _record(self, type_: str, data: Mapping[str, Any], oid: str) -> dict[str, Any]:
        self._count += 1
        event: dict[str, Any] = {"_msgid": f"{self._prefix}{self._count:012x}"}
        if oid:
            event["_oid"] = oid
            group = self.objects.get(oid, {}).get("group")
            if group:
                event["_gid"] = group
        event |= {"event": type_, "time": self._clock(), "data": data}
        return event

    def _enter(self, event: Event, ledger: Ledger, seq: int) -> None:
        self._seqs[event["_msgid"]] = ledger, seq
        self.journal.append(event)
        self._tell(event)

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


def _time(event: Event) -> int:
    time: int = event["time"]
    return time
