"""The pcvisit adapter, by the vendor's manual: its samples, its error ids, its contradictions."""

from __future__ import annotations

import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import pcvisit
from bridge.adapter import Ask, Json, Page, Request, Secret, Token, Walk, Window
from bridge.core.budget import Limit
from bridge.core.canonical import digest
from bridge.core.errors import (
    BridgeError,
    CursorExpired,
    Malformed,
    Refused,
    Retry,
    Throttled,
    Unauthorized,
)
from tests.adapters.cases import DATE, pcvisit_settings, sample
from tests.adapters.contract import drive
from tests.support.answers import answer, raw_answer

COMPANY = "12345678-1234-1234-1234-123456789012"
TOKEN = Token(Secret("a.jwt.here"), facts={"customerUuid": COMPANY})
WINDOW = Window(1_609_459_200_000, 1_640_995_200_000)
HISTORY = "AcQuerySessionsHistory"
LOGIN = "SiRetrieveSignedJwt"


def adapter(**changes: Any) -> pcvisit.Adapter:
    return pcvisit.Adapter(pcvisit_settings(**changes))


def ask(position: Json = None, **changes: Any) -> Ask:
    return Ask(adapter(**changes).walks(TOKEN)[0], WINDOW, position)


LATER = {"cursor": "cursor_abc123", "seen": 50}


def edge(nodes: Json, **more: Json) -> Json:
    return {"data": {HISTORY: {"nodes": nodes, **more}}}


def failed(error: Json, comment: Json = None, field: str = HISTORY) -> Json:
    return {
        "data": {
            field: {"__typename": "Failure", "error": error, "comment_for_dev": comment, "comment_for_user": "Nein!"}
        }
    }


def nodes(count: int) -> list[Json]:
    return [{"cursor": f"c{n}", "value": {"id": f"s{n}"}} for n in range(count)]


def page_error(
    body: Json, position: Json = None, status: int = 200, headers: dict[str, str] | None = None
) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        adapter().page(ask(position), answer(body, status, headers))
    return caught.value


def login_error(body: Json, **changes: Any) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        drive(adapter(**changes), [answer(body)])
    return caught.value


# --- logging in ------------------------------------------------------------------------------------------------


def test_the_login_is_the_manuals() -> None:
    """Both API tokens go out as variables, the integrator's also as `x-api-key`, all of them still as secrets."""
    request = next(adapter().login())
    settings = pcvisit_settings()
    assert (request.method, request.url, request.counts) == ("POST", "https://api.example.com/graphql", True)
    assert request.headers == {"x-api-key": settings.integrator_token}
    assert request.json["variables"] == {
        "userApiToken": settings.user_token,
        "integratorApiToken": settings.integrator_token,
    }
    assert (
        "query GetJWT($userApiToken: UserApiToken!, $integratorApiToken: IntegratorApiToken!)" in request.json["query"]
    )
    assert not next(adapter(rate_limit_counts_jwt=False).login()).counts


def test_the_manuals_answer_is_a_token() -> None:
    """Its sample token cannot be read, so the vendor's clock and the configured lifetime say when it expires."""
    token = drive(adapter(jwt_lifetime_fallback_s=600), [answer(sample("pcvisit/login.json"), headers=DATE)])
    assert token.value.reveal() == "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9..."
    assert token.facts == {"customerUuid": "customer-uuid-here"}
    assert (token.issued_ms, token.expires_ms) == (1_704_110_400_000, 1_704_111_000_000)


def test_a_jwt_tells_its_own_lifetime() -> None:
    """`iat` and `exp` decide where they are there; the margin is a tenth of it, at least what is configured."""
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 1_700_000_000, "exp": 1_700_003_600}).encode()).rstrip(b"=")
    body = {"data": {LOGIN: {"token": f"e30.{claims.decode()}.sig", "customerUuid": COMPANY}}}
    token = drive(adapter(), [answer(body, headers=DATE)])
    assert (token.issued_ms, token.expires_ms) == (1_700_000_000_000, 1_700_003_600_000)
    assert adapter().token_margin_s(token) == 360
    assert adapter(jwt_refresh_margin_s=600).token_margin_s(token) == 600
    assert adapter().token_margin_s(Token(Secret("x"), 0, 60_000)) == 60


@pytest.mark.parametrize("id_", ["InvalidValue", "ErrorIDs.InvalidValue", "AccessDenied", "TokenExpired"])
def test_wrong_tokens_are_refused_by_the_names_of_their_keys(id_: str) -> None:
    """The operator reads which two keys to check and where their values came from, and no value."""
    error = login_error(failed(id_, field=LOGIN))
    assert type(error) is Refused
    assert "`integrator_token` (env INTEGRATOR) and `user_token` (env USER_TOKEN)" in str(error)


def test_a_login_without_a_customer_needs_companies() -> None:
    """Without a `customerUuid` nothing says what to read, unless the configuration does."""
    body = {"data": {LOGIN: {"token": "a.b.c", "customerUuid": None}}}
    error = login_error(body)
    assert type(error) is Refused
    assert "set `companies`" in str(error)
    assert drive(adapter(companies=["c1"]), [answer(body)]).facts == {}


def test_a_login_answer_without_a_token_is_tried_again() -> None:
    """An empty success is a fault at the vendor, not a matter of credentials."""
    assert type(login_error({"data": {LOGIN: {"token": "", "customerUuid": COMPANY}}})) is Retry


# --- what to read ----------------------------------------------------------------------------------------------


def test_two_walks_per_company() -> None:
    """A short look-back often, a long one slowly, for each company once; the names key the cursors."""
    walks = adapter(companies=["a", "b", "a"]).walks(TOKEN)
    assert [(walk.name, walk.scope, walk.every_s, walk.reach_s) for walk in walks] == [
        ("sessions-fast-a", "a", 30, 86_400),
        ("sessions-fast-b", "b", 30, 86_400),
        ("sessions-slow-a", "a", 3_600, 35 * 86_400),
        ("sessions-slow-b", "b", 3_600, 35 * 86_400),
    ]
    assert {walk.overlap_s for walk in walks} == {900}
    assert {walk.page_size for walk in walks} == {50}
    assert {(walk.incomplete_retry_s, walk.incomplete_wait_s) for walk in walks} == {(10, 600)}
    assert not any(walk.reports_absence for walk in walks)


def test_the_returned_customer_is_the_default_company() -> None:
    """With no `companies` configured the login says whose sessions to read."""
    assert {walk.scope for walk in adapter().walks(TOKEN)} == {COMPANY}


def test_only_the_long_look_back_reports_deletions() -> None:
    """The long look-back holds the short one, and its pace gives a session time to come back."""
    walks = adapter(history_deletions="report").walks(TOKEN)
    assert [(walk.name.split("-")[1], walk.reports_absence) for walk in walks] == [("fast", False), ("slow", True)]


def test_integrators_share_their_budget_over_tenants() -> None:
    """The limit is the integrator's: another user token changes nothing, another integrator token does."""
    other = Secret("another-token")
    assert adapter().budget_key == adapter(user_token=other, name="other").budget_key
    assert adapter().budget_key != adapter(integrator_token=other).budget_key
    assert adapter(requests_per_minute=100).limit == Limit(100, 60)


def test_the_first_request_has_no_cursor() -> None:
    """Company, time frame in milliseconds and page size; nothing that is not configured; the JWT as bearer."""
    request = adapter().request(ask(), TOKEN)
    assert request.headers == {"Authorization": Secret("a.jwt.here", prefix="Bearer ")}
    assert request.json["variables"] == {
        "company": COMPANY,
        "timeFrame": {"startDate": 1_609_459_200_000, "endDate": 1_640_995_200_000},
        "pagination": {"lengthStartingFromOffset": 50},
    }
    assert request.counts


def test_later_requests_differ_in_the_cursor_only() -> None:
    """Everything else stays as it was for the whole pass; `offset` is never sent."""
    first, later = (adapter().request(ask(position), TOKEN).json for position in (None, LATER))
    assert later["variables"].pop("pagination") == {"lengthStartingFromOffset": 50, "cursor": "cursor_abc123"}
    first["variables"].pop("pagination")
    assert first == later


def test_filters_are_passed_through() -> None:
    """What `Filter`, `Sort` and `Search` hold is not documented: the operator's JSON goes out as it is."""
    own = {"history_filter": {"a": 1}, "history_sort": [{"b": 2}], "history_search": {"c": None}}
    variables = adapter(**own).request(ask(**own), TOKEN).json["variables"]
    assert (variables["filter"], variables["sort"], variables["search"]) == ({"a": 1}, [{"b": 2}], {"c": None})


def test_the_other_header_form() -> None:
    """With `auth = "api-key"` queries carry the integrator token itself."""
    request = adapter(auth="api-key").request(ask(), TOKEN)
    assert request.headers == {"x-api-key": pcvisit_settings().integrator_token}


def test_the_queries_use_documented_names_only() -> None:
    """Every field we ask for stands in the documented schema, `__typename` apart; comments for users are not."""
    schema = (Path(__file__).parents[2] / "bridge/sandbox/pcvisit.graphql").read_text("utf-8")
    for query in (next(adapter().login()).json["query"], adapter().request(ask(), TOKEN).json["query"]):
        names = set(re.findall(r"[A-Za-z_]+", query)) - {"query", "on", "GetJWT", "GetWorkHistory", "__typename"}
        assert names
        assert all(re.search(rf"\b{name}\b", schema) for name in names)
        assert "__typename" in query
        assert "comment_for_user" not in query


# --- pages -----------------------------------------------------------------------------------------------------


def test_the_manuals_page() -> None:
    """Its response reads as one row, with 99 more to come by `totalCount`, and nothing older than 2021."""
    page = adapter().page(ask(), answer(sample("pcvisit/history.json")))
    assert [row["id"] for row in page.rows] == ["session-uuid-1"]
    assert page.next == {"cursor": "cursor_abc123", "seen": 1}
    assert page.complete
    assert page.reaches_back_to_ms == 1_609_459_200_000


@pytest.mark.parametrize(
    ("count", "total", "position", "following"),
    [
        (50, 50, None, {"cursor": "c49", "seen": 50}),  # a full page: `totalCount` alone never ends a pass
        (50, None, None, {"cursor": "c49", "seen": 50}),
        (60, 10, None, {"cursor": "c59", "seen": 60}),
        (49, 49, None, None),
        (49, None, None, None),
        (20, 100, None, {"cursor": "c19", "seen": 20}),  # the vendor allows shorter pages than we ask for
        (20, 70, LATER, None),
        (20, 71, LATER, {"cursor": "c19", "seen": 70}),
        (0, 100, None, None),
        (0, 100, LATER, None),
    ],
)
def test_where_a_pass_goes_on(count: int, total: Json, position: Json, following: Json) -> None:
    """It ends with an empty page, or with a short one unless more rows are counted than were seen."""
    page = adapter().page(ask(position), answer(edge(nodes(count), totalCount=total)))
    assert page.next == following
    assert len(page.rows) == count


def test_a_page_that_goes_on_from_nowhere_is_an_error() -> None:
    """A full page without a cursor, or with the cursor it began after, would lose rows or never end."""
    for last in (None, "", 5, "cursor_abc123"):
        rows = [*nodes(49), {"cursor": last, "value": {"id": "s"}}]
        assert type(page_error(edge(rows), LATER)) is Retry


def test_a_page_that_is_still_loading_proves_nothing() -> None:
    """`batchLoadingIsStillActive` makes the pass incomplete; null and absence do not."""
    for active, complete in ((True, False), (False, True), (None, True), ("yes", False)):
        page = adapter().page(ask(), answer(edge(nodes(1), batchLoadingIsStillActive=active)))
        assert page.complete is complete
    assert adapter().page(ask(), answer(edge(nodes(1)))).complete


def test_unreadable_nodes_are_rows_all_the_same() -> None:
    """Each is handed on, so that it is set aside and counted; the good one beside them is read."""
    page = adapter().page(ask(), answer(edge([None, 7, {"cursor": "c"}, *nodes(1)], reportingActiveSince="?")))
    assert page.rows == [None, 7, None, {"id": "s0"}]
    assert page.reaches_back_to_ms is None
    for row in page.rows[:3]:
        with pytest.raises(Malformed):
            adapter().record(ask(), row)


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"data": None}, {"data": []}, {"data": {}}, {"data": {HISTORY: None}}, {"data": {HISTORY: []}},
        edge(None), edge({}), edge(None, totalCount=4),
    ],
)  # fmt: skip
def test_a_page_without_its_list_is_tried_again(body: Json) -> None:
    """Null or absent is not empty: taking it for empty would make everything look deleted."""
    assert type(page_error(body)) is Retry


def test_no_list_and_a_count_of_nothing_is_an_empty_page() -> None:
    """The one case where null says as much as an empty list."""
    assert adapter().page(ask(), answer(edge(None, totalCount=0))) == Page([])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!doctype html><html><body>Wartung</body></html>", "HTML page"),
        (b'{"data": {"AcQuerySessionsHistory": {"nodes": [', "truncated JSON"),
        (b"", "empty body"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper"),
    ],
)
def test_what_is_not_json_is_named_and_tried_again(body: bytes, words: str) -> None:
    """A maintenance page or a cut answer is a fault that passes."""
    with pytest.raises(Retry, match=words):
        adapter().page(ask(), raw_answer(body))


# --- failures --------------------------------------------------------------------------------------------------

IDS: list[tuple[str, type[BridgeError], type[BridgeError]]] = [
    # id, on the first page, on a page from a position
    ("AccessDenied", Unauthorized, Unauthorized),
    ("TokenExpired", Unauthorized, Unauthorized),
    ("InvalidValue", Refused, CursorExpired),
    ("InsufficientRights", Refused, Refused),
    ("MissingValue", Refused, Refused),
    ("DoesNotExist", Refused, CursorExpired),
    ("ApplicationFailure", Retry, Retry),
    ("BackendFailure", Retry, Retry),
    ("TryAgainLater", Throttled, Throttled),
    ("TimeOut", Retry, Retry),
    ("SomethingNew", Retry, Retry),
]


@pytest.mark.parametrize("prefix", ["", "ErrorIDs.", "pcvisit.ErrorIDs."])
@pytest.mark.parametrize(("id_", "first", "later"), IDS)
def test_every_error_id_says_what_happens_next(
    prefix: str, id_: str, first: type[BridgeError], later: type[BridgeError]
) -> None:
    """With and without the prefix of one of the manual's samples; HTTP status and `errors` do not change it."""
    for position, expected in ((None, first), (LATER, later)):
        body = failed(prefix + id_)
        for status in (200, 400, 500):
            error = page_error({**body, "errors": [{"message": "x"}]}, position, status)
            assert type(error) is expected
            assert id_ in str(error)
            assert "Nein" not in str(error)


def test_every_id_of_the_manual_is_in_the_table() -> None:
    """The schema lists the ids the manual names; none of them is taken for unknown."""
    schema = (Path(__file__).parents[2] / "bridge/sandbox/pcvisit.graphql").read_text("utf-8")
    listed = re.search(r"enum ErrorIDs \{(.*?)\}", schema, re.DOTALL)
    assert listed
    named = {line.split("#")[0].strip() for line in listed[1].splitlines()} - {""}
    assert named == {id_ for id_, *_ in IDS} - {"SomethingNew"}


def test_the_manuals_failures() -> None:
    """Its two samples, one with and one without a prefix, both without `__typename`, mean the same."""
    bare, structure = sample("pcvisit/access_denied.json"), sample("pcvisit/structure.json")
    error = page_error(bare)
    assert type(error) is Unauthorized
    assert str(error).endswith(": no matching allowed relationships found")
    prefixed = page_error({"data": {HISTORY: structure["data"]["YourQuery"]}})
    assert type(prefixed) is Unauthorized
    assert "Berechtigung" not in str(error)


@pytest.mark.parametrize(
    "comment", ["user bob@example.com", "token eyJhbGciOi", "Kunde Erika Muster", "id 4711", None, 5]
)
def test_comments_that_may_hold_something_private_stay_out(comment: Json) -> None:
    """Only a plain lower-case sentence is quoted."""
    assert str(page_error(failed("AccessDenied", comment))) == str(page_error(failed("AccessDenied")))


WAIT = "Retry-After: 5 seconds (until Mon, 01 Jan 2024 12:00:00 GMT)"
RATE = "Rate limit: 100 requests per minute"


@pytest.mark.parametrize("id_", ["TryAgainLater", "TimeOut", "ErrorIDs.TimeOut"])
@pytest.mark.parametrize("comment", [f"{WAIT} {RATE}", f"{RATE}\n{WAIT}", f"Sorry. {RATE}; {WAIT}."])
def test_the_rate_limit_is_read_from_the_comment(id_: str, comment: str) -> None:
    """Under either of the two ids that the manual names, in any order, anywhere in the text."""
    error = page_error(failed(id_, comment))
    assert isinstance(error, Throttled)
    assert (error.after, error.limit) == (5, Limit(100, 60))


@pytest.mark.parametrize(
    ("unit", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("Minute", 60)]
)
def test_limits_come_in_units(unit: str, seconds: float) -> None:
    """The unit is part of the sample's sentence, so others are to be expected."""
    error = page_error(failed("TryAgainLater", f"Rate limit: 7 requests per {unit}"))
    assert isinstance(error, Throttled)
    assert error.limit == Limit(7, seconds)


@pytest.mark.parametrize("comment", [None, "", "too slow", "Rate limit: 0 requests per minute", 5, "Retry-After: soon"])
def test_without_a_wait_the_two_ids_differ(comment: Json) -> None:
    """`TryAgainLater` still means the quota; `TimeOut` is then an ordinary time-out of this call only."""
    error = page_error(failed("TryAgainLater", comment))
    assert isinstance(error, Throttled)
    assert (error.after, error.limit) == (None, None)
    assert type(page_error(failed("TimeOut", comment))) is Retry


def test_other_failures_are_not_about_the_quota() -> None:
    """A wait in another id's comment changes nothing."""
    assert type(page_error(failed("BackendFailure", WAIT))) is Retry


@pytest.mark.parametrize("error", [None, 5, [], "", "ErrorIDs.", "<script>"])
def test_a_failure_without_a_readable_id_is_tried_again(error: Json) -> None:
    """`__typename` says that it is one, so it is never taken for a page."""
    found = page_error(failed(error))
    assert type(found) is Retry
    assert "<" not in str(found)


@pytest.mark.parametrize(
    ("status", "headers", "expected", "after"),
    [
        (401, {}, Unauthorized, None),
        (403, {}, Unauthorized, None),
        (404, {}, Refused, None),
        (429, {"retry-after": "17"}, Throttled, 17),
        (429, {}, Throttled, None),
        (429, {"retry-after": "Mon, 01 Jan 2024 12:00:30 GMT", **DATE}, Throttled, 30),
        (500, {}, Retry, None),
        (502, {}, Retry, None),
        (503, {"retry-after": "120"}, Retry, 120),
    ],
)
def test_http_statuses(status: int, headers: dict[str, str], expected: type[BridgeError], after: float | None) -> None:
    """Undocumented and handled: authentication, quota and faults may come as HTTP statuses, with any body."""
    for body in (None, {"errors": [{"message": "x"}]}, {"data": None}):
        error = page_error(body, None, status, headers)
        assert type(error) is expected
        assert getattr(error, "after", None) == after


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        ({"message": "boom"}, 200, Retry),
        ({"message": "boom"}, 400, Refused),
        ({"message": "x", "extensions": {"code": "UNAUTHENTICATED"}}, 200, Unauthorized),
        ({"message": "x", "extensions": {"code": "ErrorIDs.TokenExpired"}}, 200, Unauthorized),
        ({"message": "jwt expired"}, 200, Unauthorized),
        ({"message": "You are not authorized."}, 400, Unauthorized),
        ({"message": "x", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}, 200, Refused),
        ({"message": "Rate limit exceeded"}, 200, Throttled),
    ],
)
def test_graphql_errors(error: Json, status: int, expected: type[BridgeError]) -> None:
    """Undocumented and handled: the same may come as GraphQL `errors`, with data beside them or without."""
    for data in (None, edge(nodes(2))["data"]):
        assert type(page_error({"data": data, "errors": [error]}, None, status)) is expected


# --- records ---------------------------------------------------------------------------------------------------


def after(row: Json) -> dict[str, Json]:
    found = adapter().record(ask(), row).after
    assert found is not None
    return dict(found)


def session(**changes: Json) -> Json:
    row = sample("pcvisit/whole.json")["data"][HISTORY]["nodes"][0]["value"]
    return row | changes


def test_the_manuals_session() -> None:
    """Its sample, normalised: fixed names, times as text in UTC, what is missing as null."""
    (row,) = adapter().page(ask(), answer(sample("pcvisit/history.json"))).rows
    record = adapter().record(ask(), row)
    assert record.after == {
        "name": "Support Session", "state": "Closed", "type": "Adhoc",
        "created_at": "2021-01-01T00:00:00.000Z", "finished_at": "2021-01-01T01:00:00.000Z",
        "duration_ms": 3_600_000, "custom_duration_ms": None, "invoice_state": "Invoiced", "company_id": COMPANY,
        "participants": None, "computer": None, "client": None,
    }  # fmt: skip
    assert (record.entity, record.id, record.version) == ("session", "session-uuid-1", None)
    assert record.at_ms == 1_609_462_800_000
    assert record.raw == row
    assert not record.gone
    assert not record.occurred


def test_a_session_with_every_field() -> None:
    """Participants, computer and client under names of their own."""
    found = after(session())
    assert found["participants"] == [
        {"supporter_id": "supporter-1", "is_creator": True, "email": "alice@support.example"},
        {"supporter_id": "supporter-2", "is_creator": False, "email": "bob@support.example"},
    ]
    assert found["computer"] == {"id": "computer-1", "name": "RECEPTION-PC"}
    assert found["client"] == {"id": "client-1", "name": "Client Ltd"}
    assert found["custom_duration_ms"] == 1_800_000


def test_a_running_session_happened_when_it_began() -> None:
    """Without an end, the beginning is the time of the event; without both there is none."""
    assert adapter().record(ask(), session(sessionFinishedAt=None)).at_ms == 1_609_459_200_000
    record = adapter().record(ask(), {"id": "s"})
    assert record.at_ms is None
    assert set(after({"id": "s"}).values()) == {None}


def test_null_and_absence_are_the_same_everywhere() -> None:
    """A field that the vendor stops sending is no change from one that is null, at any depth."""
    for key in session():
        if key != "id":
            absent = {name: value for name, value in session().items() if name != key}
            assert after(absent) == after(session(**{key: None}))
    hollow = session(participants=[{}, None], target={}, clientCompany={"clientId": None})
    found = after(hollow)
    assert found["participants"] == [{"supporter_id": None, "is_creator": None, "email": None}]
    assert found["computer"] is found["client"] is None


@pytest.mark.parametrize("spelled", [1_609_459_200_000, 1.6094592e12, 1_609_459_199_999.7])
def test_milliseconds_beyond_32_bits_in_any_spelling(spelled: float) -> None:
    """The scalar is not documented, and no GraphQL Int can hold it."""
    found = after(session(sessionCreatedAt=spelled))
    assert found["created_at"] == "2021-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None}, {"id": ""}, {"id": {}}, {"sessionCreatedAt": "1609459200000"}, {"sessionCreatedAt": True},
        {"sessionCreatedAt": -1}, {"sessionFinishedAt": 1e300}, {"sessionFinishedAt": 253_402_300_800_000},
        {"duration": "1h"}, {"duration": 2**60}, {"name": ["x"]}, {"participants": {}}, {"participants": [5]},
        {"participants": [{"isSessionCreator": 1}]}, {"target": "PC"}, {"clientCompany": {"clientName": {}}},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_malformed_and_says_where(changes: dict[str, Json]) -> None:
    """The reason names the field, never its value."""
    with pytest.raises(Malformed) as caught:
        adapter().record(ask(), session(**changes))
    assert next(iter(changes)) in str(caught.value)
    assert "1609459200000" not in str(caught.value)


def test_the_order_of_participants_means_nothing() -> None:
    """Equal sets compare equal in every order, also once e-mail addresses are left out of the comparison."""
    people = [
        {"supporterIdentity": {"id": id_}, "supporterContact": {"email": email}, "isSessionCreator": creator}
        for id_, email, creator in (
            ("1", "a@x", True), ("2", "b@x", False), (None, "c@x", False), (None, "a@x", None),
        )
    ]  # fmt: skip
    seen = set()
    for order in itertools.permutations(people):
        found = after(session(participants=list(order)))
        seen.add(digest(found, "1"))
    assert len(seen) == 1


@given(emails=st.permutations(["a@x", "b@x", "c@x"]))
def test_an_address_that_is_not_published_makes_no_change(emails: list[str]) -> None:
    """Swapping addresses between participants changes nothing once they are left out."""
    people = [
        {"supporterContact": {"email": email}, "isSessionCreator": creator}
        for email, creator in zip(emails, (True, False, None), strict=True)
    ]
    found = after(session(participants=people))
    assert [person["is_creator"] for person in found["participants"]] == [False, None, True]


def test_requests_are_what_the_engine_takes() -> None:
    """Both are POSTs of one JSON object with `query` and `variables`."""
    for request in (next(adapter().login()), adapter().request(ask(), TOKEN)):
        assert isinstance(request, Request)
        assert request.method == "POST"
        assert set(request.json) == {"query", "variables"}


@pytest.mark.parametrize(
    ("change", "belongs"),
    [
        ({}, True),
        ({"company_id": "another"}, False),
        ({"created_at": "2021-01-01T00:10:00.000Z"}, False),  # within the overlap: nobody knows where pcvisit cuts
        ({"created_at": "2020-12-31T23:00:00.000Z"}, False),
        ({"finished_at": "2021-01-02T00:10:00.000Z"}, False),
        ({"finished_at": None}, False),  # still running: whether history lists it is not documented
    ],
)
def test_only_sessions_wholly_inside_the_window_must_be_in_it(change: dict[str, object], belongs: bool) -> None:
    """Absence says something only of a session of the same company whose times lie inside, overlap not counted."""
    walk = Walk("slow", "session", 60, 86_400, overlap_s=900, scope="customer-1", reports_absence=True)
    day = Window(1_609_459_200_000, 1_609_459_200_000 + 86_400_000 + 900_000)
    after = {
        "company_id": "customer-1",
        "created_at": "2021-01-01T10:00:00.000Z",
        "finished_at": "2021-01-01T11:00:00.000Z",
    }
    assert adapter().belongs(Ask(walk, day), after | change) is belongs
