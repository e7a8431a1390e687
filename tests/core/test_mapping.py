"""A vendor's row as our fields: kinds, absence, spelling; and equal content is equal, however it is spelled."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.core import iso8601, kinds, mapping
from bridge.core.canonical import digest
from bridge.core.errors import Malformed
from bridge.core.kinds import KINDS
from bridge.core.mapping import Mapper
from bridge.core.record import Json
from bridge.core.settings import BadSetting

BERLIN = "Europe/Berlin"


def read(text: str, row: Json, zone: str = BERLIN) -> Json:
    return Mapper({"ours": text}, zone=zone)(row)["ours"]


@pytest.mark.parametrize(
    ("text", "value", "ours"),
    [
        ("v", {"any": [1, "x", None]}, {"any": [1, "x", None]}),
        ("v", "", ""),
        ("v as text", "4711", "4711"),
        ("v as text", 4711, "4711"),
        ("v as text", 4711.0, "4711"),
        ("v as text", 0.5, "0.5"),
        ("v as text", 12345678901234567890, "12345678901234567890"),
        ("v as text", "", ""),
        ("v as id", "6b02", "6b02"),
        ("v as id", 42, "42"),
        ("v as id", 42.0, "42"),
        ("v as id", 0, None),
        ("v as id", "0", None),
        ("v as id", "", None),
        ("v as number", 1.25, 1.25),
        ("v as number", "1.25", 1.25),
        ("v as number", "-3", -3),
        ("v as number", "+7.0", 7),
        ("v as number", "1e3", 1000),
        ("v as number", "007", 7),
        ("v as number", "", None),
        ("v as whole", "12", 12),
        ("v as whole", 12.0, 12),
        ("v as whole", "12.00", 12),
        ("v as truth", True, True),
        ("v as truth", 0, False),
        ("v as truth", "1", True),
        ("v as truth", "0", False),
        ("v as truth", 1.0, True),
        ("v as truth", "", None),
        ("v as date", "2024-02-29", "2024-02-29"),
        ("v as date", "0000-00-00", None),
        ("v as date", "", None),
        ("v as time", "09:30:05", "09:30:05"),
        ("v as time", "09:30", "09:30:00"),
        ("v as time", "24:00", "24:00:00"),
        ("v as time", "", None),
        ("v as datetime", "2024-07-01T10:00:00.000Z", "2024-07-01T10:00:00.000Z"),
        ("v as datetime", "2024-07-01T12:00:00+02:00", "2024-07-01T10:00:00.000Z"),
        ("v as datetime", "2024-07-01 12:00:00", "2024-07-01T10:00:00.000Z"),
        ("v as datetime", "2024-01-01T10:00+01", "2024-01-01T09:00:00.000Z"),
        ("v as datetime", "2024-01-01T12:00:00", "2024-01-01T11:00:00.000Z"),
        ("v as datetime", "2024-01-01 00:30:00", "2023-12-31T23:30:00.000Z"),
        ("v as datetime", "2024-07-01 12:00:00.5", "2024-07-01T10:00:00.500Z"),
        ("v as datetime", "2024-10-27 02:30:00", "2024-10-27T00:30:00.000Z"),  # comes twice: the first
        ("v as datetime", "2024-10-27 03:30:00", "2024-10-27T02:30:00.000Z"),
        ("v as datetime", "2024-03-31 01:59:59", "2024-03-31T00:59:59.000Z"),
        ("v as datetime", "2024-03-31 02:30:00", "2024-03-31T01:30:00.000Z"),  # never comes: as if not yet changed
        ("v as datetime", "2024-03-31 03:00:00", "2024-03-31T01:00:00.000Z"),
        ("v as datetime", "0000-00-00 00:00:00", None),
        ("v as datetime", "", None),
        ("v as epoch_s", 1_704_110_400, "2024-01-01T12:00:00.000Z"),
        ("v as epoch_s", "1704110400.5", "2024-01-01T12:00:00.500Z"),
        ("v as epoch_ms", 1.7041104e12, "2024-01-01T12:00:00.000Z"),
        ("v as hours", "1.25", 4_500_000),
        ("v as hours", 1.25, 4_500_000),
        ("v as minutes", 90, 5_400_000),
        ("v as seconds", "0.5", 500),
        ("v as words 0=open 1=closed", 1, "closed"),
        ("v as words 0=open 1=closed", "0", "open"),
        ("v as words 0=open 1=closed", 0.0, "open"),
        ("v as words 0=open 1=closed", 7, "7"),
        ("v as list of id", [3, "2", None, 0, "3"], ["3", "2", "3"]),
        ("v as set of id", [3, "2", None, 0, "3"], ["2", "3"]),
        ("v as set of words 0=a 1=b", [1, "0"], ["a", "b"]),
        ("v.x as id", {"x": 5}, "5"),
        ("v.x as id", {"x": None}, None),
        ("v.x as id", {}, None),
        ("v.x as id", [], None),  # PHP's empty object
        ("v.x.y as text", {"x": {"y": "deep"}}, "deep"),
        ("v.id as set of id", [{"id": 2}, {"id": "1"}, None], ["1", "2"]),
        ("v.x.id as list of id", {"x": []}, []),
        ("v.id", [{"id": 2}, {"id": "1"}], [2, "1"]),
        ("v or w as text", "first", "first"),
        ("w or v as text", "second", "second"),
        ("w or x", "nothing", None),
    ],
)  # fmt: skip
def test_what_a_value_becomes(text: str, value: Json, ours: Json) -> None:
    """Each kind yields one spelling, and twice the same."""
    mapper = Mapper({"ours": text}, zone=BERLIN)
    for _ in range(2):
        found = mapper({"v": value})["ours"]
        assert found == ours
        assert type(found) is type(ours)


EVERY_KIND = [kind for kind in KINDS if kind != "words"]


@pytest.mark.parametrize(
    "text",
    ["v", *(f"v as {kind}" for kind in EVERY_KIND), "v as list of id", "v.x as text", "v or w as id", "v as words 0=a"],
)
def test_absent_and_null_are_none(text: str) -> None:
    """Whatever the kind."""
    assert read(text, {}) is None
    assert read(text, {"v": None, "w": None}) is None


@pytest.mark.parametrize(
    ("text", "value", "complaint"),
    [
        ("v as text", True, "v is a boolean, expected text"),
        ("v as text", ["x"], "v is a list, expected text"),
        ("v as text", 10**40, "v is a number, expected text"),
        ("v as id", {}, "v is an object, expected text"),
        ("v as number", "1,25", "v is text, expected a number"),
        ("v as number", " 1", "v is text, expected a number"),
        ("v as number", "٣", "v is text, expected a number"),
        ("v as number", True, "v is a boolean, expected a number"),
        ("v as number", "1e300", "v is a number outside"),
        ("v as number", float("nan"), "v is a number outside"),
        ("v as number", 2**60, "v is a number outside"),
        ("v as whole", 1.5, "v is a fraction, expected a whole number"),
        ("v as whole", "1.5", "v is a fraction, expected a whole number"),
        ("v as truth", "yes", "v is text, expected true, false, 0 or 1"),
        ("v as truth", 2, "v is a number, expected true, false, 0 or 1"),
        ("v as truth", [], "v is a list, expected true, false, 0 or 1"),
        ("v as date", "29.02.2024", "v is text, expected a date such as 2021-04-07"),
        ("v as date", "2023-02-29", "v is a day that does not exist"),
        ("v as date", 20240229, "v is a number, expected a date"),
        ("v as time", "25:00:00", "v is text, expected a time of day"),
        ("v as time", "24:00:01", "v is text, expected a time of day"),
        ("v as datetime", "tomorrow", "v is text, expected a time such as"),
        ("v as datetime", "2023-02-29 10:00:00", "v is a day that does not exist"),
        ("v as datetime", "2023-02-29T10:00:00.000Z", "v is a day that does not exist"),
        ("v as datetime", "2024-01-01x10:00:00", "v is text, expected a time such as"),
        ("v as datetime", "20240101T100000.000", "v is text, expected a time such as"),
        ("v as datetime", "2024-W01-1T10:00:00", "v is text, expected a time such as"),
        ("v as datetime", "2024-01-01T10:00.5", "v is text, expected a time such as"),
        ("v as datetime", "2024-01-01 24:30:00", "v is a time that does not exist"),
        ("v as datetime", "0001-01-01 00:00:00", "v is a time outside the years"),
        ("v as datetime", 1704110400, "v is a number, expected a time such as"),
        ("v as epoch_ms", -1, "v is a time outside the years 1970"),
        ("v as hours", "1:30", "v is text, expected a number"),
        ("v as words 0=a", [], "v is a list, expected text"),
        ("v as list of id", "1", "v is text, expected a list"),
        ("v as list of id", [[]], "v is a list, expected text"),
        ("v.x as id", [{"x": 1}], "v.x is a list, expected text"),
        ("v.x as id", "secret", "v.x: text where an object with x was expected"),
        ("v.x as list of id", [5], "v.x: a number where an object with x was expected"),
    ],
)  # fmt: skip
def test_a_wrong_kind_is_malformed_and_not_quoted(text: str, value: Json, complaint: str) -> None:
    """The text names path and kind, never the value."""
    with pytest.raises(Malformed) as caught:
        read(text, {"v": value})
    assert str(caught.value).startswith(complaint)
    assert str(value) not in str(caught.value) or value in ([], {}, 2, 5, -1)


@pytest.mark.parametrize("row", [None, 5, "x", [], [{"v": 1}]])
@pytest.mark.parametrize("fields", [{"ours": "v"}, {"ours": "v or w"}, {"private.ours": "v"}])
def test_a_row_that_is_no_object_is_malformed(row: Json, fields: dict[str, str]) -> None:
    """And nothing else."""
    with pytest.raises(Malformed, match="where a record was expected"):
        Mapper(fields)(row)


def test_without_a_zone_a_time_without_an_offset_is_refused() -> None:
    """Nobody guesses; one with an offset is fine."""
    for text in ("2024-07-01 12:00:00", "2024-07-01T12:00:00.123"):
        with pytest.raises(Malformed, match="no `zone` is set"):
            read("v as datetime", {"v": text}, zone="")
    assert read("v as datetime", {"v": "2024-07-01T12:00:00Z"}, zone="") == "2024-07-01T12:00:00.000Z"


def test_names_with_a_dot_make_an_object() -> None:
    """So that one path of `omit` leaves all of it out."""
    fields = {"name": "n as text", "private.email": "e as text", "private.born_on": "b as date"}
    assert Mapper(fields)({"n": "A", "b": "1990-01-01"}) == {
        "name": "A", "private": {"email": None, "born_on": "1990-01-01"},
    }  # fmt: skip
    assert Mapper(fields).kinds == {"name": "text", "private.email": "text", "private.born_on": "date"}


@pytest.mark.parametrize(
    ("fields", "key", "text"),
    [
        ({"a-b": "v"}, ("fields", "a-b"), "letters, digits and _"),
        ({"a.b.c": "v"}, ("fields", "a.b.c"), "letters, digits and _"),
        ({"id": "v"}, ("fields", "id"), "one that is free"),
        ({"a": "v", "a.b": "v"}, ("fields", "a.b"), "one that is free"),
        ({"a": ""}, ("fields", "a"), "expected a path"),
        ({"a": "v..w"}, ("fields", "a"), "expected a path"),
        ({"a": "v w"}, ("fields", "a"), "expected a path"),
        ({"a": "v as color"}, ("fields", "a"), "expected one of text, id"),
        ({"a": "v as list of"}, ("fields", "a"), "expected one of text, id"),
        ({"a": "v as list of list of id"}, ("fields", "a"), "expected one of text, id"),
        ({"a": "v as words"}, ("fields", "a"), "codes and their names"),
        ({"a": "v as words 0"}, ("fields", "a"), "expected one of text, id"),
    ],
)
def test_what_cannot_be_meant(fields: dict[str, str], key: tuple[str, ...], text: str) -> None:
    """Each mistake is said at its key."""
    with pytest.raises(BadSetting, match=text) as caught:
        Mapper(fields, taken=["id"])
    assert tuple(caught.value.key) == key


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", "/etc/localtime", "Europe", "x\0y"])
def test_a_zone_nobody_knows(zone: str) -> None:
    """It is said at the key `zone`."""
    with pytest.raises(BadSetting, match="time zone that this machine knows") as caught:
        Mapper({"a": "v as datetime"}, zone=zone)
    assert tuple(caught.value.key) == ("zone",)


def test_one_field_alone() -> None:
    """A version, a moment, an id."""
    assert mapping.reader("v", default="text")({"v": 5}) == "5"
    assert mapping.instant("v or w", zone=BERLIN)({"w": "2024-07-01 12:00:00"}) == 1_719_828_000_000
    assert mapping.instant("v as epoch_s")({"v": 1_719_828_000}) == 1_719_828_000_000
    assert mapping.instant("v")({}) is None
    assert mapping.identity("v")({"v": 42}) == "42"
    with pytest.raises(BadSetting, match="expected a moment"):
        mapping.instant("v as date")
    for row in ({}, {"v": ""}, {"v": 0}, {"v": None}):
        with pytest.raises(Malformed, match="v is empty, expected the record's id"):
            mapping.identity("v")(row)
    with pytest.raises(Malformed, match="v has 1025 characters"):
        mapping.identity("v")({"v": "x" * 1025})


def test_an_entity_known_by_one_key_does_not_come_in_by_another() -> None:
    """Where a vendor leaves the first key of a record empty, it cannot be read: no name takes the place of its id."""
    found = mapping.identity("id or _id or name")
    assert found({"id": 304, "_id": "6adb", "name": "Lunch"}) == "304"
    assert found({"_id": "6adb", "name": "Lunch"}) == "6adb"
    assert found({"name": "Lunch"}) == "Lunch"
    for row in (
        {"id": None, "_id": None, "name": "Lunch"},
        {"_id": None, "name": "Lunch"},
        {"id": [], "name": "Lunch"},
    ):
        with pytest.raises(Malformed):
            found(row)


FIELDS = {
    "person_id": "userID as id", "number": "no as text", "hours": "h as number", "took_ms": "h as hours",
    "count": "c as whole", "done": "d as truth", "day": "day as date", "at": "at as datetime", "begins": "t as time",
    "state": "s as words 0=open 1=closed", "people": "p as set of id", "team_id": "team.id as id",
    "private.note": "note as text",
}  # fmt: skip
CONTENT = st.fixed_dictionaries(
    {
        "userID": st.integers(0, 10**6), "no": st.integers(-10**6, 10**6), "h": st.integers(0, 10**6),
        "c": st.integers(-10**6, 10**6), "d": st.booleans(), "day": st.dates().map(str),
        "at": st.datetimes(datetime(1971, 1, 1), datetime(2070, 1, 1)), "t": st.integers(0, 1439),
        "s": st.integers(0, 3), "p": st.lists(st.integers(0, 9), max_size=5), "team": st.integers(0, 99),
        "note": st.text(),
    }
)  # fmt: skip


def spelled(content: dict[str, Any], data: st.DataObject, zone: str) -> Json:
    """The same content as a vendor may spell it today."""

    def number(value: int) -> Json:
        return data.draw(st.sampled_from([value, float(value), str(value)]))

    moment = content["at"].replace(microsecond=0, tzinfo=UTC)
    offset = timedelta(minutes=15 * data.draw(st.integers(-48, 48)))
    local = moment.astimezone(ZoneInfo(zone))
    spellings = [
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{(moment + offset).replace(tzinfo=None).isoformat()}"
        f"{'-' if offset < timedelta() else '+'}{abs(offset) // timedelta(hours=1):02}:"
        f"{abs(offset) // timedelta(minutes=1) % 60:02}",
        moment.isoformat(),
    ]
    if not local.fold and local.utcoffset() is not None:
        spellings.append(f"{local:%Y-%m-%d %H:%M:%S}")
    row = {
        "userID": number(content["userID"]), "no": number(content["no"]), "h": number(content["h"]),
        "c": number(content["c"]), "day": content["day"], "note": content["note"],
        "d": data.draw(st.sampled_from([content["d"], int(content["d"]), str(int(content["d"])), float(content["d"])])),
        "at": data.draw(st.sampled_from(spellings)),
        "t": f"{content['t'] // 60:02}:{content['t'] % 60:02}" + data.draw(st.sampled_from(["", ":00"])),
        "s": number(content["s"]), "p": [number(one) for one in data.draw(st.permutations(content["p"]))],
        "team": {"id": number(content["team"])},
        "__v": data.draw(st.integers()),
    }  # fmt: skip
    return {key: row[key] for key in data.draw(st.permutations(list(row)))}


@given(content=CONTENT, data=st.data(), zone=st.sampled_from([BERLIN, "America/St_Johns", "Asia/Kolkata", "UTC"]))
def test_equal_content_has_equal_digests(content: dict[str, Any], data: st.DataObject, zone: str) -> None:
    """Types that flip between number and text, key order, offsets, the order of sets, and fields that are ignored."""
    mapper = Mapper(FIELDS, zone=zone)
    first, second = (spelled(content, data, zone) for _ in range(2))
    before = copy.deepcopy(first)
    assert digest(mapper(first), "1") == digest(mapper(second), "1")
    assert first == before


@given(first=CONTENT, second=CONTENT, data=st.data())
def test_different_content_has_different_digests(
    first: dict[str, Any], second: dict[str, Any], data: st.DataObject
) -> None:
    """Nothing that is published is levelled out."""
    ours = {**first, "p": sorted(set(first["p"]) - {0}), "at": first["at"].replace(microsecond=0)}
    theirs = {**second, "p": sorted(set(second["p"]) - {0}), "at": second["at"].replace(microsecond=0)}
    assume(ours != theirs)
    mapper = Mapper(FIELDS, zone=BERLIN)
    digests = {digest(mapper(spelled(content, data, BERLIN)), "1") for content in (first, second)}
    assert len(digests) == 2


ZONES = [BERLIN, "America/St_Johns", "Asia/Kolkata", "Pacific/Apia", "Africa/Monrovia", "Australia/Lord_Howe", "UTC"]


@given(moment=st.datetimes(datetime(1900, 1, 2), datetime(2100, 1, 1)), zone=st.sampled_from(ZONES))
@example(moment=datetime(2024, 10, 27, 2, 30), zone=BERLIN)
@example(moment=datetime(2024, 3, 31, 2, 30), zone=BERLIN)
@example(moment=datetime(2024, 4, 7, 1, 45), zone="Australia/Lord_Howe")
def test_local_times_are_what_the_standard_library_says(moment: datetime, zone: str) -> None:
    """The quick way for common spellings gives what the slow one gives."""
    moment = moment.replace(microsecond=0)
    expected = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    text = expected.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for spelling in (f"{moment:%Y-%m-%d %H:%M:%S}", moment.isoformat(), f"{moment.isoformat()}.000"):
        assert read("v as datetime", {"v": spelling}, zone) == text


@given(text=st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9W]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[Zz]", fullmatch=True))
@example("2024-02-30T10:00:00.000Z")
@example("2024-02-29T24:00:00.000Z")
@example("2024-02-29T10:60:00.000Z")
@example("2024-02-29T10:00:60.000Z")
def test_our_own_spelling_is_checked_like_any_other(text: str) -> None:
    """What looks like ours goes the quick way, with the same result."""
    try:
        expected = iso8601.stamp({"v": text}, "v")
    except Malformed:
        if not text.startswith("0000-00-00"):
            with pytest.raises(Malformed):
                read("v as datetime", {"v": text})
    else:
        assert read("v as datetime", {"v": text}) == expected


SPELLINGS = ["2024-07-01 12:00:00", "2024-07-01T12:00:00", "2024-07-01T12:00:00.000Z", "2024-07-01T12:00+01:30"]


@given(text=st.sampled_from(SPELLINGS), at=st.integers(0, 23), char=st.sampled_from("0123456789-+:.,TtWZz ٣"))
def test_the_quick_way_takes_nothing_else(text: str, at: int, char: str) -> None:
    """Any one character changed: the result is that of the way for all spellings, or both refuse."""
    text = text[:at] + char + text[at + 1 :]
    try:
        expected = kinds._instant("v", text, ZoneInfo(BERLIN))
    except Malformed:
        with pytest.raises(Malformed):
            read("v as datetime", {"v": text})
    else:
        assert read("v as datetime", {"v": text}) == expected


def json_values() -> st.SearchStrategy[Json]:
    """Any JSON value a decoder can yield."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1", "0000-00-00"])
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(row=st.fixed_dictionaries({}, optional=dict.fromkeys(["v", "w"], json_values())))
def test_any_row_is_mapped_or_malformed(row: Json) -> None:
    """Nothing else is raised, whatever the vendor sends."""
    kinds = [*KINDS[:-1], "words 0=a", "set of id", "list of number", "list of datetime"]
    for text in [f"{path} as {kind}" for kind in kinds for path in ("v", "v.x", "v.x or w")]:
        try:
            found = read(text, row)
        except Malformed:
            continue
        digest(found, "1")


def test_what_is_remembered_stays_small() -> None:
    """A field whose texts never come twice does not fill the memory; what was forgotten is read again."""
    mapper = Mapper({"hours": "h as hours"})
    for number in range(20_000):
        assert mapper({"h": str(number)})["hours"] == number * 3_600_000
    assert mapper({"h": "0"})["hours"] == 0
    ((_, _, _, read_one),) = mapper._fields
    (memory,) = [cell.cell_contents for cell in read_one.__closure__ or () if isinstance(cell.cell_contents, dict)]
    assert 0 < len(memory) <= 8_192


@pytest.mark.parametrize("text", ["v as number", "v as whole", "v as hours", "v as id", "v as text", "v as words 1=a"])
def test_what_was_read_before_has_no_say(text: str) -> None:
    """To Python 1 and true are one key: what is remembered of a value is not taken for another's."""
    mapper = Mapper({"ours": text})
    for value in ("1", 1, 1.0):
        assert mapper({"v": value})["ours"] in (1, 3_600_000, "1", "a")
    with pytest.raises(Malformed, match="v is a boolean"):
        mapper({"v": True})
