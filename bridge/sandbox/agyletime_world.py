"""The world behind the AgyleTime sandbox: staff, shifts, timelines, inbound work, and what happens to them.

Every record has the vendor's `_id`, which grows with creation as those of MongoDB do. Each change moves `updatedAt`
and `__v`; some move nothing else.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator
from typing import Any, Final

from bridge.sandbox import agyletime_rows as rows
from bridge.sandbox.agyletime_rows import DAY, HOUR, MINUTE, Row, moment, stamp
from bridge.sandbox.ledger import Change, Clock, Ledger

COLLECTIONS: Final = (
    "users", "shifts", "tasks", "workstreams", "contacts", "interactions", "business-roles", "system-roles",
    "definitions",
)  # fmt: skip
INBOUND: Final = ("workstreams", "contacts", "interactions")
AHEAD: Final = 27 * DAY

# How often what happens, in parts of a hundred.
WEIGHTS: Final = {
    "began": 16, "ended": 14, "corrected": 14, "late": 6, "dropped": 4, "shift": 8, "moved": 10, "cancelled": 4,
    "hired": 2, "edited": 6, "left": 2, "removed": 1, "flip": 4, "revert": 4, "touched": 2, "inbound": 2, "renamed": 1,
    "backdated": 3, "postponed": 0,
}  # fmt: skip
DELETES: Final = frozenset({"dropped", "cancelled", "removed"})


class Collection:
    """Records in the order of their creation, by `_id`."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.seqs: dict[str, int] = {}
        """The ledger's number of each record's version."""
        self.by_key: dict[str, str] = {}
        self._order: list[str] = []

    def put(self, oid: str, row: Row, seq: int) -> None:
        """A record, new or in place of what it was."""
        if oid not in self.rows:
            bisect.insort(self._order, oid)
            self.by_key[str(row["id"])] = oid
        self.rows[oid], self.seqs[oid] = row, seq

    def remove(self, oid: str) -> Row:
        """The record is gone."""
        row = self.rows.pop(oid)
        del self.seqs[oid], self.by_key[str(row["id"])], self._order[bisect.bisect_left(self._order, oid)]
        return row

    def after(self, oid: str) -> Iterator[str]:
        """The `_id`s created later than this one, which need not exist ("": all)."""
        yield from self._order[bisect.bisect_right(self._order, oid) :]

    def any(self, rng: random.Random) -> str:
        """Some record's `_id`; "" if there is none."""
        return rng.choice(self._order) if self._order else ""


class World:
    """All collections. The seed decides what `change` does. `late_days`: how old tasks are that still change."""

    def __init__(
        self,
        rng: random.Random,
        clock: Clock,
        *,
        users: int = 8,
        shifts: int = 20,
        tasks: int = 40,
        contacts: int = 6,
        deletes: bool = True,
        late_days: float = 13.0,
    ) -> None:
        self._rng, self._clock = rng, clock
        self.deletes, self.late_days = deletes, late_days
        self.ledger = Ledger(clock)
        """`scope` is the collection, `id` the record's number as text, `record` all of it."""
        self.collections = {name: Collection() for name in COLLECTIONS}
        self.writes: dict[str, int] = dict.fromkeys(COLLECTIONS, 0)
        self._process = f"{rng.getrandbits(40):010x}"
        self._count = 0
        self._reverts: list[tuple[str, Any]] = []
        self._begin(users, shifts, tasks, contacts)

    def change(self, kind: str = "") -> Change:
        """Make one change: of this kind, or of one the seed decides; what cannot happen now becomes `late`.

        `kind`: a key of `WEIGHTS`. Raises ValueError for another.
        """
        if not kind:
            weights = {kind: weight for kind, weight in WEIGHTS.items() if self.deletes or kind not in DELETES}
            kind = self._rng.choices(list(weights), list(weights.values()))[0]
        if kind not in WEIGHTS:
            raise ValueError(f"no change is called {kind!r}; there are: {', '.join(WEIGHTS)}")
        made = self._timeline(kind) or self._roster(kind) or self._staff(kind)
        return made if made is not None else self._enter_late()

    def state(self) -> dict[str, dict[str, Row]]:
        """What the vendor holds now: records by collection and number."""
        return {
            name: {str(row["id"]): row for row in collection.rows.values()}
            for name, collection in self.collections.items()
        }

    def create(self, name: str, row: Row, kind: str = "created") -> Change:
        """A new record, created now; a task has no `updatedAt` before its first change."""
        created = self._clock()
        self._count += 1
        oid = f"{created // 1000:08x}{self._process}{self._count:06x}"
        beside = {"createdAt": stamp(created), "updatedAt": None if name == "tasks" else stamp(created), "__v": 0}
        return self._write(name, oid, {"_id": oid, **row, **beside}, "created", kind)

    def edit(self, name: str, oid: str, kind: str, /, **given: Any) -> Change:
        """A record says something else from now on."""
        row = self.collections[name].rows[oid]
        beside = {"updatedAt": stamp(self._clock()), "__v": row["__v"] + 1}
        return self._write(name, oid, {**row, **given, **beside}, "updated", kind)

    def remove(self, name: str, oid: str, kind: str) -> Change:
        """A record is gone for good."""
        row = self.collections[name].remove(oid)
        self.writes[name] += 1
        return self.ledger.append(name, str(row["id"]), "deleted", kind, None)

    def _write(self, name: str, oid: str, row: Row, operation: str, kind: str) -> Change:
        change = self.ledger.append(name, str(row["id"]), operation, kind, row)
        self.collections[name].put(oid, row, change.seq)
        self.writes[name] += 1
        return change

    # What happens.

    def _timeline(self, kind: str) -> Change | None:
        tasks, rng, now = self.collections["tasks"], self._rng, self._clock()
        match kind:
            case "began":
                return self.create("tasks", rows.task(rng, self._number(), self._user(), now, None, None), kind)
            case "ended":
                under_way = [oid for oid in self._recent() if tasks.rows[oid]["endTime"] is None]
                return self.edit("tasks", rng.choice(under_way), kind, endTime=stamp(now)) if under_way else None
            case "corrected" if recent := self._recent():
                oid = rng.choice(recent)
                begun = moment(tasks.rows[oid]["startTime"])
                if rng.random() < 0.3:  # it was not then that it began
                    oldest = now - round(self.late_days * DAY)
                    begun = max(oldest, min(now, begun + rng.randrange(-10 * HOUR, 10 * HOUR)))
                end = {"endTime": stamp(begun + rng.randrange(1, 8 * 60) * MINUTE)} if rng.random() < 0.5 else {}
                return self.edit("tasks", oid, kind, startTime=stamp(begun), **rows.of_kind(rng.randrange(8)), **end)
            case "backdated" if recent := self._recent(hours=6):  # out of every short window
                oid = rng.choice(recent)
                begun = moment(tasks.rows[oid]["startTime"]) - rng.randrange(10, 30) * HOUR
                return self.edit("tasks", oid, kind, startTime=stamp(begun), endTime=stamp(begun + HOUR))
            case "dropped" if recent := self._recent():
                return self.remove("tasks", rng.choice(recent), kind)
        return None

    def _roster(self, kind: str) -> Change | None:
        shifts, rng, now = self.collections["shifts"], self._rng, self._clock()
        if kind == "shift":
            start = now + rng.randrange(HOUR, AHEAD)
            return self.create("shifts", rows.shift(rng, self._number(), self._user(), start), kind)
        near = [oid for oid, row in shifts.rows.items() if now - 12 * HOUR <= moment(row["startTime"]) <= now + AHEAD]
        if not near:
            return None
        oid = rng.choice(near)
        match kind:
            case "moved":
                start = moment(shifts.rows[oid]["startTime"]) + rng.randrange(-4, 5) * HOUR // 2
                start = min(max(start, now - 12 * HOUR), now + AHEAD)
                return self.edit("shifts", oid, kind, startTime=stamp(start), endTime=stamp(start + 6 * HOUR))
            case "postponed":  # out of every window
                start = now + 60 * DAY
                return self.edit("shifts", oid, kind, startTime=stamp(start), endTime=stamp(start + 6 * HOUR))
            case "cancelled":
                return self.remove("shifts", oid, kind)
        return None

    def _staff(self, kind: str) -> Change | None:
        users, rng = self.collections["users"], self._rng
        oid = users.any(rng)
        match kind:
            case "hired":
                return self.create("users", rows.user(rng, self._number(), self._clock()), kind)
            case "edited" if oid:
                team = rng.randrange(1, 100)
                given = {"team": {"id": team, "name": f"Team {team}"}, "teamId": team, "teamName": f"Team {team}"}
                return self.edit("users", oid, kind, **given)
            case "left" if oid:
                return self.edit("users", oid, kind, isActive=not users.rows[oid]["isActive"])
            case "removed" if len(users.rows) > 1:
                return self.remove("users", oid, kind)
            case "flip" if oid:  # edited, and edited back by a later change: A → B → A
                self._reverts.append((oid, users.rows[oid]["timezone"]))
                return self.edit("users", oid, kind, timezone=f"Etc/GMT+{rng.randrange(1, 12)}")
            case "revert":
                while self._reverts:
                    oid, zone = self._reverts.pop(0)
                    if oid in users.rows:
                        return self.edit("users", oid, kind, timezone=zone)
            case "touched" if oid:  # only `updatedAt` and `__v` move
                return self.edit("users", oid, kind)
            case "inbound":
                name = rng.choice(INBOUND)
                return self.create(name, rows.inbound(rng, name, self._number(), self._clock()), kind)
            case "renamed":
                name = rng.choice(("business-roles", "definitions"))
                oid = self.collections[name].any(rng)
                return self.edit(name, oid, kind, name=f"Renamed {rng.randrange(1000)}") if oid else None
        return None

    def _enter_late(self) -> Change:
        """A task that somebody enters days after it was done."""
        rng = self._rng
        start = self._clock() - rng.randrange(HOUR, max(2 * HOUR, round(self.late_days * DAY)))
        end = start + rng.randrange(1, 120) * MINUTE
        return self.create("tasks", rows.task(rng, self._number(), self._user(), start, end, None), "late")

    # How it comes about.

    def _begin(self, users: int, shifts: int, tasks: int, contacts: int) -> None:
        rng, now, real = self._rng, self._clock(), self._clock
        old = now - 30 * DAY
        self._clock = lambda: old
        for row in rows.definitions():
            self.create("definitions", row, "initial")
        for kind in ("business-roles", "system-roles"):
            for row in rows.roles(kind):
                self.create(kind, row, "initial")
        for _ in range(users):
            self.create("users", rows.user(rng, self._number(), old), "initial")
        for _ in range(shifts):
            start = now + rng.randrange(-12 * HOUR, AHEAD)
            self.create("shifts", rows.shift(rng, self._number(), self._user(), start), "initial")
        reach = max(2 * HOUR, round(self.late_days * DAY))
        for start in sorted(now - rng.randrange(HOUR, reach) for _ in range(tasks)):
            self._clock = lambda at=start: at  # type: ignore[misc]
            end = start + rng.randrange(1, 55) * MINUTE
            self.create("tasks", rows.task(rng, self._number(), self._user(), start, end, None), "initial")
        self._clock = real
        for _ in range(contacts):
            for name in INBOUND:
                self.create(name, rows.inbound(rng, name, self._number(), now), "initial")

    def _recent(self, hours: float | None = None) -> list[str]:
        """Tasks young enough to change, or not older than that."""
        oldest = self._clock() - round(self.late_days * DAY if hours is None else hours * HOUR)
        return [oid for oid, row in self.collections["tasks"].rows.items() if moment(row["startTime"]) >= oldest]

    def _user(self) -> Row:
        users = self.collections["users"]
        oid = users.any(self._rng)
        return users.rows[oid] if oid else {"id": 1, "email": "nobody@staff.example"}

    def _number(self) -> int:
        return self._count + 1
