"""Sub-protocol `actioncable-v1-json`: Rails' ActionCable, with GraphQL on a channel as graphql-ruby does it.

Sources: https://github.com/rails/rails/tree/main/actioncable (the client's `connection.js`, the server's
`connection/base.rb`) and https://github.com/rmosolgo/graphql-ruby, `ActionCableLink.ts` and the channel in the
documentation of `ActionCableSubscriptions`. Credentials are those of the upgrade request: there is no init payload.
"""

from __future__ import annotations

import json

from bridge.core.ending import Ending, marked
from bridge.core.errors import BridgeError, Refused, Retry, Unauthorized
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.fields import kind
from bridge.core.record import Json
from bridge.core.wire.moves import Beat, Confirmed, Move, Next, Odd, Phase, Ready, Send
from bridge.core.wire.operations import Exchange, Frame, Table, failed, failure, plain_id, request

DISMISSED_S = 900.0
"""A server that forbids us to come back is asked again after this long."""

_LONGEST_IDENTIFIER = 4096

# The reasons that Rails gives; others are not quoted.
_REASONS = ("unauthorized", "invalid_request", "server_restart", "remote")


class Cable(Exchange):
    """The machine of `actioncable-v1-json`. See `Machine`.

    `Confirmed` comes with the first message of an operation's channel: that is the answer to `execute`, and not before
    has the server begun to register it; Rails listens to its own broadcasts some milliseconds later, on another thread.
    `confirm_subscription` confirms no more than the empty channel.
    """

    def __init__(self, session: GraphqlSession) -> None:
        super().__init__()
        self._channel = session.channel
        self._asked: dict[str, Operation] = {}
        """Their channel was asked for and is not confirmed."""
        self._unanswered: set[str] = set()
        """They were executed and nothing came of them yet."""

    def table(self) -> Table:
        """By message and phase, what it leads to; a result is a message without a type."""
        return {
            "ping": dict.fromkeys((Phase.FRESH, Phase.GREETING, Phase.READY), self._alive),
            "welcome": {Phase.GREETING: self._accepted},
            "disconnect": dict.fromkeys((Phase.GREETING, Phase.READY), self._dismissed),
            "confirm_subscription": {Phase.READY: self._execute},
            "reject_subscription": {Phase.READY: self._rejected},
            "message": {Phase.READY: self._message},
        }

    def _name(self, frame: Frame) -> Json:
        name = frame.get("type")
        return "message" if name is None and "message" in frame else name

    def _begin(self, id_: str, operation: Operation) -> list[Move]:
        self._asked[id_] = operation
        return [Send({"command": "subscribe", "identifier": self._identifier(id_)})]

    def _cease(self, id_: str) -> list[Move]:
        return [Send({"command": "unsubscribe", "identifier": self._identifier(id_)})]

    def _alive(self, _frame: Frame) -> list[Move]:
        return [Beat()]

    def _accepted(self, _frame: Frame) -> list[Move]:
        self._phase = Phase.READY
        return [Ready()]

    def _execute(self, frame: Frame) -> list[Move]:
        id_ = self._running(frame)
        operation = self._asked.pop(id_, None) if id_ is not None else None
        if id_ is None or operation is None:
            return [Odd("a confirmation that nobody waits for")]
        self._unanswered.add(id_)
        data = json.dumps({"action": "execute", **request(operation)})
        return [Send({"command": "message", "identifier": self._identifier(id_), "data": data})]

    def _message(self, frame: Frame) -> list[Move]:
        id_, message = self._running(frame), frame.get("message")
        if id_ is None:
            return self._missed("a result")
        if not isinstance(message, dict) or not message.keys() & {"result", "more"}:
            return [Odd(f"a message without a result: {kind(message)}")]
        moves: list[Move] = []
        # By the reference client an operation goes on only for as long as the server says so.
        more = bool(message.get("more"))
        if (not more or id_ in self._unanswered) and failed(message.get("result")):
            # graphql-ruby says `more` of every document that parses as a subscription, also of one it refuses.
            return [*self._cease(id_), *self._over(id_, failure(message["result"]))]
        if more and id_ in self._unanswered:
            self._unanswered.discard(id_)
            moves.append(Confirmed(id_))
        if message.get("result") is not None:
            moves.append(Next(id_, message["result"]))
        if not more:
            moves += [*self._cease(id_), *self._over(id_)]
        return moves

    def _rejected(self, frame: Frame) -> list[Move]:
        """Channels are rejected by what the user may do; whether a new token helps is soon known."""
        id_ = self._running(frame)
        if id_ is None:
            return self._missed("a rejection")
        return self._over(id_, Unauthorized("the subscription: rejected by the channel, the token may not use it"))

    def _dismissed(self, frame: Frame) -> list[Move]:
        reason = frame.get("reason")
        named = f" ({reason})" if reason in _REASONS else ""
        text = f"the server ended the session{named}"
        error: BridgeError
        if reason == "unauthorized":
            error = Unauthorized(f"{text}: the token is not accepted")
        elif frame.get("reconnect") is False:
            error = Refused(
                f"{text} and forbids to reconnect: check the configured URL and the header `Origin`", after=DISMISSED_S
            )
        else:
            error = marked(Retry(text), Ending.CLOSED)
        return self._end(error)

    def _running(self, frame: Frame) -> str | None:
        """The operation a message is about, by the identifier: the server returns ours, if in other spelling."""
        identifier = frame.get("identifier")
        if isinstance(identifier, str) and len(identifier) <= _LONGEST_IDENTIFIER:
            try:
                identifier = json.loads(identifier)
            except (ValueError, RecursionError):
                return None
        if not isinstance(identifier, dict):
            return None
        return super()._running({"id": plain_id(identifier.get("channelId"))})

    def _identifier(self, id_: str) -> str:
        return json.dumps({"channel": self._channel, "channelId": id_})
