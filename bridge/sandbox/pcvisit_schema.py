"""The pcvisit sandbox's GraphQL schema, made from the SDL beside this file, bound to its API."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from pathlib import Path
from typing import Any

import ariadne
import msgspec
from ariadne import QueryType, ScalarType, make_executable_schema
from graphql import DocumentNode, GraphQLError, GraphQLResolveInfo, GraphQLSchema, TypeInfo, parse, validate
from graphql.validation import ASTValidationRule

from bridge.sandbox.pcvisit_api import Api, Call


class Executor:
    """Carries out queries. Each document is parsed and validated once: clients send the same few over and over."""

    MOST = 64

    def __init__(self, api: Api, as_float: Callable[[], bool]) -> None:
        self._schema = executable(api, as_float)
        self._parsed: dict[str, DocumentNode] = {}
        self._valid: dict[int, DocumentNode] = {}

    async def __call__(self, data: Any, call: Call) -> tuple[bool, Any]:
        """Whether it succeeded, and the answer: `data`, `errors` or both."""
        return await ariadne.graphql(
            self._schema,
            data,
            context_value=call,
            logger="bridge.sandbox",
            query_parser=self._parse,
            query_validator=self._validate,
            is_awaitable=_never,  # the resolvers are plain functions; asking every field costs a quarter
        )

    def _parse(self, _: Any, data: dict[str, Any]) -> DocumentNode:
        text = data["query"]
        if text not in self._parsed:
            if len(self._parsed) >= self.MOST:
                self._parsed.clear()
                self._valid.clear()
            self._parsed[text] = parse(text)
        return self._parsed[text]

    def _validate(
        self,
        schema: GraphQLSchema,
        document_ast: DocumentNode,
        rules: Collection[type[ASTValidationRule]] | None = None,
        max_errors: int | None = None,
        type_info: TypeInfo | None = None,  # noqa: ARG002  # the library's signature; it no longer passes it
    ) -> list[GraphQLError]:
        if id(document_ast) in self._valid:
            return []
        errors = validate(schema, document_ast, rules, max_errors)
        if not errors:
            self._valid[id(document_ast)] = document_ast
        return errors


def _never(_: Any) -> bool:
    return False


def executable(api: Api, as_float: Callable[[], bool]) -> GraphQLSchema:
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

    def write(value: int) -> int | msgspec.Raw:
        return msgspec.Raw(scientific(value).encode()) if as_float() else value

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ValueError("Milliseconds must be a whole number")
        return int(value)

    milliseconds = ScalarType("Milliseconds", serializer=write, value_parser=read)
    sdl = Path(__file__).with_name("pcvisit.graphql").read_text(encoding="utf-8")
    return make_executable_schema(sdl, query, milliseconds)


def scientific(value: int) -> str:
    """The same number as some servers print it: 1609459200000 is 1.6094592e12. Exact."""
    return f"{Decimal(value).normalize():e}".replace("e+", "e") if value else "0.0"
