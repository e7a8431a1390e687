"""How the played platform names things: its stores, its change vocabulary, and what its random rows look like.

Stores and event types are those of the vendor's pages and its n8n node; what rows say is ours.
"""

from __future__ import annotations

import random
from typing import Any, Final

ENTITIES: Final = {"objects": "object", "models": "model", "users": "user", "groups": "group"}
"""Each store and what one row of it is called in event types: `<entity>-insert|update|remove`."""
OPERATIONS: Final = {"created": "insert", "updated": "update", "deleted": "remove"}
CUSTOM: Final = ("door-opened", "overheated", "Überhitzung Zone 3", "filter.clogged", "geofence/left")
"""Event types that only this project has. Users choose them, so they may hold anything."""
COMMANDS: Final = ("reboot", "set-interval", "open-valve")
_PLACES: Final = ("Boiler", "Crane", "Truck", "Pump", "Greenhouse", "Silo", "Chiller", "Buoy")
_NAMES: Final = ("Anna", "Bilal", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Göran", "Hana")


def hex_id(rng: random.Random, created_ms: int) -> str:
    """An ObjectId: four bytes of seconds, eight of chance; 24 hex digits."""
    return f"{created_ms // 1000 & 0xFFFFFFFF:08x}{rng.getrandbits(64):016x}"


def fields(rng: random.Random, store: str, number: int, *, owner: str, group: str, model: str) -> dict[str, Any]:
    """What a new row of a store says, beside `_id`, `time` and what all rows have."""
    match store:
        case "objects":
            return {
                "id": f"dev-{number}",
                "name": f"{rng.choice(_PLACES)} {number}",
                "description": rng.choice(("", "leased", "north yard")),
                "owner": owner,
                "group": group,
                "model": model,
                "status": "active",
                "config": {"interval": rng.choice((10, 60, 300)), "limits": {"high": rng.randrange(30, 90)}},
            }
        case "models":
            arguments = {"id": "temperature", "type": "number", "unit": "°C"}
            name = f"Model {number}"
            return {"name": name, "owner": owner, "group": group, "base": "mqtt", "data": {"children": [arguments]}}
        case "users":
            name = rng.choice(_NAMES)
            login = f"{name.lower()}{number}"
            return {"name": name, "login": login, "email": f"{login}@plant.example", "owner": owner, "group": group}
        case _:
            return {"name": f"Site {number}", "owner": owner}


def edited(rng: random.Random, store: str, row: dict[str, Any], number: int) -> dict[str, Any]:
    """What an edit changes in a row. `number` makes it differ from every edit before."""
    if store == "objects" and rng.random() < 0.6:
        if rng.random() < 0.5:
            return {"config": {**row["config"], "interval": 1000 + number}}
        return {"status": "blocked" if row["status"] == "active" else "active"}
    return {"name": f"{str(row['name']).partition(' #')[0]} #{number}"}
