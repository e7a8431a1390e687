"""Polled collections as data: what a table changes, which walks follow, what is asked for and what belongs."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from bridge.core import resource as module
from bridge.core.errors import Malformed
from bridge.core.facts import Ask, Walk, Window
from bridge.core.resource import Resource, ResourceSettings, onward, part, place, resources
from bridge.core.resource_table import ResourceTable
from bridge.core.settings import BadSetting

DAY_MS = 86_400_000
NOON = 1_704_110_400_000
"""2024-01-01T12:00:00Z."""


def users(**changes: Any) -> Resource:
    """A collection that is read as a whole."""
    given: dict[str, Any] = {
        "name": "users", "entity": "person", "path": "organisation/users", "host": "regional", "one": "users/{id}",
        "fields": {"name": "name as text", "active": "isActive as truth"}, "every_s": 1800.0,
    }  # fmt: skip
    return Resource(**given | changes)


def times(**changes: Any) -> Resource:
    """A collection that is read by windows."""
    given: dict[str, Any] = {
        "name": "times", "entity": "time-entry", "path": "projecttimes", "one": "projecttimes/{id}", "id": "timeID",
        "fields": {"date": "date as date", "duration_ms": "workingTime as hours", "started_at": "start as datetime"},
        "window_from": "date=>{date}", "window_to": "date2=<{date}", "dated": "date", "every_s": 60.0,
        "reach_s": 86_400.0, "slow_every_s": 3600.0, "slow_reach_s": 864_000.0, "overlap_s": 600.0,
    }  # fmt: skip
    return Resource(**given | changes)


def one_of(walks: list[Walk], name: str) -> Walk:
    return next(walk for walk in walks if walk.name == name)


def test_a_table_has_the_keys_of_a_resource() -> None:
    """Whatever an adapter can ship, an operator can change; the zone is the source's."""
    assert {one.name for one in fields(ResourceTable)} == {one.name for one in fields(Resource)} - {"zone"}
    assert all(one.default is None for one in fields(ResourceTable) if one.name != "name")


def test_shipped_ones_are_as_shipped() -> None:
    """Without tables nothing changes but the zone."""
    assert resources([users(), times()], [], "Europe/Berlin") == [
        users(zone="Europe/Berlin"), times(zone="Europe/Berlin"),
    ]  # fmt: skip


def test_a_table_changes_what_it_names() -> None:
    """Key by key; of `fields`, name by name, and an empty text takes one away."""
    table = ResourceTable(
        name="users", every_s=60.0, path="users", fields={"name": "", "role": "role as text", "active": "on as truth"}
    )
    (found,) = resources([users()], [table])
    assert found == users(every_s=60.0, path="users", fields={"active": "on as truth", "role": "role as text"})


def test_a_new_name_is_a_new_collection() -> None:
    """Behind the shipped ones, with the defaults of a resource."""
    table = ResourceTable(name="leave", entity="leave", path="leave", fields={"kind": "kind"})
    assert resources([users()], [table])[1] == Resource(
        name="leave", entity="leave", path="leave", fields={"kind": "kind"}
    )


def test_what_is_not_enabled_is_left_out() -> None:
    """A shipped one that is off can be switched on, and the reverse."""
    assert resources([users(enabled=False)], []) == []
    assert resources([users(enabled=False)], [ResourceTable(name="users", enabled=True)]) == [users()]
    assert resources([users()], [ResourceTable(name="users", enabled=False)]) == []


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({"name": "new"}, ("name",), "the key entity is missing: no shipped resource"),
        ({"name": "new", "entity": "x"}, ("name",), "the key path is missing"),
        ({"name": "new", "entity": "x", "path": "x"}, ("name",), "the key fields is missing"),
        ({"name": "a b", "entity": "x", "path": "x", "fields": {"a": "a"}}, ("name",), "letters, digits"),
        ({"name": "users", "entity": "Person"}, ("entity",), "lower-case name"),
        ({"name": "users", "path": "users?x=1"}, ("path",), "path without a query"),
        ({"name": "users", "path": ""}, ("path",), "path without a query"),
        ({"name": "users", "one": "users"}, ("one",), "with {id} in it"),
        ({"name": "users", "id": "a..b"}, ("id",), "expected a path"),
        ({"name": "users", "version": "v as color"}, ("version",), "expected one of"),
        ({"name": "users", "at": "v as whole"}, ("at",), "expected a moment"),
        ({"name": "users", "fields": {"a-b": "x"}}, ("fields", "a-b"), "letters, digits and _"),
        ({"name": "users", "fields": {"a": "x as color"}}, ("fields", "a"), "expected one of"),
        ({"name": "users", "fields": {"a": ""}}, ("fields", "a"), "nothing is called so"),
        ({"name": "users", "fields": {"name": "", "active": ""}}, (), "nothing of a row would be published"),
        ({"name": "users", "window_from": "from"}, ("window_from",), 'such as "from={datetime}"'),
        ({"name": "users", "window_from": "from={day}"}, ("window_from",), 'such as "from={datetime}"'),
        ({"name": "users", "window_to": "to={date}"}, ("window_to",), "set `window_from`, too"),
        ({"name": "users", "parts": {"active": "active"}}, ("parts", "active"), 'such as "active=0"'),
        ({"name": "users", "dated": "name"}, ("dated",), "date or a datetime"),
        ({"name": "users", "dated": "born"}, ("dated",), "date or a datetime"),
        ({"name": "users", "window_from": "from={datetime}"}, ("deletion",), "set `dated`"),
        ({"name": "times", "entity": "person"}, ("entity",), "users has the same entity"),
        ({"name": "users", "one": "users/{id}?x=1"}, ("one",), "with {id} in it"),
        # Times beyond those that there are, and what TOML calls a number and is none.
        ({"name": "times", "reach_s": 1e11}, ("reach_s",), "at most"),
        ({"name": "times", "slow_reach_s": math.inf}, ("slow_reach_s",), "at most"),
        ({"name": "times", "ahead_s": math.inf}, ("ahead_s",), "at most"),
        ({"name": "times", "overlap_s": math.nan}, ("overlap_s",), "at most"),
        ({"name": "times", "every_s": math.nan}, ("every_s",), "at most"),
        ({"name": "times", "slow_every_s": math.inf}, ("slow_every_s",), "at most"),
        ({"name": "users", "probe_every_s": math.inf}, ("probe_every_s",), "at most"),
        ({"name": "users", "worth": math.nan}, ("worth",), "at most"),
    ],
)
def test_what_cannot_be_meant(table: dict[str, Any], key: tuple[str, ...], text: str) -> None:
    """Each mistake is said at its table and key."""
    tables = [ResourceTable(name="other", entity="other", path="x", fields={"a": "a"}), ResourceTable(**table)]
    with pytest.raises(BadSetting, match=text) as caught:
        resources([users(), times()], tables)
    assert tuple(caught.value.key) == ("resource", 1, *key)


def test_names_are_unique() -> None:
    """Of tables, and of the walks they make: those key the cursors."""
    with pytest.raises(BadSetting, match="another resource of this source has that name") as caught:
        resources([], [ResourceTable(name="a", entity="x", path="x", fields={"a": "a"}), ResourceTable(name="a")])
    assert tuple(caught.value.key) == ("resource", 1, "name")
    with pytest.raises(BadSetting, match="its walk times-slow is called like") as caught:
        resources([times()], [ResourceTable(name="times-slow", entity="x", path="x", fields={"a": "a"})])
    assert tuple(caught.value.key) == ("resource", 0, "name")


def test_one_entity_in_two_collections_is_deleted_by_neither() -> None:
    """What one does not hold, the other may."""
    tables = [ResourceTable(name="more", entity="person", path="more", fields={"a": "a"}, deletion="ignore")]
    with pytest.raises(BadSetting, match="has the same entity"):
        resources([users()], tables)
    both = resources([users(deletion="ignore")], tables)
    assert [walk.reports_absence for one in both for walk in one.walks()] == [False, False]


def test_an_unknown_zone_is_said_at_its_key() -> None:
    """The zone is the source's own setting."""
    with pytest.raises(BadSetting, match="time zone") as caught:
        resources([users()], [], "Mars/Base")
    assert tuple(caught.value.key) == ("zone",)
    with pytest.raises(BadSetting, match="time zone") as caught:
        ResourceSettings(name="a", adapter="a", zone="Mars/Base")
    assert tuple(caught.value.key) == ("zone",)


def test_a_whole_collection_is_one_walk() -> None:
    """It proves absence, and asks for what seems gone by its id where there is a way to."""
    assert users(page_size=50, worth=2.0).walks() == [
        Walk("users", "person", 1800.0, page_size=50, scope="users", reports_absence=True, confirms=True, worth=2.0)
    ]
    assert [walk.confirms for walk in users(one="").walks()] == [False]
    assert [(walk.reports_absence, walk.confirms) for walk in users(deletion="ignore").walks()] == [(False, False)]


def test_windows_are_two_walks() -> None:
    """A short window often, a long one slowly; without a reach the slow one reads everything."""
    fast, slow = times().walks()
    assert (fast.name, fast.every_s, fast.reach_s, fast.overlap_s) == ("times", 60.0, 86_400.0, 600.0)
    assert (slow.name, slow.every_s, slow.reach_s, slow.overlap_s) == ("times-slow", 3600.0, 864_000.0, 600.0)
    assert fast.scope == slow.scope == "times"
    assert fast.reports_absence
    assert slow.confirms
    everything = one_of(times(slow_reach_s=0.0).walks(), "times-slow")
    assert (everything.reach_s, everything.overlap_s, everything.reports_absence) == (None, 0.0, True)
    assert [walk.name for walk in times(slow_every_s=0.0).walks()] == ["times"]


def test_a_window_whose_rows_have_no_known_date_proves_nothing() -> None:
    """Only the walk over everything does."""
    fast, slow = times(dated="", slow_reach_s=0.0).walks()
    assert (fast.reports_absence, fast.confirms) == (False, False)
    assert (slow.reports_absence, slow.confirms) == (True, True)


def test_a_probe_wakes_its_collection() -> None:
    """Where the adapter knows one, and a table asks for it; it never reports absence."""
    assert len(users(probe_every_s=60.0).walks()) == 1
    assert len(users().walks(probe=True)) == 1
    probe, whole = users(probe_every_s=60.0).walks(probe=True)
    assert (probe.name, probe.wakes, probe.every_s, probe.reports_absence, probe.confirms, probe.reach_s) == (
        "users-probe", "users", 60.0, False, False, None,
    )  # fmt: skip
    assert whole.name == "users"


def test_a_record_is_mapped() -> None:
    """Id, fields, version, moment, and the row as it is."""
    one = users(id="userID", version="__v", at="updatedAt or createdAt", zone="Europe/Berlin")
    row = {"userID": 7, "name": "A", "isActive": "0", "__v": 3, "createdAt": "2024-01-01 13:00:00"}
    record = one.record(row)
    assert (record.entity, record.id, record.version, record.at_ms) == ("person", "7", "3", NOON)
    assert record.after == {"name": "A", "active": False}
    assert record.raw is row
    assert (users().record({"id": "7"}).version, users().record({"id": "7"}).at_ms) == (None, None)
    assert one.record({"userID": 7, "__v": ""}).version is None
    with pytest.raises(Malformed, match="isActive is text"):
        one.record({"userID": 7, "isActive": "maybe"})


@pytest.mark.parametrize("stamp", ["9999-12-31T23:30:00Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:10:00Z"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_a_stamp_at_the_end_of_time_is_no_failure(stamp: str, zone: str) -> None:
    """Where the zone's own clock shows a year that is none, only the version may be missing."""
    record = users(version="edited as datetime", zone=zone).record({"id": 7, "edited": stamp})
    assert record.id == "7"
    assert record.version is None or record.version[:16] == stamp[:16]


def test_the_window_is_spelled_as_the_vendor_wants_it() -> None:
    """Dates lie a day further out, as nobody says whether a given day is included; a future reach widens the end."""
    window = Window(NOON, NOON + DAY_MS)
    walk = times().walks()[0]

    def asked(zone: str = "", **changes: Any) -> dict[str, str]:
        return times(zone=zone, **changes).parameters(Ask(walk, window))

    assert asked() == {"date": ">2023-12-31", "date2": "<2024-01-03"}
    assert asked("Pacific/Auckland") == {"date": ">2024-01-01", "date2": "<2024-01-04"}
    assert asked(window_from="from={datetime}", window_to="") == {"from": "2024-01-01T12:00:00.000Z"}
    assert asked("Europe/Berlin", window_from="a={stamp}", window_to="b={stamp}", query={"sort": "id"}) == {
        "sort": "id", "a": "2024-01-01 13:00:00", "b": "2024-01-02 13:00:00",
    }  # fmt: skip
    assert asked(window_from="a={seconds}", window_to="b={millis}", ahead_s=1.0) == {
        "a": "1704110400", "b": "1704196801000",
    }  # fmt: skip
    everything = one_of(times(slow_reach_s=0.0).walks(), "times-slow")
    assert times().parameters(Ask(everything, None)) == {}


def test_parts_are_read_one_after_the_other() -> None:
    """Active rows, then inactive ones; an entity asked for by its id is in no part."""
    two = users(parts={"active": "active=1", "inactive": "active=0"})
    walk = two.walks()[0]
    first = Ask(walk, None)
    assert (part(two, first), place(first), two.parameters(first)) == ("active", None, {"active": "1"})
    second = replace(first, position=onward(two, first, "page-2"))
    assert (part(two, second), place(second), two.parameters(second)) == ("active", "page-2", {"active": "1"})
    third = replace(first, position=onward(two, second, None))
    assert (part(two, third), place(third), two.parameters(third)) == ("inactive", None, {"active": "0"})
    assert onward(two, third, None) is None
    assert two.parameters(Ask(walk, None, ids=["5"])) == {}
    assert onward(users(), first, None) is None
    assert part(users(), first) == ""


@pytest.mark.parametrize("position", [{}, {"part": 9}, {"part": "x"}, {"part": -1}, {"part": {}}, [], "x"])
def test_a_strange_position_is_in_no_part_or_the_first(position: Any) -> None:
    """It may have been stored by another version. It leads on to a part that exists, or to the end."""
    two = users(parts={"active": "active=1", "inactive": "active=0"})
    asked = Ask(two.walks()[0], None, position)
    assert part(two, asked) in ("", "active")
    assert onward(two, asked, None) in ({"part": 1, "at": None}, {"part": 0, "at": None}, None)


@pytest.mark.parametrize(
    ("dated", "after", "belongs"),
    [
        ("date", {"date": "2024-01-02"}, True),
        ("date", {"date": "2024-01-03"}, True),
        ("date", {"date": "2024-01-01"}, False),
        ("date", {"date": "2024-01-05"}, False),
        ("date", {"date": None}, False),
        ("date", {}, False),
        ("started_at", {"started_at": "2024-01-01T12:09:59.999Z"}, False),
        ("started_at", {"started_at": "2024-01-01T12:10:00.000Z"}, True),
        ("started_at", {"started_at": "2024-01-04T11:50:00.000Z"}, True),
        ("started_at", {"started_at": "2024-01-04T11:50:00.001Z"}, False),
    ],
)
def test_what_belongs_into_a_window(dated: str, after: Any, belongs: bool) -> None:
    """Its date lies inside, without the margins; of dates only whole days count, wherever the vendor's begin."""
    one = times(dated=dated)
    assert one.belongs(Ask(one.walks()[0], Window(NOON, NOON + 3 * DAY_MS)), after) is belongs


def test_dates_need_a_margin_where_bounds_are_moments() -> None:
    """The vendor's day may begin half a day before or after ours."""
    one = times(window_from="from={datetime}", window_to="to={datetime}")
    ask = Ask(one.walks()[0], Window(NOON, NOON + 4 * DAY_MS))
    dates = [f"2024-01-0{day}" for day in range(1, 7)]
    assert [date for date in dates if one.belongs(ask, {"date": date})] == ["2024-01-03"]


def test_everything_belongs_into_a_whole_walk() -> None:
    """And what is planned belongs into a window that reaches ahead."""
    assert users().belongs(Ask(users().walks()[0], None), {})
    window, after = Window(NOON, NOON + DAY_MS), {"started_at": "2024-01-05T00:00:00.000Z"}
    one = times(dated="started_at")
    assert not one.belongs(Ask(one.walks()[0], window), after)
    assert replace(one, ahead_s=864_000.0).belongs(Ask(one.walks()[0], window), after)


def test_a_shape_is_announced_if_the_fields_keep_to_it() -> None:
    """A field of another kind, or an entity without a shape, announces none; fields of the vendor's own do no harm."""
    assert users().schema == "person/1"
    assert users(fields={"name": "name as text", "colour": "c"}).schema == "person/1"
    assert users(fields={"name": "name"}).schema is None
    assert users(fields={"active": "a as text"}).schema is None
    assert users(fields={"colour": "c"}).schema is None
    assert users(entity="role").schema is None
    assert module.schema([users(), times()], "time-entry") == "time-entry/1"
    assert module.schema([users()], "session") is None
    assert module.schema([users(), users(name="b", fields={"name": "n"})], "person") is None


def test_the_edition_follows_what_is_mapped() -> None:
    """Other fields, another zone: what is known is read anew. Where and how often it is read has no say."""
    plain = module.edition([users(), times()], "person")
    assert plain == module.edition([users(every_s=5.0, path="x")], "person")
    others = [users(fields={"name": "name as text"}), users(zone="UTC"), users(fields={"name": "n as text"})]
    assert len({plain, *(module.edition([one], "person") for one in others)}) == 4
    assert module.edition([users()], "session") == ""


def test_a_walk_leads_back_to_its_collection() -> None:
    """By its scope."""
    both = [users(), times()]
    assert [module.of(both, walk).name for one in both for walk in one.walks()] == ["users", "times", "times"]
