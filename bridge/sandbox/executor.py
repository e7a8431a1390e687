"""Carries out GraphQL operations of a played vendor, over HTTP and on a socket, with ariadne and graphql-core."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Collection
from typing import Any, Protocol

import ariadne
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    TypeInfo,
    get_operation_ast,
    parse,
    subscribe,
    validate,
)
from graphql.validation import ASTValidationRule

from bridge.sandbox.feed import Item, Source

Payload = dict[str, Any]
"""What a client is given: `data`, `errors` or both."""


class Operation(Protocol):
    """The context of an operation on a socket: what a subscription's resolver leaves in it.

    `field`: the subscription's name in the answer. `whole`: whether its document selects all that changes alter.
    """

    source: Source | None
    field: str
    whole: bool


class Stream:
    """A subscription under way: results as its document selects them, each with the item it was made from."""

    def __init__(self, results: AsyncIterator[ExecutionResult], source: Source, whole: bool) -> None:
        self.whole = whole
        self._source = source
        self._results = results

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> tuple[Payload, Item]:
        result = await anext(self._results)
        return dict(result.formatted), self._source.last


class Executor:
    """Carries out operations. Each document is parsed and validated once: clients send the same few over and over."""

    MOST = 64

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._parsed: dict[str, DocumentNode] = {}
        self._valid: dict[int, DocumentNode] = {}

    async def __call__(self, data: Any, context: Any) -> tuple[bool, Any]:
        """Whether a query succeeded, and the answer: `data`, `errors` or both."""
        return await ariadne.graphql(
            self.schema,
            data,
            context_value=context,
            logger="bridge.sandbox",
            query_parser=self._parse,
            query_validator=self._validate,
            is_awaitable=_never,  # the resolvers are plain functions; asking every field costs a quarter
        )

    async def open(self, data: Any, context: Operation) -> Stream | Payload:
        """Begin an operation that came on a socket.

        A subscription's stream; or the whole answer of a query; or, if it cannot be carried out, `errors` and no
        `data`. The stream's source is registered when this returns.
        """
        if not isinstance(data, dict) or not isinstance(data.get("query"), str):
            return {"errors": [{"message": "the payload holds no query"}]}
        try:
            document = self.parse(data["query"])
        except GraphQLError as problem:
            return {"errors": [problem.formatted]}
        problems = self._validate(self.schema, document)
        operation = get_operation_ast(document, data.get("operationName"))
        if problems or operation is None:
            return {"errors": [p.formatted for p in problems] or [{"message": "which operation?"}]}
        if operation.operation is not OperationType.SUBSCRIPTION:
            return dict((await self(data, context))[1])
        made = subscribe(
            self.schema,
            document,
            context_value=context,
            variable_values=data.get("variables"),
            operation_name=data.get("operationName"),
        )
        results = await made if inspect.isawaitable(made) else made
        if isinstance(results, ExecutionResult) or context.source is None:
            return {"errors": [p.formatted for p in getattr(results, "errors", None) or ()]}
        return Stream(aiter(results), context.source, context.whole)

    def parse(self, text: str) -> DocumentNode:
        """A document's syntax tree. Raises GraphQLError."""
        if text not in self._parsed:
            if len(self._parsed) >= self.MOST:
                self._parsed.clear()
                self._valid.clear()
            self._parsed[text] = parse(text)
        return self._parsed[text]

    def _parse(self, _: Any, data: dict[str, Any]) -> DocumentNode:
        return self.parse(data["query"])

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
