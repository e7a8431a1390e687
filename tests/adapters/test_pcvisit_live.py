"""The pcvisit adapter live: where it connects, how it logs in there, and that a push is what history shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import bridge.sandbox
from adapters import pcvisit
from bridge.adapter import Ask, GraphqlSession, Json, Record, Secret, Subscription, Token, Window
from bridge.core.canonical import digest
from bridge.core.errors import BridgeError, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.omit import omit, parse
from tests.adapters.cases import pcvisit_settings, sample
from tests.support.answers import answer

COMPANY = "12345678-1234-1234-1234-123456789012"
TOKEN = Token(Secret("a.jwt.here", "the JWT"), facts={"customerUuid": COMPANY})
TABLES = tomllib.loads((Path(bridge.sandbox.__file__).parent / "pcvisit_subscriptions.toml").read_text("utf-8"))
SUBSCRIPTIONS = [Subscription(**table) for table in TABLES["source"]["subscription"]]
FIELD = {"session-changed": "assumedSessionChanged", "participants-changed": "assumedParticipantsChanged",
         "online-state-changed": "assumedOnlineStateChanged"}  # fmt: skip


def adapter(**changes: Any) -> pcvisit.Adapter:
    return pcvisit.Adapter(pcvisit_settings(**{"subscription": SUBSCRIPTIONS, **changes}))


def session(**changes: Any) -> GraphqlSession:
    return adapter(**changes).session(TOKEN)


def pushed(value: Json, name: str = "session-changed", company: str = COMPANY) -> Json:
    return {"operation": f"{name}.{company}", "payload": {"data": {FIELD[name]: value}}}


def told(made: pcvisit.Adapter, frame: Json) -> list[Record]:
    """What a frame tells: records, and nothing that is only a hint."""
    found = made.live(frame)
    records = [one for one in found if isinstance(one, Record)]
    assert len(records) == len(found)
    return records


def test_without_a_subscription_the_source_is_polled_only() -> None:
    """It does not listen, and reads the same as with one."""
    polled = adapter(subscription=[])
    assert not polled.listens
    assert adapter().listens
    assert polled.walks(TOKEN) == adapter().walks(TOKEN) != []


@pytest.mark.parametrize(("auth", "expected"), [("jwt", "Bearer a.jwt.here"), ("api-key", "integrator-token-0001")])
def test_both_forms_of_the_connection_parameters(auth: str, expected: str) -> None:
    """`authToken`: the JWT behind `Bearer `, or the bare API token; a secret either way, and nowhere else."""
    made = session(auth=auth)
    assert list(made.init) == ["authToken"]
    assert made.init["authToken"].reveal() == expected
    assert made.headers == {}
    assert expected not in repr(made)


def test_the_session_is_at_the_same_path() -> None:
    """As in the manual's examples; in the older subprotocol; unless the configuration says otherwise."""
    assert (session().url, session().subprotocol) == ("wss://api.example.com/graphql", "graphql-ws")
    other = session(ws_url="wss://push.example.com", ws_subprotocol="graphql-transport-ws")
    assert (other.url, other.subprotocol) == ("wss://push.example.com", "graphql-transport-ws")


def test_one_operation_for_each_company() -> None:
    """The configured ones, else the one that the login names."""
    assert [one.name for one in session().operations] == [f"{name}.{COMPANY}" for name in FIELD]
    operations = session(companies=["c1", "c2"], subscription=SUBSCRIPTIONS[:1]).operations
    assert [(one.name, one.variables) for one in operations] == [
        ("session-changed.c1", {"company": "c1"}), ("session-changed.c2", {"company": "c2"})
    ]  # fmt: skip


def test_what_only_the_session_tells() -> None:
    """Sessions are polled too; the operator's own entities are not, so that what is missed of them is lost."""
    assert not adapter(subscription=[]).live_only
    assert not adapter(subscription=SUBSCRIPTIONS[:1]).live_only
    assert adapter().live_only


@pytest.mark.parametrize("path", ["pcvisit/history.json", "pcvisit/whole.json"])
def test_a_session_pushed_equals_the_same_session_read(path: str) -> None:
    """Record for record and digest for digest, so that neither way makes news of what the other has told."""
    made = adapter()
    ask = Ask(made.walks(TOKEN)[0], Window(0, 1))
    rows = made.page(ask, answer(sample(path))).rows
    assert rows
    for row in rows:
        read, (live,) = made.record(ask, row), told(made, pushed({"__typename": "SessionProtocol", **row}))
        assert (live.entity, live.id, live.version, live.at_ms) == (read.entity, read.id, read.version, read.at_ms)
        assert live.after == read.after
        assert digest(live.after, "1") == digest(read.after, "1")


def test_the_push_asks_for_all_that_history_asks_for() -> None:
    """A field less would be a change at every push, and another at every reading."""
    row = sample("pcvisit/whole.json")["data"]["AcQuerySessionsHistory"]["nodes"][0]["value"]
    names: set[str] = set()

    def collect(value: Json) -> None:
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            collect(item)
        names.update(value if isinstance(value, dict) else ())

    collect(row)
    assert {"sessionFinishedAt", "invoiceState", "isSessionCreator"} <= names
    assert not [name for name in names if name not in SUBSCRIPTIONS[0].document]


def test_the_other_two_subscriptions_of_the_sandbox() -> None:
    """Mapped by configuration alone; whole numbers become whole, and no e-mail address is asked for."""
    people = {"sessionId": "s1", "participants": [{"supporterIdentity": {"id": "p"}, "isSessionCreator": True}]}
    (record,) = told(adapter(), pushed(people, "participants-changed"))
    assert (record.entity, record.id) == ("participants", "s1")
    assert record.after == {"session_id": "s1", "participants": people["participants"]}
    state = {"computerId": "c1", "online": True, "changedAt": 1.6094592e12}
    (record,) = told(adapter(), pushed(state, "online-state-changed"))
    assert (record.entity, record.id, record.at_ms) == ("computer", "c1", 1_609_459_200_000)
    assert json.dumps(record.after) == '{"online": true, "changed_at": 1609459200000}'
    assert not any("email" in one.document for one in SUBSCRIPTIONS[1:])


def test_personal_data_is_left_out_of_a_push_too() -> None:
    """The adapter's own `omit` names the same paths."""
    row = sample("pcvisit/whole.json")["data"]["AcQuerySessionsHistory"]["nodes"][0]["value"]
    (record,) = told(adapter(), pushed(row))
    assert "@" in json.dumps(record.after)
    assert "@" not in json.dumps(omit(record.after or {}, [parse(path) for path in pcvisit.Adapter.omit]))


@pytest.mark.parametrize("prefix", ["", "ErrorIDs."])
@pytest.mark.parametrize(
    ("error", "comment", "expected"),
    [
        ("TokenExpired", None, Unauthorized),
        ("AccessDenied", None, Unauthorized),
        ("ApplicationFailure", None, Retry),
        ("TryAgainLater", "Retry-After: 5 seconds", Throttled),
        ("TimeOut", "Retry-After: 5 seconds", Throttled),
        ("TimeOut", None, Retry),
        ("InsufficientRights", None, Refused),
        ("NobodyKnowsThis", None, Retry),
    ],
)
def test_a_failure_inside_a_stream(prefix: str, error: str, comment: str | None, expected: type[BridgeError]) -> None:
    """It means what it means in an answer to a query, by the same table, for whichever subscription."""
    for name in FIELD:
        with pytest.raises(BridgeError) as caught:
            adapter().live(
                pushed({"__typename": "Failure", "error": f"{prefix}{error}", "comment_for_dev": comment}, name)
            )
        assert type(caught.value) is expected
        assert str(caught.value).startswith(f"subscription {name}: failure {error}")


def test_a_push_that_cannot_be_read_is_set_aside() -> None:
    """The session's own mapping says why, with the payload kept."""
    with pytest.raises(Malformed, match="subscription session-changed: state is a list, expected text") as caught:
        told(adapter(), pushed({"id": "s1", "state": [5]}))
    assert json.loads(caught.value.raw)["data"]["assumedSessionChanged"]["state"] == [5]


def test_any_query_goes_where_history_goes() -> None:
    """With the same credentials, so that introspection needs no others."""
    for auth, header in (("jwt", "Authorization"), ("api-key", "x-api-key")):
        request = adapter(auth=auth).query("{ __typename }", {"a": 1, "b": None}, TOKEN)
        assert (request.url, list(request.headers)) == ("https://api.example.com/graphql", [header])
        assert request.json == {"query": "{ __typename }", "variables": {"a": 1}}
        assert request.counts
