"""What the records of the played AgyleTime say: invented people, their shifts and what they spent their time on.

Fields of users and tasks are those that clients of the vendor are known to read; those of all else are ours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

Row = Mapping[str, Any]
"""A record as the vendor has it. Never altered: a change makes a new one."""

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_GIVEN: Final = ("Ada", "Bela", "Cleo", "Dara", "Edda", "Finn", "Gwen", "Hugo", "Ines", "Joel", "Kaya", "Lior")
_FAMILY: Final = ("Abendrot", "Birkenfeld", "Cornwell", "Dünenberg", "Eichhorst", "Farnsworth", "Glasmoor", "Heidekamp")
_ZONES: Final = ("Europe/Berlin", "Australia/Sydney", "America/Denver", "Pacific/Auckland")
_TEAMS: Final = ("Billing", "Orders", "Night desk", "Returns")
_ROLES: Final = ("Agent", "Team leader", "Planner", "Administrator")
# name, is it productive, leave, a break, paid
_TASKS: Final = (
    ("Phone", 1, 0, 0, 1), ("Chat", 1, 0, 0, 1), ("E-mail", 1, 0, 0, 1), ("Training", 0, 0, 0, 1),
    ("Lunch", 0, 0, 1, 0), ("Short break", 0, 0, 1, 1), ("Sick leave", 0, 1, 0, 1), ("Annual leave", 0, 1, 0, 1),
)  # fmt: skip
_CHANNELS: Final = ("voice", "chat", "email")


def stamp(ms: int) -> str:
    """As the vendor writes times: `2007-11-06T16:34:41.000Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def moment(text: str) -> int:
    """A time in milliseconds since the Unix epoch. Raises ValueError for what is none."""
    found = datetime.fromisoformat(text)
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def user(rng: random.Random, number: int, now: int) -> dict[str, Any]:
    """A member of staff who does not exist."""
    given, family = rng.choice(_GIVEN), rng.choice(_FAMILY)
    team, role = rng.randrange(len(_TEAMS)), rng.randrange(len(_ROLES))
    return {
        "id": 1000 + number,
        "firstName": given,
        "lastName": family,
        "email": f"{given}.{family}.{number}@staff.example".lower(),
        "timezone": rng.choice(_ZONES),
        "organisationId": 77,
        "roles": sorted(rng.sample(["inbound", "outbound", "backoffice"], 2)),
        "startAt": stamp(now - rng.randrange(30, 900) * DAY),
        "integrations": [],
        "team": {"id": 10 + team, "name": _TEAMS[team]},
        "teamId": 10 + team,
        "teamName": _TEAMS[team],
        "systemRole": {"id": 1 + role, "name": _ROLES[role], "category": "standard"},
        "isActive": True,
        "permissions": {"schedule": rng.random() < 0.5},
    }


def shift(rng: random.Random, number: int, user_: Row, start: int) -> dict[str, Any]:
    """A published shift. Its fields are ours: none is documented."""
    length = rng.choice((4, 6, 8)) * HOUR
    return {
        "id": 50_000 + number,
        "userId": user_["id"],
        "startTime": stamp(start),
        "endTime": stamp(start + length),
        "breaks": [{"startTime": stamp(start + length // 2), "minutes": rng.choice((15, 30))}],
        "isPublished": True,
    }


def task(rng: random.Random, number: int, user_: Row, start: int, end: int | None, shift_id: int | None) -> Row:
    """An entry of an agent's timeline; without an end it is under way."""
    kind = rng.randrange(len(_TASKS))
    return {
        "id": 900_000 + number,
        "startTime": stamp(start),
        "endTime": None if end is None else stamp(end),
        **of_kind(kind),
        "integrationAlias": rng.choice(("five9", "manual", None)),
        "userEmail": user_["email"],
        "userId": user_["id"],
        "shiftDataId": None,
        "shiftId": shift_id,
    }


def of_kind(kind: int) -> dict[str, Any]:
    """What an entry says of the kind of its task; `kind` counts the definitions from 0, and round again."""
    kind %= len(_TASKS)
    name, productive, leave, pause, paid = _TASKS[kind]
    return {
        "taskId": 300 + kind,
        "taskIdentifier": name.lower().replace(" ", "-"),
        "taskTypeIdentifier": "leave" if leave else "break" if pause else "work",
        "name": name,
        "colour": f"#{(kind * 2_345_679) % 0xFFFFFF:06x}",
        "isProductive": productive,
        "isLeave": leave,
        "isBreak": pause,
        "isPaid": paid,
    }


def definitions() -> list[dict[str, Any]]:
    """The kinds of tasks there are."""
    return [
        {
            "id": 300 + kind,
            "name": name,
            "isPaid": bool(paid),
            "isPlanned": not pause,
            "isLeave": bool(leave),
            "isBreak": bool(pause),
            "categoryName": "leave" if leave else "breaks" if pause else "work",
            "workloadChannel": _CHANNELS[kind % 3],
        }
        for kind, (name, _, leave, pause, paid) in enumerate(_TASKS)
    ]


def roles(kind: str) -> list[dict[str, Any]]:
    """The roles there are, of business or of the system."""
    if kind == "system-roles":
        return [{"id": 1 + at, "name": name, "category": "standard"} for at, name in enumerate(_ROLES)]
    return [{"id": 40 + at, "name": name} for at, name in enumerate(("inbound", "outbound", "backoffice"))]


def inbound(rng: random.Random, kind: str, number: int, now: int) -> dict[str, Any]:
    """A contact, a workstream or an interaction. Its fields are ours, but `identifier` and `type`."""
    letter, channel = kind[0], rng.choice(_CHANNELS)
    start = now - rng.randrange(0, 2 * DAY)
    return {
        "id": 7_000_000 + number,
        "identifier": f"{letter}-{number:05d}",
        "type": channel,
        "queue": rng.choice(_TEAMS),
        "startTime": stamp(start),
        "endTime": stamp(start + rng.randrange(1, 40) * MINUTE),
        "handledSeconds": rng.randrange(20, 2400),
    }
