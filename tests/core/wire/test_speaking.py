"""What each machine says, frame by frame, and what nobody may ask of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bridge.core.facts import Operation, Subprotocol
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.wire.cable import Cable
from bridge.core.wire.legacy import Legacy
from bridge.core.wire.machines import make
from bridge.core.wire.moves import Confirmed, IllegalMove, Machine, Move, Next, Phase, Send
from bridge.core.wire.transport import Transport
from tests.support.utterances import DIALECTS, GRAPHQL, OPERATION, SUBPROTOCOLS, gist, identifier, in_phase, session

REQUEST = {"query": OPERATION.document, "variables": {"a": 1}, "operationName": "Watch"}


def sent(moves: list[Move]) -> list[Json]:
    """The frames among the moves."""
    return [move.frame for move in moves if isinstance(move, Send)]


def test_the_subprotocol_chooses_the_machine() -> None:
    """Each of the three has its own."""
    assert [type(make(session(name))) for name in SUBPROTOCOLS] == [Legacy, Transport, Cable]


def test_the_legacy_words() -> None:
    """connection_init, start, stop, connection_terminate."""
    machine = make(session("graphql-ws", init={"jwt": Secret("hunter2")}))
    assert sent(machine.opened()) == [{"type": "connection_init", "payload": {"jwt": Secret("hunter2")}}]
    assert gist(machine.received({"type": "connection_ack"})) == ["ready"]
    assert sent(machine.start("1", OPERATION)) == [{"id": "1", "type": "start", "payload": REQUEST}]
    assert sent(machine.start("2", OPERATION)) == [{"id": "2", "type": "start", "payload": REQUEST}]
    assert sent(machine.stop("1")) == [{"id": "1", "type": "stop"}]
    assert sent(machine.leave()) == [{"id": "2", "type": "stop"}, {"type": "connection_terminate"}]


def test_the_transport_words() -> None:
    """connection_init, subscribe, complete; nothing but closing says good-bye."""
    machine = make(session("graphql-transport-ws", init={"jwt": Secret("hunter2")}))
    assert sent(machine.opened()) == [{"type": "connection_init", "payload": {"jwt": Secret("hunter2")}}]
    assert gist(machine.received({"type": "connection_ack"})) == ["ready"]
    assert sent(machine.start("1", OPERATION)) == [{"id": "1", "type": "subscribe", "payload": REQUEST}]
    assert sent(machine.start("2", OPERATION)) == [{"id": "2", "type": "subscribe", "payload": REQUEST}]
    assert sent(machine.stop("1")) == [{"id": "1", "type": "complete"}]
    assert sent(machine.leave()) == [{"id": "2", "type": "complete"}]


def test_the_cable_words() -> None:
    """Nothing until the welcome; then subscribe, and message once confirmed, and unsubscribe."""
    machine = make(session("actioncable-v1-json", channel="Live"))
    first, second = (json.dumps({"channel": "Live", "channelId": id_}) for id_ in "12")
    assert machine.opened() == []
    assert gist(machine.received({"type": "welcome"})) == ["ready"]
    assert sent(machine.start("1", OPERATION)) == [{"command": "subscribe", "identifier": first}]
    assert sent(machine.start("2", OPERATION)) == [{"command": "subscribe", "identifier": second}]
    moves = machine.received({"type": "confirm_subscription", "identifier": first})
    assert gist(moves) == ["send message"]
    [frame] = sent(moves)
    assert (frame["command"], frame["identifier"]) == ("message", first)
    assert json.loads(frame["data"]) == {"action": "execute", **REQUEST}
    assert sent(machine.stop("1")) == [{"command": "unsubscribe", "identifier": first}]
    assert sent(machine.leave()) == [{"command": "unsubscribe", "identifier": second}]


def test_a_cable_operation_is_confirmed_by_the_answer_to_its_execution() -> None:
    """Before that the server has an empty channel and knows of no subscription, so events would be lost."""
    machine = in_phase("actioncable-v1-json", Phase.READY)
    machine.start("1", OPERATION)
    channel = identifier("1")
    assert gist(machine.received({"type": "confirm_subscription", "identifier": channel})) == ["send message"]
    result = {"identifier": channel, "message": {"result": {"data": None}, "more": True}}
    assert machine.received(result) == [Confirmed("1"), Next("1", {"data": None})]
    assert machine.received(result) == [Next("1", {"data": None})]


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize(
    ("errors", "kind"), [([{}], "Retry"), ([{"message": "Field 'x' doesn't exist on type 'Subscription'"}], "Refused")]
)
def test_a_cable_operation_that_fails_at_once_is_not_confirmed(errors: Json, kind: str, more: bool) -> None:
    """Errors and no data as the first answer are no subscription, though graphql-ruby promises more of it."""
    machine = in_phase("actioncable-v1-json", Phase.READY)
    machine.start("1", OPERATION)
    machine.received({"type": "confirm_subscription", "identifier": identifier("1")})
    result = {"identifier": identifier("1"), "message": {"result": {"errors": errors}, "more": more}}
    assert gist(machine.received(result)) == ["send unsubscribe", f"ended 1 {kind}"]


def test_a_cable_event_that_failed_does_not_end_its_operation() -> None:
    """Once it is confirmed, errors without data are an event like any other."""
    machine = in_phase("actioncable-v1-json", Phase.READY)
    machine.start("1", OPERATION)
    machine.received({"type": "confirm_subscription", "identifier": identifier("1")})
    results: list[Json] = [{"data": {}}, {"errors": [{}]}]
    for result in results:
        moves = machine.received({"identifier": identifier("1"), "message": {"result": result, "more": True}})
        assert moves[-1] == Next("1", result)


def test_a_cable_operation_stopped_before_its_confirmation_is_not_executed() -> None:
    """The confirmation crossed our unsubscribe."""
    machine = in_phase("actioncable-v1-json", Phase.READY)
    machine.start("1", OPERATION)
    machine.stop("1")
    assert gist(machine.received({"type": "confirm_subscription", "identifier": identifier("1")})) == ["odd"]


def test_without_an_init_payload() -> None:
    """The older protocol gets an empty object, as servers of it expect one; the newer one nothing."""
    assert sent(make(session("graphql-ws")).opened()) == [{"type": "connection_init", "payload": {}}]
    assert sent(make(session("graphql-transport-ws")).opened()) == [{"type": "connection_init"}]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("subscription { x }", None),
        ("subscription A { x }", "A"),
        ("fragment F on T { y }\n  subscription A($b: Int) { x { ...F } }", "A"),
        ("# subscription of B {\nsubscription { x }", None),
        ("subscription A @live { x }", "A"),
    ],
)
def test_an_operation_is_called_what_its_document_calls_it(document: str, name: str | None) -> None:
    """Another name, such as the configuration's, would be one that the server does not find."""
    machine = in_phase("graphql-ws", Phase.READY)
    [frame] = sent(machine.start("1", Operation("configured", document)))
    assert frame["payload"].get("operationName") == name
    assert ("operationName" in frame["payload"]) is (name is not None)


@pytest.mark.parametrize("payload", [{"t": 1}, "text", 0, [], False])
def test_a_ping_is_echoed(payload: Json) -> None:
    """Before the ack as after it, with the payload as it came."""
    for phase in (Phase.GREETING, Phase.READY):
        moves = in_phase("graphql-transport-ws", phase).received({"type": "ping", "payload": payload})
        assert sent(moves) == [{"type": "pong", "payload": payload}]


@pytest.mark.parametrize(
    "payload",
    [{"a": "\ud800"}, {"\udfff": 1}, {"a": "x" * 5_000}, ["ü" * 2_050], [[1]] * 1_000_000, [float("inf")], [10**5_000]],
)
def test_a_ping_that_cannot_be_echoed_gets_a_pong_without(payload: Json) -> None:
    """Text without a spelling in UTF-8, no JSON, or more than 4 kB: the protocol demands no payload."""
    moves = in_phase("graphql-transport-ws", Phase.READY).received({"type": "ping", "payload": payload})
    assert sent(moves) == [{"type": "pong"}]


def test_a_ping_without_payload_gets_a_pong_without() -> None:
    """Strict servers take no null for an object."""
    machine = in_phase("graphql-transport-ws", Phase.GREETING)
    for frame in ({"type": "ping"}, {"type": "ping", "payload": None}):
        assert sent(machine.received(frame)) == [{"type": "pong"}]


ILLEGAL: dict[str, tuple[Phase, Callable[[Machine], object]]] = {
    "start before opening": (Phase.FRESH, lambda machine: machine.start("9", OPERATION)),
    "start before the ack": (Phase.GREETING, lambda machine: machine.start("9", OPERATION)),
    "start after the end": (Phase.OVER, lambda machine: machine.start("9", OPERATION)),
    "stop before opening": (Phase.FRESH, lambda machine: machine.stop("1")),
    "stop before the ack": (Phase.GREETING, lambda machine: machine.stop("1")),
    "stop after the end": (Phase.OVER, lambda machine: machine.stop("1")),
    "stop what never began": (Phase.READY, lambda machine: machine.stop("9")),
    "open twice": (Phase.GREETING, lambda machine: machine.opened()),
    "open when ready": (Phase.READY, lambda machine: machine.opened()),
    "open after the end": (Phase.OVER, lambda machine: machine.opened()),
}


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_moves_raise(subprotocol: Subprotocol, name: str) -> None:
    """What the protocol does not allow is a bug of the shell's and looks like one."""
    phase, move = ILLEGAL[name]
    machine = in_phase(subprotocol, phase)
    with pytest.raises(IllegalMove):
        move(machine)
    assert machine.phase is phase


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("fate", ["running", "stopped", "ended"])
def test_an_id_is_used_once(subprotocol: Subprotocol, fate: str) -> None:
    """Whatever became of its operation: late results of the old one would be taken for the new one's."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    if fate == "stopped":
        machine.stop("1")
    elif fate == "ended":
        assert "ended 1" in gist(machine.received(DIALECTS[subprotocol].end("1")))
    with pytest.raises(IllegalMove):
        machine.start("1", OPERATION)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_stopping_what_is_over_says_nothing(subprotocol: Subprotocol) -> None:
    """The server's end and our stop may cross; a second stop would be a message about nothing."""
    machine = in_phase(subprotocol, Phase.READY, "1", "2")
    machine.received(DIALECTS[subprotocol].end("1"))
    assert machine.stop("1") == []
    assert len(machine.stop("2")) == 1
    assert machine.stop("2") == []


@pytest.mark.parametrize("subprotocol", GRAPHQL)
def test_the_answer_to_a_stop_is_expected_once(subprotocol: Subprotocol) -> None:
    """It ends nothing that has not ended, and is not odd; a second one is."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    machine.stop("1")
    assert machine.received(DIALECTS[subprotocol].end("1")) == []
    assert gist(machine.received(DIALECTS[subprotocol].end("1"))) == ["odd"]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_leaving_is_always_allowed_and_only_said_once(subprotocol: Subprotocol) -> None:
    """Before the socket is open, and after the end, there is nobody to say it to."""
    fresh = in_phase(subprotocol, Phase.FRESH)
    assert fresh.leave() == []
    assert fresh.phase is Phase.OVER
    machine = in_phase(subprotocol, Phase.READY, "1")
    assert sent(machine.leave())
    assert machine.phase is Phase.OVER
    assert machine.leave() == []
    assert machine.received(DIALECTS[subprotocol].life) == []
    assert machine.unreadable("a binary frame") == []


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_nothing_secret_is_printed(subprotocol: Subprotocol) -> None:
    """Neither the machine nor its moves show what they hold."""
    machine = make(session(subprotocol, init={"jwt": Secret("hunter2"), "plain": "hunter2"}))
    moves = [*machine.opened(), *machine.received(DIALECTS[subprotocol].accept)]
    moves += machine.start("1", Operation("n", "subscription { x }", {"password": "hunter2"}))
    for frame in DIALECTS[subprotocol].confirm("1"):
        moves += machine.received(frame)
    moves += machine.received(DIALECTS[subprotocol].result("1", {"data": "hunter2"}))
    assert "hunter2" not in repr((machine, moves))
