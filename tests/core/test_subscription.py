"""Operator-supplied subscriptions: the session they make, and the records in what arrives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import subscription
from bridge.core.errors import BridgeError, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Operation, Token
from bridge.core.graphql import Failures
from bridge.core.record import Json, Record
from bridge.core.secret import Secret
from bridge.core.settings import GraphqlSettings, Subscription
from tests.adapters.contract import json_values

TOKEN = Token(Secret("a.jwt.here"), facts={"customerUuid": "u-1"})
FAILURES = Failures(
    {"TokenExpired": (Unauthorized, "expired"), "Broken": (Retry, "broken"), "Busy": (Throttled, "busy")}
)


def sub(**changes: Any) -> Subscription:
    given: dict[str, Any] = {
        "name": "states", "document": "subscription { changed { id } }", "entity": "computer", "id": "id",
        "fields": {"online": "online", "since": "state.since"},
    }  # fmt: skip
    return Subscription(**given | changes)


def frame(payload: Json, operation: str = "states") -> Json:
    return {"operation": operation, "payload": payload}


def read(payload: Json, *subscriptions: Subscription, operation: str = "states") -> list[Record]:
    return subscription.records(frame(payload, operation), subscriptions or (sub(),), {}, FAILURES)


def refusal(payload: Json, *subscriptions: Subscription, operation: str = "states") -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        read(payload, *subscriptions, operation=operation)
    return caught.value


# --- the session -----------------------------------------------------------------------------------------------


def test_one_operation_for_each_company() -> None:
    """ "{company}" makes an operation each, named after it; other placeholders are facts of the login."""
    one = sub(name="a", variables={"company": "{company}", "deep": [{"of": "id-{customerUuid}"}], "n": 5})
    two = sub(name="b", variables={"who": "{customerUuid}", "text": "{{company}} {}"})
    found = subscription.operations([one, two], {"customerUuid": "u-1"}, ["c1", "c2", "c1"])
    assert found == [
        Operation("a.c1", one.document, {"company": "c1", "deep": [{"of": "id-u-1"}], "n": 5}),
        Operation("a.c2", one.document, {"company": "c2", "deep": [{"of": "id-u-1"}], "n": 5}),
        Operation("b", two.document, {"who": "u-1", "text": "{company} {}"}),
    ]
    assert one.variables["company"] == "{company}"


@pytest.mark.parametrize(
    ("variables", "text"),
    [({"x": "{tenant}"}, r"nothing fills {tenant} in `x`; there are: {company}, {customerUuid}"),
     ({"x": "{company}"}, "set `companies`")],
)  # fmt: skip
def test_a_placeholder_that_nothing_fills_is_refused(variables: dict[str, Json], text: str) -> None:
    """The subscription and the placeholder are named, no fact's value is."""
    with pytest.raises(Refused, match=text) as caught:
        subscription.operations([sub(variables=variables)], {"customerUuid": "u-1"})
    assert "u-1" not in str(caught.value)


def settings(**changes: Any) -> GraphqlSettings:
    return GraphqlSettings(**{"name": "acme", "adapter": "x", "subscription": [sub()], **changes})


def test_the_session_is_what_the_settings_say() -> None:
    """Every setting arrives; 0 turns pings off; close codes become numbers."""
    given = settings(
        ws_url="wss://push.example/s", ws_subprotocol="graphql-transport-ws", ka_timeout_s=3.0, ws_idle_timeout_s=4.0,
        ws_ping_interval_s=0, ws_ping_timeout_s=5.0, ws_settle_s=6.0, ws_max_message_mb=7.0, ws_proxy="http://proxy",
        ws_close_codes={"4999": "refresh"},
    )  # fmt: skip
    made = subscription.session(given, TOKEN, url="https://api.example/graphql", init={"a": 1}, headers={"h": "v"})
    assert (made.url, made.subprotocol) == ("wss://push.example/s", "graphql-transport-ws")
    assert (made.beat_timeout_s, made.idle_timeout_s) == (3.0, 4.0)
    assert (made.ping_interval_s, made.ping_timeout_s) == (None, 5.0)
    assert (made.settle_s, made.max_message_mb, made.proxy) == (6.0, 7.0, "http://proxy")
    assert made.close_codes == {4999: "refresh"}
    assert (made.init, made.headers) == ({"a": 1}, {"h": "v"})
    assert [operation.name for operation in made.operations] == ["states"]


def test_where_the_socket_is() -> None:
    """The HTTP address with the other scheme, unless it is configured; without either it is refused."""
    assert subscription.session(settings(), TOKEN, url="https://a/graphql").url == "wss://a/graphql"
    assert subscription.session(settings(), TOKEN, url="http://a/graphql").url == "ws://a/graphql"
    assert subscription.session(settings(), TOKEN, url="wss://b/cable").url == "wss://b/cable"
    with pytest.raises(Refused, match="set `ws_url`"):
        subscription.session(settings(), TOKEN)


# --- records ---------------------------------------------------------------------------------------------------


def test_fields_are_mapped_as_the_vendor_has_them() -> None:
    """Our names, any JSON value; whole numbers spelled as floats become whole; what is absent is null."""
    row = {"id": 4711, "online": True, "state": {"since": 1.6094592e12}}
    (found,) = read({"data": {"changed": row}})
    assert found == Record("computer", "4711", {"online": True, "since": 1_609_459_200_000}, raw=row)
    assert isinstance((found.after or {})["since"], int)
    nested = {"id": "x", "online": [{"at": 2.0, "of": 2.5}], "state": None}
    (found,) = read({"data": {"changed": nested}, "errors": []})
    assert found.after == {"online": [{"at": 2, "of": 2.5}], "since": None}
    assert json.dumps(found.after) == '{"online": [{"at": 2, "of": 2.5}], "since": null}'


def test_a_list_of_records_below_a_path() -> None:
    """Each becomes a record; a path with / begins at `data`."""
    one = sub(path="changed.nodes", version="/changed.revision", at="when", occurred=True)
    payload = {"data": {"changed": {"revision": 7, "nodes": [
        {"id": "a", "when": 1000}, {"id": "b", "when": "1970-01-01T00:00:02Z"},
        {"id": "c", "when": "1970-01-01T01:00:03+01:00"},
        {"id": "d"}, {"id": "e", "when": "1970-01-01T00:00:05"},
    ]}}}  # fmt: skip
    found = read(payload, one)
    assert [(record.id, record.at_ms) for record in found] == [
        ("a", 1000), ("b", 2000), ("c", 3000), ("d", None), ("e", 5000)
    ]  # fmt: skip
    assert {record.version for record in found} == {"7"}
    assert all(record.occurred for record in found)
    assert read({"data": {"changed": {"revision": 7, "nodes": []}}}, one) == []


@pytest.mark.parametrize(("value", "gone"), [(True, True), ("2024", True), (0, True), (False, False), (None, False)])
def test_what_is_gone(value: Json, gone: bool) -> None:
    """A path that is there and not false; the record then has no fields."""
    (found,) = read({"data": {"changed": {"id": "a", "online": True, "deletedAt": value}}}, sub(gone="deletedAt"))
    assert (found.gone, found.after is None) == (gone, gone)


def test_a_null_record_is_malformed_or_means_deleted() -> None:
    """Off by default; switched on, the id is found beside the record."""
    payload = {"data": {"changed": {"id": "a", "node": None}}}
    assert type(refusal(payload, sub(path="changed.node"))) is Malformed
    (found,) = read(payload, sub(path="changed.node", id="/changed.id", null_is_gone=True))
    assert (found.id, found.gone, found.after) == ("a", True, None)


def test_a_shape_is_the_adapters_own_mapping() -> None:
    """It gets the row as it came; one that is not there is malformed, as is what it cannot read."""
    made = Record("session", "s", {})
    rows: list[Json] = []

    def shape(row: Json) -> Record:
        rows.append(row)
        if row == "bad":
            raise Malformed("id is text")
        return made

    one = Subscription(name="states", document="x", shape="session")
    assert subscription.records(frame({"data": {"changed": {"id": "s"}}}), [one], {"session": shape}) == [made]
    assert rows == [{"id": "s"}]
    for payload, shapes in (("bad", {"session": shape}), ({"id": "s"}, {})):
        with pytest.raises(Malformed, match="subscription states: ") as caught:
            subscription.records(frame({"data": {"changed": payload}}), [one], shapes)
        assert json.loads(caught.value.raw) == {"data": {"changed": payload}}


def test_a_company_is_no_part_of_the_subscriptions_name() -> None:
    """What comes for any company is read by the one table."""
    assert [record.id for record in read({"data": {"changed": {"id": "a"}}}, operation="states.c-1.2")] == ["a"]


@pytest.mark.parametrize(
    "payload",
    [
        None, [], "text", {}, {"data": None}, {"data": []}, {"data": {"a": {"id": "x"}, "b": None}},
        {"data": {"changed": None}}, {"data": {"changed": "text"}}, {"data": {"changed": {}}},
        {"data": {"changed": {"id": ""}}}, {"data": {"changed": [{"id": "a"}, {"id": None}]}},
        {"data": {"changed": {"id": "a", "state": 5}}},
        {"data": {"changed": {"id": "a"}}, "errors": [{"message": "boom"}]},
        {"data": None, "errors": [{"message": "x", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]},
        {"data": None, "errors": "no"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_set_aside_whole(payload: Json) -> None:
    """Malformed, with the whole payload, and never half of a list."""
    error = refusal(payload)
    assert type(error) is Malformed
    assert str(error).startswith("subscription states: ")
    assert json.loads(error.raw) == payload


@pytest.mark.parametrize("told", [frame({"data": {}}, "other"), {"payload": {}}, {}, None, [], "x", frame({}, "")])
def test_a_frame_of_nobody_is_set_aside(told: Json) -> None:
    """No operation, or one that no table names."""
    with pytest.raises(Malformed, match="belongs to no subscription that is configured"):
        subscription.records(told, [sub()])


@pytest.mark.parametrize("key", ["at", "version"])
@pytest.mark.parametrize("value", [True, [], {}, "", "soon", -1])
def test_times_and_versions_of_a_wrong_kind(key: str, value: Json) -> None:
    """They are not guessed at."""
    readable = key == "version" and value in ("soon", -1)
    payload = {"data": {"changed": {"id": "a", "x": value}}}
    if readable:
        assert read(payload, sub(**{key: "x"}))[0].version == str(value)
    else:
        assert type(refusal(payload, sub(**{key: "x"}))) is Malformed


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"message": "x", "extensions": {"code": "UNAUTHENTICATED"}}], Unauthorized),
        ([{"message": "Token has expired"}], Unauthorized),
        ([{"message": "Too many requests"}], Throttled),
        ([{"message": "x", "extensions": {"code": "RATE_LIMITED"}}], Throttled),
    ],
)
def test_errors_that_are_not_about_the_record(errors: Json, expected: type[BridgeError]) -> None:
    """An expired token and a spent quota are acted on, not set aside."""
    assert type(refusal({"data": {"changed": None}, "errors": errors})) is expected
    assert type(refusal({"data": None, "errors": errors})) is expected


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ({"error": "TokenExpired"}, Unauthorized),
        ({"error": "ErrorIDs.TokenExpired", "__typename": "Failure"}, Unauthorized),
        ({"error": "Broken"}, Retry),
        ({"error": "Busy", "comment_for_dev": "Retry-After: 5 seconds"}, Throttled),
        ({"__typename": "Failure"}, Retry),
        ({"error": "NeverHeardOf"}, Retry),
    ],
)
def test_a_failure_as_data(failure: Json, expected: type[BridgeError]) -> None:
    """At the root, in a list, or where the record was expected: it happens what the vendor's table says."""
    deep = sub(path="changed.node")
    for payload, one in (
        ({"changed": failure}, sub()), ({"changed": [failure]}, sub()), ({"changed": failure}, deep),
        ({"changed": {"node": failure}}, deep),
    ):  # fmt: skip
        error = refusal({"data": payload}, one)
        assert type(error) is expected
        assert str(error).startswith("subscription states: failure ")
        if isinstance(error, Throttled):
            assert error.after == 5


@given(payload=json_values())
def test_any_json_is_records_or_an_error_of_the_house(payload: Json) -> None:
    """Whatever a vendor pushes."""
    for told in (payload, frame(payload), frame({"data": payload}), frame({"data": {"changed": payload}})):
        try:
            found = subscription.records(told, [sub(gone="gone", at="at", version="v")], {}, FAILURES)
        except BridgeError:
            continue
        assert all(record.id and record.entity == "computer" for record in found)


@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_a_record(id_: str, online: str) -> None:
    """Half of a surrogate pair among them."""
    try:
        (found,) = read({"data": {"changed": {"id": id_, "online": online}}})
    except Malformed:
        assert not id_ or len(id_) > 1024
    else:
        assert found.after == {"online": online, "since": None}


# --- memory ----------------------------------------------------------------------------------------------------


def test_what_the_stream_remembers() -> None:
    """One memory for all companies of a subscription, under a name that no reading walk has."""
    for operation in ("states", "states.c1", "states.c2.x"):
        assert subscription.observed(operation, 1_609_459_200_000) == (
            "subscription-states", {"first_ms": 1_609_459_200_000, "first": "2021-01-01T00:00:00.000Z"}
        )  # fmt: skip
    assert subscription.subscription_of("subscription-states") == "states"
    assert subscription.subscription_of("sessions-fast-c1") is None
    _, cursor = subscription.observed("states", 0)
    assert subscription.first_seen(cursor) == "1970-01-01T00:00:00.000Z"
    nothing: list[Json] = [None, {}, [], {"first": 5}]
    assert [subscription.first_seen(value) for value in nothing] == [None] * 4


def test_an_answer_without_any_data_is_no_event() -> None:
    """So graphql-ruby says that a subscription has begun."""
    assert read({"data": {}}) == []


def test_a_frame_that_can_be_read_is_not_spelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large frame would hold up every source for as long as that takes; only one set aside is kept raw."""

    def spelled(value: Json) -> bytes:
        raise AssertionError("the payload was spelled as bytes")

    monkeypatch.setattr(subscription, "legible", spelled)
    assert len(read({"data": {"changed": {"id": "a"}}}, sub())) == 1
    assert read({"data": {}}, sub()) == []
    with pytest.raises(AssertionError):
        read({"data": {"changed": 5}}, sub())
