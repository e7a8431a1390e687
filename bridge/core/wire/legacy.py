"""Sub-protocol `graphql-ws`: the legacy one, of the npm package subscriptions-transport-ws.

Source: https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md, and the package's server
for what that leaves open.
"""

from __future__ import annotations

from bridge.core.errors import Unauthorized
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.wire.moves import Beat, Move, Odd, Phase, Ready, Send
from bridge.core.wire.operations import Exchange, Frame, Table, failure, request


class Legacy(Exchange):
    """The machine of `graphql-ws`. See `Machine`."""

    def __init__(self, session: GraphqlSession) -> None:
        super().__init__()
        self._init = session.init

    def table(self) -> Table:
        """By message and phase, what it leads to; `ka` is legal at any time, results only after the ack."""
        return {
            "ka": dict.fromkeys((Phase.FRESH, Phase.GREETING, Phase.READY), self._alive),
            "connection_ack": {Phase.GREETING: self._accepted},
            "connection_error": {Phase.GREETING: self._rejected, Phase.READY: self._complained},
            "data": {Phase.READY: self._result},
            "error": {Phase.READY: self._failed},
            "complete": {Phase.READY: self._completed},
        }

    def _greet(self) -> list[Move]:
        # The reference client always sends an object, and some servers read properties of it unasked.
        return [Send({"type": "connection_init", "payload": {} if self._init is None else self._init})]

    def _begin(self, id_: str, operation: Operation) -> list[Move]:
        return [Send({"id": id_, "type": "start", "payload": request(operation)})]

    def _cease(self, id_: str) -> list[Move]:
        return [Send({"id": id_, "type": "stop"})]

    def _part(self) -> list[Move]:
        return [Send({"type": "connection_terminate"})]

    def _alive(self, _frame: Frame) -> list[Move]:
        return [Beat()]

    def _accepted(self, _frame: Frame) -> list[Move]:
        self._phase = Phase.READY
        return [Ready()]

    def _rejected(self, frame: Frame) -> list[Move]:
        """What is refused is the payload of `connection_init`, so it is about credentials unless it says otherwise."""
        return self._end(failure(frame.get("payload"), "connection_init", otherwise=Unauthorized))

    def _complained(self, frame: Frame) -> list[Move]:
        """The server could not read a message of ours. It goes on, and so do we, unless it is about the token."""
        error = failure(frame.get("payload"))
        if isinstance(error, Unauthorized):
            return self._end(error)
        id_ = self._running(frame)
        return [Odd("connection_error about no running operation")] if id_ is None else self._over(id_, error)
