"""How a shop is read: the adapter of the vendor in `shop.py`, and the settings that its webhooks are taken with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bridge.adapter import (
    Ask,
    BaseSettings,
    Json,
    Limit,
    Login,
    Page,
    Record,
    Request,
    Response,
    Secret,
    Token,
    Walk,
    WebhookSettings,
    setting,
)
from bridge.core.hooks.event_table import EventTable
from tests.support.sim_vendor import SimAdapter, SimSettings

QUOTA_S = 10.0
"""What a quota of a shop is counted over."""
SECRET = "token-of-the-simulation"


@dataclass(frozen=True, kw_only=True)
class ShopSettings(SimSettings):
    """How the shop is read."""

    journal_every_s: float = setting(0.0, doc="seconds between readings of the journal; 0: it is not read")
    reach_s: float = setting(0.0, doc="how far back the journal is read")
    overlap_s: float = setting(0.0, doc="margin of the journal's window")
    telemetry: bool = setting(False, doc="the journal is telemetry")
    confirms: bool = setting(False, doc="who is absent is asked for by id")
    quota: int = setting(0, doc="requests in ten seconds; 0: as many as one likes")


class ShopAdapter(SimAdapter):
    """Facts of the shop. What is asked for stands in the address, so that answers may be asked about again."""

    Settings: ClassVar[type[BaseSettings]] = ShopSettings
    settings: ShopSettings

    @property
    def budget_key(self) -> str:
        """Every shop has a quota of its own."""
        return self.settings.name

    @property
    def limit(self) -> Limit:
        """So many requests, half of them at once."""
        quota = self.settings.quota
        return Limit(quota, QUOTA_S, burst=max(1, quota // 2)) if quota else super().limit

    def login(self) -> Login:
        """One request."""
        flow = super().login()
        try:
            flow.send((yield replace(next(flow), url=f"sim:{self.settings.name}:login")))
        except StopIteration as end:
            token: Token = end.value
            return token
        raise AssertionError("one request is enough")

    def walks(self, token: Token) -> Sequence[Walk]:
        """The things, and the journal."""
        settings = self.settings
        fast, *walks = super().walks(token)
        walks = [replace(fast, confirms=settings.confirms), *walks]
        if settings.journal_every_s:
            walks.append(
                Walk(
                    "journal", "beep", settings.journal_every_s, page_size=settings.page_size, once=True,
                    reach_s=settings.reach_s, overlap_s=settings.overlap_s, telemetry=settings.telemetry,
                )
            )  # fmt: skip
        return walks

    def request(self, ask: Ask, token: Token) -> Request:
        """One page of either, or one thing."""
        asked: dict[str, Json] = {"after": ask.position, "size": ask.walk.page_size}
        if ask.ids:
            asked["id"] = ask.ids[0]
        elif ask.walk.once and ask.window is not None:
            asked["window"] = [ask.window.start_ms, ask.window.end_ms]
        url = f"sim:{self.settings.name}:things?{json.dumps(asked)}"
        return Request("GET", url, {"authorization": token.value})

    def page(self, ask: Ask, response: Response) -> Page:
        """What is read twice of a journal is no sign that it does not advance."""
        return replace(super().page(ask, response), repeats=ask.walk.once)

    def record(self, ask: Ask, row: Json) -> Record:
        """A thing, or what happened once."""
        return self._beep(row) if ask.walk.once else super().record(ask, row)

    def live(self, frame: Json) -> Sequence[Record]:
        """Either."""
        return [self._beep(frame)] if "at" in frame else super().live(frame)

    def _beep(self, row: Json) -> Record:
        return Record(
            "beep", row["id"], {"at": row["at"]}, at_ms=row["at"], occurred=True, telemetry=self.settings.telemetry
        )


def webhooks(name: str) -> WebhookSettings:
    """What the shop's webhooks tell, where it pushes them and is not read at all."""
    return WebhookSettings(
        name=name,
        adapter="webhook",
        verify="bearer",
        secrets=[Secret(SECRET)],
        event=[
            EventTable(when={"body.kind": "beep"}, entity="beep", id="body.id", fields={"at": "body.at"}),
            EventTable(
                entity="thing", id="body.id", change="changed", version="body.n", gone="body.gone",
                fields={"value": "body.value"},
            ),
        ],
    )  # fmt: skip
