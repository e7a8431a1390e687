"""Documents that operators write, judged by their form and by a vendor's schema."""

from __future__ import annotations

import time
from typing import Any

import graphql
import pytest

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.settings import Subscription
from bridge.edge.graphql_document import INTROSPECTION, SubscriptionField, VendorSchema, problems

SDL = """
scalar JSON
type Query { nothing: Int }
type Subscription {
  "A computer came or went."
  stateChanged(company: ID!, limit: Int = 5): StateResult
  count: Int!
}
union StateResult = State | Failure
type State { id: ID!, online: Boolean, where: Place, extra: JSON }
type Place { city: String }
type Failure { error: String }
"""
GOOD = """subscription S($company: ID!) {
  stateChanged(company: $company) {
    ... on State { id online ...P }
    ... on Failure { error }
  }
}
fragment P on State { where { city } extra }
"""


def introspected(sdl: str) -> Json:
    return graphql.graphql_sync(graphql.build_schema(sdl), INTROSPECTION).data


def sub(document: str, **changes: Any) -> Subscription:
    given: dict[str, Any] = {"name": "s", "document": document, "shape": "session", "variables": {}}
    return Subscription(**given | changes)


def told(document: str, schema: VendorSchema | None = None, **changes: Any) -> list[str]:
    one = sub(document, **changes)
    return [f"{problem.key}: {problem}" for problem in (schema.problems(one) if schema else problems(one))]


@pytest.fixture(scope="module")
def schema() -> VendorSchema:
    return VendorSchema(introspected(SDL))


def test_a_good_document_has_no_problem(schema: VendorSchema) -> None:
    """One subscription, one root field (also in a fragment), fragments, its variables, every path asked for."""
    given: dict[str, Any] = {
        "variables": {"company": "{company}"}, "shape": None, "entity": "computer", "id": "id",
        "fields": {"city": "where.city", "deep": "extra.any.thing"}, "path": "stateChanged",
        "at": "/stateChanged.online",
    }  # fmt: skip
    assert told(GOOD, **given) == told(GOOD, schema, **given) == []
    assert told("subscription { ...F } fragment F on Subscription { count }", schema) == []
    assert told("subscription ($l: Int = 1, $m: Int) { a(l: $l, m: $m) }") == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("", "line 1, column 1 of the document: Unexpected <EOF>."),
        ("subscription {\n  a(x: \n}", "line 3, column 1 of the document: Unexpected '}'."),
        ("query { a }", "line 1, column 1 of the document: expected a subscription, found a query"),
        ("subscription {\n a\n  b }", "line 3, column 3 of the document: expected one root field, found 2"),
        ("subscription A { a } query B { b }", "line 1, column 22 of the document: expected one subscription, found 2"),
        ("fragment F on X { a }", "Fragment 'F' is never used."),
        ("subscription { a } type X { b: Int }", "line 1, column 20 of the document: expected one subscription and"),
        ("subscription { a { ...Missing } }", "column 23 of the document: Unknown fragment 'Missing'."),
        ("subscription { a { ...F } } fragment F on X { ...F }", "Cannot spread fragment 'F' within itself."),
        ("subscription { a(x: $no) }", "Variable '$no' is not defined."),
        ("subscription ($no: Int) { a }", "Variable '$no' is never used."),
        ("subscription { a(x: 1, x: 2) }", "There can be only one argument named 'x'."),
    ],
)
def test_what_the_form_alone_tells(document: str, text: str) -> None:
    """Syntax and shape, with line and column of the document."""
    (found,) = told(document)
    assert found.startswith("document: ")
    assert text in found


@pytest.mark.parametrize("document", ["subscription { a { } }", "subscription { }", "subscription { a { b { } } }"])
def test_an_empty_selection_is_found_out(document: str) -> None:
    """Servers refuse it, whatever our parser thinks of it."""
    assert len(told(document)) == 1


def test_nesting_without_end_is_a_problem_and_no_crash() -> None:
    """A document nobody writes by hand."""
    (found,) = told("subscription S" + "{a" * 100_000 + "}" * 100_000)
    assert "deep" in found


def test_variables_missing_and_left_over() -> None:
    """Both are named, and never their values."""
    document = "subscription ($a: ID!, $b: Int! = 5, $c: Int) { x(a: $a, b: $b, c: $c) }"
    found = told(document, variables={"d": "a secret value", "c": None})
    assert found == [
        "variables: the variable a is missing: the document needs it",
        "variables: the document has no variable d; it has: a, b, c",
    ]
    assert told(document, variables={"a": "x"}) == []


def test_paths_that_the_document_does_not_ask_for() -> None:
    """They would be empty for ever without a word; a path that is wrong at its root is told once."""
    mapped: dict[str, Any] = {"shape": None, "entity": "x", "id": "uid", "fields": {"a": "where.street", "b": "online"}}
    assert told(GOOD, variables={"company": "c"}, **mapped, gone="/stateChanged.gone") == [
        "id: the document does not ask for stateChanged.uid",
        "gone: the document does not ask for stateChanged.gone",
        "fields: the document does not ask for stateChanged.where.street",
    ]
    assert told(GOOD, variables={"company": "c"}, path="changed", **mapped) == [
        "path: the document does not ask for changed"
    ]
    aliased = GOOD.replace("stateChanged(", "changed: stateChanged(")
    assert told(aliased, variables={"company": "c"}, path="changed") == []


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("subscription {\n gone }", "line 2, column 2 of the document: Cannot query field 'gone' on"),
        ("subscription { stateChanged { __typename } }", "of type 'ID!' is required"),
        ('subscription { stateChanged(company: "a") { id } }', "Cannot query field 'id' on type 'StateResult'."),
        ("subscription ($c: Int!) { stateChanged(company: $c) { __typename } }", "expecting type 'ID!'"),
    ],
)  # fmt: skip
def test_what_only_the_schema_tells(schema: VendorSchema, document: str, text: str) -> None:
    """Fields, arguments and types that the vendor does not have."""
    given = {"c": "x"} if "$c" in document else {}
    assert told(document, variables=given) == []
    assert any(text in found for found in told(document, schema, variables=given))


def test_texts_of_the_document_are_not_told(schema: VendorSchema) -> None:
    """A text written into a document may be somebody's name or key."""
    for document in (
        'subscription { stateChanged(company: "k", limit: "hunter2-hunter2") { __typename } }',
        'subscription { stateChanged(company "hunter2-hunter2") { __typename } }',
        'subscription { stateChanged(company: {a: "hunter2-hunter2"}) { __typename } }',
    ):
        found = told(document, schema)
        assert found
        assert "hunter2" not in str(found)


def test_a_schema_can_be_read_by_people(schema: VendorSchema) -> None:
    """Its text, and what can be subscribed to, with arguments, types, defaults and what the vendor says of it."""
    assert "union StateResult = State | Failure" in schema.sdl()
    assert schema.subscriptions() == [
        SubscriptionField("count", "Int!"),
        SubscriptionField(
            "stateChanged", "StateResult", {"company": "ID!", "limit": "Int = 5"}, "A computer came or went."
        ),
    ]
    bare = VendorSchema(introspected("type Query { a: Int }"))
    assert bare.subscriptions() == []
    assert bare.problems(sub("subscription { a }"))


@pytest.mark.parametrize(
    "data", [None, {}, [], {"__schema": None}, {"__schema": {}}, {"__schema": {"queryType": 5, "types": [None]}},
             {"__schema": {"queryType": {"name": "Q"}, "types": "text", "directives": []}}]
)  # fmt: skip
def test_what_is_no_schema(data: Json) -> None:
    """Malformed, whatever the vendor sends."""
    with pytest.raises(Malformed, match="cannot be read"):
        VendorSchema(data)


def test_fragments_that_double_are_looked_at_once() -> None:
    """Thirty levels, of which each asks twice for the next: a thousand million ways to one field."""
    flat = " ".join(f"fragment f{n} on T {{ ...f{n + 1} ...f{n + 1} }}" for n in range(30))
    deep = " ".join(f"fragment f{n} on T {{ a {{ ...f{n + 1} }} a {{ ...f{n + 1} }} }}" for n in range(30))
    for fragments, id_ in ((flat, "id"), (deep, ".".join(["a"] * 30 + ["id"]))):
        document = f"subscription {{ root {{ ...f0 }} }} {fragments} fragment f30 on T {{ id }}"
        given: dict[str, Any] = {"shape": None, "entity": "x", "id": id_, "fields": {"id": id_}}
        began = time.process_time()
        assert told(document, **given) == []
        assert told(document, **given | {"id": f"{id_}x"})
        assert time.process_time() - began < 10
