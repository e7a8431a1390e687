"""A workforce planner's collections: which of them say what is gone, and what of a row is nobody's business."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.tables import agyletime as tables
from bridge.core.errors import Malformed
from bridge.core.resource import Resource

BY_NAME: dict[str, Resource] = {one.name: one for one in tables.SHIPPED}
TASK: dict[str, Any] = {"id": 7, "startTime": "2024-01-01T08:00:00Z", "name": "Sick leave", "taskId": 306, "isLeave": 1}


def test_of_several_windows_only_the_longest_tells_what_is_gone() -> None:
    """And not at its ends; a single one tells it by its own margin, and so does a list that is read as a whole."""
    walks = {walk.name: walk for walk in tables.walks([BY_NAME["tasks"], BY_NAME["shifts"], BY_NAME["users"]])}
    assert {name: (walk.reports_absence, walk.confirms) for name, walk in walks.items()} == {
        "tasks": (False, False), "shifts": (True, True), "users": (True, True), "tasks-slow": (True, True),
    }  # fmt: skip
    assert (walks["tasks"].overlap_s, walks["tasks-slow"].overlap_s) == (900.0, 86_400.0)
    whole = tables.walks([replace(BY_NAME["tasks"], slow_reach_s=0.0)])
    assert [(walk.name, walk.reach_s, walk.reports_absence) for walk in whole] == [
        ("tasks", 28_800.0, False), ("tasks-slow", None, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("is_leave", "told"), [(1, None), ("1", None), (True, None), (0, "Sick leave"), (None, "Sick leave")]
)
def test_what_somebody_is_away_for_is_private(is_leave: Any, told: str | None) -> None:
    """However the vendor spells that it is leave; work says what it is."""
    after = tables.record(BY_NAME["tasks"], {**TASK, "isLeave": is_leave}).after or {}
    assert after["task_name"] == told
    assert after["private"].get("absence") == ("Sick leave" if told is None else None)
    assert (after["task_id"] is None) is (told is None)


def test_a_row_without_its_date_is_set_aside() -> None:
    """It could not be told whether it belongs to a window. What is about people is not kept."""
    with pytest.raises(Malformed, match="started_at is absent") as caught:
        tables.record(BY_NAME["tasks"], {**TASK, "startTime": None})
    assert b"left out" in caught.value.raw
    with pytest.raises(Malformed, match="starts_at is absent") as caught:
        tables.record(BY_NAME["shifts"], {"id": 7})
    assert caught.value.raw == b""
    assert tables.record(BY_NAME["users"], {"id": 7}).id == "7"


def test_every_collection_is_one_the_vendor_can_be_asked_for() -> None:
    """Names and entities are unique, hosts are known, and inbound work is off."""
    assert len({one.name for one in tables.SHIPPED}) == len({one.entity for one in tables.SHIPPED}) == 9
    assert {one.host for one in tables.SHIPPED} == {"tenant", "regional"}
    assert {one.name for one in tables.SHIPPED if not one.enabled} == {"workstreams", "contacts", "interactions"}


def test_what_cannot_be_read_of_a_table_with_something_private_is_not_kept() -> None:
    """Whatever its entity is called, and of the vendor's customers neither."""
    own = replace(BY_NAME["business-roles"], fields={"name": "name as text", "private.note": "note as date"})
    for one in (own, replace(BY_NAME["contacts"], fields={"note": "note as date"})):
        with pytest.raises(Malformed) as caught:
            tables.record(one, {"id": 7, "note": "24.12.1980"})
        assert b"left out" in caught.value.raw
