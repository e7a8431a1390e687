"""Sub-protocol `graphql-transport-ws`: the one of the npm package graphql-ws.

Source: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

from bridge.core.facts import GraphqlSession, Operation
from bridge.core.record import Json
from bridge.core.wire.moves import Beat, Move, Phase, Ready, Send
from bridge.core.wire.operations import Exchange, Frame, Table, request


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
        if frame.get("payload") is not None:
            answer["payload"] = frame["payload"]
        return [Send(answer), Beat()]

    def _alive(self, _frame: Frame) -> list[Move]:
        return [Beat()]

    def _accepted(self, _frame: Frame) -> list[Move]:
        self._phase = Phase.READY
        return [Ready()]

    def _stranger(self) -> list[Move]:
        """The protocol demands that the socket be closed: a server that says more speaks another one."""
        return self._garbled("a message that graphql-transport-ws does not have; check which sub-protocol it speaks")
