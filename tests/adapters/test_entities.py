"""What each shipped adapter says that it publishes, by its settings."""

from __future__ import annotations

from typing import Any

import pytest

from adapters import agyletime, pcvisit, platform, prosonata, x_assist
from bridge.adapter import ResourceTable, Subscription
from tests.adapters.cases import (
    agyletime_settings,
    pcvisit_settings,
    platform_settings,
    prosonata_settings,
    x_assist_settings,
)

LIVES = ("created", "updated", "snapshot")
DIES = ("created", "updated", "deleted", "snapshot")
ONCE = ("occurred",)
PACKETS = ("telemetry packet", ONCE)


def told(adapter: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Entities by name, "*" for any other, and their changes."""
    return [
        (f"{'telemetry ' if one.telemetry else ''}{one.entity or '*'}", one.changes) for one in adapter.entities
    ]  # fmt: skip


def test_pcvisit_has_sessions_and_what_is_subscribed_to() -> None:
    """Also before anybody has logged in, who would say whose sessions. Absence is a deletion only where it says so."""
    assert told(pcvisit.Adapter(pcvisit_settings())) == [("session", LIVES)]
    assert told(pcvisit.Adapter(pcvisit_settings(history_deletions="report"))) == [("session", DIES)]
    calls = Subscription(name="c", document="subscription { c { id } }", entity="call", id="id", fields={"a": "b"},
                         occurred=True)  # fmt: skip
    assert told(pcvisit.Adapter(pcvisit_settings(subscription=[calls]))) == [("call", ONCE), ("session", LIVES)]


def test_x_assist_has_events() -> None:
    """Which are deleted only if its policy says so."""
    assert told(x_assist.Adapter(x_assist_settings())) == [("event", LIVES)]
    assert told(x_assist.Adapter(x_assist_settings(deletion_policy="confirm"))) == [("event", DIES)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [("model", DIES), ("object", DIES), PACKETS, ("user", DIES), ("*", ONCE)]),
        ({"stores": ["objects"], "transport": "none", "packets": False}, [("object", DIES), ("*", ONCE)]),
        ({"stores": ["objects"], "packets": False}, [("object", DIES), PACKETS, ("*", ONCE)]),
        (
            {"stores": ["objects"], "transport": "none", "deletion_policy": "ignore"},
            [("object", LIVES), PACKETS, ("*", ONCE)],
        ),
        ({"stores": ["objects"], "deletion_policy": "ignore"}, [("object", DIES), PACKETS, ("*", ONCE)]),
        (
            {"stores": ["objects"], "deletion_policy": "ignore", "store_pushes": "hint"},
            [("object", LIVES), PACKETS, ("*", ONCE)],
        ),
        (
            {"stores": ["objects"], "events": ["object-online", "object-update", "object", "gone"],
             "ignore_events": ["gone"]},
            [("event-object", ONCE), ("object", DIES), ("object-online", ONCE)],
        ),
        (
            {"stores": ["objects"], "events": ["model-update", "object-packet"]},
            [("model-update", ONCE), ("object", DIES), PACKETS],
        ),
        ({"stores": ["objects"], "ignore_events": ["object-packet"]}, [("object", DIES), ("*", ONCE)]),
    ],
)  # fmt: skip
def test_the_platform_has_stores_event_types_and_packets(
    keys: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    """Types are known in advance only where they are chosen; a removal that is pushed counts whatever absence means."""
    assert told(platform.Adapter(platform_settings(**keys))) == expected


def test_polled_vendors_have_their_tables() -> None:
    """As they are changed by the configuration."""
    agency = prosonata.Adapter(prosonata_settings())
    assert [name for name, _ in told(agency)] == [
        "address", "company", "contact", "crm-event", "external-cost", "project", "quotation", "task", "time-entry",
        "working-time",
    ]  # fmt: skip
    assert {changes for _, changes in told(agency)} == {DIES}
    resource = [ResourceTable(name="shifts", enabled=False), ResourceTable(name="users", deletion="ignore")]
    workforce = agyletime.Adapter(agyletime_settings(resource=resource))
    assert told(workforce) == [
        ("business-role", DIES), ("person", LIVES), ("system-role", DIES), ("task-definition", DIES),
        ("time-entry", DIES),
    ]  # fmt: skip
