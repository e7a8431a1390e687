"""Reads what operators write in GraphQL, and the schemas vendors tell, by graphql-core (a part of gql).

A document is judged by its form alone, or against a schema. Texts name line and column of the document; they never hold
the value of a variable or of a text written into the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import graphql
from graphql import validation
from graphql.language import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
)

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.settings import Subscription

INTROSPECTION = graphql.get_introspection_query()
"""The query whose answer's `data` makes a `VendorSchema`."""

_FORM = (
    validation.UniqueOperationNamesRule, validation.UniqueFragmentNamesRule, validation.KnownFragmentNamesRule,
    validation.NoUnusedFragmentsRule, validation.NoFragmentCyclesRule, validation.UniqueVariableNamesRule,
    validation.NoUndefinedVariablesRule, validation.NoUnusedVariablesRule, validation.UniqueArgumentNamesRule,
    validation.UniqueInputFieldNamesRule,
)  # fmt: skip
"""The rules that need no schema."""
_NO_SCHEMA = graphql.build_schema("type Query { nothing: Int }")
_QUOTED = re.compile(r"\b(String|BlockString|Int|Float) (['\"]).*\2")
_UNREADABLE = "what the vendor calls its schema cannot be read"
_NO_SENSE = (graphql.GraphQLError, TypeError, ValueError, LookupError, AttributeError, RecursionError, StopIteration)
"""What the library raises for a schema that contradicts itself; much of it is built only when it is asked for."""
_MOST = 10
"""Of more problems in one document only so many are told."""


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """What is wrong with a subscription's document. `key`: of the table. `line` counts from 1; 0: nowhere."""

    message: str
    key: str = "document"
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column} of the document: {self.message}" if self.line else self.message


@dataclass(frozen=True, slots=True)
class SubscriptionField:
    """One field of a schema's subscription type. `arguments`: by name, the type and any default (`Int = 5`)."""

    name: str
    type: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


def problems(one: Subscription) -> list[DocumentProblem]:
    """What is wrong with a subscription as far as its form tells: syntax, one root field, variables, paths."""
    try:
        document = _parsed(one.document)
    except graphql.GraphQLError as error:
        return [_problem(error, ())]
    errors = graphql.validate(_NO_SCHEMA, document, _FORM)
    if errors:
        return [_problem(error, _texts(document)) for error in errors[:_MOST]]
    return list(_shape(document, one))[:_MOST]


class VendorSchema:
    """A vendor's schema, made from the `data` of the answer to `INTROSPECTION`. Raises Malformed if it is none."""

    def __init__(self, data: Json) -> None:
        self._data = data
        try:
            self._schema = graphql.build_client_schema(data)
        except _NO_SENSE:
            raise Malformed(_UNREADABLE) from None

    def sdl(self) -> str:
        """The schema as text, in the schema definition language. Raises Malformed: some faults show only here."""
        try:
            return graphql.print_schema(self._schema)
        except _NO_SENSE:
            raise Malformed(_UNREADABLE) from None

    def subscriptions(self) -> list[SubscriptionField]:
        """What can be subscribed to, by name; none where the schema has no subscription type. Raises Malformed."""
        try:
            return self._subscriptions()
        except _NO_SENSE:
            raise Malformed(_UNREADABLE) from None

    def _subscriptions(self) -> list[SubscriptionField]:
        root = self._schema.subscription_type
        if root is None:
            return []
        # As the vendor spelled them: the library keeps values, and differently from version to version.
        told = next(type_["fields"] for type_ in self._data["__schema"]["types"] if type_["name"] == root.name)
        defaults = {(one["name"], arg["name"]): arg.get("defaultValue") for one in told for arg in one["args"]}
        return [
            SubscriptionField(
                name,
                str(one.type),
                {key: _argument(arg, defaults.get((name, key))) for key, arg in one.args.items()},
                one.description or "",
            )
            for name, one in sorted(root.fields.items())
        ]

    def problems(self, one: Subscription) -> list[DocumentProblem]:
        """What is wrong with a subscription for this vendor; first what `problems` of this module finds."""
        if found := problems(one):
            return found
        document = _parsed(one.document)
        try:
            errors = graphql.validate(self._schema, document)
        except _NO_SENSE:
            raise Malformed(_UNREADABLE) from None
        return [_problem(error, _texts(document)) for error in errors[:_MOST]]


def _parsed(text: str) -> graphql.DocumentNode:
    try:
        return graphql.parse(text)
    except RecursionError:
        raise graphql.GraphQLError("nested too deeply") from None


def _problem(error: graphql.GraphQLError, texts: Sequence[str]) -> DocumentProblem:
    message = _QUOTED.sub(r"\1", error.message.removeprefix("Syntax Error: "))
    for text in texts:
        message = message.replace(text, "…")
    where = error.locations[0] if error.locations else None
    return DocumentProblem(message, "document", where.line if where else 0, where.column if where else 0)


def _texts(document: graphql.DocumentNode) -> list[str]:
    """Texts that stand in the document, as a message might quote them; the longest first."""
    found: set[str] = set()

    class Collect(graphql.Visitor):
        def enter_string_value(self, node: StringValueNode, *_: object) -> None:
            found.update((graphql.print_ast(node), f"'{node.value}'", f'"{node.value}"'))

    graphql.visit(document, Collect())
    return sorted(found, key=len, reverse=True)


def _shape(document: graphql.DocumentNode, one: Subscription) -> Iterator[DocumentProblem]:
    fragments: dict[str, FragmentDefinitionNode] = {}
    operations: list[OperationDefinitionNode] = []
    for node in document.definitions:
        if isinstance(node, FragmentDefinitionNode):
            fragments[node.name.value] = node
        elif isinstance(node, OperationDefinitionNode):
            operations.append(node)
        else:
            yield _at(node, "expected one subscription and its fragments, and nothing else")
    if len(operations) != 1:
        spare = operations[1] if operations else None
        yield _at(spare, f"expected one subscription, found {len(operations)} operations")
        return
    operation = operations[0]
    if empty := _empty(document):
        yield _at(empty[0], "nothing is selected between the braces")
        return
    if operation.operation is not graphql.OperationType.SUBSCRIPTION:
        yield _at(operation, f"expected a subscription, found a {operation.operation.value}")
        return
    roots = list(_fields(operation.selection_set, fragments, set()))
    if len({_name(root) for root in roots}) != 1:
        yield _at(roots[1] if roots else operation, f"expected one root field, found {len(roots)}")
        return
    yield from _variables(operation, one)
    yield from _paths(operation.selection_set, fragments, _name(roots[0]), one)


def _empty(document: graphql.DocumentNode) -> list[SelectionSetNode]:
    """Selections without a field: some versions of the parser let them pass, and servers do not."""
    found: list[SelectionSetNode] = []

    class Collect(graphql.Visitor):
        def enter_selection_set(self, node: SelectionSetNode, *_: object) -> None:
            if not node.selections:
                found.append(node)

    graphql.visit(document, Collect())
    return found


def _variables(operation: OperationDefinitionNode, one: Subscription) -> Iterator[DocumentProblem]:
    declared = {node.variable.name.value: node for node in operation.variable_definitions or ()}
    for name, node in declared.items():
        needed = isinstance(node.type, graphql.NonNullTypeNode) and node.default_value is None
        if needed and one.variables.get(name) is None:
            yield DocumentProblem(f"the variable {name} is missing: the document needs it", "variables")
    for name in one.variables:
        if name not in declared:
            names = ", ".join(declared) or "none"
            yield DocumentProblem(f"the document has no variable {name}; it has: {names}", "variables")


def _paths(
    data: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], root: str, one: Subscription
) -> Iterator[DocumentProblem]:
    """What is not asked for never arrives, and would be empty without a word."""
    record = one.path or root
    wanted = [("path", record), *((key, getattr(one, key)) for key in ("id", "at", "version", "gone"))]
    wanted += [("fields", path) for path in one.fields.values()]
    for key, path in wanted:
        if path is None:
            continue
        whole = path if key == "path" else path[1:] if path.startswith("/") else f"{record}.{path}"
        if not _selected([data], whole.split("."), fragments):
            yield DocumentProblem(f"the document does not ask for {whole}", key)
            if key == "path":
                return


def _selected(
    sets: Sequence[SelectionSetNode], steps: Sequence[str], fragments: Mapping[str, FragmentDefinitionNode]
) -> bool:
    step, *rest = steps
    seen: set[str] = set()
    found = [node for one in sets for node in _fields(one, fragments, seen) if _name(node) == step]
    inner = [node.selection_set for node in found if node.selection_set is not None]
    # Without a selection it is a scalar, and some scalars are JSON objects.
    return bool(found) and (not rest or len(inner) < len(found) or _selected(inner, rest, fragments))


def _fields(
    selection: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], seen: set[str]
) -> Iterator[FieldNode]:
    """The fields of a selection, those of its fragments among them, each fragment once: those `seen` add nothing."""
    for node in selection.selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, fragments, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            yield from _fields(fragments[node.name.value].selection_set, fragments, seen)


def _name(node: FieldNode) -> str:
    """By what name the field appears in the answer."""
    return node.alias.value if node.alias else node.name.value


def _argument(arg: graphql.GraphQLArgument, default: Json) -> str:
    return str(arg.type) if default is None else f"{arg.type} = {default}"


def _at(node: Node | None, message: str) -> DocumentProblem:
    if node is None or node.loc is None:
        return DocumentProblem(message)
    where = graphql.get_location(node.loc.source, node.loc.start)
    return DocumentProblem(message, "document", where.line, where.column)
