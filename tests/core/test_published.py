"""What a source publishes, as far as its walks and subscriptions tell."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.facts import Walk
from bridge.core.published import DIES, LIVES, ONCE, Published, joined, of_subscription, of_walk, stand_in
from bridge.core.settings import Subscription


@pytest.mark.parametrize(
    ("walk", "changes", "telemetry"),
    [
        (Walk("w", "thing", 1.0), ("created", "updated", "snapshot"), False),
        (Walk("w", "thing", 1.0, reports_absence=True), ("created", "updated", "deleted", "snapshot"), False),
        (Walk("w", "thing", 1.0, once=True), ("occurred",), False),
        (Walk("w", "thing", 1.0, once=True, telemetry=True), ("occurred",), True),
    ],
)
def test_a_walk_tells_by_what_it_reports(walk: Walk, changes: tuple[str, ...], telemetry: bool) -> None:
    """Deletions only where absence means one; what occurs once, once."""
    assert of_walk(walk) == Published("thing", changes, telemetry)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"shape": "session"}, Published("session", LIVES)),
        ({"entity": "computer", "id": "id", "fields": {"a": "a"}}, Published("computer", LIVES)),
        ({"entity": "computer", "id": "id", "fields": {"a": "a"}, "gone": "gone"}, Published("computer", DIES)),
        ({"entity": "computer", "id": "/x.id", "null_is_gone": True}, Published("computer", DIES)),
        ({"entity": "call", "id": "id", "fields": {"a": "a"}, "occurred": True}, Published("call", ONCE)),
    ],
)
def test_a_subscription_tells_by_its_keys(keys: dict[str, Any], expected: Published) -> None:
    """What it names, and whether it says when something is gone."""
    assert of_subscription(Subscription(name="s", document="subscription { a { id } }", **keys)) == expected


def test_an_entity_that_is_told_of_twice_is_one() -> None:
    """With all its changes in the usual order; what has no name comes last, telemetry beside the rest."""
    found = [
        Published(None, ONCE), Published("b", LIVES), Published("a", ("deleted",)), Published("b", DIES),
        Published("b", ONCE, telemetry=True), Published("a", ("created",)),
    ]  # fmt: skip
    assert joined(found) == [
        Published("a", ("created", "deleted")),
        Published("b", ("created", "updated", "deleted", "snapshot")),
        Published("b", ("occurred",), telemetry=True),
        Published(None, ("occurred",)),
    ]


def test_the_stand_in_has_every_fact_and_no_secret() -> None:
    """An adapter that asks for a fact of its login gets one, and whoever goes through them finds one."""
    token = stand_in()
    assert token.facts["tenant"] == "tenant"
    assert list(token.facts.values()) == ["any"]
    assert token.value.bare() == ""
