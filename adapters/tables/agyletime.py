"""The collections of a workforce planner, as AgyleTime names them: the shipped tables of its adapter.

Fields of users and tasks are those that clients of the vendor are known to read; of published shifts, roles and inbound
work none is documented, so theirs are inferred, like their filters. Where people can be reached, and why they are away,
is in `private`. Counters of the vendor's database and stamps of change are no fields: they move without news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge.adapter import Json, Malformed, Record, Resource, Walk, journal, shape

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
MARGIN_S: Final = DAY_S
"""A window proves nothing about this much of its ends: a correction may have moved what began there out of it."""
PERSONAL: Final = frozenset({"person", "time-entry", "customer-contact", "interaction"})
"""Entities whose rows hold what is private, as do all with a field in `private`: what cannot be read is not kept."""
WHY: Final = ("kind", "task_id", "task_name", "task_number")
"""What of an entry tells why somebody is away: it may be an illness."""


def _table(
    name: str, entity: str, path: str, fields: str, *, host: str = "regional", every_s: float = HOUR_S,
    worth: float = 0.3, **more: Any,
) -> Resource:  # fmt: skip
    """`fields`: `ours: theirs as kind; …`."""
    parts = [part.partition(":") for part in fields.split(";")]
    given = {"page_size": 200, "version": "updatedAt", **more}
    return Resource(name=name, entity=entity, path=path, host=host, every_s=every_s, worth=worth,
                    fields={ours.strip(): theirs.strip() for ours, _, theirs in parts}, **given)  # fmt: skip


def _inbound(name: str, entity: str) -> Resource:
    """Often written by the very integration that would read it, so it is read only where somebody says so."""
    fields = (
        "number: identifier as text; kind: type as text; queue: queue as text; started_at: startTime as datetime;"
        "ended_at: endTime as datetime"
    )
    return _table(name, entity, f"workactivity/{name}", fields, enabled=False, deletion="ignore", id="id or _id")


SHIPPED: Final[Sequence[Resource]] = (
    _table(
        "shifts", "shift", "schedule/shifts/published",
        "person_id: userId as id; starts_at: startTime as datetime; ends_at: endTime as datetime;"
        "published: isPublished as truth",
        one="schedule/shifts/published/{id}", dated="starts_at", every_s=300.0, worth=3.0,
        reach_s=DAY_S, ahead_s=28 * DAY_S, overlap_s=MARGIN_S,
        window_from="startTimeFrom={datetime}", window_to="startTimeTo={datetime}",
    ),
    _table(
        "tasks", "time-entry", "workactivity/tasks",
        "person_id: userId as id; started_at: startTime as datetime; ended_at: endTime as datetime;"
        "kind: taskTypeIdentifier as text; task_id: taskId as id; task_name: name as text;"
        "task_number: taskIdentifier as text; shift_id: shiftId as id; paid: isPaid as truth;"
        "productive: isProductive as truth; leave: isLeave as truth; pause: isBreak as truth;"
        "integration: integrationAlias as text; created_at: createdAt as datetime; private.email: userEmail as text",
        host="tenant", one="workactivity/tasks/{id}", dated="started_at", at="updatedAt or createdAt",
        every_s=60.0, worth=3.0, reach_s=8 * HOUR_S, slow_every_s=HOUR_S, slow_reach_s=14 * DAY_S,
        window_from="taskStartTimeFrom={datetime}", window_to="taskStartTimeTo={datetime}",
    ),
    _table(
        "users", "person", "organisation/users",
        "first_name: firstName as text; last_name: lastName as text; active: isActive as truth;"
        "role: systemRole.name as text; roles: roles; company_id: organisationId as id;"
        "team_id: teamId or team.id as id; team_name: teamName or team.name as text; time_zone: timezone as text;"
        "started_at: startAt as datetime; private.email: email as text",
        one="organisation/users/{id}", at="updatedAt", every_s=1_800.0, worth=1.0,
    ),
    _table("business-roles", "business-role", "organisation/business-roles", "name: name as text", id="id or _id"),
    _table(
        "system-roles", "system-role", "organisation/system-roles", "name: name as text; category: category as text",
        id="id or _id",
    ),
    _table(
        "definitions", "task-definition", "schedule/tasks/definitions",
        "name: name as text; category: categoryName as text; channel: workloadChannel as text; paid: isPaid as truth;"
        "planned: isPlanned as truth; leave: isLeave as truth; pause: isBreak as truth",
        host="tenant", id="id or _id or name",
    ),
    _inbound("workstreams", "workstream"), _inbound("contacts", "customer-contact"),
    _inbound("interactions", "interaction"),
)  # fmt: skip


def walks(resources: Sequence[Resource]) -> list[Walk]:
    """What to read, faster walks first.

    Of several windows only the longest tells what is gone, and not at its ends: corrections move rows out of others.
    """
    found: list[Walk] = []
    for one in resources:
        *short, long = one.walks()
        found += [replace(walk, reports_absence=False, confirms=False) for walk in short]
        found.append(replace(long, overlap_s=max(long.overlap_s, MARGIN_S)) if short and long.reach_s else long)
    return sorted(found, key=lambda walk: walk.every_s)


def record(one: Resource, row: Json) -> Record:
    """Map one row. Raises Malformed, with nothing of the row where it is about a person."""
    try:
        found = one.record(row)
    except Malformed as error:
        raise Malformed(f"{error}", raw=_kept(one, error.raw)) from None
    after = found.after or {}
    if one.windowed and one.dated and after.get(one.dated) is None:
        why = f"{one.dated} is absent: say where it is, in `fields` of the resource {one.name}"
        raise Malformed(why, raw=_kept(one, b""))
    return replace(found, after=_discreet(after)) if one.entity == "time-entry" else found


def _kept(one: Resource, raw: bytes) -> bytes:
    return journal.PRIVATE if one.entity in PERSONAL or shape.confides(one.fields) else raw


def _discreet(after: Mapping[str, Json]) -> Mapping[str, Json]:
    """An entry of a timeline; where it is leave, with what it is for in `private.absence` alone."""
    if after.get("leave") is not True:
        return after
    private = {**(after.get(shape.PRIVATE) or {}), "absence": after.get("task_name")}
    return {**after, **dict.fromkeys(WHY), shape.PRIVATE: private}
