"""The X-Assist sandbox's GraphQL schema, made from the SDL beside this file, bound to its API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ariadne import InterfaceType, ObjectType, QueryType, SubscriptionType, make_executable_schema
from graphql import GraphQLResolveInfo, GraphQLSchema

from bridge.sandbox.feed import Item, Source
from bridge.sandbox.x_assist_api import TOPIC, Api, Call

Info = GraphQLResolveInfo[Call]


def executable(api: Api) -> GraphQLSchema:
    """The schema."""
    query, event, node, subscription = QueryType(), ObjectType("Event"), InterfaceType("Node"), SubscriptionType()

    @query.field("events")
    def events(_: Any, info: Info, **arguments: Any) -> dict[str, Any]:
        return api.events(info.context, str(info.path.key), arguments)

    @query.field("node")
    def one(_: Any, info: Info, **arguments: Any) -> Any:
        return api.nodes(info.context, str(info.path.key), [arguments["id"]])[0]

    @query.field("nodes")
    def several(_: Any, info: Info, **arguments: Any) -> Any:
        return api.nodes(info.context, str(info.path.key), arguments["ids"])

    @event.field("id")
    def id_(value: Mapping[str, Any], *_: Any) -> str:
        return api.id(value)

    @event.field("name")
    def name(value: Mapping[str, Any], info: Info, language: str | None = None) -> str:
        return api.name(info.context, value, language)

    @event.field("createdAt")
    def created_at(value: Mapping[str, Any], *_: Any) -> str:
        return api.created_at(value)

    @node.type_resolver
    def kind(*_: Any) -> str:
        return "Event"

    @subscription.source(TOPIC)  # type: ignore[arg-type]  # any asynchronous iterator will do
    def listen(_: Any, info: Info) -> Source:
        loc = info.operation.loc
        return api.listen(info.context, str(info.path.key), loc.source.body if loc is not None else "")

    @subscription.field(TOPIC)
    def change(item: Item, *_: Any) -> Any:
        return item.value

    sdl = Path(__file__).with_name("x_assist.graphql").read_text(encoding="utf-8")
    return make_executable_schema(sdl, query, event, node, subscription)
