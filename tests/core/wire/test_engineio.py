"""Engine.IO revisions 3 and 4 as tables: every frame in every phase, and what it leads to."""

from __future__ import annotations

import pytest

from bridge.core.errors import Refused, Retry, Unauthorized
from bridge.core.secret import Secret
from bridge.core.session import EngineioRevision
from bridge.core.wire.moves import Close, IllegalMove, Odd, Phase
from bridge.core.wire.packets import Happened, Heartbeat, Unreadable, Wire
from tests.support.engineio import CONNECTED, OPEN, gist, in_phase, machine

GREETING = Phase.GREETING
STRANGER = ["close 1002 Refused"]

Row = tuple[str | bytes, list[str], list[str], list[str]]
"""The frame; before the open packet; after it; in the namespace."""

BOTH: dict[str, Row] = {
    "open": (OPEN, [], ["close 1002 Retry"], ["close 1002 Retry"]),
    "close": ("1", ["close 1000 Retry"], ["close 1000 Retry"], ["close 1000 Retry"]),
    "upgrade": ("5", STRANGER, ["odd"], ["odd"]),
    "noop": ("6", STRANGER, ["odd"], ["odd"]),
    "empty": ("", STRANGER, ["odd"], ["odd"]),
    "unknown": ("7", STRANGER, ["odd"], ["odd"]),
    "probe's answer": ("3probe", STRANGER, ["odd"], ["odd"]),
    "HTTP 400": ("HTTP/1.1 400 Bad Request\r\n", ["close 1000 Refused"], ["close 1000 Retry"], ["close 1000 Retry"]),
    "HTTP 401": (
        "HTTP/1.1 401 No\r\n", ["close 1000 Unauthorized"], ["close 1000 Unauthorized"], ["close 1000 Unauthorized"],
    ),
    "HTTP 403": ("HTTP/1.1 403 No\r\n", ["close 1000 Refused"], ["close 1000 Refused"], ["close 1000 Refused"]),
    "HTTP 502": ("HTTP/1.0 502 Bad Gateway\r\n", ["close 1000 Retry"], ["close 1000 Retry"], ["close 1000 Retry"]),
    "disconnect": ("41", STRANGER, ["close 1000 Retry"], ["close 1000 Retry"]),
    "event": ('42["a",1]', STRANGER, ["odd"], ["happened a [1] None"]),
    "event with ack": ('427["a"]', STRANGER, ["odd"], ["happened a [] 7"]),
    "largest ack": ('429007199254740992["a"]', STRANGER, ["odd"], ["happened a [] 9007199254740992"]),
    "larger ack": ('429007199254740993["a"]', STRANGER, ["odd"], ["unreadable"]),
    "ack of 101 digits": ("42" + "1" * 101 + '["a"]', STRANGER, ["unreadable"], ["unreadable"]),
    "no data": ("42", STRANGER, ["odd"], ["unreadable"]),
    "no list": ('42{"a":1}', STRANGER, ["odd"], ["unreadable"]),
    "empty list": ("42[]", STRANGER, ["odd"], ["unreadable"]),
    "name that is no text": ("42[1]", STRANGER, ["odd"], ["unreadable"]),
    "no JSON": ("42[", STRANGER, ["unreadable"], ["unreadable"]),
    "event of a stranger": ('42/other,["a"]', STRANGER, ["odd"], ["odd"]),
    "connect of a stranger": ('40/other,{"sid":"x"}', STRANGER, ["odd"], ["odd"]),
    "disconnect of a stranger": ("41/other", STRANGER, ["odd"], ["odd"]),
    "refusal of a stranger": ('44/other,"x"', STRANGER, ["odd"], ["odd"]),
    "answer": ("431[]", STRANGER, ["odd"], ["odd"]),
    "refusal": ('44"go away"', STRANGER, ["close 1000 Unauthorized"], ["close 1000 Retry"]),
    "refusal as an object": (
        '44{"message":"go away"}', STRANGER, ["close 1000 Unauthorized"], ["close 1000 Retry"],
    ),
    "no such namespace": ('44"Invalid namespace"', STRANGER, ["close 1000 Refused"], ["close 1000 Retry"]),
    "attachment from nowhere": (b"\x04abc", STRANGER, ["odd"], ["odd"]),
}  # fmt: skip

THREE: dict[str, Row] = {
    **BOTH,
    "open": (OPEN, ["heartbeat"], *BOTH["open"][2:]),
    "ping": ("2", STRANGER, ["wire 3", "odd"], ["wire 3", "odd"]),
    "pong": ("3", STRANGER, ["beat"], ["beat"]),
    "connect": ("40", STRANGER, ["ready"], ["odd"]),
    "connect with a query": ("40/?a=1,", STRANGER, ["ready"], ["odd"]),
}
FOUR: dict[str, Row] = {
    **BOTH,
    "open": (OPEN, ["heartbeat", "wire 40"], *BOTH["open"][2:]),
    "ping": ("2", STRANGER, ["wire 3", "beat"], ["wire 3", "beat"]),
    "probe": ("2probe", STRANGER, ["wire 3probe", "beat"], ["wire 3probe", "beat"]),
    "pong": ("3", STRANGER, ["odd"], ["odd"]),
    "connect": ('40{"sid":"x"}', STRANGER, ["ready"], ["odd"]),
    "connect as in revision 3": ("40", STRANGER, ["close 1000 Refused"], ["odd"]),
}
TABLES: dict[EngineioRevision, dict[str, Row]] = {3: THREE, 4: FOUR}


@pytest.mark.parametrize(
    ("revision", "stage", "frame", "expected"),
    [
        pytest.param(revision, stage, row[0], expected, id=f"{revision}: {name}, stage {stage}")
        for revision, table in TABLES.items()
        for name, row in table.items()
        for stage, expected in enumerate(row[1:])
    ],
)
def test_each_frame_in_each_phase(
    revision: EngineioRevision, stage: int, frame: str | bytes, expected: list[str]
) -> None:
    """What a frame leads to depends on the revision and the phase, and is exactly this."""
    wire = in_phase(revision, ("new", "open", "ready")[stage])
    assert gist(wire.received(frame)) == expected
    closed = any(move.startswith("close") for move in expected)
    ready = stage == 2 or "ready" in expected
    assert wire.phase is (Phase.OVER if closed else Phase.READY if ready else GREETING)


@pytest.mark.parametrize("revision", TABLES)
@pytest.mark.parametrize("name", FOUR)
def test_nothing_follows_the_end(revision: EngineioRevision, name: str) -> None:
    """Whatever is still in the pipe when the session is over has no effect."""
    wire = in_phase(revision, "over")
    assert wire.received(FOUR[name][0]) == []
    assert wire.phase is Phase.OVER
    assert wire.leave() == wire.give_up() == wire.beat() == []


CALLS = {"opened": (), "beat": (), "acknowledge": (1,), "give_up": (), "leave": ()}
LEGAL = {
    # opened, beat, acknowledge, give_up, leave
    "fresh": "yes no no yes yes",
    "new": "no no no yes yes",
    "open": "no yes no yes yes",
    "ready": "no yes yes yes yes",
    "over": "no yes no yes yes",
}


@pytest.mark.parametrize("revision", TABLES)
@pytest.mark.parametrize("stage", LEGAL)
def test_what_may_be_asked_when(revision: EngineioRevision, stage: str) -> None:
    """The table of the module's docstring; what it does not allow raises, and changes nothing."""
    for (call, args), legal in zip(CALLS.items(), LEGAL[stage].split(), strict=True):
        wire = in_phase(revision, stage)
        before = wire.phase
        if legal == "yes":
            getattr(wire, call)(*args)
            continue
        with pytest.raises(IllegalMove, match=f"in phase {before}"):
            getattr(wire, call)(*args)
        assert wire.phase is before


@pytest.mark.parametrize("id_", [-1, 2**53 + 1, True])
def test_no_event_has_such_a_number(id_: int) -> None:
    """An acknowledgement of what cannot have been asked for is a bug of ours."""
    with pytest.raises(IllegalMove):
        in_phase(3, "ready").acknowledge(id_)


def test_who_pings() -> None:
    """In revision 3 we do; in revision 4 a beat of ours is nothing, as the server pings."""
    assert in_phase(3, "open").beat() == [Wire("2")]
    assert in_phase(4, "open").beat() == []


def test_a_pong_holds_what_the_ping_held() -> None:
    """Up to 4 kB; a longer ping is answered with an empty pong."""
    wire = in_phase(4, "ready")
    assert wire.received("2" + "x" * 4095)[0] == Wire("3" + "x" * 4095)
    assert wire.received("2" + "x" * 4096)[0] == Wire("3")


def test_namespaces_of_our_own() -> None:
    """In revision 3 ours comes after `/`, which the server opens unasked; a query is sent, and is no part of it."""
    wire = machine(3, namespace="/live?token=1")
    wire.opened()
    assert wire.received(OPEN) == [Heartbeat(25.0, 60.0), Wire("40/live?token=1")]
    assert gist(wire.received("40")) == []
    assert wire.phase is GREETING
    assert gist(wire.received("40/live")) == ["ready"]
    assert gist(wire.received('42["of the root"]')) == ["odd"]
    assert gist(wire.received('42/live,3["a"]')) == ["happened a [] 3"]
    assert wire.acknowledge(3) == [Wire("43/live,3[]")]
    assert wire.leave() == [Wire("41/live,")]


def test_in_revision_3_a_refusal_at_the_root_is_ours() -> None:
    """Its server does not even look at another namespace before the root has accepted the client."""
    wire = machine(3, namespace="/live")
    wire.opened()
    wire.received(OPEN)
    assert gist(wire.received('44"go away"')) == ["close 1000 Unauthorized"]


def test_credentials_of_the_namespace() -> None:
    """They go into the CONNECT packet of revision 4, unrevealed; revision 3 has no place for them."""
    auth = {"token": Secret("hunter2", "env TOKEN")}
    for namespace, text in (("/", "40"), ("/live", "40/live,")):
        wire = machine(4, namespace=namespace, auth=auth)
        wire.opened()
        moves = wire.received(OPEN)
        assert moves[1] == Wire(text, auth)
        assert "hunter2" not in repr(moves)
    assert gist(in_phase(3, "open", auth=auth).received("40")) == ["ready"]


def test_a_server_of_revision_3_is_found_out_at_once() -> None:
    """Asked in revision 4 it sends `40` without `sid`: going on would double every event, and lose the session."""
    for namespace in ("/", "/live"):
        wire = machine(4, namespace=namespace)
        wire.opened()
        wire.received(OPEN)
        [move] = wire.received("40")
        assert isinstance(move, Close)
        assert isinstance(move.error, Refused)
        assert "revision 4" in str(move.error)
        assert "set `engineio = 3`" in str(move.error)


# The open packet.


@pytest.mark.parametrize(
    ("interval", "timeout", "expected"),
    [
        ("25000", "60000", (25.0, 60.0)),
        ("1e3", "0.5e3", (1.0, 0.5)),
        ("300001", "9007199254740992", (300.0, 300.0)),
        ("1", "0.0001", (0.05, 0.05)),
        ("50", "49", (0.05, 0.05)),
    ],
)
def test_intervals_that_we_go_along_with(interval: str, timeout: str, expected: tuple[float, float]) -> None:
    """Milliseconds become seconds, no less than 50 ms, and no more than the session's longest silence."""
    wire = in_phase(3, "new")
    assert wire.received(f'0{{"pingInterval":{interval},"pingTimeout":{timeout}}}') == [Heartbeat(*expected)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (value, words)
        for words, values in {
            "is no span of time": ("0", "-1", "NaN", "Infinity", "1e999", "9007199254740993", "1" + "0" * 400),
            "where a number was expected": ('"25000"', "true", "null", "[]", "{}"),
        }.items()
        for value in values
    ],
)
@pytest.mark.parametrize("key", ["pingInterval", "pingTimeout"])
def test_intervals_that_are_absurd(key: str, value: str, words: str) -> None:
    """They end the session, with what is wrong and which setting may be; the value itself is not quoted."""
    other = "pingTimeout" if key == "pingInterval" else "pingInterval"
    wire = in_phase(4, "new")
    [move] = wire.received(f'0{{"{key}":{value},"{other}":1000}}')
    assert isinstance(move, Close)
    assert move.code == 1002
    assert isinstance(move.error, Refused)
    assert move.error.after == 900.0
    assert f"`{key}` is" in str(move.error)
    assert words in str(move.error)
    assert "`engineio`" in str(move.error)


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ("0", "not JSON"),
        ("0{", "not JSON"),
        ("0[]", "a list where an object was expected"),
        ('0{"sid":"x"}', "no `pingInterval`"),
        ('0{"pingInterval":25000}', "no `pingTimeout`"),
        ("0" + "[" * 10_000, "more than 100 lists and objects"),
        ("0" + '{"a":' * 10_000 + "1" + "}" * 10_000, "more than 100 lists and objects"),
        ('0{"pingInterval":' + "9" * 10_000 + ',"pingTimeout":1}', "not JSON"),
        ('0{"pingInterval":25000,"pingTimeout":60000,"sid":"' + "x" * 70_000 + '"}', "longer than 65536 characters"),
    ],
)
def test_open_packets_that_are_none(packet: str, words: str) -> None:
    """Each with its reason."""
    [move] = in_phase(3, "new").received(packet)
    assert isinstance(move, Close)
    assert isinstance(move.error, Refused)
    assert words in str(move.error)


def test_real_open_packets() -> None:
    """The documented one without `sid`, and those of real servers of both revisions."""
    for text in (
        '0{"pingInterval":25000,"pingTimeout":60000}',
        '0{"sid":"Wd6dhLfb","upgrades":[],"pingInterval":25000,"pingTimeout":60000}',
        '0{"sid":"lv_VI97H","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}',
    ):
        assert in_phase(3, "new").received(text) == [Heartbeat(25.0, 60.0)]


def test_errors_say_what_to_do_and_quote_no_prose() -> None:
    """A vendor's plain sentence is passed on, anything else that it says is not."""
    [plain] = in_phase(4, "open").received('44{"message":"not authorized"}')
    [quoting] = in_phase(4, "open").received('44{"message":"no user max@example.org","data":{"token":"hunter2"}}')
    [later] = in_phase(3, "ready").received('44"Hunter2 is wrong"')
    assert isinstance(plain, Close)
    assert isinstance(quoting, Close)
    assert isinstance(later, Close)
    assert type(plain.error) is type(quoting.error) is Unauthorized
    assert type(later.error) is Retry
    assert ": not authorized;" in str(plain.error)
    assert "example" not in str(quoting.error) + repr(quoting)
    assert "unter2" not in str(quoting.error) + str(later.error)


def test_nothing_shows_what_was_said() -> None:
    """The moves' representations are without payloads."""
    wire = in_phase(4, "ready")
    moves = [
        *wire.received('42["name","hunter2"]'),
        *wire.received('42["hunter2'),
        *wire.received("2hunter2"),
        *wire.received('451-["name",{"_placeholder":true,"num":0},"hunter2"]'),
        *wire.give_up(),
    ]
    assert [type(move) for move in moves[:3]] == [Happened, Unreadable, Wire]
    assert "hunter2" not in repr(moves)
    assert "hunter2" not in repr(wire)


def test_before_the_socket_is_open() -> None:
    """No frame can come, and one that does changes nothing."""
    wire = machine(3)
    assert [type(move) for move in wire.received(OPEN)] == [Odd]
    assert wire.phase is Phase.FRESH
    assert gist(wire.opened()) == []
    assert gist(wire.received(OPEN)) == ["heartbeat"]
    assert gist(wire.received(CONNECTED[3])) == ["ready"]
