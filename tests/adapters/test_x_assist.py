"""The X-Assist adapter: what it asks, what answers mean, and which settings it refuses."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from graphql import build_schema, validate
from graphql import parse as graphql_parse
from hypothesis import given

from adapters import x_assist
from bridge.adapter import Allowance, Ask, BadSetting, Json, Page, Secret, Subscription, Token, TooComplex, Walk, Window
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
from bridge.core.secret import Masker
from tests.adapters.cases import X_ASSIST_FIELDS, sample, x_assist_case, x_assist_settings
from tests.adapters.contract import drive, json_values, tells_no_secret, wrong_answers
from tests.support.answers import answer

TOKEN = Token(Secret("an-access-token"))
WINDOW = Window(1_704_067_200_000, 1_704_153_600_000)  # 2024-01-01, the whole day
HOUR_MS = 3_600_000

# What is documented, and what is assumed beside it (the filter, the look-up); the fields are the sample's.
SCHEMA = build_schema("""
scalar DateTime scalar Duration scalar GeoPoint scalar DateFilter
interface Node { id: ID! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
enum OrderDirection { ASC DESC } enum EventOrderField { CREATED_AT }
input EventOrder { field: EventOrderField! direction: OrderDirection! }
type Area { code: String centre: GeoPoint }
type DateRange { lower: DateTime upper: DateTime }
type Event implements Node { id: ID! name(language: String): String createdAt: DateTime version: String severity: Int
  area: Area validity: DateRange stay: Duration }
type EventConnectionWithTotalCount { pageInfo: PageInfo! nodes: [Event] totalCount: Int }
type Query { events(first: Int, after: String, orderBy: EventOrder, filter: DateFilter): EventConnectionWithTotalCount
  nodes(ids: [ID!]!): [Node] }
""")


def adapter(**changes: Any) -> x_assist.Adapter:
    return x_assist.Adapter(x_assist_settings(**changes))


def walk(name: str, **changes: Any) -> Walk:
    return next(walk for walk in adapter(**changes).walks(TOKEN) if walk.name == f"events-{name}")


def ask(name: str = "recent", position: Json = None, ids: tuple[str, ...] = (), **changes: Any) -> Ask:
    return Ask(walk(name, **changes), WINDOW if name == "recent" else None, position, ids)


def page_error(response: Any, asked: Ask | None = None) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        adapter().page(asked or ask(), response)
    return caught.value


# --- what to read ------------------------------------------------------------------------------------------------


def test_three_walks() -> None:
    """Recent events often, known ones by id, all of them now and then; what can wait leaves ten of the burst."""
    assert [(one.name, one.every_s, one.reach_s, one.batch, one.spares) for one in adapter().walks(TOKEN)] == [
        ("events-recent", 60, 172_800, 0, 0),
        ("events-by-id", 1_800, None, 25, 10),
        ("events-all", 21_600, None, 0, 10),
    ]


def test_every_walk_knows_that_queries_may_be_stale() -> None:
    """What disagrees with a push is held for a minute; edits of a gap are looked for at once, then, and once more."""
    walks = {one.name: one for one in adapter().walks(TOKEN)}
    assert {one.lag_s for one in walks.values()} == {60}
    assert walks["events-recent"].again_s == walks["events-by-id"].again_s == (60, 600)
    assert (walks["events-all"].on_connect, walks["events-all"].again_s) == (False, ())
    without = adapter(by_id=False, settle_delay_s=5, late_backfill_delay_s=50).walks(TOKEN)
    assert [(one.name, one.on_connect, one.again_s, one.lag_s) for one in without] == [
        ("events-recent", True, (5, 50), 5),
        ("events-all", True, (5, 50), 5),
    ]


def test_faster_walks_come_first_whatever_is_configured() -> None:
    """The order is by their pace."""
    walks = adapter(recent_every_s=900, by_id_every_s=300, all_every_s=600).walks(TOKEN)
    assert [one.name for one in walks] == ["events-by-id", "events-all", "events-recent"]


def test_absence_means_nothing_unless_configured() -> None:
    """And then only in the walk that reads everything."""
    assert not any(one.reports_absence for one in adapter().walks(TOKEN))
    assert not adapter().belongs(ask("all"), {})
    confirming = adapter(deletion_policy="confirm")
    assert [one.name for one in confirming.walks(TOKEN) if one.reports_absence] == ["events-all"]
    assert confirming.belongs(ask("all"), {})


def test_the_quota_is_the_applications() -> None:
    """1000 an hour with 26 at once, shared by all sources of one client at one place; its answers tell more."""
    assert adapter().limit == Limit(1_000, 3_600, 26)
    assert adapter(requests_per_hour=5_000, burst=40).limit == Limit(5_000, 3_600, 40)
    assert adapter().budget_key == adapter(name="other", client_secret=Secret("rotated")).budget_key
    assert adapter().budget_key != adapter(client_id="another").budget_key
    headers = {"x-ratelimit-limit": "26", "x-ratelimit-remaining": "20", "x-ratelimit-reset": "21"}
    assert adapter().allowance(answer({}, 503, headers)) == Allowance(26, 20, 21.0)
    assert adapter().allowance(answer({})) is None


# --- what is asked -----------------------------------------------------------------------------------------------


def test_the_first_page() -> None:
    """The bearer token, a fixed language, `first`, and the documented order; no cursor and no filter."""
    request = adapter().request(ask(), TOKEN)
    assert (request.method, request.url) == ("POST", "https://api.example.com/graphql")
    assert request.headers == {"Authorization": Secret("an-access-token", prefix="Bearer "), "Accept-Language": "en"}
    assert request.json["variables"] == {"first": 50}
    assert "orderBy: {field: CREATED_AT, direction: DESC}" in request.json["query"]
    assert "filter" not in request.json["query"]


def test_later_pages_differ_in_the_cursor_only() -> None:
    """Filter and order stay as they are for the whole pass."""
    own = {"event_filter": {"createdAt": {"gte": "2024-01-01T00:00:00Z"}}, "event_order": "ASC"}
    first, later = (adapter(**own).request(ask(position=at), TOKEN).json for at in (None, {"cursor": "Mw"}))
    assert later["variables"].pop("after") == "Mw"
    assert first == later
    assert first["variables"]["filter"] == own["event_filter"]
    assert "$filter: DateFilter" in first["query"]
    assert "orderBy: {field: CREATED_AT, direction: ASC}, filter: $filter)" in first["query"]


def test_known_events_are_asked_for_by_id() -> None:
    """All the ids of the ask, and the same fields as in the list."""
    request = adapter().request(ask("by-id", ids=("a", "b")), TOKEN)
    assert request.json["variables"] == {"ids": ["a", "b"]}
    assert "nodes(ids: $ids) { ... on Event { id name createdAt version severity" in request.json["query"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"event_fields": {}}, {"event_language": "de"}, {"event_filter": {"after": "2024-01-01T00:00:00Z"}}],
)
def test_the_documents_fit_the_documented_schema(changes: dict[str, Any]) -> None:
    """Every name in them exists there, with the arguments and types it has there."""
    for asked in (ask(**changes), ask("by-id", ids=("a",), **changes)):
        document = adapter(**changes).request(asked, TOKEN).json["query"]
        assert validate(SCHEMA, graphql_parse(document)) == []


def test_the_language_of_the_name_may_be_fixed() -> None:
    """By its own argument, where translations would otherwise look like changes."""
    assert 'id name(language: "de") createdAt' in adapter(event_language="de").request(ask(), TOKEN).json["query"]


# --- pages -------------------------------------------------------------------------------------------------------


def test_the_sample_page() -> None:
    """Two rows, and more follow from the end cursor."""
    page = adapter().page(Ask(walk("all"), None), answer(sample("x_assist/events.json")))
    assert [row["id"] for row in page.rows] == ["RXZlbnQtMTAz", "RXZlbnQtMTAy"]
    assert page.next == {"cursor": "Mw"}


def test_recent_events_end_where_the_window_does() -> None:
    """The rows come newest first, so what follows is older still; with ASC nothing can be told."""
    response, late = answer(sample("x_assist/events.json")), Window(WINDOW.start_ms + 10 * HOUR_MS, WINDOW.end_ms)
    assert adapter().page(Ask(walk("recent"), WINDOW), response).next == {"cursor": "Mw"}
    assert adapter().page(Ask(walk("recent"), late), response).next is None
    assert adapter(event_order="ASC").page(Ask(walk("recent"), late), response).next == {"cursor": "Mw"}


def test_ids_that_the_vendor_encodes_anew() -> None:
    """The row comes under its new id, with the one we know it by."""
    body = {"data": {"nodes": [{"id": "NEW"}, None]}}
    page = adapter().page(ask("by-id", ids=("old", "gone")), answer(body))
    assert page == Page([{"id": "NEW"}], aliases={"NEW": "old"})


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, Unauthorized),
        (403, {}, Refused),
        (429, {"retry-after": "7"}, Throttled),
        (429, {}, Throttled),
        (429, {"retry-after": ""}, TooComplex),
        (500, {}, Retry),
        (404, {}, Refused),
    ],
)
def test_what_statuses_mean(status: int, headers: dict[str, str], kind: type[BridgeError]) -> None:
    """401 renews, 403 calls a human, 429 waits, and with an empty `Retry-After` asks for less; by id as well."""
    for asked in (ask(), ask("by-id", ids=("a",))):
        error = page_error(answer({}, status, headers), asked)
        assert type(error) is kind
        assert getattr(error, "after", None) == (7 if headers.get("retry-after") == "7" else None)


def test_a_lost_cursor_starts_the_pass_over() -> None:
    """A later page that is refused, when the first one was not, means its cursor."""
    body = {"errors": [{"message": "invalid cursor"}]}
    assert type(page_error(answer(body, 400), ask(position={"cursor": "Mw"}))) is CursorExpired
    assert type(page_error(answer(body, 400))) is Refused


def test_a_wrong_look_up_says_what_happens_next() -> None:
    """Whatever the vendor answers to ids, the contract holds there, too."""
    asked = ask("by-id", ids=("a", "b"))
    for wrong in wrong_answers(x_assist_case()):
        try:
            adapter().page(asked, wrong)
        except BridgeError as error:
            tells_no_secret(x_assist_case(), error)


@given(value=json_values())
def test_any_json_in_a_look_up_is_a_page_or_an_error_of_the_house(value: Json) -> None:
    """The same for JSON nobody thought of."""
    for body in (value, {"data": {"nodes": value}}, {"data": {"nodes": [value]}}, {"errors": value}):
        with suppress(BridgeError):
            assert isinstance(adapter().page(ask("by-id", ids=("a",)), answer(body)), Page)


# --- records -----------------------------------------------------------------------------------------------------


def test_the_sample_records() -> None:
    """Instants in UTC, durations in milliseconds, geography as it is; `version` is content and orders nothing."""
    first, second = (adapter().record(ask(), row) for row in sample("x_assist/events.json")["data"]["events"]["nodes"])
    assert (first.entity, first.id, first.version, first.at_ms) == ("event", "RXZlbnQtMTAz", None, 1_704_104_041_000)
    assert first.after == {
        "name": "Strike at the airport",
        "created_at": "2024-01-01T10:14:01.000Z",
        "version": "a7",
        "severity": 3,
        "area_code": "DE-BE",
        "centre": {"type": "Point", "coordinates": [13.4, 52.5]},
        "validity": {"lower": "2024-01-01T00:00:00.000Z", "upper": None},
        "stay_ms": 5_400_000,
        "original": "Streik am Flughafen",
    }
    assert second.after is not None
    assert (second.after["area_code"], second.after["stay_ms"], second.version) == (None, 90_000, None)


def test_another_offset_is_no_change_and_another_version_is() -> None:
    """The digest is of what is meant; an id encoded anew is no part of it."""
    row = sample("x_assist/events.json")["data"]["events"]["nodes"][0]
    plain = digest(adapter().record(ask(), row).after, "1")
    same = {**row, "id": "NEW", "createdAt": "2024-01-01T10:14:01Z"}
    assert digest(adapter().record(ask(), same).after, "1") == plain
    assert digest(adapter().record(ask(), {**row, "version": "a8"}).after, "1") != plain


@pytest.mark.parametrize("row", [None, {}, {"id": ""}, {"id": "a", "createdAt": "soon"}, {"id": "a", "stay": "P1Y"}])
def test_what_is_no_event(row: Json) -> None:
    """It is set aside, and the page goes on."""
    with pytest.raises(Malformed):
        adapter().record(ask(), row)


# --- logging in --------------------------------------------------------------------------------------------------


def test_the_login_is_client_credentials() -> None:
    """Found by discovery; the token lives for as long as the server's own clock leaves of it."""
    case = x_assist_case()
    token = drive(case.make(), case.login)
    assert token.lasts_s == 7_190
    assert token.value.origin == "the access token"
    assert adapter().token_margin_s(token) == 719


# --- the live session --------------------------------------------------------------------------------------------

PUSHED = Subscription(name="changes", document="subscription { assumedEventChanged { event { id } } }", shape="event",
                      path="assumedEventChanged.event")  # fmt: skip
LIVE = {"subscription": [PUSHED], "transport": "actioncable", "ws_url": "wss://api.example.com/cable"}


def test_without_a_subscription_it_is_polled_only() -> None:
    """None is documented, so that is the default."""
    assert not adapter().listens
    assert adapter(**LIVE).listens


@pytest.mark.parametrize(
    ("transport", "subprotocol"),
    [
        ("actioncable", "actioncable-v1-json"),
        ("graphql-transport-ws", "graphql-transport-ws"),
        ("graphql-ws", "graphql-ws"),
    ],
)
def test_the_session(transport: str, subprotocol: str) -> None:
    """The transport says which sub-protocol; token and language go into the upgrade request, as secrets."""
    session = adapter(**LIVE | {"transport": transport, "cable_channel": "Own"}).session(TOKEN)
    assert (session.url, session.subprotocol, session.channel) == ("wss://api.example.com/cable", subprotocol, "Own")
    assert session.headers == {"Authorization": Secret("an-access-token", prefix="Bearer "), "Accept-Language": "en"}
    assert session.init is None
    assert [one.name for one in session.operations] == ["changes"]
    assert "an-access-token" not in repr(session)
    both = adapter(**LIVE, ws_init_key="authToken").session(TOKEN)
    assert both.init == {"authToken": Secret("an-access-token", prefix="Bearer ")}


def test_a_push_is_mapped_as_a_page_is() -> None:
    """By the shape `event`, with the fields that are configured."""
    row = sample("x_assist/events.json")["data"]["events"]["nodes"][0]
    frame = {"operation": "changes", "payload": {"data": {"assumedEventChanged": {"event": row}}}}
    (record,) = adapter(**LIVE).live(frame)
    assert record == adapter().record(ask(), row)
    assert adapter(push_disorder_s=3).push_disorder_s == 3


# --- settings that are refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"event_filter": {"createdAt": {"gte": "-P1D"}}}, "event_filter"),
        ({"event_filter": ["PT24H"]}, "event_filter"),
        ({"event_fields": {"name": "title"}}, "event_fields"),
        ({"event_fields": {"x": "a }"}}, "event_fields"),
        ({"event_language": 'en") { secret'}, "event_language"),
        ({"event_type": "Event }"}, "event_type"),
        ({"event_filter_argument": "a: 1, b"}, "event_filter_argument"),
        ({"accept_language": "en\r\nX: y"}, "accept_language"),
        ({"deletion_policy": "confirm", "event_filter": {"a": 1}}, "deletion_policy"),
        ({"subscription": [PUSHED]}, "transport"),
        ({"subscription": [PUSHED], "transport": "actioncable"}, "transport"),
        ({**LIVE, "ws_url": "https://api.example.com/cable"}, "ws_url"),
        ({"issuer": None}, None),
    ],
)
def test_settings_that_contradict_are_refused_by_their_key(changes: dict[str, Any], key: str | None) -> None:
    """Before anything is sent, and with what to write instead."""
    with pytest.raises(BadSetting) as caught:
        x_assist_settings(**changes)
    assert list(caught.value.key)[:1] == ([key] if key else [])


def test_no_error_tells_the_token() -> None:
    """Whatever the vendor quotes in its errors."""
    masker = Masker([TOKEN.value])
    for status in (200, 400, 401, 403, 500):
        body = {"errors": [{"message": "the token an-access-token is bad", "extensions": {"code": "an-access-token"}}]}
        text = str(page_error(answer(body, status)))
        assert masker.mask(text) == text
    assert set(X_ASSIST_FIELDS) == {"version", "severity", "area_code", "centre", "validity", "stay_ms", "original"}
