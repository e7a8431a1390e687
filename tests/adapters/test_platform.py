"""The generic platform's adapter: what it asks, what it makes of rows and pushes, and which settings contradict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from adapters import platform
from bridge.adapter import (
    Ask,
    BadSetting,
    Json,
    Look,
    Malformed,
    Page,
    Record,
    Refused,
    Retry,
    Secret,
    SocketioSession,
    StreamSession,
    Token,
    Unauthorized,
    Window,
)
from bridge.core.omit import omit, parse
from tests.adapters.cases import DATE, platform_settings, sample
from tests.adapters.contract import json_values
from tests.support.answers import answer, raw_answer

TOKEN = Token(Secret("the-token"), beside=Secret("the-sid", prefix="sid="))
OID, OTHER = "66a8f0000000000000000001", "66a8f0000000000000000002"
WINDOW = Window(1_722_330_000_000, 1_722_340_000_000)


def made(**changes: Any) -> platform.Adapter:
    return platform.Adapter(platform_settings(**changes))


def ask(adapter: platform.Adapter, name: str) -> Ask:
    """The first page of a walk."""
    walk = next(walk for walk in adapter.walks(TOKEN) if walk.name == name)
    return Ask(walk, WINDOW if walk.once else None, None, (OID,) if walk.batch else ())


def read(adapter: platform.Adapter, name: str, body: Json) -> list[Record]:
    """The records of an answer to the first page of a walk."""
    asked = ask(adapter, name)
    return [adapter.record(asked, row) for row in adapter.page(asked, answer(body, headers=DATE)).rows]


def event(type_: str, data: Json = None, **more: Json) -> Json:
    return {"_msgid": "m1", "_oid": OID, "event": type_, "time": 1_722_338_333_564, "data": data, **more}


def told(adapter: platform.Adapter, record: Json) -> Any:
    """What a Socket.IO event that carries this record tells."""
    name = record.get("event", "some-name") if isinstance(record, dict) else "some-name"
    return adapter.live({"name": name, "args": [record]})


# --- what is read ---


def test_each_walk_asks_its_own_path() -> None:
    """Bounds in whole milliseconds, a limit, and nothing else."""
    adapter = made(store_fields={"objects": ["id", "name"]}, page_size=500, base_url="https://iot.example.com/x/")
    urls = {name: adapter.request(ask(adapter, name), TOKEN).url for name in ("objects", "users", "journal", "packets")}
    at, bounds = "https://iot.example.com/x/api/v1", "limit=500&from=1722330000000&to=1722340000000"
    assert urls == {
        "objects": f"{at}/objects?limit=500&only=id,name,time",
        "users": f"{at}/users?limit=500",
        "journal": f"{at}/events?{bounds}",
        "packets": f"{at}/objects/{OID}/packets?{bounds}",
    }
    odd = Ask(ask(adapter, "packets").walk, WINDOW, None, ("../users?x",))
    assert "/objects/..%2Fusers%3Fx/packets?" in adapter.request(odd, TOKEN).url


def test_how_each_walk_is_read() -> None:
    """Stores whole, the journal in a window and once, packets aside and without holding up what is pushed."""
    walks = {walk.name: walk for walk in made().walks(TOKEN)}
    assert set(walks) == {"objects", "models", "users", "journal", "packets"}
    objects, packets, journal = walks["objects"], walks["packets"], walks["journal"]
    assert (objects.entity, objects.reach_s, objects.reports_absence) == ("object", None, True)
    assert (journal.once, journal.reach_s, journal.overlap_s, journal.telemetry) == (True, 3600.0, 60.0, False)
    assert (packets.batch, packets.of, packets.once, packets.telemetry) == (1, "object", True, True)
    assert (packets.on_connect, packets.again_s) == (False, (1.0,))
    assert {walk.name for walk in made(packets=False).walks(TOKEN)} == {"objects", "models", "users", "journal"}
    assert not any(walk.reports_absence for walk in made(deletion_policy="ignore").walks(TOKEN))


def test_an_object_is_what_it_says_without_its_latest_packet() -> None:
    """`state` and `success` are no part of it; fields that would be personal in a user stay."""
    first, second = read(made(), "objects", sample("platform/objects.json"))
    assert (first.entity, first.id, first.at_ms) == ("object", OID, 1_722_338_000_001)
    assert first.after == {
        "_id": OID, "given_id": "dev-1", "name": "Boiler 1", "time": 1_722_338_000_001,
        "model": "66a8f000000000000000000a", "owner": "66a8f000000000000000000b", "status": "active",
        "email": "boiler@plant.example", "config": {"interval": 60, "phone": "+49 1"},
    }  # fmt: skip
    assert second.id == OTHER
    (cut,) = read(made(store_fields={"objects": ["id", "name"]}), "objects", sample("platform/objects.json")[:1])
    assert cut.after == {"_id": OID, "given_id": "dev-1", "name": "Boiler 1"}


def test_who_a_user_is_stands_apart() -> None:
    """So that one path leaves it out, of users and of their events, and of nothing else."""
    (user,) = read(made(), "users", sample("platform/users.json"))
    assert user.after is not None
    assert set(user.after) == {"_id", "time", "role", "group", "personal_data"}
    assert set(user.after["personal_data"]) == {"name", "login", "email", "phone"}
    signin = read(made(), "journal", sample("platform/events.json"))[1]
    assert signin.after is not None
    assert signin.after["personal_data"] == {"login": "anna1", "ip": "192.0.2.7"}
    assert signin.after["data"] == {"ok": True}
    assert platform.Adapter.omit == ("personal_data",)


def test_the_journal_tells_what_occurred_once() -> None:
    """By `_msgid`; states of the past and packets are left to the walks that read them, unless nothing reads them."""
    rows = [*sample("platform/events.json"), event("object-packet", {"_ts": 1})]
    found = read(made(), "journal", rows)
    assert [(one.entity, one.id) for one in found] == [
        ("object-online", "mXuA1"), ("user-signin", "mXuA2"), ("Überhitzung Zone 3", "mXuA4"),
    ]  # fmt: skip
    assert all(one.occurred and not one.telemetry for one in found)
    assert found[0].at_ms == 1_722_338_333_564
    assert found[0].after == {"object_id": OID, "group_id": "66a8f000000000000000000d", "data": {"online": True}}
    models_only = read(made(stores=["models"], packets=False), "journal", sample("platform/events.json"))
    assert "object-update" in [one.entity for one in models_only]


def test_a_store_that_is_not_there_is_named() -> None:
    """And the setting that it came from."""
    adapter = made(stores=["objects", "modles"])
    with pytest.raises(Refused, match="no store `modles` for us: check `stores`"):
        adapter.page(ask(adapter, "modles"), answer({"success": False}, status=404))


def test_an_event_that_is_called_as_a_row_is_another_thing() -> None:
    """An entity is either a row or what occurs once: an event named `object` must not bar an object of the same id."""
    adapter = made()
    row = adapter.record(ask(adapter, "objects"), {"_id": "X", "time": 1})
    for name in ("object", "model", "packet", "quarantine"):
        (found,) = told(adapter, event(name, {}, _msgid="X"))
        assert found.occurred
        assert (found.entity, found.id) != (row.entity, row.id)
        assert found.entity == {"quarantine": "quarantine"}.get(name, f"event-{name}")
    (free,) = told(made(stores=["models"], packets=False), event("object", {}, _msgid="X"))
    assert free.entity == "object"


@pytest.mark.parametrize(
    "data", [{"user": {"email": "a@b"}}, [{"email": "a@b"}], "a@b", {"email": "a@b"}, {"x": [{"y": {"phone": "a@b"}}]}]
)
def test_who_an_event_is_about_can_be_left_out_by_one_path(data: Json) -> None:
    """However deep it stands in what happened to a user."""
    (found,) = told(made(), event("user-signin", data))
    assert "a@b" in json.dumps(found.after)
    assert "a@b" not in json.dumps(omit(found.after or {}, [parse(path) for path in platform.Adapter.omit]))


def test_what_cannot_be_read_of_a_person_is_not_kept() -> None:
    """Neither of a pushed event, in either transport, nor of a row of the store."""
    bad = {"_id": {}, "email": "a@b"}
    adapter = made(stores=["users", "objects"])
    with pytest.raises(Malformed) as row:
        adapter.record(ask(adapter, "users"), bad)
    with pytest.raises(Malformed) as pushed:
        adapter.live({"name": "user-insert", "args": [{"event": "user-insert", "data": bad, "time": 1}]})
    with pytest.raises(Malformed) as streamed:
        made(stores=["users", "objects"], transport="events-stream").live({"event": "user-insert", "data": [bad]})
    for caught in (row, pushed, streamed):
        assert caught.value.raw
        assert b"a@b" not in caught.value.raw
    with pytest.raises(Malformed) as other:
        adapter.live({"name": "object-online", "args": [{"event": "object-online", "data": bad}]})
    assert b"a@b" in other.value.raw


def test_a_packet_is_the_same_pushed_and_listed() -> None:
    """By its object and the server's microseconds."""
    listed, _ = read(made(), "packets", sample("platform/packets.json"))
    (pushed,) = told(made(), event("object-packet", {"_ts": 1_722_338_333_562_289, "topic": "test", "payload": "42"}))
    assert listed.id == pushed.id == f"{OID}-1722338333562289"
    assert (listed.entity, listed.occurred, listed.telemetry) == ("packet", True, True)
    assert (listed.at_ms, pushed.at_ms) == (1_722_338_333_562, 1_722_338_333_564)
    assert pushed.after == {
        "object_id": OID, "ts": 1_722_338_333_562_289, "values": {"topic": "test", "payload": "42"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("packet", "id_", "at_ms"),
    [
        ({"_ts": 1_722_338_333_562_289.0}, "1722338333562289", 1_722_338_333_564),
        ({"_ts": 1_722_338_333_562_289, "time": 5}, "1722338333562289", 1_722_338_333_562),
        ({"_id": "p1"}, "ip1", 1_722_338_333_564),
        ({"payload": 1}, "im1", 1_722_338_333_564),
    ],
)
def test_what_a_packet_is_known_by(packet: Json, id_: str, at_ms: int) -> None:
    """Without `_ts` by an id; a device whose clock is far off is dated by the server."""
    (found,) = told(made(), event("object-packet", packet))
    assert (found.id, found.at_ms) == (f"{OID}-{id_}", at_ms)


@pytest.mark.parametrize("ts", ["1722338333562289", 1.5, -1, True, 2**60, [], float("inf")])
def test_a_stamp_that_is_no_whole_number_is_malformed(ts: Json) -> None:
    """A key that two spellings could make would store a packet twice."""
    with pytest.raises(Malformed, match="_ts is"):
        told(made(), event("object-packet", {"_ts": ts}))


def test_an_object_that_is_gone_has_no_packets() -> None:
    """It was removed since it was known; a store that is not there is a mistake."""
    adapter = made()
    assert adapter.page(ask(adapter, "packets"), answer({}, 404)) == Page([])
    with pytest.raises(Refused):
        adapter.page(ask(adapter, "objects"), answer({}, 404))


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (answer({"code": "401"}, 401), Unauthorized, "401"),
        (answer({"code": "403"}, 403), Refused, "let the user or token read this"),
        (answer({"data": []}), Retry, "the answer is an object, and no list"),
        (raw_answer(b"<html><body>502"), Retry, "not JSON"),
        (raw_answer(b"<html>", 502), Retry, "502"),
    ],
)
def test_answers_that_are_no_list(response: Any, error: type[Exception], words: str) -> None:
    """401 asks for a login, 403 for a human, the rest for another try."""
    adapter = made()
    for name in ("objects", "journal", "packets"):
        with pytest.raises(error, match=words):
            adapter.page(ask(adapter, name), response)


def test_a_row_that_is_no_object_is_malformed_alone() -> None:
    """The page goes on with the others."""
    adapter = made()
    for name in ("objects", "journal", "packets"):
        asked = ask(adapter, name)
        page = adapter.page(asked, answer([7, None, "x"], headers=DATE))
        assert len(page.rows) == 3
        for row in page.rows:
            with pytest.raises(Malformed):
                adapter.record(asked, row)


# --- what is pushed ---


def test_a_pushed_change_is_the_row_or_a_hint() -> None:
    """Whole rows are taken at their word; without an `_id`, or where the operator says so, the store is read."""
    row = {"_id": OID, "id": "dev-1", "name": "Boiler 1", "state": {"x": 1}}
    (record,) = told(made(), event("object-update", row))
    assert (record.entity, record.id, record.gone) == ("object", OID, False)
    assert record.after == {"_id": OID, "given_id": "dev-1", "name": "Boiler 1"}
    assert told(made(), event("object-update", {"name": "x"})) == [Look("object")]
    assert told(made(), event("model-insert", None)) == [Look("model")]
    for verb in ("insert", "update", "remove"):
        assert told(made(store_pushes="hint"), event(f"object-{verb}", row)) == [Look("object")]


def test_a_pushed_removal_names_who_is_gone() -> None:
    """By the row's `_id`, or for objects by the event's `_oid`."""
    for data in ({"_id": OID}, None, {"name": "x"}):
        (record,) = told(made(), event("object-remove", data))
        assert (record.entity, record.id, record.gone, record.after) == ("object", OID, True, None)
    assert told(made(), event("model-remove", {"name": "x"})) == [Look("model")]


def test_everything_else_occurs_once() -> None:
    """Custom names, changes of stores that are not read, and events that leave their type to their name."""
    for type_ in ("object-online", "door opened", "group-update", "object-state-reset", "token-insert"):
        (record,) = told(made(), event(type_, {"a": 1}))
        assert (record.entity, record.id, record.occurred, record.telemetry) == (type_, "m1", True, False)
    (record,) = made().live({"name": "object-online", "args": [{"_msgid": "m2"}, "ignored"]})
    assert isinstance(record, Record)
    assert (record.entity, record.id) == ("object-online", "m2")
    stream = made(transport="events-stream")
    (found,) = stream.live(event("object-online"))
    assert isinstance(found, Record)
    assert found.id == "m1"


@pytest.mark.parametrize(
    "frame",
    [
        {"name": "x", "args": []}, {"name": "x", "args": ["text"]}, {"name": "x"}, [], None, 7,
        {"name": "x", "args": [{"event": "y"}]}, {"name": "", "args": [{"_msgid": "m"}]},
        {"name": "x", "args": [{"event": {}, "_msgid": "m"}]}, {"name": "x", "args": [event("y", _msgid={})]},
        {"name": "x", "args": [event("y", time="soon")]}, {"name": "x", "args": [event("object-packet", [1])]},
        {"name": "x", "args": [event("object-packet", {"_ts": 1}, _oid=None)]},
        {"name": "x", "args": [event("object-update", "text")]},
        {"name": "x", "args": [event("object-update", {"_id": {}})]},
    ],
)  # fmt: skip
def test_a_push_that_cannot_be_read_is_kept_whole(frame: Json) -> None:
    """For the quarantine, where people look at it."""
    with pytest.raises(Malformed, match="live event") as caught:
        made().live(frame)
    assert caught.value.raw


@given(value=json_values())
def test_any_push_is_read_or_malformed(value: Json) -> None:
    """Whatever stands wherever."""
    adapter, stream = made(), made(transport="events-stream")
    types = ("object-packet", "object-update", "object-remove", "user-signin", "x")
    records = [event(type_, value) for type_ in types] + [event(type_, {"_id": value, "_ts": value}) for type_ in types]
    records += [event("x", **{key: value}) for key in ("_msgid", "_oid", "_gid", "event", "time")]
    for one, frame in [
        (adapter, value), (stream, value), (adapter, {"name": value, "args": value}),
        *((adapter, {"name": "x", "args": [record]}) for record in records), *((stream, record) for record in records),
    ]:  # fmt: skip
        try:
            found = one.live(frame)
        except Malformed:
            continue
        assert all(isinstance(item, Look) or (item.entity and item.id) for item in found)


def test_what_is_not_wanted_is_dropped_from_pushes_and_pages() -> None:
    """By type and by object; what names no object stays."""
    only = made(events=["object-online", "object-packet"], ignore_events=["object-packet"])
    assert told(only, event("object-offline")) == told(only, event("object-packet", {"_ts": 1})) == []
    assert len(told(only, event("object-online"))) == 1
    assert [one.entity for one in read(only, "journal", sample("platform/events.json"))] == ["object-online"]
    assert read(only, "packets", sample("platform/packets.json")) == []
    one = made(objects=[OTHER])
    assert told(one, event("object-online")) == told(one, event("object-update", {"_id": OID}, _oid=None)) == []
    assert [record.id for record in read(one, "objects", sample("platform/objects.json"))] == [OTHER]
    assert [record.id for record in read(one, "journal", sample("platform/events.json"))] == ["mXuA2", "mXuA4"]
    assert read(one, "packets", sample("platform/packets.json")) == []
    objects = ask(one, "objects")
    assert (one.belongs(objects, {"_id": OTHER}), one.belongs(objects, {"_id": OID})) == (True, False)
    assert one.belongs(ask(one, "models"), {"_id": OID})


# --- sessions ---


def test_a_socketio_session_carries_token_and_cookie() -> None:
    """The revision in the address and in the machine, both credentials, and which events are wanted."""
    session = made(events=["a", "b"], ignore_events=["b"], engineio=4, namespace="/ns").session(TOKEN)
    assert isinstance(session, SocketioSession)
    assert session.url == "wss://iot.example.com/socket.io/?EIO=4&transport=websocket"
    assert (session.revision, session.namespace) == (4, "/ns")
    assert session.wants is not None
    wanted = [("a", {}), ("b", {}), ("c", {}), ("message", {"event": "a"}), ("a", {"event": "c"})]
    assert [session.wants(name, [record]) for name, record in wanted] == [True, False, False, True, False]
    assert session.wants("whatever", [7]), "what cannot be read is to be found so"
    assert {name: value.reveal() for name, value in session.headers.items()} == {  # type: ignore[union-attr]
        "Authorization": "Bearer the-token", "Cookie": "sid=the-sid",
    }  # fmt: skip
    assert made().session(TOKEN).url == "wss://iot.example.com/socket.io/?EIO=3&transport=websocket"
    assert made().session(TOKEN).wants is None  # type: ignore[union-attr]
    by_cookie = made(auth="cookie").session(Token(Secret("s", prefix="sid=")))
    assert set(by_cookie.headers) == {"Cookie"}


def test_a_stream_session_carries_the_bearer_in_its_header_only() -> None:
    """At its own path, by ws:// where the platform is on http://."""
    session = made(transport="events-stream", base_url="http://localhost:8080").session(Token(Secret("the-token")))
    assert isinstance(session, StreamSession)
    assert session.url == "ws://localhost:8080/events/stream"
    assert set(session.headers) == {"Authorization"}


def test_who_listens_and_what_only_pushes_tell() -> None:
    """Without a transport nobody listens; without the packets' walk they are lost while nobody does."""
    assert (made().listens, made().live_only) == (True, False)
    assert (made(transport="none").listens, made(transport="none", packets=False).live_only) == (False, False)
    assert made(packets=False).live_only


def test_how_many_logins_a_transport_takes() -> None:
    """The second one, for the cookie, only where it is of use."""
    for changes, steps in (({}, 2), ({"ws_cookie": False}, 1), ({"transport": "none"}, 1), ({"auth": "cookie"}, 1)):
        flow = made(**changes).login()
        next(flow)
        reply = answer(sample("platform/token.json"), headers={**DATE, "set-cookie": "sid=x"})
        if steps == 2:
            assert flow.send(reply).url == "https://iot.example.com/api/v1/auth"
        with pytest.raises(StopIteration):
            flow.send(reply)


# --- settings ---


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"base_url": "iot.example.com"}, ("base_url",)),
        ({"base_url": "https://iot.example.com/?x"}, ("base_url",)),
        ({"login": None}, ("login",)),
        ({"password": None}, ("password",)),
        ({"auth": "issued"}, ("token",)),
        ({"token": Secret("x")}, ("token",)),
        ({"auth": "cookie", "transport": "events-stream"}, ("auth",)),
        ({"page_size": 10_001}, ("page_size",)),
        ({"stores": ["objects", "tasks/kinds"]}, ("stores", 1)),
        ({"stores": ["Objects"]}, ("stores", 0)),
        ({"stores": ["objects", "events"]}, ("stores", 1)),
        ({"stores": ["objects", "objects"]}, ("stores", 1)),
        ({"store_fields": {"groups": ["name"]}}, ("store_fields", "groups")),
        ({"store_fields": {"objects": []}}, ("store_fields", "objects")),
        ({"store_fields": {"objects": ["a,b"]}}, ("store_fields", "objects")),
        ({"stores": ["models"]}, ("packets",)),
        ({"namespace": "x"}, ("namespace",)),
        ({"ws_close_codes": {"x": "retry"}}, ("ws_close_codes", "x")),
    ],
)
def test_settings_that_contradict_are_refused_by_their_key(changes: dict[str, Any], key: tuple[Any, ...]) -> None:
    """With what was expected."""
    with pytest.raises(BadSetting) as caught:
        platform_settings(**changes)
    assert caught.value.key == key


def test_the_budget_is_the_users() -> None:
    """Of one platform; neither login nor token can be told from its name."""
    assert made().budget_key == made(base_url="https://iot.example.com/").budget_key
    by_token = {"auth": "issued", "token": Secret("by-hand-0005"), "login": None, "password": None}
    keys = {made(**changes).budget_key for changes in ({}, {"login": "b"}, {"base_url": "https://b.example"}, by_token)}
    assert len(keys) == 4
    assert not any(text in key for key in keys for text in ("bridge-0001", "by-hand"))
