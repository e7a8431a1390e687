"""The played ProSonata answers as the vendor's pages say, and as third parties measured it: without any socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.sandbox.player import seeded
from bridge.sandbox.prosonata import Options, ProsonataSandbox
from bridge.sandbox.prosonata_fields import RESOURCES
from tests.sandbox.conftest import HandClock


class Asker:
    """A client of the pure API, with the right key."""

    def __init__(self, clock: HandClock, **options: Any) -> None:
        self.sandbox = ProsonataSandbox(Options(**{"clock": clock, "seed": 5, "flips": 0.0, **options}))
        self.world = self.sandbox.world

    def ask(self, path: str, query: str = "", *, method: str = "GET", **headers: str) -> tuple[int, Any]:
        """Status, and the body decoded; None where there is none, text where it is no JSON."""
        if not headers:
            headers = {"x-api-key": self.sandbox.key} | (
                {"x-app-id": self.sandbox.app_id} if self.sandbox.app_id else {}
            )
        reply = self.sandbox.api.respond(method, f"/api/v1/{path}", query, headers)
        reply.told()
        if not reply.body:
            return reply.status, None
        return reply.status, json.loads(reply.body) if "json" in reply.kind else reply.body.decode()

    def rows(self, path: str, query: str = "") -> list[dict[str, Any]]:
        """The rows of a list that has some."""
        status, body = self.ask(path, query)
        assert status == 200, body
        found: list[dict[str, Any]] = body["data"]
        return found


def test_a_list_is_an_envelope_with_figures_of_its_own_and_of_the_quota(clock: HandClock) -> None:
    """`meta` repeats the status, counts the rows, and tells what is left of the block."""
    asker = Asker(clock, quota=50)
    status, body = asker.ask("projects", "perPage=3&page=2")
    meta = body["meta"]
    assert status == meta["status"] == 200
    assert (meta["perPage"], meta["page"], meta["totalCount"], meta["apiLimitRemaining"]) == (3, 2, 8, 49)
    assert 1 <= meta["apiLimitReset"] <= 900
    assert "requestAppID" in meta
    assert [row["projectID"] for row in body["data"]] == list(asker.world.rows["projects"])[3:6]
    assert "requestUserID" in Asker(clock, auth="user").ask("projects")[1]["meta"]


def test_a_single_record_is_an_object_and_one_that_is_not_there_404(clock: HandClock) -> None:
    """`data` is an object; the record of an event goes by another path than its list."""
    asker = Asker(clock)
    first = next(iter(asker.world.rows["crmevents"]))
    assert asker.ask(f"crmevent/{first}")[1]["data"]["eventID"] == first
    assert asker.ask(f"crmevents/{first}")[0] == 404
    assert asker.ask("projects/999999") == (404, {"meta": {"status": 404, "message": "Data not found."}, "data": []})


@pytest.mark.parametrize(("empty", "expected"), [("204", (204, None)), ("list", (200, []))])
def test_an_empty_list_has_no_body(clock: HandClock, empty: str, expected: tuple[int, Any]) -> None:
    """Beyond the end, and for a filter nothing passes: 204, unless it is told otherwise."""
    asker = Asker(clock, empty=empty)
    for query in ("page=99", "projectStatus=77"):
        status, body = asker.ask("projects", query)
        assert (status, body and body["data"]) == expected


def test_orders_filters_and_ranges_are_the_vendors(clock: HandClock) -> None:
    """Descending ids, several orders, parts of texts, dates from and until, and ranges by a second parameter."""
    asker = Asker(clock, size=20)
    ids = [row["timeID"] for row in asker.rows("projecttimes", "orderBy=timeID+DESC&perPage=1000")]
    assert ids == sorted(asker.world.rows["projecttimes"], reverse=True)
    days = sorted(row["date"] for row in asker.world.rows["projecttimes"].values())
    ordered = asker.rows("projecttimes", "orderBy=date,timeID+DESC&perPage=1000")
    assert [row["date"] for row in ordered] == days
    middle = days[len(days) // 2]
    from_there = [row["date"] for row in asker.rows("projecttimes", f"date=%3E{middle}&perPage=1000")]
    assert sorted(from_there) == [day for day in days if day >= middle]
    asker.sandbox.alter({"bounds": ">"})
    after = [row["date"] for row in asker.rows("projecttimes", f"date=%3E{middle}&perPage=1000")]
    assert sorted(after) == [day for day in days if day > middle]
    one_day = asker.rows("projecttimes", f"date={middle}&date2={middle}&perPage=1000")
    assert {row["date"] for row in one_day} == {middle}
    found = asker.rows("customers", "customerName=ERE&perPage=1000") if _any(asker, "ere") else []
    assert all("ere" in row["customerName"].lower() for row in found)
    assert asker.ask("projects", "nonsense=1")[0] == asker.ask("projects", "orderBy=nonsense")[0] == 400
    asker.sandbox.alter({"unknown": "ignored"})
    assert asker.ask("projects", "nonsense=1&orderBy=nonsense")[0] == 200


def _any(asker: Asker, part: str) -> bool:
    return any(part in row["customerName"].lower() for row in asker.world.rows["customers"].values())


def test_rows_move_to_other_pages_when_one_before_them_goes(clock: HandClock) -> None:
    """Pages have no snapshot: who has read page 1 before a deletion on it never sees the row that moved up."""
    asker = Asker(clock, size=10)
    first = [row["projectID"] for row in asker.rows("projects", "perPage=4")]
    asker.world.delete("projects", first[0])
    second = [row["projectID"] for row in asker.rows("projects", "perPage=4&page=2")]
    assert len({*first, *second}) == 8
    assert list(asker.world.rows["projects"])[3] not in {*first, *second}


def test_inactive_contacts_hide_until_they_are_asked_for(clock: HandClock) -> None:
    """A contact that is deactivated looks deleted to who reads the list as it comes."""
    asker = Asker(clock, size=20)
    everyone = set(asker.world.rows["contacts"])
    shown = {row["contactID"] for row in asker.rows("contacts", "perPage=1000")}
    hidden = {row["contactID"] for row in asker.rows("contacts", "perPage=1000&active=0")}
    assert hidden
    assert shown | hidden == everyone
    assert not shown & hidden
    gone = asker.sandbox.make_change(1, "contacts-deactivate")[0]
    assert gone.operation == "updated"
    assert int(gone.id) not in {row["contactID"] for row in asker.rows("contacts", "perPage=1000")}
    assert asker.ask(f"contacts/{gone.id}")[1]["data"]["active"] == 0
    asker.sandbox.alter({"hides": False})
    assert {row["contactID"] for row in asker.rows("contacts", "perPage=1000")} == everyone


def test_types_change_from_answer_to_answer_and_flags_never_do(clock: HandClock) -> None:
    """Ids, hours and money are numbers in one answer and texts in another; the content stays what it is."""
    asker = Asker(clock, flips=0.5)
    seen: dict[str, set[type]] = {}
    for _ in range(20):
        rows = asker.rows("projecttimes", "perPage=5")
        for name in ("timeID", "workingTime", "isInvoiced", "timeViaApi"):
            assert len({type(row[name]) for row in rows}) == 1
            seen.setdefault(name, set()).add(type(rows[0][name]))
        assert [int(row["timeID"]) for row in rows] == list(asker.world.rows["projecttimes"])[:5]
    assert seen == {"timeID": {int, str}, "workingTime": {float, str}, "isInvoiced": {int}, "timeViaApi": {int}}


def test_what_a_row_shows_of_others_is_no_change_of_it(clock: HandClock) -> None:
    """A renamed project is renamed in every time entry; hours booked are summed up in the project."""
    asker = Asker(clock)
    entry = next(iter(asker.world.rows["projecttimes"].values()))
    before = len(asker.sandbox.ledger)
    asker.world.update("projects", entry["projectID"], projectName="Umbenannt")
    asker.world.update("projecttimes", entry["timeID"], workingTime="100.00")
    assert asker.rows("projecttimes", "perPage=1")[0]["projectName"] == "Umbenannt"
    project = asker.ask(f"projects/{entry['projectID']}")[1]["data"]
    assert float(project["timeNeeded"]) >= 100
    assert len(asker.sandbox.ledger) == before + 2


def test_nobody_without_the_key_and_no_other_methods(clock: HandClock) -> None:
    """401 without, with half of it, and with a key that was replaced; 403 for a resource; 405 for writing."""
    asker = Asker(clock, forbidden="customers")
    key, app = asker.sandbox.key, asker.sandbox.app_id
    for headers in ({"x-api-key": key}, {"x-api-key": "no", "x-app-id": app}, {"accept": "*/*"}):
        assert asker.ask("projects", **headers)[0] == 401
    assert asker.ask("projects", f"apiKey={key}&appID={app}", accept="*/*")[0] == 200
    assert asker.ask("customers")[1] == {"meta": {"status": 403, "message": "Access denied."}, "data": []}
    assert asker.ask("projects", method="POST")[0] == 405
    asker.sandbox.revoke_tokens()
    assert asker.ask("projects", **{"x-api-key": key, "x-app-id": app})[0] == 401
    assert asker.ask("projects")[0] == 200
    counters = asker.sandbox.counters()
    assert (counters["unauthorized"], counters["forbidden"], counters["keys_in_urls"]) == (4, 1, 1)


def test_a_user_has_one_header(clock: HandClock) -> None:
    """And an app integration two: who sends an app id with a user's key is nobody."""
    asker = Asker(clock, auth="user")
    assert asker.sandbox.app_id == ""
    assert asker.ask("projects", **{"x-api-key": asker.sandbox.key})[0] == 200
    assert asker.ask("projects", **{"x-api-key": asker.sandbox.key, "x-app-id": "app"})[0] == 401


def test_served_is_what_an_answer_carried(clock: HandClock) -> None:
    """The ledger marks the versions that were on the page, and no others."""
    asker = Asker(clock)
    page = {str(row["projectID"]) for row in asker.rows("projects", "perPage=3")}
    served = {change.id for change in asker.sandbox.ledger.changes if change.served_ms is not None}
    assert served == page


def test_the_same_seed_makes_the_same_agency() -> None:
    """World and changes repeat; another seed makes others."""
    clock = HandClock()
    one, two, other = (ProsonataSandbox(Options(clock=clock, seed=seed)) for seed in (3, 3, 4))
    for sandbox in (one, two, other):
        sandbox.make_change(50)
    assert [change.to_json() for change in one.ledger.changes] == [change.to_json() for change in two.ledger.changes]
    assert one.state() == two.state() != other.state()
    assert seeded(one.options, "world").random() == seeded(two.options, "world").random()


def test_a_day_of_changes_leaves_ids_in_order(clock: HandClock) -> None:
    """Every kind of change happens; ids only grow, with gaps, and each collection is kept in their order."""
    asker = Asker(clock)
    kinds = set()
    for _ in range(600):
        clock.advance(60)
        kinds.add(asker.sandbox.make_change(1)[0].kind)
    assert kinds == {"insert", "update", "delete", "flip", "revert", "deactivate", "activate"}
    for path in RESOURCES:
        ids = list(asker.world.rows[path])
        assert ids == sorted(ids)
    with pytest.raises(ValueError, match="nothing that happens"):
        asker.sandbox.make_change(1, "projects-explode")
