"""What the X-Assist sandbox's queries do: which replica answers, what it holds, pages, costs, and languages."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, Protocol

from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode, value_from_ast_untyped

from bridge.sandbox.faults import PAGE, RESOLVE, Faults
from bridge.sandbox.feed import Feed, Source
from bridge.sandbox.ledger import Clock
from bridge.sandbox.x_assist_ids import encoded, key, number_of
from bridge.sandbox.x_assist_world import SCOPE, Version, World

TOPIC: Final = "assumedEventChanged"
LANGUAGES: Final = ("en", "zh", "fr", "de", "it", "ja", "pt", "es")
OFFSETS: Final = (timezone(timedelta(hours=2)), timezone(-timedelta(hours=5, minutes=30)), timezone(timedelta(0)))


class Rules(Protocol):
    """The options the API heeds, read anew for every request."""

    lag_s: float
    replicas: int
    offsets: bool
    id_generation: int
    default_first: int
    rows_per_request: int


@dataclass(slots=True)
class Call:
    """One request on its way through the API.

    `as_of_ms`: what the replica that answers knows; infinite on sockets. `pages`: ids and ledger numbers of the rows
    served, by the field's name in the answer.
    """

    language: str = "en"
    operation: str = "other"
    as_of_ms: float = math.inf
    pages: dict[str, tuple[list[str], list[int]]] = dataclasses.field(default_factory=dict)
    source: Source | None = None
    field: str = ""
    whole: bool = False


class Api:
    """The vendor's behaviour, without HTTP and without GraphQL. `feed` is set once the live sessions are there."""

    def __init__(self, rules: Rules, clock: Clock, world: World, faults: Faults, rng: random.Random) -> None:
        self.feed = Feed()
        self._rules = rules
        self._clock = clock
        self._world = world
        self._faults = faults
        self._rng = rng

    def replica_ms(self) -> float:
        """Up to when the replica knows everything that happens to answer. Each lags behind by a share of its own."""
        replicas = max(1, self._rules.replicas)
        share = (self._rng.randrange(replicas) + 1) / replicas
        return self._clock() - self._rules.lag_s * 1000 * share

    def cost(self, document: DocumentNode, variables: Mapping[str, Any]) -> int:
        """How many logical requests an operation is charged: one for every so many rows it may return."""
        cost = 0
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                for selected in definition.selection_set.selections:
                    if isinstance(selected, FieldNode):
                        given = {
                            a.name.value: value_from_ast_untyped(a.value, dict(variables))
                            for a in selected.arguments or ()
                        }
                        cost += self._field_cost(selected.name.value, given)
        return max(1, cost)

    def events(self, call: Call, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`events`: one page by creation. Raises GraphQLError."""
        first, after = arguments.get("first"), arguments.get("after")
        first = self._rules.default_first if first is None else first
        if first < 0:
            raise GraphQLError("first must not be negative")
        order = arguments.get("orderBy") or {}
        descending = order.get("direction") == "DESC"
        fault = self._faults.draw(PAGE, call.operation)
        kind = fault.kind if fault else ""
        if kind == "cursor_refused":
            raise GraphQLError("Cursor is not valid any more", extensions={"code": "INVALID_CURSOR"})
        mark = _marked(after, descending) if after else None
        if kind in ("repeat", "overlap") and mark is not None and fault is not None:
            back = first if kind == "repeat" else min(2 if fault.rows is None else fault.rows, first - 1)
            mark = self._earlier(mark, back, call.as_of_ms, descending)
        found: list[Version] = []
        more = False
        for version in self._world.from_(mark, call.as_of_ms, descending=descending):
            if len(found) == first:
                more = True
                break
            found.append(version)
        events = [version.event or {} for version in found]
        call.pages[name] = [key(event["number"]) for event in events], [version.seq for version in found]
        marks = [_mark((event["createdAt"], event["number"]), descending) for event in events]
        end = after if kind == "stuck" else marks[-1] if marks else after
        return {
            "pageInfo": {"hasNextPage": more, "endCursor": end},
            "nodes": events,
            "edges": [{"cursor": mark, "node": event} for mark, event in zip(marks, events, strict=True)],
            "totalCount": lambda *_: self._world.count(call.as_of_ms),
        }

    def nodes(self, call: Call, name: str, ids: Iterable[str]) -> list[dict[str, Any] | None]:
        """`node` and `nodes`: events by id, of whatever encoding; null for those this replica does not know."""
        found = [self._world.at(number_of(id_) or 0, call.as_of_ms) for id_ in ids]
        known = [version for version in found if version is not None and version.event is not None]
        call.pages[name] = [key((version.event or {})["number"]) for version in known], [v.seq for v in known]
        return [None if version is None else {"__typename": "Event", **(version.event or {})} for version in found]

    def listen(self, call: Call, name: str, text: str) -> Source:
        """The subscription's source: strong, unlike queries."""
        call.field, call.whole = name, "name" in text
        call.source = self.feed.register(TOPIC, SCOPE)
        return call.source

    def strike(self, operation: str) -> bool:
        """Carry out a fault of stage `resolve`. True: every token is to be revoked, or is to be garbage at login."""
        fault = self._faults.draw(RESOLVE, operation)
        if fault is not None and fault.kind == "failure":
            code = {"code": fault.error or "INTERNAL_SERVER_ERROR"}
            raise GraphQLError(fault.comment or "Internal server error", extensions=code)
        return fault is not None

    # What an event looks like.

    def id(self, event: Mapping[str, Any]) -> str:
        """The id that answers carry now."""
        return encoded(event["number"], self._rules.id_generation)

    @staticmethod
    def name(call: Call, event: Mapping[str, Any], language: str | None) -> str:
        """The headline, translated by a machine unless it is asked for in the original language, English."""
        wanted = (language or call.language).partition("-")[0].lower()
        return str(event["name"]) if wanted not in LANGUAGES[1:] else f"[{wanted}] {event['name']}"

    def created_at(self, event: Mapping[str, Any]) -> str:
        """Usually UTC with `Z`; one in five with another offset, for the same instant."""
        moment = datetime.fromtimestamp(event["createdAt"] / 1000, UTC)
        if self._rules.offsets and self._rng.random() < 0.2:
            return moment.astimezone(self._rng.choice(OFFSETS)).isoformat()
        return moment.isoformat().replace("+00:00", "Z")

    def _field_cost(self, name: str, arguments: Mapping[str, Any]) -> int:
        if name == "events":
            first = arguments.get("first")
            rows = self._rules.default_first if first is None else first
        else:
            rows = len(arguments["ids"]) if isinstance(arguments.get("ids"), list) else 1
        return math.ceil(rows / self._rules.rows_per_request) if isinstance(rows, int) else 1

    def _earlier(self, mark: tuple[int, int], back: int, as_of_ms: float, descending: bool) -> tuple[int, int] | None:
        """The place so many rows before a place."""
        for version in self._world.from_(mark, as_of_ms, descending=not descending):
            if back <= 1:
                event = version.event or {}
                return event["createdAt"], event["number"]
            back -= 1
        return None


def _mark(place: tuple[int, int], descending: bool) -> str:
    text = f"{'d' if descending else 'a'}:{place[0]}:{place[1]}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _marked(cursor: str, descending: bool) -> tuple[int, int]:
    try:
        direction, created, number = base64.urlsafe_b64decode(cursor).decode().split(":")
        if direction != ("d" if descending else "a"):
            raise GraphQLError("Cursor belongs to another order", extensions={"code": "INVALID_CURSOR"})
        return int(created), int(number)
    except (ValueError, binascii.Error):
        raise GraphQLError("Cursor is not valid", extensions={"code": "INVALID_CURSOR"}) from None
