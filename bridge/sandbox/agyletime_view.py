"""What a consumer must see of the played AgyleTime: the judge's own reading, written from the vendor's notes.

Independent of the adapter on purpose: a judge that used the adapter's mapping would check it against itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
ENTITIES: Final = {
    "users": "person",
    "shifts": "shift",
    "tasks": "time-entry",
    "workstreams": "workstream",
    "contacts": "customer-contact",
    "interactions": "interaction",
    "business-roles": "business-role",
    "system-roles": "system-role",
    "definitions": "task-definition",
}
"""What the records of each collection are called in events."""
READ: Final = ("users", "shifts", "tasks", "business-roles", "system-roles", "definitions")
"""The collections that are read unless somebody says otherwise."""
PERSONAL: Final = frozenset({"private", "first_name", "last_name"})
"""What says who somebody is, how to reach them, and why they are away. It is told only where somebody asked for it."""


def as_issued(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a consumer must see it: ids as text, times in milliseconds since the Unix epoch."""
    if "firstName" in record:
        return _user(record)
    if "taskIdentifier" in record:
        return _task(record)
    if "isPublished" in record:
        return {
            "person_id": str(record["userId"]),
            "starts_at": _ms(record["startTime"]),
            "ends_at": _ms(record["endTime"]),
            "published": record["isPublished"],
        }
    if "workloadChannel" in record:
        named = {"category": "categoryName", "channel": "workloadChannel", "paid": "isPaid", "planned": "isPlanned"}
        return {
            "name": record["name"],
            "leave": record["isLeave"],
            "pause": record["isBreak"],
            **{ours: record[theirs] for ours, theirs in named.items()},
        }
    if "identifier" in record:
        return {
            "number": record["identifier"],
            "kind": record["type"],
            "queue": record["queue"],
            "started_at": _ms(record["startTime"]),
            "ended_at": _ms(record["endTime"]),
        }
    return {"name": record["name"], "category": record.get("category")}


def as_seen(after: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `after` in the same terms: times may be RFC 3339; what is personal is left out."""
    return {
        name: _ms(value) if name.endswith("_at") and isinstance(value, str) else value
        for name, value in after.items()
        if name not in PERSONAL
    }


def _user(record: Mapping[str, Any]) -> dict[str, Any]:
    team = record["team"] or {}
    return {
        "active": record["isActive"],
        "role": record["systemRole"]["name"],
        "roles": record["roles"],
        "company_id": str(record["organisationId"]),
        "team_id": str(team["id"]) if team else None,
        "team_name": team.get("name"),
        "time_zone": record["timezone"],
        "started_at": _ms(record["startAt"]),
    }


def _task(record: Mapping[str, Any]) -> dict[str, Any]:
    away = record["isLeave"] == 1
    what = {
        "kind": record["taskTypeIdentifier"],
        "task_id": str(record["taskId"]),
        "task_name": record["name"],
        "task_number": record["taskIdentifier"],
    }
    return {
        "person_id": str(record["userId"]),
        "started_at": _ms(record["startTime"]),
        "ended_at": _ms(record["endTime"]),
        "created_at": _ms(record["createdAt"]),
        "integration": record["integrationAlias"],
        "shift_id": str(record["shiftId"]) if record["shiftId"] else None,
        "paid": record["isPaid"] == 1,
        "productive": record["isProductive"] == 1,
        "leave": away,
        "pause": record["isBreak"] == 1,
        **({} if away else what),
    }


def _ms(text: str | None) -> int | None:
    return None if text is None else (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
