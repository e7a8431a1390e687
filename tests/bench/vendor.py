"""A pcvisit that costs next to nothing: pages of decoded sessions from memory, so that the bridge is what is measured.

The real adapter reads them. Requests and answers are the vendor's; only HTTP and JSON decoding are left out.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel

from adapters import pcvisit
from bridge.adapter import Json, Record, Request, Response, Secret, Token, Walk

COMPANY = "0b6ff5c4-5a9d-4b8e-9d0c-1f6f8f3f3a10"
REACH_S = 3_024_000.0
_DAY_MS = 86_400_000


class BenchAdapter(pcvisit.Adapter):
    """pcvisit with the long look-back only, and with a live feed whose frames are sessions."""

    def walks(self, token: Token) -> list[Walk]:
        """The slow walk."""
        return [walk for walk in super().walks(token) if "slow" in walk.name]

    def live(self, frame: Json) -> Sequence[Record]:
        """A frame is a session as the history gives it."""
        return [self.record(None, frame)]  # type: ignore[arg-type]  # pcvisit's mapping does not depend on the page


def adapter(name: str, *, page: int = 50, every_s: float = 3600.0) -> BenchAdapter:
    """An adapter whose quota never makes it wait."""
    return BenchAdapter(
        pcvisit.Settings(
            name=name,
            adapter="pcvisit",
            http_url="https://pcvisit.invalid/graphql",
            integrator_token=Secret("integrator-of-the-bench", "bench"),
            user_token=Secret("user-of-the-bench", "bench"),
            requests_per_minute=1_000_000_000,
            history_page_size=page,
            history_slow_every_s=every_s,
            history_slow_reach_s=REACH_S,
        )
    )


def session(rng: random.Random, created_ms: int) -> dict[str, Json]:
    """One session as pcvisit gives it: some 600 bytes of JSON."""
    person, client = f"{rng.getrandbits(32):08x}", f"{rng.getrandbits(32):08x}"
    return {
        "id": str(uuid.UUID(int=rng.getrandbits(128))),
        "name": f"Remote support {rng.randrange(10**6)}",
        "sessionCreatedAt": created_ms,
        "sessionFinishedAt": created_ms + rng.randrange(60_000, 3_600_000),
        "sessionCompanyUuid": COMPANY,
        "state": "FINISHED",
        "type": "REMOTE_SUPPORT",
        "duration": rng.randrange(60_000, 3_600_000),
        "customDuration": None,
        "invoiceState": "OPEN",
        "participants": [
            {
                "supporterIdentity": {"id": person},
                "supporterContact": {"email": f"{person}@example.org"},
                "isSessionCreator": True,
            }
        ],
        "target": {"computerId": str(uuid.UUID(int=rng.getrandbits(128))), "computerDisplayName": f"PC-{client}"},
        "clientCompany": {"clientId": client, "clientName": f"Client {client} GmbH"},
    }


def sessions(count: int, seed: int) -> list[dict[str, Json]]:
    """`count` sessions of ten days ago."""
    rng = random.Random(seed)
    at = time.time_ns() // 1_000_000 - 10 * _DAY_MS
    return [session(rng, at + index) for index in range(count)]


class MemoryVendor:
    """An `Http` that answers from memory. `on_first_page` is called when a pass begins."""

    def __init__(self, rows: Sequence[dict[str, Json]], on_first_page: Callable[[], None] = lambda: None) -> None:
        self._on_first_page = on_first_page
        self._nodes: list[dict[str, Json]] = []
        self._edits = 0
        self._hold(rows)

    def edit(self) -> None:
        """Every session changes one field."""
        self._edits += 1
        self._hold([node["value"] | {"invoiceState": f"EDIT-{self._edits}"} for node in self._nodes])

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        await anyio.lowlevel.checkpoint()
        body: Any = request.json
        if body["query"].startswith("query GetJWT"):
            return _answer("SiRetrieveSignedJwt", {"token": "opaque", "customerUuid": COMPANY})
        asked = body["variables"]["pagination"]
        start = int(asked.get("cursor", "0"))
        if not start:
            self._on_first_page()
        nodes = self._nodes[start : start + asked["lengthStartingFromOffset"]]
        return _answer("AcQuerySessionsHistory", {"totalCount": len(self._nodes), "nodes": nodes})

    def _hold(self, rows: Sequence[dict[str, Json]]) -> None:
        self._nodes = [{"cursor": str(number), "value": row} for number, row in enumerate(rows, 1)]


def _answer(field: str, found: Json) -> Response:
    return Response(200, {}, b"", {"data": {field: {"__typename": "Answer", **found}}})
