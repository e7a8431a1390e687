"""What real servers have been seen to do, one test for each, for every sub-protocol it may happen in."""

from __future__ import annotations

import pytest

from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Subprotocol
from bridge.core.record import Json
from bridge.core.wire.closing import closed
from bridge.core.wire.moves import Beat, Close, Ended, IllegalMove, Next, Odd, Phase, Ready, Send
from tests.support.utterances import DIALECTS, GRAPHQL, OPERATION, SUBPROTOCOLS, gist, in_phase, session

all_three = pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
both_graphql = pytest.mark.parametrize("subprotocol", GRAPHQL)


def the_error(moves: object) -> BridgeError | None:
    """The error of the only move, a Close or an Ended."""
    assert isinstance(moves, list)
    [move] = moves
    assert isinstance(move, (Close, Ended))
    return move.error


@all_three
def test_closed_with_4403_before_the_ack_then_a_fresh_token(subprotocol: Subprotocol) -> None:
    """The code asks for a new token; the next connection is a new machine that knows nothing of the old one."""
    machine = in_phase(subprotocol, Phase.GREETING)
    assert type(closed(4403, "Forbidden", session(subprotocol))) is Unauthorized
    assert machine.phase is Phase.GREETING
    fresh = in_phase(subprotocol, Phase.GREETING)
    assert fresh.received(DIALECTS[subprotocol].accept) == [Ready()]
    assert fresh.start("1", OPERATION)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (None, Unauthorized),
        ({}, Unauthorized),
        ([], Unauthorized),
        ({"message": "Forbidden"}, Unauthorized),
        ("cannot start, as something is missing", Unauthorized),
        ({"message": "jwt expired"}, Unauthorized),
        ({"message": "x", "extensions": {"code": "UNAUTHENTICATED"}}, Unauthorized),
        ({"code": "access-denied"}, Unauthorized),
        ({"message": "too many requests"}, Throttled),
        ({"errors": [{"message": "x", "extensions": {"code": "RATE_LIMITED"}}]}, Throttled),
        ({"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}, Retry),
        ([{"message": "x", "extensions": {"code": "BAD_USER_INPUT"}}], Refused),
    ],
)
def test_connection_error_before_the_ack(payload: Json, expected: type[BridgeError]) -> None:
    """It is about the credentials unless it says otherwise; the 1011 that follows adds nothing."""
    machine = in_phase("graphql-ws", Phase.GREETING)
    moves = machine.received({"type": "connection_error", "payload": payload})
    assert type(the_error(moves)) is expected
    assert machine.phase is Phase.OVER
    assert type(closed(1011, "", session("graphql-ws"))) is Retry


@all_three
def test_no_ack(subprotocol: Subprotocol) -> None:
    """Signs of life are no acceptance: no operation may start, and the shell's deadline decides."""
    machine = in_phase(subprotocol, Phase.GREETING)
    for _ in range(3):
        assert Beat() in machine.received(DIALECTS[subprotocol].life)
    assert machine.phase is Phase.GREETING
    with pytest.raises(IllegalMove):
        machine.start("1", OPERATION)


@all_three
def test_a_sign_of_life_before_the_ack(subprotocol: Subprotocol) -> None:
    """It counts as one and harms nothing; where it asks for an answer it gets one."""
    machine = in_phase(subprotocol, Phase.GREETING)
    if subprotocol == "graphql-transport-ws":
        assert machine.received({"type": "ping", "payload": {"t": 1}}) == [
            Send({"type": "pong", "payload": {"t": 1}}),
            Beat(),
        ]
    else:
        assert machine.received(DIALECTS[subprotocol].life) == [Beat()]
    assert machine.received(DIALECTS[subprotocol].accept) == [Ready()]


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4401])
@all_three
def test_a_drop_while_streaming(subprotocol: Subprotocol, code: int) -> None:
    """Every code is an error, 1000 too: nothing ends a live session in peace but we ourselves."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    assert machine.received(DIALECTS[subprotocol].result("1", {"data": {"x": 1}})) == [Next("1", {"data": {"x": 1}})]
    assert type(closed(code, "", session(subprotocol))) is (Unauthorized if code == 4401 else Retry)


@pytest.mark.parametrize("frame", [None, [], [{"type": "ka"}], 7, 1.5, "secret", True], ids=repr)
@pytest.mark.parametrize("phase", [Phase.FRESH, Phase.GREETING, Phase.READY])
@all_three
def test_json_that_is_no_object(subprotocol: Subprotocol, phase: Phase, frame: Json) -> None:
    """Nobody speaks so in any of the protocols; what it meant is lost, so the session starts over."""
    machine = in_phase(subprotocol, phase)
    [move] = machine.received(frame)
    assert isinstance(move, Close)
    assert (move.code, type(move.error)) == (4400, Retry)
    assert "secret" not in str(move.error)
    assert str(move.error).endswith("where an object was expected")
    assert machine.phase is Phase.OVER


@pytest.mark.parametrize("what", ["a binary frame", "truncated JSON at byte 512"])
@all_three
def test_a_frame_that_is_not_json_text(subprotocol: Subprotocol, what: str) -> None:
    """The same, and the text says what it was."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    [move] = machine.unreadable(what)
    assert isinstance(move, Close)
    assert (move.code, type(move.error)) == (4400, Retry)
    assert str(move.error) == f"the server sent {what} where JSON text was expected"
    assert machine.phase is Phase.OVER


@all_three
def test_an_unknown_type(subprotocol: Subprotocol) -> None:
    """The newer protocol demands the end of the connection; elsewhere it is counted, as their own clients live on."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    moves = machine.received({"type": "connection_weather", "id": "1"})
    assert gist(moves) == (["close 4400 Retry"] if subprotocol == "graphql-transport-ws" else ["odd"])


@pytest.mark.parametrize("id_", ["2", 2, None, True, 1.5, 1e400, [], {}, 10**5000], ids=lambda id_: type(id_).__name__)
@all_three
def test_an_unknown_id(subprotocol: Subprotocol, id_: Json) -> None:
    """A result, an error or an end of something that does not run is counted, and the rest goes on."""
    words = DIALECTS[subprotocol]
    machine = in_phase(subprotocol, Phase.READY, "1")
    if isinstance(id_, int) and id_ > 2 and subprotocol == "actioncable-v1-json":
        id_ = 10**4000  # json.dumps writes no longer ones
    for frame in (words.result(id_, {"data": {}}), words.failure(id_, [{}]), words.end(id_)):
        assert gist(machine.received(frame)) == ["odd"]
    assert gist(machine.received(words.result("1", {"data": {}}))) == ["next 1"]


@all_three
def test_an_id_returned_as_another_kind(subprotocol: Subprotocol) -> None:
    """Text that reads like a number may come back as one, and text ids are as good as numbers."""
    words = DIALECTS[subprotocol]
    machine = in_phase(subprotocol, Phase.READY, "17", "sessions-1")
    for id_, known in (("17", "17"), (17, "17"), (17.0, "17"), ("sessions-1", "sessions-1")):
        assert gist(machine.received(words.result(id_, {"data": {}}))) == [f"next {known}"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"message": "boom"}, Retry),
        ([{"message": "boom"}], Retry),
        ([], Retry),
        ({}, Retry),
        (None, Retry),
        ("boom", Retry),
        (["boom"], Retry),
        (7, Retry),
        ([None], Retry),
        ({"errors": [{"message": "not authorized"}]}, Unauthorized),
        ({"errors": [], "message": "token expired"}, Unauthorized),
        ([{"message": "x", "extensions": {"code": "FORBIDDEN"}}], Unauthorized),
        ("Rate limit: 100 requests per minute", Throttled),
        ({"message": 'Cannot query field "x" on type "Subscription".'}, Refused),
        ([{"message": "Syntax Error: Unexpected Name."}], Refused),
        ([{"message": "Validation error (FieldUndefined@[x])"}], Refused),
        ([{"message": "Unexpected end of document"}], Refused),
        ([{"message": "Must provide operation name if query contains multiple operations."}], Refused),
        ({"message": "Field 'x' doesn't exist on type 'Subscription'"}, Refused),
        ({"message": "x", "extensions": {"code": "validation-failed"}}, Refused),
        ([{"message": 'Variable "$password" got invalid value "hunter2"'}], Refused),
    ],
    ids=str,
)
@both_graphql
def test_error_in_every_shape(subprotocol: Subprotocol, payload: Json, expected: type[BridgeError]) -> None:
    """One object, a list, an empty list: the operation is over, by what the error says, and the connection is not."""
    machine = in_phase(subprotocol, Phase.READY, "1", "2")
    error = the_error(machine.received(DIALECTS[subprotocol].failure("1", payload)))
    assert type(error) is expected
    assert "hunter2" not in str(error)
    assert machine.phase is Phase.READY
    assert gist(machine.received(DIALECTS[subprotocol].result("2", {}))) == ["next 2"]
    # No `complete` has to follow; if one does, it ends nothing.
    assert gist(machine.received(DIALECTS[subprotocol].end("1"))) == ["odd"]


@both_graphql
def test_a_quota_teaches_its_wait(subprotocol: Subprotocol) -> None:
    """What the vendor says about the wait reaches the budget."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    payload = {"message": "Too many requests. Retry-After: 5 seconds"}
    error = the_error(machine.received(DIALECTS[subprotocol].failure("1", payload)))
    assert isinstance(error, Throttled)
    assert error.after == 5.0


@all_three
def test_an_end_unasked(subprotocol: Subprotocol) -> None:
    """The operation is over without an error, once; the connection and the other operation go on."""
    words = DIALECTS[subprotocol]
    machine = in_phase(subprotocol, Phase.READY, "1", "2")
    assert Ended("1") in machine.received(words.end("1"))
    assert gist(machine.received(words.end("1"))) == ["odd"]
    assert gist(machine.received(words.result("1", {}))) == ["odd"]
    assert gist(machine.received(words.result("2", {}))) == ["next 2"]
    assert machine.start("3", OPERATION)


@all_three
def test_what_is_in_flight_after_a_stop(subprotocol: Subprotocol) -> None:
    """It is ignored and counted."""
    words = DIALECTS[subprotocol]
    machine = in_phase(subprotocol, Phase.READY, "1")
    machine.stop("1")
    for frame in (words.result("1", {"data": {}}), words.failure("1", [{}])):
        [move] = machine.received(frame)
        assert isinstance(move, Odd)


@pytest.mark.parametrize(
    "payload",
    [
        {"data": None},
        {"data": None, "errors": [{"message": "x"}]},
        {"data": {"x": 1}, "errors": [{"message": "x"}]},
        {"errors": [{"message": 'Cannot query field "x"'}]},
        {"data": {"x": {"__typename": "Failure", "error": "expired"}}},
        {"data": {}, "extensions": {"cost": 1}},
        [],
        "text",
        0,
    ],
    ids=str,
)
@all_three
def test_results_are_passed_on_as_they_are(subprotocol: Subprotocol, payload: Json) -> None:
    """What an error or a null in a result means is for the adapter to say; it ends no operation."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    assert machine.received(DIALECTS[subprotocol].result("1", payload)) == [Next("1", payload)]
    assert gist(machine.received(DIALECTS[subprotocol].result("1", {}))) == ["next 1"]


@both_graphql
def test_a_result_without_payload(subprotocol: Subprotocol) -> None:
    """It is passed on too, for quarantine: nothing that came may vanish."""
    machine = in_phase(subprotocol, Phase.READY, "1")
    frame = DIALECTS[subprotocol].result("1", None)
    assert machine.received(frame) == [Next("1", None)]
    del frame["payload"]
    assert machine.received(frame) == [Next("1", None)]


def test_validation_errors_of_the_legacy_server() -> None:
    """They come as a result with errors and no data, and an end follows: that end is a refusal."""
    machine = in_phase("graphql-ws", Phase.READY, "1")
    payload = {"errors": [{"message": 'Cannot query field "x" on type "Subscription".'}]}
    assert machine.received({"type": "data", "id": "1", "payload": payload}) == [Next("1", payload)]
    assert gist(machine.received({"type": "complete", "id": "1"})) == ["ended 1 Refused"]


@both_graphql
@pytest.mark.parametrize("last", [{"data": {"n": 1}}, {"data": None, "errors": [{"message": "Unknown type"}]}, None])
def test_an_end_has_the_reason_of_the_last_result_only(subprotocol: Subprotocol, last: Json) -> None:
    """An event that failed is no reason for the end of an operation that went on, nor is one with a `data` entry."""
    machine, words = in_phase(subprotocol, Phase.READY, "1"), DIALECTS[subprotocol]
    machine.received(words.result("1", {"errors": [{"message": "Unknown type"}]}))
    machine.received(words.result("1", last))
    assert machine.received(words.end("1")) == [Ended("1")]


@pytest.mark.parametrize(
    ("frame", "expected", "after"),
    [
        ({"reason": "unauthorized", "reconnect": False}, Unauthorized, None),
        ({"reason": "unauthorized", "reconnect": True}, Unauthorized, None),
        ({"reason": "invalid_request", "reconnect": False}, Refused, 900.0),
        ({"reason": "remote", "reconnect": True}, Retry, None),
        ({"reason": "hunter2", "reconnect": False}, Refused, 900.0),
        ({"reason": ["hunter2"]}, Retry, None),
        ({}, Retry, None),
    ],
    ids=str,
)
def test_a_cable_server_that_disconnects(frame: Json, expected: type[BridgeError], after: float | None) -> None:
    """The reason and `reconnect` say what comes next; only reasons that Rails has are quoted."""
    for phase in (Phase.GREETING, Phase.READY):
        error = the_error(in_phase("actioncable-v1-json", phase).received({"type": "disconnect", **frame}))
        assert type(error) is expected
        assert getattr(error, "after", None) == after
        assert "hunter2" not in str(error)
