"""The pcvisit sandbox's GraphQL schema, made from the SDL beside this file, bound to its API."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from ariadne import QueryType, ScalarType, SubscriptionType, make_executable_schema
from graphql import GraphQLResolveInfo, GraphQLSchema

from bridge.sandbox.feed import Item, Source
from bridge.sandbox.pcvisit_api import Api, Call
from bridge.sandbox.pcvisit_live import TOPICS, Subscriptions


def executable(api: Api, subscriptions: Subscriptions, as_float: Callable[[], bool]) -> GraphQLSchema:
    """The schema. `as_float`: whether milliseconds are to be written like 1.6094592e12 at the moment."""
    query = QueryType()

    @query.field("SiRetrieveSignedJwt")
    def login(_: Any, info: GraphQLResolveInfo[Call], **arguments: Any) -> dict[str, Any]:
        return api.login(info.context, arguments["userApiToken"], arguments["integratorApiToken"])

    @query.field("AcQuerySessionsHistory")
    def history(_: Any, info: GraphQLResolveInfo[Call], **arguments: Any) -> dict[str, Any]:
        return api.history(info.context, str(info.path.key), arguments["company"], arguments)

    @query.field("AcExportSessionsHistory")
    def export(_: Any, info: GraphQLResolveInfo[Call], **arguments: Any) -> dict[str, Any]:  # noqa: ARG001
        return api.export()

    subscription = SubscriptionType()
    for topic in TOPICS:

        @subscription.source(topic)  # type: ignore[arg-type]  # any asynchronous iterator will do
        def listen(_: Any, info: GraphQLResolveInfo[Call], company: str) -> Source:
            loc = info.operation.loc
            text = loc.source.body if loc is not None else ""
            return subscriptions.listen(info.context, info.field_name, str(info.path.key), company, text)

        @subscription.field(topic)
        def value(item: Item, *_: Any, **__: Any) -> Any:
            return item.value

    def write(value: int) -> int | msgspec.Raw:
        return msgspec.Raw(scientific(value).encode()) if as_float() else value

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ValueError("Milliseconds must be a whole number")
        return int(value)

    milliseconds = ScalarType("Milliseconds", serializer=write, value_parser=read)
    sdl = Path(__file__).with_name("pcvisit.graphql").read_text(encoding="utf-8")
    return make_executable_schema(sdl, query, subscription, milliseconds)


def scientific(value: int) -> str:
    """The same number as some servers print it: 1609459200000 is 1.6094592e12. Exact."""
    return f"{Decimal(value).normalize():e}".replace("e+", "e") if value else "0.0"
