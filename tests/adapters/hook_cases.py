"""The adapters that take webhooks, each with deliveries in the shapes of public senders, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters import webhook
from bridge.adapter import Adapter, Json, Secret, WebhookSettings
from bridge.core.canonical import legible
from bridge.core.hooks.event_table import EventTable
from bridge.core.hooks.settings import HmacTable
from bridge.core.hooks.verification import Shown
from tests.adapters.cases import sample


@dataclass(frozen=True)
class HookCase:
    """One adapter with what one kind of sender posts. `make` builds it anew, with the same settings every time."""

    name: str
    sender: str
    make: Callable[[], Adapter[Any]]
    deliveries: Sequence[Json]
    secrets: Sequence[str]

    def shown(self) -> list[tuple[Shown, Sequence[Json]]]:
        """The requests, and what each is to make."""
        return [(_shown(one), one["makes"]) for one in self.deliveries]


def _shown(one: Json) -> Shown:
    headers = {name.lower(): text for name, text in one["headers"].items()}
    return Shown({"content-type": "application/json", **headers}, {}, legible(one["body"]))


def _settings(name: str, **given: Any) -> WebhookSettings:
    return WebhookSettings(name=name, adapter="webhook", **given)


def _case(sender: str, settings: WebhookSettings, *secrets: str) -> HookCase:
    return HookCase("webhook", sender, lambda: webhook.Adapter(settings), sample(f"webhook/{sender}.json"), secrets)


HUB = _settings(
    "hub",
    verify="hmac",
    secrets=[Secret("hub-secret-0001", "env HUB_SECRET"), Secret("hub-secret-0002", "env HUB_SECRET_OLD")],
    hmac=HmacTable(header="X-Hub-Signature-256", prefix="sha256="),
    delivery_id="headers.X-Hub-Delivery",
    event=[
        EventTable(when={"headers.X-Hub-Event": "ping"}, drop=True),
        EventTable(
            when={"headers.X-Hub-Event": "issues"},
            entity="issue",
            id="body.issue.id",
            change="body.action",
            changes={"opened": "created", "edited": "updated", "closed": "changed", "deleted": "deleted"},
            version="body.issue.updated_at as datetime",
            fields={
                "title": "body.issue.title as text",
                "state": "body.issue.state",
                "labels": "body.issue.labels.name as set of text",
                "repository": "body.repository.full_name",
            },
        ),
        EventTable(
            when={"headers.X-Hub-Event": "push"},
            each="body.commits",
            entity="commit",
            id="item.id",
            at="item.timestamp",
            fields={"message": "item.message", "author": "item.author.name", "ref": "body.ref"},
        ),
        EventTable(entity="headers.X-Hub-Event"),
    ],
)

PAY = _settings(
    "pay",
    verify="hmac",
    secrets=[Secret("pay-secret-0001", "env PAY_SECRET")],
    hmac=HmacTable(header="Pay-Signature", prefix="v1=", timestamp_prefix="t=", signed="{timestamp}.{body}"),
    delivery_id="body.id",
    event=[
        EventTable(
            when={"body.type": ["customer.created", "customer.updated", "customer.deleted"]},
            entity="customer",
            id="body.data.object.id",
            change="body.type",
            changes={"customer.created": "changed", "customer.updated": "changed", "customer.deleted": "deleted"},
            version="body.created as epoch_s",
            at="body.created as epoch_s",
            fields={"name": "body.data.object.name", "delinquent": "body.data.object.delinquent as truth"},
        ),
        EventTable(entity="body.type", at="body.created as epoch_s", fields={"object": "body.data.object"}),
    ],
)

MESH = _settings(
    "mesh",
    verify="bearer",
    secrets=[Secret("mesh-token-0001", "env MESH_TOKEN")],
    content="cloudevents",
    unmatched="publish",
    event=[
        EventTable(
            when={"event.type": "com.example.gate.state"},
            entity="gate",
            id="event.subject",
            change="changed",
            version="event.time as datetime",
        )
    ],
)

HOOK_CASES: Sequence[HookCase] = (
    _case("hub", HUB, "hub-secret-0001", "hub-secret-0002"),
    _case("pay", PAY, "pay-secret-0001"),
    _case("mesh", MESH, "mesh-token-0001"),
)
