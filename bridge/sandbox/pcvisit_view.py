"""What a consumer must see of a pcvisit session: the oracle's own mapping, written from the vendor's notes.

Independent of the adapter on purpose: a judge that used the adapter's mapping would check it against itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TIMES = ("created_at", "finished_at")


def as_issued(record: Mapping[str, Any]) -> dict[str, Any]:
    """A vendor record as a consumer must see it, times in milliseconds since the Unix epoch, no e-mail addresses."""
    target = record["target"] or {}
    client = record["clientCompany"] or {}
    return {
        "name": record["name"],
        "state": record["state"],
        "type": record["type"],
        "created_at": record["sessionCreatedAt"],
        "finished_at": record["sessionFinishedAt"],
        "duration_ms": record["duration"],
        "custom_duration_ms": record["customDuration"],
        "invoice_state": record["invoiceState"],
        "company_id": record["sessionCompanyUuid"],
        "participants": _sorted(
            {"supporter_id": person["supporterIdentity"]["id"], "is_creator": person["isSessionCreator"]}
            for person in record["participants"] or []
        ),
        "computer": {"id": target.get("computerId"), "name": target.get("computerDisplayName")},
        "client": {"id": client.get("clientId"), "name": client.get("clientName")},
    }


def as_seen(after: Mapping[str, Any]) -> dict[str, Any]:
    """An event's `after` in the same terms: times may be RFC 3339; the id and e-mail addresses are left out."""
    seen = {name: value for name, value in after.items() if name != "id"}
    for name in _TIMES:
        if isinstance(seen.get(name), str):
            seen[name] = (datetime.fromisoformat(seen[name]) - _EPOCH) // timedelta(milliseconds=1)
    seen["participants"] = _sorted(
        {name: value for name, value in person.items() if name != "email"} for person in seen.get("participants") or []
    )
    return seen


def _sorted(people: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    # Their order means nothing.
    return sorted(people, key=lambda person: str(person.get("supporter_id")))
