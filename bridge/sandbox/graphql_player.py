"""What the played vendors that speak GraphQL have in common, beside what all have: an executor and live sessions."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLSchema

from bridge.sandbox.delivery import Receive, Send
from bridge.sandbox.executor import Executor, Operation
from bridge.sandbox.live import Live
from bridge.sandbox.player import Player
from bridge.sandbox.session import Guest
from bridge.sandbox.socket import Socket


class GraphqlPlayer(Player):
    """A played vendor whose API is GraphQL, over HTTP and over sockets."""

    live: Live
    executor: Executor

    def _serve(self, schema: GraphQLSchema) -> None:
        """To be called once, at the end of the vendor's own `__init__`."""
        self.executor = Executor(schema)
        self.live = Live(self, self.executor, self.options.clock, self.closing)

    # What a vendor adds.

    @abc.abstractmethod
    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:
        """Let a client into a live session, by its connection parameters or its upgrade request. Raises Refused."""

    @abc.abstractmethod
    def call(self, guest: Guest) -> Operation:
        """The context of one operation of a guest."""

    def failure(self, error: str, comment: str) -> dict[str, Any] | None:  # noqa: ARG002  # most have none
        """The vendor's failure as data, if it has any."""
        return None

    # What all of them have.

    @property
    def url(self) -> str:
        """The GraphQL endpoint."""
        return f"{self.base_url}/graphql"

    @property
    def ws_url(self) -> str:
        """Where live sessions of the GraphQL sub-protocols are held."""
        return "ws" + self.url.removeprefix("http")

    @property
    def cable_url(self) -> str:
        """Where live sessions of `actioncable-v1-json` are held."""
        return "ws" + self.base_url.removeprefix("http") + "/cable"

    async def upgrade(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await self.live(Socket(scope, receive, send))

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and `subscriptions` (registered)."""
        subscriptions = len(self.live.feed)
        return {**super().counters(), **({"subscriptions": subscriptions} if subscriptions else {})}
