"""The three sub-protocols as tables: every message in every phase, and what it leads to."""

from __future__ import annotations

import pytest

from bridge.core.facts import Subprotocol
from bridge.core.record import Json
from bridge.core.wire.moves import Phase
from tests.support.utterances import gist, identifier, in_phase

CHANNEL = identifier("1")

GARBLED = ["close 4400 Retry"]

# message: the frame; before opening; before the acceptance; accepted, with operation 1 running; over
Row = tuple[Json, list[str], list[str], list[str], list[str]]

LEGACY: dict[str, Row] = {
    "ka": ({"type": "ka"}, ["beat"], ["beat"], ["beat"], []),
    "ack": ({"type": "connection_ack"}, ["odd"], ["ready"], ["odd"], []),
    "refusal": (
        {"type": "connection_error", "payload": {"message": "go away"}},
        ["odd"], ["close 1000 Unauthorized"], ["odd"], [],
    ),
    "refusal with id": (
        {"type": "connection_error", "id": "1", "payload": {"message": "unreadable"}},
        ["odd"], ["close 1000 Unauthorized"], ["ended 1 Retry"], [],
    ),
    "expiry": (
        {"type": "connection_error", "payload": {"message": "token expired"}},
        ["odd"], ["close 1000 Unauthorized"], ["close 1000 Unauthorized"], [],
    ),
    "data": ({"type": "data", "id": "1", "payload": {"data": {}}}, ["odd"], ["odd"], ["next 1"], []),
    "error": ({"type": "error", "id": "1", "payload": {"message": "x"}}, ["odd"], ["odd"], ["ended 1 Retry"], []),
    "complete": ({"type": "complete", "id": "1"}, ["odd"], ["odd"], ["ended 1"], []),
    "of the other protocol": ({"type": "next", "id": "1", "payload": {}}, ["odd"], ["odd"], ["odd"], []),
    "unknown type": ({"type": "weather"}, ["odd"], ["odd"], ["odd"], []),
    "type that is no text": ({"type": ["ka"]}, ["odd"], ["odd"], ["odd"], []),
    "no type": ({"id": "1"}, ["odd"], ["odd"], ["odd"], []),
}  # fmt: skip

TRANSPORT: dict[str, Row] = {
    "ping": ({"type": "ping"}, ["send pong", "beat"], ["send pong", "beat"], ["send pong", "beat"], []),
    "pong": ({"type": "pong"}, ["beat"], ["beat"], ["beat"], []),
    "ack": ({"type": "connection_ack"}, ["odd"], ["ready"], ["odd"], []),
    "next": ({"type": "next", "id": "1", "payload": {"data": {}}}, ["odd"], ["odd"], ["next 1"], []),
    "error": ({"type": "error", "id": "1", "payload": [{"message": "x"}]}, ["odd"], ["odd"], ["ended 1 Retry"], []),
    "complete": ({"type": "complete", "id": "1"}, ["odd"], ["odd"], ["ended 1"], []),
    "of the other protocol": ({"type": "ka"}, GARBLED, GARBLED, GARBLED, []),
    "unknown type": ({"type": "weather"}, GARBLED, GARBLED, GARBLED, []),
    "type that is no text": ({"type": {"ping": 1}}, GARBLED, GARBLED, GARBLED, []),
    "no type": ({"id": "1"}, GARBLED, GARBLED, GARBLED, []),
}

CABLE: dict[str, Row] = {
    "ping": ({"type": "ping", "message": 5}, ["beat"], ["beat"], ["beat"], []),
    "welcome": ({"type": "welcome"}, ["odd"], ["ready"], ["odd"], []),
    "second confirmation": (
        {"type": "confirm_subscription", "identifier": CHANNEL},
        ["odd"], ["odd"], ["odd"], [],
    ),
    "rejection": (
        {"type": "reject_subscription", "identifier": CHANNEL},
        ["odd"], ["odd"], ["ended 1 Unauthorized"], [],
    ),
    "disconnect, unauthorized": (
        {"type": "disconnect", "reason": "unauthorized", "reconnect": False},
        ["odd"], ["close 1000 Unauthorized"], ["close 1000 Unauthorized"], [],
    ),
    "disconnect for good": (
        {"type": "disconnect", "reason": "invalid_request", "reconnect": False},
        ["odd"], ["close 1000 Refused"], ["close 1000 Refused"], [],
    ),
    "disconnect for a while": (
        {"type": "disconnect", "reason": "server_restart", "reconnect": True},
        ["odd"], ["close 1000 Retry"], ["close 1000 Retry"], [],
    ),
    "disconnect, no more": ({"type": "disconnect"}, ["odd"], ["close 1000 Retry"], ["close 1000 Retry"], []),
    "result": (
        {"identifier": CHANNEL, "message": {"result": {"data": {}}, "more": True}},
        ["odd"], ["odd"], ["next 1"], [],
    ),
    "last result": (
        {"identifier": CHANNEL, "message": {"result": {"data": {}}, "more": False}},
        ["odd"], ["odd"], ["next 1", "send unsubscribe", "ended 1"], [],
    ),
    "end": (
        {"identifier": CHANNEL, "message": {"more": False}},
        ["odd"], ["odd"], ["send unsubscribe", "ended 1"], [],
    ),
    "end as the server's language spells it": (
        {"identifier": CHANNEL, "message": {"result": {}, "more": None}},
        ["odd"], ["odd"], ["next 1", "send unsubscribe", "ended 1"], [],
    ),
    "acknowledgement": (
        {"identifier": CHANNEL, "message": {"result": None, "more": True}},
        ["odd"], ["odd"], [], [],
    ),
    "result, with a null type": (
        {"type": None, "identifier": CHANNEL, "message": {"result": {}, "more": True}},
        ["odd"], ["odd"], ["next 1"], [],
    ),
    "message of another kind": ({"identifier": CHANNEL, "message": {"x": 1}}, ["odd"], ["odd"], ["odd"], []),
    "null message": ({"identifier": CHANNEL, "message": None}, ["odd"], ["odd"], ["odd"], []),
    "identifier in other spelling": (
        {"identifier": '{"channelId":"1",\n"channel":"GraphqlChannel"}', "message": {"result": {}, "more": True}},
        ["odd"], ["odd"], ["next 1"], [],
    ),
    "identifier as an object": (
        {"identifier": {"channelId": 1}, "message": {"result": {}, "more": True}},
        ["odd"], ["odd"], ["next 1"], [],
    ),
    "identifier that is not JSON": (
        {"identifier": "GraphqlChannel", "message": {"result": {}, "more": True}},
        ["odd"], ["odd"], ["odd"], [],
    ),
    "identifier too deep": (
        {"identifier": "[" * 4000, "message": {"result": {}, "more": True}},
        ["odd"], ["odd"], ["odd"], [],
    ),
    "unknown type": ({"type": "weather"}, ["odd"], ["odd"], ["odd"], []),
    "type that is no text": ({"type": 7}, ["odd"], ["odd"], ["odd"], []),
    "neither type nor message": ({"identifier": CHANNEL}, ["odd"], ["odd"], ["odd"], []),
}  # fmt: skip

TABLES: dict[Subprotocol, dict[str, Row]] = {
    "graphql-ws": LEGACY,
    "graphql-transport-ws": TRANSPORT,
    "actioncable-v1-json": CABLE,
}
COLUMNS = (Phase.FRESH, Phase.GREETING, Phase.READY, Phase.OVER)


@pytest.mark.parametrize(
    ("subprotocol", "phase", "frame", "expected"),
    [
        pytest.param(subprotocol, phase, row[0], expected, id=f"{subprotocol}: {name}, {phase}")
        for subprotocol, table in TABLES.items()
        for name, row in table.items()
        for phase, expected in zip(COLUMNS, row[1:], strict=True)
    ],
)
def test_each_message_in_each_phase(subprotocol: Subprotocol, phase: Phase, frame: Json, expected: list[str]) -> None:
    """What a message leads to depends on the phase, and is exactly this."""
    machine = in_phase(subprotocol, phase, *(["1"] if phase is Phase.READY else []))
    moves = machine.received(frame)
    assert gist(moves) == expected
    closed = any(move.startswith("close") for move in expected)
    after = Phase.OVER if closed else Phase.READY if expected == ["ready"] else phase
    assert machine.phase is after


@pytest.mark.parametrize("subprotocol", TABLES)
def test_no_message_is_left_out(subprotocol: Subprotocol) -> None:
    """The table here names every type of message that the machine's own table does."""
    machine = in_phase(subprotocol, Phase.FRESH)
    known = set(machine.table())  # type: ignore[attr-defined]
    said = {row[0].get("type") or "message" for row in TABLES[subprotocol].values() if _plain(row[0].get("type"))}
    assert known <= said


def _plain(value: Json) -> bool:
    return value is None or isinstance(value, str)
