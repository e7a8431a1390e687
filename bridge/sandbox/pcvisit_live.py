"""The pcvisit sandbox's live half: who may open a socket, and its three subscriptions, all assumed.

Each change of a session is pushed at once to those who listen to its company, whole, as history would show it. A
deletion is not pushed: nothing in the assumed types could say it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from bridge.sandbox.dialect import Refused
from bridge.sandbox.feed import Feed, Item, Source
from bridge.sandbox.ledger import Change
from bridge.sandbox.pcvisit_api import Api, Call, Failed
from bridge.sandbox.pcvisit_pages import EDITED
from bridge.sandbox.pcvisit_tokens import NotAccepted, Tokens
from bridge.sandbox.pcvisit_world import World
from bridge.sandbox.session import Guest

TOPICS: Final = ("assumedSessionChanged", "assumedParticipantsChanged", "assumedOnlineStateChanged")
SESSIONS, PARTICIPANTS, ONLINE = TOPICS


class Subscriptions:
    """Admission and topics. `feed` is set once the live sessions are there."""

    def __init__(self, api: Api, tokens: Tokens, world: World) -> None:
        self.feed = Feed()
        self._api = api
        self._tokens = tokens
        self._world = world

    def admit(self, params: Mapping[str, Any]) -> Guest:
        """`authToken` is `Bearer <jwt>`, or an API token without a prefix. Raises Refused."""
        given = params.get("authToken")
        if not isinstance(given, str):
            raise Refused("authToken missing")
        scheme, _, token = given.rpartition(" ")
        if scheme == "Bearer":
            try:
                claims = self._tokens.check(token)
            except NotAccepted as refusal:
                self._api.counters["expired_tokens" if refusal.expired else "invalid_tokens"] += 1
                raise Refused(str(refusal)) from refusal
            expires = claims.get("exp")
            return Guest(claims, None if expires is None else expires * 1000)
        if given in self._tokens.integrators:
            companies, integrator = list(self._world.companies), self._tokens.integrators[given]
        elif given in self._tokens.users:
            companies, integrator = list(self._tokens.users[given].companies), ""
        else:
            self._api.counters["invalid_tokens"] += 1
            raise Refused("authToken unknown")
        return Guest({"companies": companies, "integrator": integrator})

    def listen(self, call: Call, topic: str, name: str, company: str, text: str) -> Source:
        """A subscription's source: of a company the guest may not see, one `Failure` and the end."""
        call.field = name
        call.whole = topic == SESSIONS and set(re.findall(r"\w+", text)) >= EDITED
        if call.guest is None or company not in call.guest["companies"]:
            denied = self._api.failure(Failed("AccessDenied", "no matching allowed relationships found"))
            call.source = Feed.only(Item(denied))
        else:
            call.source = self.feed.register(topic, company)
        return call.source

    def announce(self, change: Change) -> None:
        """Push a change to the topics it concerns."""
        record = change.record
        if change.kind == "online" and record is not None:
            state = {"__typename": "AssumedOnlineState", **record}
            self.feed.publish(ONLINE, change.scope, Item(state, change.id))
        elif record is not None:
            session = {"__typename": "SessionProtocol", **record}
            self.feed.publish(SESSIONS, change.scope, Item(session, change.id, change.seq))
            if change.kind == "participants" or change.operation == "created":
                people = {
                    "__typename": "AssumedParticipants",
                    "sessionId": change.id,
                    "participants": record["participants"],
                }
                self.feed.publish(PARTICIPANTS, change.scope, Item(people, change.id))
