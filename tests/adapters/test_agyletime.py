"""AgyleTime's facts: where it asks, what it makes of the answers, and what it keeps to itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from adapters.agyletime import Adapter, Settings
from adapters.tables.agyletime import SHIPPED
from bridge.adapter import Ask, BadSetting, Json, Limit, Record, ResourceTable, Secret, Token, Walk, Window
from bridge.core.errors import CursorExpired, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.omit import omit, parse
from bridge.edge.config.loader import load
from tests.adapters.cases import agyletime_settings, sample
from tests.support.answers import answer, raw_answer

TOKEN = Token(Secret("token-0009"))
DAY_MS = 86_400_000
NOW = 1_704_110_400_000
"""2024-01-01T12:00:00Z."""


def adapter(**changes: Any) -> Adapter:
    return Adapter(agyletime_settings(**changes))


def walk(name: str, **changes: Any) -> Walk:
    return next(walk for walk in adapter(**changes).walks(TOKEN) if walk.name == name)


def ask(name: str, position: Json = None, ids: tuple[str, ...] = ()) -> Ask:
    """As the engine would ask now."""
    of = walk(name)
    window = None
    if of.reach_s is not None:
        margin = round(of.overlap_s * 1000)
        window = Window(NOW - round(of.reach_s * 1000) - margin, NOW + margin)
    return Ask(of, window, position, ids)


def asked(name: str, position: Json = None, ids: tuple[str, ...] = ()) -> tuple[str, dict[str, str]]:
    """Address without query, and query."""
    parts = urlsplit(adapter().request(ask(name, position, ids), TOKEN).url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(parse_qsl(parts.query))


def records(name: str, body: Json = None) -> list[Record]:
    made = adapter()
    page = made.page(ask(name), answer(sample(f"agyletime/{name}.json") if body is None else body))
    return [made.record(ask(name), row) for row in page.rows]


def published(record: Record) -> Mapping[str, Json]:
    """With the adapter's own `omit`."""
    found: Mapping[str, Json] = omit(record.after, [parse(path) for path in Adapter.omit])
    return found


# Where it asks.


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("users", "https://api-eu.cloud.agyletime.io/organisation/users"),
        ("business-roles", "https://api-eu.cloud.agyletime.io/organisation/business-roles"),
        ("system-roles", "https://api-eu.cloud.agyletime.io/organisation/system-roles"),
        ("shifts", "https://api-eu.cloud.agyletime.io/schedule/shifts/published"),
        ("tasks", "https://acme.cloud.agyletime.io/api/workactivity/tasks"),
        ("tasks-slow", "https://acme.cloud.agyletime.io/api/workactivity/tasks"),
        ("definitions", "https://acme.cloud.agyletime.io/api/schedule/tasks/definitions"),
    ],
)
def test_each_collection_has_its_host(name: str, url: str) -> None:
    """The tenant's below `/api`, the region's without; one token opens both."""
    assert asked(name)[0] == url
    headers = adapter().request(ask(name), TOKEN).headers
    assert headers == {"Authorization": Secret("token-0009", prefix="Bearer ")}


def test_hosts_and_the_tokens_path_can_be_others() -> None:
    """Each by its key, and neither subdomain nor region is needed then."""
    made = adapter(
        subdomain=None, region=None, tenant_url="http://127.0.0.1:9/t/", regional_url="http://127.0.0.1:9/r",
        token_path="api/authorisation/token", token_form={"grant_type": "client_credentials"},
    )  # fmt: skip
    assert made.request(ask("users"), TOKEN).url.startswith("http://127.0.0.1:9/r/organisation/users?")
    assert made.request(ask("tasks"), TOKEN).url.startswith("http://127.0.0.1:9/t/api/workactivity/tasks?")
    login = next(made.login())
    assert login.url == "http://127.0.0.1:9/t/api/authorisation/token"
    assert login.form == {"grant_type": "client_credentials"}
    assert next(adapter().login()).url == "https://acme.cloud.agyletime.io/api/authority/token"
    assert next(adapter(region="au").login()).form is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"region": None}, "key region is missing"),
        ({"subdomain": None}, "key subdomain is missing"),
        ({"subdomain": "acme.cloud"}, "what stands before"),
        ({"tenant_url": "acme"}, "expected an address"),
        ({"regional_url": "https://x.example/?a=1"}, "expected an address"),
        ({"key_id": "a:b"}, "colon"),
        ({"resource": [ResourceTable(name="users", host="moon")]}, "tenant or regional"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], says: str) -> None:
    """Each is a sentence."""
    with pytest.raises(BadSetting, match=says):
        agyletime_settings(**given)


def test_a_wrong_host_is_said_of_its_own_table() -> None:
    """So that its line is named: here that of the second."""
    tables = [
        ResourceTable(name="users", every_s=60.0),
        ResourceTable(name="teams", entity="team", path="teams", fields={"name": "name"}),
    ]
    with pytest.raises(BadSetting) as caught:
        agyletime_settings(resource=tables)
    assert list(caught.value.key) == ["resource", 1, "host"]


# What it asks.


def test_windows_are_repeated_with_the_page_token() -> None:
    """Nobody says that a token remembers its filters; dates are RFC 3339 in UTC."""
    window = {"taskStartTimeFrom": "2024-01-01T03:45:00.000Z", "taskStartTimeTo": "2024-01-01T12:15:00.000Z"}
    assert asked("tasks")[1] == {**window, "pageLimit": "200"}
    later = asked("tasks", {"part": 0, "at": "5bd2b3b0c8f1d2001f3a5e02"})[1]
    assert later == {**window, "pageLimit": "200", "nextPageToken": "5bd2b3b0c8f1d2001f3a5e02"}
    shifts = asked("shifts")[1]
    # A day back and 28 ahead, and a day of margin at both ends.
    assert (shifts["startTimeFrom"], shifts["startTimeTo"]) == ("2023-12-30T12:00:00.000Z", "2024-01-30T12:00:00.000Z")
    slow = asked("tasks-slow")[1]
    assert slow["taskStartTimeFrom"] == "2023-12-17T12:00:00.000Z"
    assert asked("users")[1] == {"pageLimit": "200"}


def test_one_record_is_asked_for_by_its_id() -> None:
    """Without window or page; the id is quoted."""
    url, query = asked("shifts", None, ("5/7",))
    assert url == "https://api-eu.cloud.agyletime.io/schedule/shifts/published/5%2F7"
    assert query == {}


def test_what_is_read_unless_told_otherwise() -> None:
    """Inbound work only where somebody asks for it; of two windows only the long one says what is gone."""
    walks = {one.name: one for one in adapter().walks(TOKEN)}
    assert list(walks) == [
        "tasks", "shifts", "users", "tasks-slow", "business-roles", "system-roles", "definitions",
    ]  # fmt: skip
    assert [name for name, one in walks.items() if one.reports_absence] == [
        "shifts", "users", "tasks-slow", "business-roles", "system-roles", "definitions",
    ]  # fmt: skip
    assert [name for name, one in walks.items() if one.confirms] == ["shifts", "users", "tasks-slow"]
    more = [ResourceTable(name=name, enabled=True) for name in ("contacts", "workstreams", "interactions")]
    found = {one.name: one.entity for one in adapter(resource=more).walks(TOKEN)}
    assert {name: found[name] for name in ("contacts", "workstreams", "interactions")} == {
        "contacts": "customer-contact", "workstreams": "workstream", "interactions": "interaction",
    }  # fmt: skip


# What it makes of the answers.


def test_a_user_is_a_person() -> None:
    """By number; `updatedAt` is the version and not among the fields, nor is `__v`; inactive is no deletion."""
    first, second = records("users")
    assert (first.id, first.version, first.gone) == ("1001", "2023-12-01T09:30:00.000Z", False)
    assert published(first) == {
        "active": True, "role": "Agent", "roles": ["inbound"], "company_id": "77", "team_id": "11",
        "team_name": "Orders", "time_zone": "Europe/Berlin", "started_at": "2018-10-26T08:00:00.000Z",
    }  # fmt: skip
    assert (second.after or {})["active"] is False
    assert not second.gone
    assert (first.after or {})["private"] == {"email": "adalind.abendrot@staff.example"}
    assert adapter().schema("person") == "person/1"


def test_a_timeline_entry_is_a_time_entry() -> None:
    """Under way it has no end; 0 and 1 are truths; what somebody is away for is not told, that they are away is."""
    running, pause, leave = records("tasks")
    assert published(running) == {
        "person_id": "1001", "started_at": "2024-01-01T08:00:00.000Z", "ended_at": None, "kind": "work",
        "task_id": "300", "task_name": "Phone", "task_number": "phone", "shift_id": "50007", "paid": True,
        "productive": True, "leave": False, "pause": False, "integration": "five9",
        "created_at": "2024-01-01T08:00:01.000Z",
    }  # fmt: skip
    assert (running.version, running.at_ms) == (None, 1_704_096_001_000)
    assert (pause.version, pause.at_ms) == ("2024-01-01T07:45:00.000Z", 1_704_095_100_000)
    assert [published(leave)[name] for name in ("leave", "kind", "task_id", "task_name", "task_number")] == [
        True, None, None, None, None,
    ]  # fmt: skip
    assert (leave.after or {})["private"] == {"email": "b.cornwell@staff.example", "absence": "Sick leave"}
    assert adapter().schema("time-entry") == "time-entry/1"


def test_a_published_shift() -> None:
    """Times in UTC, whatever offset they came with."""
    (shift,) = records("shifts")
    assert (shift.id, published(shift)) == (
        "50007",
        {
            "person_id": "1001", "starts_at": "2024-01-02T08:00:00.000Z", "ends_at": "2024-01-02T16:00:00.000Z",
            "published": True,
        },
    )  # fmt: skip


def test_a_shift_whose_fields_are_called_otherwise_is_set_aside_until_somebody_says_how() -> None:
    """Nothing is published of it that would hide its changes; what came is kept, and a table mends it."""
    row = {"id": 7, "agent": 1001, "from": "2024-01-02T09:00:00Z", "until": "2024-01-02T16:00:00Z"}
    with pytest.raises(Malformed, match="starts_at is absent: say where it is"):
        adapter().record(ask("shifts"), row)
    named = {
        "person_id": "agent as id",
        "starts_at": "from as datetime",
        "ends_at": "until as datetime",
        "all": "agent",
    }
    made = adapter(resource=[ResourceTable(name="shifts", fields=named)])
    assert made.record(ask("shifts"), row).after == {
        "person_id": "1001", "starts_at": "2024-01-02T09:00:00.000Z", "ends_at": "2024-01-02T16:00:00.000Z",
        "published": None, "all": 1001,
    }  # fmt: skip
    assert made.edition("shift") != adapter().edition("shift")


@pytest.mark.parametrize("id_", [None, "", 0, {"no": "such"}, [], True, "x" * 1100])
def test_a_row_without_a_usable_id_is_set_aside(id_: Json) -> None:
    """And of rows about people nothing is kept."""
    row = {**sample("agyletime/users.json")["data"][0], "id": id_}
    with pytest.raises(Malformed) as caught:
        adapter().record(ask("users"), row)
    assert b"left out" in caught.value.raw
    with pytest.raises(Malformed):
        adapter().record(ask("users"), "deleted")


def test_types_that_change_make_no_change() -> None:
    """Numbers as text, truths as numbers, dates in another spelling."""
    body = sample("agyletime/tasks.json")
    plain = records("tasks")
    for row in body["data"]:
        row |= {name: str(value) for name, value in row.items() if type(value) is int}
        row["startTime"] = row["startTime"].replace("Z", "+00:00")
    other = records("tasks", body)
    assert [(one.id, one.after, one.version) for one in other] == [(one.id, one.after, one.version) for one in plain]


def test_pages_go_on_by_their_token() -> None:
    """To the end, where there is none; a count that lies proves nothing; 204 is empty."""
    made = adapter()
    page = made.page(ask("users"), answer(sample("agyletime/users.json")))
    assert (page.next, page.proves_absence) == ({"part": 0, "at": "5bd2b3b0c8f1d2001f3a5e02"}, True)
    assert made.page(ask("tasks"), answer(sample("agyletime/tasks.json"))).next is None
    lying = {**sample("agyletime/tasks.json"), "itemsCount": 9}
    assert not made.page(ask("tasks"), answer(lying)).proves_absence
    assert made.page(ask("tasks"), raw_answer(b"", 204)).rows == []


def test_errors() -> None:
    """Each says what happens next."""
    made, later = adapter(), {"part": 0, "at": "5bd2b3b0c8f1d2001f3a5e02"}
    body = {"status": "error", "code": "BadRequest", "result": "BadRequest", "message": "startTimeFrom (INVALID): x"}
    with pytest.raises(Unauthorized):
        made.page(ask("users"), answer(body, 401))
    with pytest.raises(Refused, match=r"walk users: .*permission"):
        made.page(ask("users"), answer(body, 403))
    with pytest.raises(Refused, match="startTimeFrom invalid"):
        made.page(ask("shifts"), answer(body, 400))
    with pytest.raises(CursorExpired):
        made.page(ask("shifts", later), answer(body, 400))
    with pytest.raises(Throttled):
        made.page(ask("shifts"), answer(body, 429))
    for wrong in (answer({"status": "success", "data": {}}), raw_answer(b"<html>"), raw_answer(b'{"status":')):
        with pytest.raises(Retry):
            made.page(ask("shifts"), wrong)


def test_one_record_is_there_or_not() -> None:
    """404, 410 and 204 say that it is gone; what is no record says nothing."""
    made, one = adapter(), ask("users", None, ("1001",))
    row = sample("agyletime/users.json")["data"][0]
    (found,) = made.page(one, answer({"status": "success", "data": row})).rows
    assert made.record(one, found).id == "1001"
    assert made.page(one, answer({"status": "error"}, 404)).rows == []
    with pytest.raises(Retry):
        made.page(one, answer({"status": "success", "data": [row]}))


def test_who_must_be_in_a_window() -> None:
    """Only what began well inside of it; users always."""
    made, shifts, slow = adapter(), ask("shifts"), ask("tasks-slow")
    for start, belongs in (
        ("2023-12-31T11:59:00.000Z", False), ("2023-12-31T12:01:00.000Z", True), ("2024-01-29T11:59:00.000Z", True),
        ("2024-01-29T12:01:00.000Z", False), (None, False),
    ):  # fmt: skip
        assert made.belongs(shifts, {"starts_at": start}) is belongs, start
    assert made.belongs(slow, {"started_at": "2023-12-18T12:01:00.000Z"})
    assert not made.belongs(slow, {"started_at": "2023-12-18T11:59:00.000Z"})
    assert made.belongs(ask("users"), {})


def test_keys_are_shared_by_budget_and_told_nobody() -> None:
    """The same key at the same tenant is one quota, a hash; another one is another."""
    assert adapter().budget_key == adapter(secret=Secret("other")).budget_key
    assert adapter().budget_key != adapter(key_id="AGY-key-0002").budget_key
    assert "AGY-key" not in adapter().budget_key
    assert adapter().limit == Limit(100, 30.0)


def test_its_tables_are_configured_in_the_file(tmp_path: Path) -> None:
    """`[[source.resource]]` changes a shipped collection, and adds one of the operator's own."""
    file = tmp_path / "bridged.toml"
    file.write_text(
        """
[[source]]
name = "workforce"
adapter = "agyletime"
subdomain = "acme"
region = "us"
key_id = "AGY-key-0001"
secret = { env = "AGYLETIME_SECRET" }

[[source.resource]]
name = "shifts"
every_s = 120
window_from = "from={datetime}"

[[source.resource]]
name = "leave"
entity = "leave"
host = "tenant"
path = "schedule/leave"
fields = { person_id = "userId as id" }
""",
        "utf-8",
    )
    (settings,) = load(file, {"AGYLETIME_SECRET": "agy-secret-0002"}).sources
    made = Adapter(settings)  # type: ignore[arg-type]
    walks = {one.name: one for one in made.walks(TOKEN)}
    assert walks["shifts"].every_s == 120.0
    url = made.request(Ask(walks["leave"], None), TOKEN).url
    assert url == "https://acme.cloud.agyletime.io/api/schedule/leave?pageLimit=100"
    later = replace(ask("shifts"), walk=walks["shifts"])
    assert "from=2023-12-30T12%3A00%3A00.000Z&startTimeTo=" in made.request(later, TOKEN).url


def test_the_documented_tables_load(tmp_path: Path) -> None:
    """Those of `docs/agyletime.md` as they are, and its table of what is read names every collection there is."""
    text = (Path(__file__).parents[2] / "docs" / "agyletime.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.S)
    assert len(examples) == 2
    for example in examples:
        file = tmp_path / "bridged.toml"
        file.write_text(example, "utf-8")
        (settings,) = load(file, {"AGYLETIME_SECRET": "agy-secret-0002"}).sources
        assert isinstance(settings, Settings)
    for one in SHIPPED:
        assert f"`{one.name}`" in text
        assert f"`{one.entity}`" in text
