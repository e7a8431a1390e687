"""What the played agency does all day: projects, tasks, hours, customers, contacts, and the ledger of all of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from bridge.sandbox.ledger import Change, Clock, Ledger
from bridge.sandbox.prosonata_fields import RESOURCES
from bridge.sandbox.prosonata_rows import CATEGORIES, PERSONS, edited, made

Row = Mapping[str, Any]
"""A row's own fields. Never altered: a change makes a new one."""

DAY_MS: Final = 86_400_000
VERBS: Final = ("insert", "update", "delete", "flip", "deactivate", "activate")
# How often what happens, in parts of a hundred, and where.
_WEIGHTS: Final = {"update": 46, "insert": 30, "flip": 6, "delete": 8, "deactivate": 6, "activate": 4}
_PLACES: Final = {
    "projecttimes": 30, "projecttasks": 25, "projects": 12, "workingtimes": 10, "crmevents": 8, "contacts": 5,
    "customers": 3, "addresses": 3, "quotations": 2, "externalcosts": 2,
}  # fmt: skip
_START: Final = {
    "customers": 0.5, "addresses": 0.7, "contacts": 1, "projects": 1, "projecttasks": 3, "projecttimes": 6,
    "workingtimes": 4, "crmevents": 1, "quotations": 0.5, "externalcosts": 0.5,
}  # fmt: skip
"""Rows there are at the start, for each project."""
_HIDEABLE: Final = ("contacts", "addresses")


class ProsonataWorld:
    """All collections. The seed decides what `change` does. Ids are per collection, ascending, with gaps."""

    def __init__(self, seed: random.Random | int, clock: Clock, *, size: int = 8, deletes: bool = True) -> None:
        self._rng = seed if isinstance(seed, random.Random) else random.Random(seed)  # noqa: S311  # guessable on purpose
        self._clock = clock
        self.deletes = deletes
        self.ledger = Ledger(clock)
        """Every change: `scope` is the resource, `id` the row's, `record` the row's own fields."""
        self.rows: dict[str, dict[int, Row]] = {path: {} for path in RESOURCES}
        """By id, ascending."""
        self.version: dict[tuple[str, int], int] = {}
        """The ledger's number of each row's version."""
        self.hours: dict[int, float] = {}
        """What was booked on each project."""
        self._next = {path: self._rng.randrange(10, 4000) for path in RESOURCES}
        self._count = 0
        self._reverts: list[tuple[str, int, Row]] = []
        now = clock()
        for path, share in _START.items():
            for _ in range(max(1, round(size * share))):
                self.insert(path, now - self._rng.randrange(DAY_MS, 60 * DAY_MS))
        for path in _HIDEABLE:
            for id_ in list(self.rows[path])[3::4]:
                self._hide(path, id_, 0)

    # What happens.

    def change(self, kind: str = "") -> Change:
        """Make one thing happen: what the seed decides, one of `VERBS`, or `<resource>-<verb>`.

        What cannot happen becomes an insert. Raises ValueError for what is none of these.
        """
        if not kind:
            weights = {verb: weight for verb, weight in _WEIGHTS.items() if self.deletes or verb != "delete"}
            kind = self._rng.choices(list(weights), list(weights.values()))[0]
        path, _, verb = kind.rpartition("-")
        if verb not in VERBS or (path and path not in RESOURCES):
            raise ValueError(f"nothing that happens is called {kind!r}; there are: {', '.join(VERBS)}, projects-update")
        if verb in ("deactivate", "activate"):
            places = [path] if path in _HIDEABLE else _HIDEABLE
        else:
            places = [path] if path else self._rng.choices(list(_PLACES), list(_PLACES.values()))
        return self._happen(verb, self._rng.choice(places))

    def insert(self, path: str, created_ms: int | None = None, **given: Any) -> Change:
        """A new row. `given`: what it says instead of chance."""
        self._count += 1
        self._next[path] += self._rng.choice((1, 1, 1, 2, 5))
        now = self._clock() if created_ms is None else created_ms
        id_ = self._next[path]
        row = made(self._rng, path, self._count, now, self._some)
        return self.write(path, id_, {RESOURCES[path].key: id_, **row, **given}, "insert")

    def update(self, path: str, id_: int, **given: Any) -> Change:
        """Other values for some fields of a row."""
        return self.write(path, id_, {**self.rows[path][id_], **given}, "update")

    def delete(self, path: str, id_: int) -> Change:
        """A row that is gone."""
        return self.write(path, id_, None, "delete")

    def write(self, path: str, id_: int, row: Row | None, kind: str) -> Change:
        """Put a row in place of what was there, or (None) remove it."""
        before = self.rows[path].get(id_)
        operation = "deleted" if row is None else "updated" if before is not None else "created"
        change = self.ledger.append(path, str(id_), operation, kind, row)
        if path == "projecttimes":
            for each, sign in ((before, -1), (row, 1)):
                if each is not None:
                    project = each["projectID"]
                    self.hours[project] = self.hours.get(project, 0.0) + sign * float(each["workingTime"])
        if row is None:
            del self.rows[path][id_], self.version[path, id_]
        else:
            self.rows[path][id_] = row
            self.version[path, id_] = change.seq
        return change

    # What there is.

    def shown(self, path: str, row: Row) -> dict[str, Any]:
        """A row with what it shows of others."""
        match path:
            case "projects":
                booked = f"{self.hours.get(row['projectID'], 0.0):.2f}"
                return {**row, "customerName": self._name("customers", row["customerID"]), "timeNeeded": booked}
            case "projecttimes":
                project = self.rows["projects"].get(row["projectID"], {})
                return {
                    **row,
                    "projectNo": project.get("projectNo"),
                    "projectName": project.get("projectName"),
                    "customerName": self._name("customers", row["customerID"]),
                    "categoryName": CATEGORIES.get(row["category"]),
                    "username": _person(row["userID"])[0],
                }
            case "workingtimes":
                name, first, last = _person(row["userID"])
                return {**row, "username": name, "userFirstName": first, "userLastName": last}
            case "customers":
                count = sum(one["customerID"] == row["customerID"] for one in self.rows["projects"].values())
                return {**row, "projectCounter": count, "invoiceCounter": count * 2}
        return dict(row)

    def state(self) -> dict[str, dict[str, Row]]:
        """What the vendor holds now: rows by resource and id."""
        return {path: {str(id_): row for id_, row in rows.items()} for path, rows in self.rows.items()}

    # How it comes about.

    def _happen(self, verb: str, path: str) -> Change:
        rows, now = self.rows[path], self._clock()
        if verb == "flip" and self._reverts:
            owner, id_, before = self._reverts.pop(0)
            if id_ in self.rows[owner]:
                return self.write(owner, id_, before, "revert")
        if verb == "insert" or not rows:
            return self.insert(path)
        id_ = self._some(path)
        self._count += 1
        match verb:
            case "delete" if len(rows) > 2:
                return self.delete(path, id_)
            case "deactivate" | "activate":
                hidden, active = RESOURCES[path].active, int(verb == "activate")
                others = [id_ for id_, row in rows.items() if row[hidden] != active]
                return self._hide(path, self._rng.choice(others), active) if others else self.insert(path)
            case "flip" if path != "projecttasks":  # edited, and edited back by a later change: A → B → A
                self._reverts.append((path, id_, rows[id_]))
        given = edited(self._rng, path, rows[id_], self._count, now, self._some)
        return self.write(path, id_, {**rows[id_], **given}, verb if verb == "flip" else "update")

    def _hide(self, path: str, id_: int, active: int) -> Change:
        verb = "activate" if active else "deactivate"
        return self.write(path, id_, {**self.rows[path][id_], RESOURCES[path].active: active}, verb)

    def _some(self, path: str) -> int:
        return self._rng.choice(list(self.rows[path])) if self.rows[path] else 0

    def _name(self, path: str, id_: int) -> Any:
        return self.rows[path].get(id_, {}).get("customerName")


def _person(user: int) -> tuple[str, str, str]:
    first, last = PERSONS.get(user, ("", ""))
    return f"{first[:1]}{last}".lower(), first, last
