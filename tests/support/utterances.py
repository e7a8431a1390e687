"""What a server says in each of the three GraphQL sub-protocols, and the gist of what a machine makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.core.facts import GraphqlSession, Operation, Subprotocol
from bridge.core.record import Json
from bridge.core.wire.machines import make
from bridge.core.wire.moves import Beat, Close, Confirmed, Ended, Machine, Move, Next, Odd, Phase, Ready, Send

OPERATION = Operation("sessions", "subscription Watch($a: Int) {\n  session(a: $a) { id }\n}", {"a": 1})
SUBPROTOCOLS: tuple[Subprotocol, ...] = ("graphql-ws", "graphql-transport-ws", "actioncable-v1-json")
GRAPHQL = SUBPROTOCOLS[:2]


def session(subprotocol: Subprotocol = "graphql-transport-ws", **more: Json) -> GraphqlSession:
    """A session without anything that a test does not name."""
    return GraphqlSession(url="wss://vendor.example/graphql", subprotocol=subprotocol, operations=[OPERATION], **more)


def in_phase(subprotocol: Subprotocol, phase: Phase, *running: str, **more: Json) -> Machine:
    """A machine that has come so far, with these operations running (phase ready only; ActionCable: confirmed)."""
    machine = make(session(subprotocol, **more))
    if phase is not Phase.FRESH:
        machine.opened()
    if phase in (Phase.READY, Phase.OVER):
        machine.received(DIALECTS[subprotocol].accept)
    for id_ in running:
        machine.start(id_, OPERATION)
        for frame in DIALECTS[subprotocol].confirm(id_):
            machine.received(frame)
    if phase is Phase.OVER:
        machine.leave()
    assert machine.phase is phase
    return machine


@dataclass(frozen=True)
class Dialect:
    """A server's words."""

    accept: Json
    life: Json
    confirm: Callable[[str], list[Json]]
    result: Callable[[Json, Json], Json]
    failure: Callable[[Json, Json], Json]
    end: Callable[[Json], Json]


def identifier(id_: Json) -> str:
    """How ActionCable names an operation's channel."""
    return json.dumps({"channel": "GraphqlChannel", "channelId": id_})


def gist(moves: Iterable[Move]) -> list[str]:
    """Each move in a few words, without its texts: `send pong`, `close 4400 Retry`, `ended 1 Refused`, `odd`."""
    return [_gist(move) for move in moves]


def _gist(move: Move) -> str:
    match move:
        case Send(frame):
            return f"send {frame.get('type') or frame.get('command')}"
        case Close(code, error):
            return f"close {code} {type(error).__name__}"
        case Ended(id_, error):
            return f"ended {id_}" if error is None else f"ended {id_} {type(error).__name__}"
        case Next(id_) | Confirmed(id_):
            return f"{type(move).__name__.lower()} {id_}"
        case Ready() | Beat() | Odd():
            return type(move).__name__.lower()


DIALECTS: dict[Subprotocol, Dialect] = {
    "graphql-ws": Dialect(
        accept={"type": "connection_ack"},
        life={"type": "ka"},
        confirm=lambda id_: [],
        result=lambda id_, payload: {"type": "data", "id": id_, "payload": payload},
        failure=lambda id_, payload: {"type": "error", "id": id_, "payload": payload},
        end=lambda id_: {"type": "complete", "id": id_},
    ),
    "graphql-transport-ws": Dialect(
        accept={"type": "connection_ack", "payload": {"anything": 1}},
        life={"type": "pong"},
        confirm=lambda id_: [],
        result=lambda id_, payload: {"type": "next", "id": id_, "payload": payload},
        failure=lambda id_, payload: {"type": "error", "id": id_, "payload": payload},
        end=lambda id_: {"type": "complete", "id": id_},
    ),
    "actioncable-v1-json": Dialect(
        accept={"type": "welcome"},
        life={"type": "ping", "message": 1_700_000_000},
        confirm=lambda id_: [
            {"type": "confirm_subscription", "identifier": identifier(id_)},
            {"identifier": identifier(id_), "message": {"result": None, "more": True}},
        ],
        result=lambda id_, payload: {"identifier": identifier(id_), "message": {"result": payload, "more": True}},
        failure=lambda id_, payload: {
            "identifier": identifier(id_),
            "message": {"result": {"errors": payload}, "more": False},
        },
        end=lambda id_: {"identifier": identifier(id_), "message": {"more": False}},
    ),
}
