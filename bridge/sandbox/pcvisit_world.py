"""The world behind the pcvisit sandbox: companies, their sessions, and how sessions change.

The first eleven records are the vendor's own published samples, as published: `session-uuid-1` and `session-1`
to `session-10`, of 2021. What the samples leave out is null here, but for the creation times of `session-1` to
`session-10`, which are ours (one hour apart, after the first): the query sorts by them. Samples never change.
States, types and invoice states that no sample shows (`Active`, `Scheduled`, `NotInvoiced`) are ours too.
"""

from __future__ import annotations

import bisect
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.sandbox.ledger import Change, Clock, Ledger

Session = Mapping[str, Any]
"""A session in the vendor's fields. Never altered: a change makes a new one."""

SAMPLE_COMPANY: Final = "12345678-1234-1234-1234-123456789012"
REPORTING_SINCE_MS: Final = 1_609_459_200_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

# How often what happens, in parts of a hundred. Deletes come on top, if they are switched on.
WEIGHTS: Final = {
    "new": 28, "closed": 18, "custom_duration": 15, "invoice": 12, "renamed": 10, "flip": 6, "revert": 6, "late": 5,
}  # fmt: skip

_FIRST = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hannes", "Ines", "Jörg")
_TOPICS = ("Drucker", "VPN", "E-Mail", "Backup", "Update", "Login", "Monitor", "Datenbank", "Telefonie", "Scanner")


@dataclass(slots=True)
class Company:
    """One tenant: its sessions by id, the ledger number of each one's version, and their sorted order."""

    uuid: str
    name: str
    sessions: dict[str, Session] = field(default_factory=dict)
    version: dict[str, int] = field(default_factory=dict)
    order: list[tuple[int, str]] = field(default_factory=list)
    samples: set[str] = field(default_factory=set)

    def window(self, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
        """The slice of `order` whose sessions were created from `start_ms` to `end_ms`, both inclusive."""
        low = 0 if start_ms is None else bisect.bisect_left(self.order, (start_ms, ""))
        high = len(self.order) if end_ms is None else bisect.bisect_left(self.order, (end_ms + 1, ""))
        return low, max(low, high)


class World:
    """All companies. Every change goes through `change` and into the ledger; a seed decides which come.

    `history`: sessions of the last 30 days each company starts with. `deletes`: whether sessions are ever
    deleted (in one change of fifty). `recent_samples`: shift the samples by whole days to yesterday, so that
    a short window holds them.
    """

    def __init__(
        self,
        rng: random.Random,
        clock: Clock,
        *,
        companies: int,
        history: int,
        deletes: bool = False,
        recent_samples: bool = False,
    ) -> None:
        self._rng = rng
        self._clock = clock
        self._deletes = deletes
        self.ledger = Ledger(clock)
        self.online = Ledger(clock)
        """Computers that came and went: pushed, but in no history. Its changes have numbers of their own."""
        self._at: dict[tuple[str, str], bool] = {}
        uuids = [SAMPLE_COMPANY, *(self._uuid() for _ in range(companies - 1))]
        self.companies = {id_: Company(id_, f"Systemhaus {n}") for n, id_ in enumerate(uuids, 1)}
        self._reverts: list[tuple[str, str, str, Any]] = []
        self._started_ms = clock()
        shift = (self._started_ms - DAY - REPORTING_SINCE_MS) // DAY * DAY if recent_samples else 0
        self._add_samples(shift)
        for company in self.companies.values():
            for _ in range(history):
                age = rng.randrange(HOUR, DAY) if rng.random() < 0.5 else rng.randrange(DAY, 30 * DAY)
                self._write(company, self._closed_session(company, self._started_ms - age), "created", "initial")

    def change(self, kind: str = "") -> Change:
        """Make one change: of this kind, or of one the seed decides. What cannot happen now becomes `new`.

        `kind`: a key of `WEIGHTS`, `deleted`, `participants` (somebody joins or leaves), `online` (a computer comes
        or goes: a change of the ledger `online`), or `oversized` (a new session whose name is 1.1 MiB long).
        Raises ValueError for another.
        """
        kind = kind or self._choose()
        company = self._rng.choice(list(self.companies.values()))
        match kind:
            case "new":
                return self._write(company, self._open_session(company), "created", kind)
            case "late":
                created = self._clock() - self._rng.randrange(HOUR, 34 * DAY)
                return self._write(company, self._closed_session(company, created), "created", kind)
            case "oversized":
                big = {**self._open_session(company), "name": "ä" * 576_717}
                return self._write(company, big, "created", kind)
            case "revert" if self._reverts:
                owner, id_, name, value = self._reverts.pop(0)
                company = self.companies[owner]
                session = company.sessions.get(id_)
                if session is not None and session[name] != value:
                    return self._write(company, {**session, name: value}, "updated", kind)
            case "deleted":
                session = self._pick(company, lambda session: session["state"] == "Closed")
                if session is not None:
                    return self._delete(company, session)
            case "closed":
                session = self._pick(company, lambda session: session["state"] == "Active")
                if session is not None:
                    return self._write(company, self._close(session), "updated", kind)
            case "online":
                return self._come_or_go(company)
            case "participants":
                session = self._pick(company, lambda session: session["state"] == "Active")
                if session is not None:
                    people = self._other_people(session["participants"])
                    return self._write(company, {**session, "participants": people}, "updated", kind)
            case "custom_duration" | "invoice" | "renamed" | "flip":
                session = self._pick(company, lambda session: session["state"] == "Closed")
                if session is not None:
                    return self._write(company, {**session, **self._edit(company, session, kind)}, "updated", kind)
            case "revert":
                pass
            case _:
                there_are = ", ".join((*WEIGHTS, "deleted", "participants", "online", "oversized"))
                raise ValueError(f"no change is called {kind!r}; there are: {there_are}")
        return self._write(company, self._open_session(company), "created", "new")

    def state(self) -> dict[str, dict[str, Session]]:
        """What the vendor holds now: records by company and id."""
        return {id_: dict(company.sessions) for id_, company in self.companies.items()}

    def _choose(self) -> str:
        weights = {**WEIGHTS, "deleted": 2} if self._deletes else WEIGHTS
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def _edit(self, company: Company, session: Session, kind: str) -> dict[str, Any]:
        rng = self._rng
        if kind == "custom_duration":
            return {"customDuration": _other(rng, session["customDuration"], range(15 * MINUTE, 8 * HOUR, 15 * MINUTE))}
        if kind == "renamed":
            return {"name": f"{rng.choice(_TOPICS)} {rng.choice(_TOPICS)} #{rng.randrange(10_000)}"}
        old = session["invoiceState"]
        if kind == "flip":  # edited, and edited back by a later change: A → B → A
            self._reverts.append((company.uuid, session["id"], "invoiceState", old))
        return {"invoiceState": "NotInvoiced" if old == "Invoiced" else "Invoiced"}

    def _come_or_go(self, company: Company) -> Change:
        id_ = f"pc-{self._rng.randrange(1, 40)}"
        there = self._at[company.uuid, id_] = not self._at.get((company.uuid, id_), False)
        state = {"computerId": id_, "online": there, "changedAt": self._clock()}
        return self.online.append(company.uuid, id_, "updated", "online", state)

    def _other_people(self, people: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The creator stays; a second supporter joins, or leaves."""
        if len(people) > 1:
            return people[:1]
        taken = people[0]["supporterIdentity"]["id"]
        return [*people, self._person(next(n for n in range(2) if f"supporter-{n}" != taken), creator=False)]

    @staticmethod
    def _person(n: int, *, creator: bool) -> dict[str, Any]:
        return {
            "supporterIdentity": {"id": f"supporter-{n}"},
            "supporterContact": {"email": f"{_FIRST[n].lower()}@systemhaus.example"},
            "isSessionCreator": creator,
        }

    def _write(self, company: Company, session: Session, operation: str, kind: str) -> Change:
        id_ = session["id"]
        change = self.ledger.append(company.uuid, id_, operation, kind, session)
        if id_ not in company.sessions:
            bisect.insort(company.order, (session["sessionCreatedAt"], id_))
        company.sessions[id_] = session
        company.version[id_] = change.seq
        return change

    def _delete(self, company: Company, session: Session) -> Change:
        id_ = session["id"]
        del company.sessions[id_], company.version[id_]
        del company.order[bisect.bisect_left(company.order, (session["sessionCreatedAt"], id_))]
        return self.ledger.append(company.uuid, id_, "deleted", "deleted", None)

    def _pick(self, company: Company, fits: Any) -> Session | None:
        """A session of the last 35 days that fits: half of the time one of the last day."""
        now = self._clock()
        reach = DAY if self._rng.random() < 0.5 else 35 * DAY - HOUR
        low, high = company.window(now - reach, None)
        for _ in range(20):
            if low == high:
                return None
            _, id_ = company.order[self._rng.randrange(low, high)]
            session = company.sessions[id_]
            if id_ not in company.samples and fits(session):
                return session
        return next((s for s in self._window(company, low, high) if s["id"] not in company.samples and fits(s)), None)

    @staticmethod
    def _window(company: Company, low: int, high: int) -> Iterator[Session]:
        return (company.sessions[id_] for _, id_ in company.order[low:high])

    def _open_session(self, company: Company) -> Session:
        rng = self._rng
        number = rng.randrange(1, 40)
        supporters = rng.sample(range(len(_FIRST)), rng.choice((1, 1, 1, 2)))
        return {
            "id": self._uuid(),
            "name": f"{rng.choice(_TOPICS)} {rng.choice(_FIRST)}",
            "sessionCreatedAt": self._clock(),
            "sessionFinishedAt": None,
            "sessionCompanyUuid": company.uuid,
            "state": "Active",
            "type": rng.choice(("Adhoc", "Adhoc", "Scheduled")),
            "duration": None,
            "customDuration": None,
            "invoiceState": "NotInvoiced",
            "participants": [self._person(n, creator=place == 0) for place, n in enumerate(supporters)],
            "target": {"computerId": f"pc-{number}", "computerDisplayName": f"Büro {number}"},
            "clientCompany": None
            if rng.random() < 0.1
            else {"clientId": f"client-{number % 9}", "clientName": f"Kunde {number % 9} GmbH & Co. KG"},
        }

    def _closed_session(self, company: Company, created_ms: int) -> Session:
        session = {**self._open_session(company), "sessionCreatedAt": created_ms}
        length = self._rng.randrange(MINUTE, HOUR, SECOND)
        return {**session, "state": "Closed", "sessionFinishedAt": created_ms + length, "duration": length}

    def _close(self, session: Session) -> Session:
        finished = max(self._clock(), session["sessionCreatedAt"])
        length = finished - session["sessionCreatedAt"]
        return {**session, "state": "Closed", "sessionFinishedAt": finished, "duration": length}

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _add_samples(self, shift_ms: int) -> None:
        company = self.companies[SAMPLE_COMPANY]
        created = REPORTING_SINCE_MS + shift_ms
        nothing = dict.fromkeys(
            ("sessionFinishedAt", "sessionCompanyUuid", "state", "type", "duration", "customDuration", "invoiceState",
             "participants", "target", "clientCompany")
        )  # fmt: skip
        first: Session = {
            **nothing,
            "id": "session-uuid-1",
            "name": "Support Session",
            "sessionCreatedAt": created,
            "sessionFinishedAt": created + HOUR,
            "sessionCompanyUuid": SAMPLE_COMPANY,
            "state": "Closed",
            "type": "Adhoc",
            "duration": HOUR,
            "invoiceState": "Invoiced",
        }
        rest = (
            {**nothing, "id": f"session-{n}", "name": f"Session {n}", "sessionCreatedAt": created + n * HOUR}
            for n in range(1, 11)
        )
        for session in (first, *rest):
            company.samples.add(session["id"])
            self._write(company, session, "created", "sample")


def _other(rng: random.Random, old: Any, values: range) -> int:
    value = rng.choice(values)
    return value if value != old else value + values.step
