"""The played AgyleTime is what the vendor's pages and its clients say, and keeps an honest ledger."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt
import pytest

from bridge.sandbox.agyletime import AgyletimeSandbox, Options, agyletime_sandbox
from bridge.sandbox.agyletime_api import Reply
from bridge.sandbox.agyletime_rows import DAY, moment, stamp
from bridge.sandbox.agyletime_world import WEIGHTS
from bridge.sandbox.oracle import plain
from tests.sandbox.conftest import NOW_MS, HandClock

TENANT, REGIONAL = "/tenant/api/", "/regional/"
TASKS, USERS, SHIFTS = (
    TENANT + "workactivity/tasks",
    REGIONAL + "organisation/users",
    REGIONAL + "schedule/shifts/published",
)


class Client:
    """Asks without a socket."""

    def __init__(self, clock: HandClock, **options: Any) -> None:
        self.sandbox = AgyletimeSandbox(Options(clock=clock, **options))
        self.headers: dict[str, str] = {}

    def send(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, **query: Any) -> Reply:
        told = self.headers if headers is None else headers
        return self.sandbox.api.respond(method, path, urllib.parse.urlencode(query), told)

    def read(self, path: str, **query: Any) -> Any:
        reply = self.send(path, **query)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def login(self, secret: str | None = None) -> tuple[int, Any]:
        pair = f"{self.sandbox.key_id}:{secret or self.sandbox.secret}"
        basic = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        reply = self.send(TENANT + "authority/token", method="POST", headers=basic)
        body = json.loads(reply.body)
        if reply.status == 201:
            self.headers = {"authorization": f"Bearer {body['data']['accessToken']}"}
        return reply.status, body

    def all(self, path: str, **query: Any) -> list[Any]:
        """Every row, page by page."""
        rows, more = [], query
        for _ in range(1000):
            body = self.read(path, **more)
            rows += body["data"]
            if "nextPageToken" not in body:
                return rows
            more = {**query, "nextPageToken": body["nextPageToken"]}
        raise AssertionError("it does not end")


def client(clock: HandClock, **options: Any) -> Client:
    made = Client(clock, **options)
    assert made.login()[0] == 201
    return made


def test_a_token_is_a_jwt_in_an_envelope_and_ends(clock: HandClock) -> None:
    """By HTTP Basic; it names its organisation and times, opens both hosts, and is refused once it has ended."""
    made = client(clock, token_s=60)
    _, body = made.login()
    assert (body["status"], body["result"]) == ("success", 0)
    token = body["data"].pop("accessToken")
    assert body["data"] == {"expiresIn": 60, "tokenType": "Bearer"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["organisation_id"]) == (60, 77)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    made.read(TASKS)
    made.read(USERS)
    clock.advance(60)
    reply = made.send(USERS)
    assert (reply.status, json.loads(reply.body)["code"]) == (401, "Unauthorized")
    assert made.login(secret="wrong")[0] == 401
    assert made.send(USERS, headers={}).status == 401
    assert made.login()[0] == 201
    made.sandbox.revoke_tokens()
    assert made.send(USERS).status == 401


@pytest.mark.parametrize(
    ("options", "said", "has_exp"),
    [
        ({"token_says": "expireIn"}, {"expireIn": 900.0}, True),
        ({"token_says": "", "token_exp": False}, {}, False),
        ({"token_s": None}, {}, False),
    ],
)
def test_a_token_may_tell_its_life_otherwise(
    clock: HandClock, options: dict[str, Any], said: dict[str, Any], has_exp: bool
) -> None:
    """Under another name, or not at all; what it does not say holds all the same."""
    made = client(clock, **options)
    data = made.login()[1]["data"]
    claims = jwt.decode(data.pop("accessToken"), options={"verify_signature": False})
    assert data == {**said, "tokenType": "Bearer"}
    assert ("exp" in claims) is has_exp
    clock.advance(900)
    assert made.send(USERS).status == (200 if options.get("token_s", 1) is None else 401)


def test_the_vendors_clock_may_be_another(clock: HandClock) -> None:
    """By an hour: the times in the token are, and its life is what it is."""
    made = client(clock, clock_off_s=-3600, token_s=60)
    claims = jwt.decode(made.login()[1]["data"]["accessToken"], options={"verify_signature": False})
    assert claims["iat"] == NOW_MS // 1000 - 3600
    clock.advance(59)
    assert made.send(USERS).status == 200
    clock.advance(1)
    assert made.send(USERS).status == 401


def test_each_host_has_what_is_its_own(clock: HandClock) -> None:
    """Users and shifts are the region's alone, timelines the tenant's."""
    made = client(clock)
    for path in (
        "/tenant/api/organisation/users",
        "/regional/workactivity/tasks",
        "/organisation/users",
        "/regional/x",
    ):
        reply = made.send(path)
        assert (reply.status, json.loads(reply.body)["result"]) == (404, "NotFound"), path
    for path in ("workactivity/workstreams", "workactivity/contacts", "workactivity/interactions"):
        assert made.read(TENANT + path)["data"] == made.read(REGIONAL + path)["data"]
    assert made.send(USERS, method="DELETE").status == 403


def test_pages_run_in_the_order_of_creation(clock: HandClock) -> None:
    """Tokens are ids; what is created meanwhile lies on a later page, what is removed makes nobody be skipped."""
    made = client(clock, users=12, most_per_page=5)
    page = made.read(USERS, pageLimit=500)
    assert (page["itemsCount"], page["pageLimit"], len(page["data"])) == (5, 5, 5)
    assert page["nextPageToken"] == page["data"][-1]["_id"]
    before = [row["id"] for row in made.all(USERS)]
    made.sandbox.world.remove("users", page["data"][0]["_id"], "removed")
    new = made.sandbox.make_change(kind="hired")[0]
    rest = made.all(USERS, nextPageToken=page["nextPageToken"])
    assert [row["id"] for row in rest] == [*before[5:], int(new.id)]
    assert [row["_id"] for row in made.all(USERS)] == sorted(row["_id"] for row in made.all(USERS))
    last = made.read(USERS, pageLimit=3, nextPageToken=rest[-2]["_id"])
    assert ("nextPageToken" in last, last["itemsCount"]) == (False, 1)
    unpaged = made.read(TENANT + "schedule/tasks/definitions", pageLimit=2)
    assert (len(unpaged["data"]), "itemsCount" in unpaged) == (8, False)


def test_page_tokens_may_end(clock: HandClock) -> None:
    """After their time, and what never was one, is a bad request."""
    made = client(clock, most_per_page=2, page_token_s=10)
    token = made.read(USERS)["nextPageToken"]
    clock.advance(10)
    made.read(USERS, nextPageToken=token)
    clock.advance(11)
    for bad in (token, "xyz", "0" * 24):
        reply = made.send(USERS, nextPageToken=bad)
        assert (reply.status, json.loads(reply.body)["message"].split(":")[0]) == (400, "nextPageToken (INVALID)")


def test_windows_cut_by_the_begin(clock: HandClock) -> None:
    """Both ends count; a time that is none is refused by name."""
    made = client(clock)
    starts = sorted(moment(row["startTime"]) for row in made.all(TASKS))
    low, high = stamp(starts[5]), stamp(starts[20])
    found = made.all(TASKS, taskStartTimeFrom=low, taskStartTimeTo=high)
    assert sorted(moment(row["startTime"]) for row in found) == starts[5:21]
    reply = made.send(TASKS, taskStartTimeFrom="soon")
    assert (reply.status, json.loads(reply.body)["message"]) == (400, "taskStartTimeFrom (INVALID): no time")
    assert made.all(SHIFTS, startTimeFrom=stamp(NOW_MS), startTimeTo=stamp(NOW_MS + 14 * DAY))


def test_one_record_by_its_number(clock: HandClock) -> None:
    """It is there, or 404; a vendor may have no such thing at all."""
    made = client(clock)
    row = made.read(USERS)["data"][0]
    assert made.read(f"{USERS}/{row['id']}")["data"] == row
    assert made.send(f"{USERS}/999999").status == 404
    made.sandbox.alter({"single": False})
    assert made.send(f"{USERS}/{row['id']}").status == 404


def test_what_is_forbidden(clock: HandClock) -> None:
    """403, and the rest goes on."""
    made = client(clock, forbidden="users,shifts")
    assert made.send(USERS).status == 403
    assert made.send(TASKS).status == 200


def test_too_many_requests(clock: HandClock) -> None:
    """In 30 seconds; `Retry-After` says when the next ones begin."""
    made = client(clock, requests_per_30s=3)
    assert [made.send(USERS).status for _ in range(4)] == [200, 200, 200, 429]
    wait = int(made.send(USERS).headers["retry-after"])
    assert 0 < wait <= 31
    clock.advance(wait)
    assert made.send(USERS).status == 200


def test_an_etag_says_that_nothing_is_new(clock: HandClock) -> None:
    """The same answer has the same; asked with it, 304 without a body; a change makes another. Off, there is none."""
    made = client(clock, etag=True)
    first = made.send(USERS)
    again = made.send(USERS, headers={**made.headers, "if-none-match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    made.sandbox.make_change(kind="edited")
    third = made.send(USERS, headers={**made.headers, "if-none-match": first.headers["etag"]})
    assert third.status == 200
    assert third.headers["etag"] != first.headers["etag"]
    assert made.sandbox.counters()["not_modified"] == 1
    made.sandbox.alter({"etag": False})
    assert "etag" not in made.send(USERS).headers


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_every_change_is_in_the_ledger_and_in_the_state(clock: HandClock, kind: str) -> None:
    """What is listed is what the ledger says last; `updatedAt` and `__v` move with each edit."""
    made = client(clock)
    for _ in range(3):
        clock.advance(1)
        (change,) = made.sandbox.make_change(kind=kind)
        record = made.sandbox.state()[change.scope].get(change.id)
        assert record == change.record
        if change.operation == "updated" and record is not None:
            assert record["updatedAt"] == stamp(clock.now_ms)
            assert record["__v"] >= 1
    finals = {(change.scope, change.id): change.record for change in made.sandbox.ledger.changes}
    state = {(scope, id_): row for scope, rows in made.sandbox.state().items() for id_, row in rows.items()}
    assert {key: row for key, row in finals.items() if row is not None} == state


def test_tasks_are_corrected_and_entered_days_later(clock: HandClock) -> None:
    """Up to `late_days` back, never further; shifts stay within a day back and four weeks ahead."""
    made = client(clock, late_days=10)
    for kind in ("late", "corrected", "dropped"):
        for change in made.sandbox.make_change(40, kind):
            if change.record is not None and change.scope == "tasks":
                assert moment(change.record["startTime"]) >= NOW_MS - 10 * DAY
    oldest = min(moment(row["startTime"]) for row in made.sandbox.state()["tasks"].values())
    assert oldest < NOW_MS - 5 * DAY
    for change in made.sandbox.make_change(60, "moved"):
        assert change.record is not None
        assert NOW_MS - DAY < moment(change.record["startTime"]) < NOW_MS + 28 * DAY


def test_the_same_seed_makes_the_same_world(clock: HandClock) -> None:
    """And another seed another; an unknown kind of change is refused with what there is."""
    worlds = [Client(clock, seed=seed).sandbox for seed in (1, 1, 2)]
    for sandbox in worlds:
        sandbox.make_change(50)
    said = [plain([change.to_json() for change in sandbox.ledger.changes]) for sandbox in worlds]
    assert said[0] == said[1] != said[2]
    with pytest.raises(ValueError, match="there are: began"):
        worlds[0].make_change(kind="unheard of")


def test_the_ledger_says_what_was_served(clock: HandClock) -> None:
    """A record counts when its answer is told to have left, not before, and not if it could not be read."""
    made = client(clock)
    reply = made.send(USERS)
    assert not any(change.served_ms for change in made.sandbox.ledger.changes)
    reply.told()
    served = [change for change in made.sandbox.ledger.changes if change.served_ms]
    assert {change.scope for change in served} == {"users"}
    made.sandbox.faults.plan("unreadable")
    made.send(SHIFTS).told()
    assert not any(change.served_ms for change in made.sandbox.ledger.changes if change.scope == "shifts")


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"kind": "failure", "error": "Forbidden"}, 200, '"status":"error","code":"Forbidden","result":"Forbidden"'),
        ({"kind": "failure", "error": "BadRequest", "code": 422}, 422, '"code":"BadRequest"'),
        ({"kind": "revoked"}, 401, '"code":"Unauthorized"'),
        ({"kind": "misshapen"}, 200, '"data":{"items":['),
        ({"kind": "retyped"}, 200, '"id":"1016"'),
        ({"kind": "unreadable", "shape": "null_id"}, 200, '"id":null'),
        ({"kind": "unreadable", "shape": "no_object"}, 200, '"deleted"'),
        ({"kind": "doubled"}, 200, '"id":1016'),
    ],
)
def test_faults_of_the_answer(clock: HandClock, fault: dict[str, Any], status: int, body: str) -> None:
    """Each looks as it is described."""
    made = client(clock)
    made.sandbox.faults.plan(**fault)
    reply = made.send(USERS)
    assert reply.status == status
    assert body in reply.body.decode()
    assert made.sandbox.faults.served == {fault["kind"]: 1}


def test_faults_of_the_paging(clock: HandClock) -> None:
    """A token refused, one that stands still, a page again, a page that begins early."""
    made = client(clock, users=12, most_per_page=4)
    first = made.read(USERS)
    token, ids = first["nextPageToken"], [row["id"] for row in made.all(USERS)]
    made.sandbox.faults.plan("cursor_refused")
    assert made.send(USERS, nextPageToken=token).status == 400
    made.sandbox.faults.plan("stuck")
    stuck = made.read(USERS, nextPageToken=token)
    assert (stuck["nextPageToken"], [row["id"] for row in stuck["data"]]) == (token, ids[:4])
    made.sandbox.faults.plan("repeat")
    again = made.read(USERS, nextPageToken=token)
    assert ([row["id"] for row in again["data"]], again["nextPageToken"] > token) == (ids[:4], True)
    made.sandbox.faults.plan("overlap", rows=2)
    assert [row["id"] for row in made.read(USERS, nextPageToken=token)["data"]] == ids[2:8]


def test_faults_of_the_wire_are_named(clock: HandClock) -> None:
    """Who plays without a socket sees by `struck` what the wire would do, and by the status what it would say."""
    made = client(clock)
    for kind, status in (("http_503", 503), ("html", 200), ("hang", 504), ("truncated", 200), ("http_500", 500)):
        made.sandbox.faults.plan(kind)
        reply = made.send(USERS)
        assert reply.struck is not None
        assert (reply.struck.kind, reply.status) == (kind, status)
    made.sandbox.faults.plan("garbage_token", on="login")
    assert made.login()[1]["data"]["accessToken"] == {"no": "text"}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_serves() -> None:
    """Over HTTP, with its control interface; faults of the wire are carried out; it takes no sockets."""
    async with agyletime_sandbox(Options(etag=True)) as sandbox, aiohttp.ClientSession() as http:
        facts = sandbox.describe()
        pair = base64.b64encode(f"{sandbox.key_id}:{sandbox.secret}".encode()).decode()
        basic, form = {"Authorization": f"Basic {pair}"}, {"grant_type": "client_credentials"}
        async with http.post(facts["token_url"], headers=basic, data=form) as response:
            assert response.status == 201
            token = (await response.json())["data"]["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{sandbox.regional_url}/organisation/users"
        async with http.get(url, headers=headers) as response:
            body, etag = await response.json(), response.headers["ETag"]
        assert body["itemsCount"] == 8
        assert sum(change.served_ms is not None for change in sandbox.ledger.changes) == 8
        async with http.get(url, headers={**headers, "If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        for kind, status in (("http_502", 502), ("http_429", 429)):
            sandbox.faults.plan(kind)
            async with http.get(url, headers=headers) as response:
                assert response.status == status
        async with http.post(facts["control"] + "restart", json={"seconds": 60}) as response:
            assert await response.json() == {"dropped": 0}
        async with http.get(url, headers=headers) as response:
            assert response.status == 503
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(sandbox.base_url + "/live")
        assert 'adapter = "agyletime"' in facts["configuration"]
        assert facts["environment"] == {"AGYLETIME_SECRET": sandbox.secret}
        changed = sandbox.setup().source(resource=[{"name": "users", "every_s": 1.0}, {"name": "tasks"}])
        assert changed.count("[[source.resource]]") == 2
        assert changed.index("secret = {") < changed.index("[[source.resource]]")
