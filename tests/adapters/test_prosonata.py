"""ProSonata's adapter: what it asks, what its pages prove, what it makes of rows, and which settings contradict."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from adapters import prosonata
from bridge.adapter import (
    Ask,
    BadSetting,
    Block,
    Json,
    Malformed,
    Record,
    Refused,
    Resource,
    ResourceTable,
    Retry,
    Secret,
    Throttled,
    Token,
    Unauthorized,
    Window,
)
from bridge.core.errors import BridgeError
from bridge.core.omit import omit, parse
from tests.adapters.cases import prosonata_settings, sample
from tests.support.answers import answer, raw_answer

TOKEN = Token(Secret("prosonata-key-0001"))
WINDOW = Window(1_704_110_400_000, 1_704_196_800_000)
"""From 2024-01-01 12:00 to 2024-01-02 12:00, UTC."""
HTML = b"<!DOCTYPE html><html><body>Anmeldung</body></html>"


def made(**changes: Any) -> prosonata.Adapter:
    return prosonata.Adapter(prosonata_settings(**changes))


def ask(adapter: prosonata.Adapter, name: str, position: Json = None, *ids: str) -> Ask:
    walk = next(walk for walk in adapter.walks(TOKEN) if walk.name == name)
    return Ask(walk, WINDOW if walk.reach_s else None, position, ids)


def asked(adapter: prosonata.Adapter, *about: Any) -> tuple[str, dict[str, str]]:
    """Path and query of a request."""
    url = urlsplit(adapter.request(ask(adapter, *about), TOKEN).url)
    return url.path, dict(parse_qsl(url.query))


def envelope(rows: Json, **meta: Json) -> Json:
    return {"meta": {"status": 200, "perPage": 1000, "page": 1, **meta}, "data": rows}


def projects(*ids: Json) -> list[Json]:
    return [{"projectID": id_, "projectName": f"p{id_}"} for id_ in ids]


def read(name: str, **changes: Any) -> list[Record]:
    """The records of a sample, without what is omitted by default."""
    adapter, steps = made(**changes), [parse(path) for path in prosonata.Adapter.omit]
    one = ask(adapter, name)
    records = [adapter.record(one, row) for row in adapter.page(one, answer(sample(f"prosonata/{name}.json"))).rows]
    return [Record(found.entity, found.id, omit(found.after, steps)) for found in records]


# What it asks.


def test_a_list_is_asked_for_in_the_order_of_its_ids() -> None:
    """A thousand rows, from the page that comes next; the key in headers alone, with the app's id if there is one."""
    adapter = made()
    request = adapter.request(ask(adapter, "projects", {"part": 0, "at": 3}), TOKEN)
    assert request.method == "GET"
    assert request.url == ("https://agency.prosonata.software/api/v1/projects?orderBy=projectID&perPage=1000&page=3")
    headers = {name: value.bare() for name, value in request.headers.items() if isinstance(value, Secret)}
    assert headers == {"X-API-Key": "prosonata-key-0001", "X-APP-ID": "prosonata-app-0002"}
    user = made(app_id=None)
    assert set(user.request(ask(user, "projects"), TOKEN).headers) == {"X-API-Key"}


def test_recent_days_are_a_date_from_which_on() -> None:
    """The bound is spelled `%3E`, and lies a day further out on top of the overlap, as nobody says what it includes."""
    adapter = made()
    url = adapter.request(ask(adapter, "projecttimes"), TOKEN).url
    assert "date=%3E2023-12-31" in url
    assert asked(adapter, "workingtimes")[1]["workingDate"] == ">2023-12-31"
    assert asked(adapter, "crmevents")[1]["eventDate"] == ">2023-12-31"
    assert "date" not in asked(adapter, "projecttimes-slow")[1]


def test_a_probe_reads_the_newest_rows() -> None:
    """Descending, one page; the space of the order travels as a plus."""
    adapter = made()
    assert "orderBy=taskID+DESC" in adapter.request(ask(adapter, "projecttasks-probe"), TOKEN).url
    page = adapter.page(
        ask(adapter, "projecttasks-probe"), answer(envelope([{"taskID": "9"}, {"taskID": 8}], totalCount="7"))
    )
    assert (page.next, page.covers, page.proves_absence) == (None, None, False)
    assert page.evidence == {"newest": 9, "total": 7, "part": ""}


def test_what_hides_is_read_in_two_parts() -> None:
    """Active contacts first, then the others; a pass is over when both are read."""
    adapter = made()
    assert asked(adapter, "contacts")[1]["active"] == "1"
    assert asked(adapter, "addresses", {"part": 1, "at": None})[1]["addressActive"] == "0"
    first = adapter.page(ask(adapter, "contacts"), answer(sample("prosonata/contacts.json")))
    assert (first.part, first.next, first.covers) == ("active", {"part": 1, "at": None}, (None, None))
    second = adapter.page(ask(adapter, "contacts", first.next), raw_answer(b"", 204))
    assert (second.part, second.next, second.covers) == ("inactive", None, (None, None))


def test_before_something_counts_as_deleted_it_is_asked_for() -> None:
    """By its id, at a path of its own for events; 404 in the vendor's envelope, or 204, says that it is gone."""
    adapter = made()
    assert asked(adapter, "projecttasks", None, "7001") == ("/api/v1/projecttasks/7001", {})
    assert asked(adapter, "crmevents-slow", None, "5")[0] == "/api/v1/crmevent/5"
    one = ask(adapter, "projecttasks", None, "7001")
    gone = answer({"meta": {"status": 404, "message": "Data not found."}, "data": []}, 404)
    assert adapter.page(one, gone).rows == []
    assert adapter.page(one, raw_answer(b"", 204)).rows == []
    there = adapter.page(one, answer(sample("prosonata/task.json")))
    assert [adapter.record(one, row).id for row in there.rows] == ["7001"]


@pytest.mark.parametrize(
    "said", [raw_answer(HTML, 404), answer(envelope([])), answer(envelope({"taskID": 9})), answer({}), answer([], 404)]
)
def test_what_is_not_said_in_so_many_words_is_not_gone(said: Any) -> None:
    """A web page, an empty list, another record, no envelope: none of them confirms a deletion."""
    adapter = made()
    with pytest.raises((Refused, Retry)):
        adapter.page(ask(adapter, "projecttasks", None, "7001"), said)


def test_only_walks_that_see_everything_report_deletions_of_events() -> None:
    """Those of all else are asked for by id, so a date that was moved out of the window is no deletion."""
    walks = {walk.name: walk for walk in made().walks(TOKEN)}
    assert not walks["crmevents"].reports_absence
    assert walks["crmevents-slow"].reports_absence
    for name in ("projects", "projecttasks", "projecttimes", "workingtimes", "contacts", "addresses", "customers"):
        assert walks[name].reports_absence, name
        assert walks[name].confirms, name


# What pages prove.


@pytest.mark.parametrize(
    ("at", "rows", "meta", "following", "covers"),
    [
        (None, [3, 5], {"totalCount": 2}, None, (None, None)),
        (None, ["3", 5], {"totalCount": 9}, {"part": 0, "at": 2}, (None, 5)),
        (None, [3, 5], {"totalCount": 1}, None, (None, None)),
        (None, [3, 5], {}, None, (None, 5)),
        (None, [3, 5], {"perPage": 2, "totalCount": 2}, {"part": 0, "at": 2}, (None, 5)),
        (2, [7, 9], {"perPage": "2", "page": "2"}, {"part": 0, "at": 3}, (7, 9)),
        (2, [7], {"perPage": 2, "page": 2, "totalCount": 3}, None, (7, None)),
    ],
)
def test_a_page_shows_all_there_is_between_its_first_and_its_last_row(
    at: int | None, rows: list[Json], meta: dict[str, Json], following: Json, covers: Json
) -> None:
    """The first page from the beginning, the last to the end, where a total says that it is the last. Full pages, and
    totals that count more, go on."""
    adapter = made()
    one = ask(adapter, "projects", None if at is None else {"part": 0, "at": at})
    page = adapter.page(one, answer(envelope(projects(*rows), **meta)))
    assert (page.next, page.covers, page.proves_absence) == (following, covers, True)


def test_an_empty_page_after_others_proves_nothing_and_ends_the_pass() -> None:
    """204 beyond the end: rows may have moved to the page before since that was read."""
    adapter = made()
    page = adapter.page(ask(adapter, "projects", {"part": 0, "at": 4}), raw_answer(b"", 204))
    assert (page.rows, page.next, page.covers, page.proves_absence, page.total) == ([], None, None, True, None)
    empty = adapter.page(ask(adapter, "projects"), raw_answer(b"", 204))
    assert (empty.covers, empty.next) == ((None, None), None)


@pytest.mark.parametrize("rows", [[5, 3], [3, 3], [3, None], [3, {"no": "such"}], [3, float("9e30")]])
def test_rows_out_of_order_prove_nothing(rows: list[Json]) -> None:
    """A vendor that does not sort, doubles a row, or hides an id: the rows count, absence does not."""
    adapter = made()
    page = adapter.page(ask(adapter, "projects"), answer(envelope(projects(*rows), totalCount=2)))
    assert (len(page.rows), page.covers, page.proves_absence) == (2, None, False)


# What answers mean.


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer({"meta": {"status": 401}, "data": []}, 401), Unauthorized, "the key is not accepted"),
        (answer({"meta": {"status": 401}, "data": []}, 200), Unauthorized, "the key is not accepted"),
        (answer({"meta": {"status": 403}, "data": []}, 403), Refused, "may not read projects"),
        (answer({"meta": {"status": 404}, "data": []}, 404), Refused, "no projects at this address"),
        (answer({"meta": {"status": 400}, "data": []}, 400), Refused, "check the configured URL"),
        (raw_answer(HTML, 404), Refused, "no answer of the API's, so check the address"),
        (raw_answer(HTML, 200), Retry, "no answer of the API's, so check the address"),
        (raw_answer(HTML, 502), Retry, "a fault at the vendor"),
        (raw_answer(b'{"meta": {"status": 200}, "data": [{"pro', 200), Retry, "not JSON"),
        (answer(envelope({"0": {"projectID": 1}})), Retry, "data is an object, expected a list"),
        (answer(envelope(None)), Retry, "data is null, expected a list"),
        (answer([1, 2]), Retry, "expected an object with meta and data"),
        (answer({"meta": {}}), Retry, "expected an object with meta and data"),
        (answer(envelope([], page=2)), Retry, "asked for page 1, answered with page 2"),
    ],
)
def test_an_answer_that_is_no_page_says_what_to_do(said: Any, kind: type[BridgeError], words: str) -> None:
    """Each in a sentence of its own, and with the consequence that fits."""
    adapter = made()
    with pytest.raises(kind, match=words):
        adapter.page(ask(adapter, "projects"), said)


@pytest.mark.parametrize(
    ("meta", "after"),
    [
        (sample("prosonata/throttled.json")["meta"], 418.0),
        ({"status": 429, "apiLimitReset": "90", "message": "noch 5 Sekunden"}, 91.0),
        ({"status": 429, "message": "zu viele Anfragen"}, None),
        ({}, None),
    ],
)
def test_a_refusal_for_quota_lasts_as_long_as_it_says(meta: Json, after: float | None) -> None:
    """In `meta`, else in its German sentence, rounded up by a second; else the last known block decides."""
    adapter = made()
    with pytest.raises(Throttled) as caught:
        adapter.page(ask(adapter, "projects"), answer({"meta": meta, "data": []}, 429))
    assert caught.value.after == after


def test_each_answer_tells_what_is_left_of_the_block() -> None:
    """As numbers or as texts; 204 and web pages tell nothing, nor does nonsense."""
    adapter = made()
    assert adapter.allowance(answer(sample("prosonata/projects.json"))) == Block(48, 612.0)
    assert adapter.allowance(answer(envelope([], apiLimitRemaining="0", apiLimitReset="7"))) == Block(0, 7.0)
    for said in (raw_answer(b"", 204), raw_answer(HTML), answer(envelope([], apiLimitRemaining=-1, apiLimitReset=1))):
        assert adapter.allowance(said) is None


def test_the_quota_is_the_accounts_and_part_of_it_is_left_to_others() -> None:
    """Two keys of one account share it; 50 calls in 15 minutes of which ten are left alone, unless told otherwise."""
    one, two = made(), made(api_key=Secret("another"), app_id=None)
    assert one.budget_key == two.budget_key
    assert one.budget_key != made(subdomain="other").budget_key
    assert (one.limit.requests, one.limit.seconds, one.limit.reserve) == (50, 900.0, 10)
    assert made(requests_per_block=500, reserve=0.0).limit.reserve == 0


# What rows become.


def test_a_project_is_the_same_whichever_types_its_numbers_have() -> None:
    """Codes by name, hours in milliseconds, no names of others, no sums."""
    first, second = read("projects")
    assert (first.entity, first.id) == ("project", "1204")
    assert first.after == {
        "number": "P-0104", "name": "Relaunch Website", "description": None, "state": "open",
        "finance_state": "quotation", "active": True, "template": False, "department_id": None, "recurrence": None,
        "company_id": "77", "contact_id": "310", "person_id": "101", "creator_id": "101", "group_id": "2",
        "starts_on": "2024-01-08", "ends_on": "2024-04-30", "planned_ms": 433_800_000, "labels": "web,text",
    }  # fmt: skip
    assert second.id == "1205"
    assert second.after is not None
    assert {name: second.after[name] for name in ("state", "finance_state", "ends_on", "contact_id", "active")} == {
        "state": "ready-to-bill", "finance_state": "reminder-1", "ends_on": None, "contact_id": None, "active": False,
    }  # fmt: skip


def test_a_time_entry_tells_hours_and_its_own_creation() -> None:
    """Local time without a zone becomes UTC; a task that there is none of is null."""
    (entry,) = read("projecttimes")
    assert entry.after is not None
    assert entry.after["duration_ms"] == 4_500_000
    assert entry.after["created_at"] == "2023-12-29T09:16:02.000Z"
    assert (entry.after["task_id"], entry.after["billed"], entry.after["not_billable"]) == (None, True, False)
    assert not {"project_name", "person_name", "category_name", "company_name"} & set(entry.after)


def test_that_somebody_works_is_told_and_why_not_is_not() -> None:
    """Sickness is a day without work; only who sets `omit` gets to see the kind of day."""
    at_work, sick = read("workingtimes")
    assert at_work.after == {
        "person_id": "101", "date": "2023-12-28", "start_time": "08:30:00", "end_time": "17:00:00",
        "home_office": True, "working": True,
    }  # fmt: skip
    assert sick.after is not None
    assert (sick.after["working"], sick.after["start_time"], sick.after["end_time"]) == (False, None, None)
    assert "private" not in sick.after
    adapter = made(omit=[])
    one = ask(adapter, "workingtimes")
    whole = [adapter.record(one, row).after for row in sample("prosonata/workingtimes.json")["data"]]
    assert [after and after["private"]["day_type"] for after in whole] == ["work", "sickness"]


def test_a_kind_of_day_nobody_knows_is_no_work() -> None:
    """And it is not told either."""
    adapter = made()
    one = ask(adapter, "workingtimes")
    record = adapter.record(one, {**sample("prosonata/workingtimes.json")["data"][0], "dayType": 7})
    assert record.after is not None
    assert record.after["working"] is False


def test_a_contact_that_does_not_say_is_as_active_as_those_it_was_listed_with() -> None:
    """Deactivation is an update, wherever it can be read from."""
    adapter = made()
    row = sample("prosonata/contacts.json")["data"][0]
    del row["active"]
    shown, hidden = (ask(adapter, "contacts", {"part": part, "at": None}) for part in (0, 1))
    assert [
        record.after and record.after["active"] for record in (adapter.record(shown, row), adapter.record(hidden, row))
    ] == [True, False]
    said = adapter.record(shown, {**row, "active": "0"})
    assert said.after is not None
    assert said.after["active"] is False


def test_the_version_of_a_task_is_its_stamp_of_change_where_it_says_when() -> None:
    """In UTC; none in the hour that comes twice in autumn, as its second time looks older than its first."""
    adapter = made()
    one = ask(adapter, "projecttasks")
    row = sample("prosonata/task.json")["data"]
    versions = [
        adapter.record(one, {**row, "taskEditDate": stamp}).version
        for stamp in ("2024-07-05 11:02:03", "2024-10-27 01:59:59", "2024-10-27 02:30:00", "2024-10-27 03:00:00", None)
    ]
    assert versions == ["2024-07-05T09:02:03.000Z", "2024-10-26T23:59:59.000Z", None, "2024-10-27T02:00:00.000Z", None]
    record = adapter.record(one, row)
    assert record.after is not None
    assert "2024-07-05T09:02:03.000Z" not in record.after.values()


def test_what_cannot_be_read_of_people_is_not_kept() -> None:
    """The quarantine gets the reason, and not the row; of a project it gets the row."""
    adapter = made()
    row = {**sample("prosonata/addresses.json")["data"][0], "addressActive": {"no": "such"}}
    with pytest.raises(Malformed) as caught:
        adapter.record(ask(adapter, "addresses"), row)
    assert b"DE02" not in caught.value.raw
    assert caught.value.raw
    with pytest.raises(Malformed) as caught:
        adapter.record(ask(adapter, "projects"), {"projectID": None})
    assert caught.value.raw == b""


def test_a_collection_of_your_own_with_something_private_is_not_kept_either() -> None:
    """Whatever it is called: who puts a field into `private`, or names people, means the row."""
    for name, entity, field in (("staff", "employee", "private.born_on"), ("folk", "person", "name"),
                                ("firms", "contact", "name")):  # fmt: skip
        table = ResourceTable(name=name, entity=entity, path=name, id="no", fields={field: "birthday as date"},
                              deletion="ignore")  # fmt: skip
        adapter = made(resource=[table, ResourceTable(name="contacts", deletion="ignore")])
        with pytest.raises(Malformed) as caught:
            adapter.record(ask(adapter, name), {"no": 7, "birthday": "24.12.1980", "IBAN": "DE02"})
        assert caught.value.raw
        assert b"DE02" not in caught.value.raw


@pytest.mark.parametrize("id_", ["NaN", "12a", None, "", 0, -3, 1.5, True, {"no": "such"}, [7]])
def test_an_id_is_a_number_in_any_spelling(id_: Json) -> None:
    """What is none names no entity: it is set aside, and nothing is invented."""
    adapter = made()
    with pytest.raises(Malformed):
        adapter.record(ask(adapter, "projects"), {"projectID": id_, "projectName": "x"})
    for spelling in (7, "7", 7.0):
        assert adapter.record(ask(adapter, "projects"), {"projectID": spelling}).id == "7"


def test_the_shapes_that_are_shared_are_announced() -> None:
    """Six of them; what only ProSonata has, has none."""
    adapter = made()
    shapes = {walk.entity: adapter.schema(walk.entity) for walk in adapter.walks(TOKEN)}
    assert {entity: shape for entity, shape in shapes.items() if shape} == {
        "project": "project/1", "task": "task/1", "time-entry": "time-entry/1", "company": "company/1",
        "contact": "contact/1",
    }  # fmt: skip
    assert {entity for entity, shape in shapes.items() if shape is None} == {
        "working-time", "crm-event", "quotation", "address", "external-cost",
    }  # fmt: skip


# What may be set.


def test_tables_change_what_is_read() -> None:
    """A resource is switched off, slowed down or given fields; another one is added."""
    tables = [
        ResourceTable(name="addresses", enabled=False),
        ResourceTable(name="projects", every_s=600, fields={"labels": "", "kind": "projectKind as text"}),
        ResourceTable(name="servicetemplates", entity="service-template", path="servicetemplates", id="templateID",
                      one="servicetemplates/{id}", fields={"name": "templateName as text"}),
    ]  # fmt: skip
    adapter = made(resource=tables)
    walks = {walk.name: walk for walk in adapter.walks(TOKEN)}
    assert "addresses" not in walks
    assert walks["projects"].every_s == 600
    record = adapter.record(ask(adapter, "projects"), {"projectID": 1, "projectKind": "x"})
    assert record.after is not None
    assert record.after["kind"] == "x"
    assert "labels" not in record.after
    assert asked(adapter, "servicetemplates")[0] == "/api/v1/servicetemplates"
    assert adapter.edition("project") != made().edition("project")


def test_shipped_tables_are_resources() -> None:
    """Ten, each with the page size the vendor allows at most."""
    shipped = made().settings.shipped
    assert len(shipped) == 10
    assert {type(one) for one in shipped} == {Resource}
    assert {one.page_size for one in shipped} == {1000}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"subdomain": None}, "subdomain"),
        ({"base_url": "https://elsewhere.example"}, "subdomain"),
        ({"subdomain": "agency.example/x"}, "subdomain"),
        ({"subdomain": None, "base_url": "https://x.example/?a=1"}, "base_url"),
        ({"subdomain": None, "base_url": "elsewhere"}, "base_url"),
        ({"reserve": 1.0}, "reserve"),
        ({"zone": "Mars/Olympus"}, "zone"),
        # Pages of alternating sizes find what lies between two; above the vendor's bound all are alike.
        ({"resource": [ResourceTable(name="projects", page_size=1001)]}, "resource"),
    ],
)
def test_settings_that_contradict_are_refused(changes: dict[str, Any], key: str) -> None:
    """By the key that is to be changed."""
    with pytest.raises(BadSetting) as caught:
        made(**changes)
    assert caught.value.key[0] == key
