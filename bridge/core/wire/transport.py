"""Sub-protocol `graphql-transport-ws`: the one of the npm package graphql-ws.

Source: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

import json

from bridge.core.facts import GraphqlSession, Operation
from bridge.core.record import Json
from bridge.core.wire.moves import Beat, Move, Phase, Ready, Send
from bridge.core.wire.operations import Exchange, Frame, Table, request

LONGEST_ECHO = 4096
"""Bytes of a ping's payload that come back in our pong; the protocol demands none of it."""


class Transport(Exchange):
    """The machine of `graphql-transport-ws`. See `Machine`."""

    def __init__(self, session: GraphqlSession) -> None:
        super().__init__()
        self._init = session.init

    def table(self) -> Table:
        """By message and phase, what it leads to; `ping` is answered at any time, results come only after the ack."""
        always = (Phase.FRESH, Phase.GREETING, Phase.READY)
        return {
            "ping": dict.fromkeys(always, self._pinged),
            "pong": dict.fromkeys(always, self._alive),
            "connection_ack": {Phase.GREETING: self._accepted},
            "next": {Phase.READY: self._result},
            "error": {Phase.READY: self._failed},
            "complete": {Phase.READY: self._completed},
        }

    def _greet(self) -> list[Move]:
        frame: dict[str, Json] = {"type": "connection_init"}
        if self._init is not None:
            frame["payload"] = self._init
        return [Send(frame)]

    def _begin(self, id_: str, operation: Operation) -> list[Move]:
        return [Send({"id": id_, "type": "subscribe", "payload": request(operation)})]

    def _cease(self, id_: str) -> list[Move]:
        return [Send({"id": id_, "type": "complete"})]

    def _pinged(self, frame: Frame) -> list[Move]:
        answer: dict[str, Json] = {"type": "pong"}
        payload = frame.get("payload")
        if payload is not None and _returnable(payload):
            answer["payload"] = payload
        return [Send(answer), Beat()]

    def _alive(self, _frame: Frame) -> list[Move]:
        return [Beat()]

    def _accepted(self, _frame: Frame) -> list[Move]:
        self._phase = Phase.READY
        return [Ready()]

    def _stranger(self) -> list[Move]:
        """The protocol demands that the socket be closed: a server that says more speaks another one."""
        return self._garbled("a message that graphql-transport-ws does not have; check which sub-protocol it speaks")


# One that may stop halfway: what is given up costs no more than what is sent.
_spell = json.JSONEncoder(ensure_ascii=False, allow_nan=False).iterencode


def _returnable(payload: Json) -> bool:
    """Whether it can be sent at all (half of a surrogate pair cannot), and in few bytes."""
    size = 0
    try:
        for part in _spell(payload):
            size += len(part.encode())
            if size > LONGEST_ECHO:
                return False
    except (ValueError, RecursionError):
        return False
    return True
