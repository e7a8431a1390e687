"""GraphQL over HTTP, beyond what the adapters' own tests prove."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import graphql
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, TooComplex, Unauthorized
from bridge.core.facts import Response
from bridge.core.record import Json
from bridge.core.secret import Secret
from tests.support.answers import answer


def test_a_request_leaves_out_what_is_not_given() -> None:
    """None means absent, as a server may take null for something else; false and 0 are values; secrets stay secrets."""
    secret = Secret("s")
    request = graphql.post("https://v/graphql", {"x": secret}, "query Q", {"a": None, "b": 0, "c": False, "d": secret})
    assert request.json == {"query": "query Q", "variables": {"b": 0, "c": False, "d": secret}}
    assert (request.method, request.url, request.headers) == ("POST", "https://v/graphql", {"x": secret})


def test_data_beside_errors_is_not_taken() -> None:
    """What is missing from a partial answer would look like absence."""
    whole: Json = {"data": {"q": {"nodes": []}}}
    assert graphql.read(answer(whole), "q") == {"nodes": []}
    assert graphql.read(answer({**whole, "errors": []}), "q") == {"nodes": []}
    with pytest.raises(Retry):
        graphql.read(answer({**whole, "errors": [{"message": "part of it"}]}), "q")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the answer is a list"),
        ({}, "data is null"),
        ({"data": 5}, "data is a number"),
        ({"data": {}}, "q is null"),
        ({"data": {"q": "x"}}, "q is text"),
    ],
)
def test_what_is_missing_is_named(body: Json, words: str) -> None:
    """The text says which step is not the object it should be."""
    with pytest.raises(Retry, match=f"^q: {words}, expected an object$"):
        graphql.read(answer(body), "q")


def test_codes_are_named_and_messages_only_when_harmless() -> None:
    """A message may quote a variable's value; a code cannot."""
    error = {"message": 'Variable "$token" got invalid value "hunter2"', "extensions": {"code": "BAD_USER_INPUT"}}
    with pytest.raises(Refused) as caught:
        graphql.read(answer({"errors": [error]}), "q")
    assert "BAD_USER_INPUT" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_quota_error_teaches_the_quota() -> None:
    """Wait and limit are read from its message."""
    error = {"message": "Too many requests. Rate limit: 10 requests per second, Retry-After: 3 seconds"}
    with pytest.raises(Throttled) as caught:
        graphql.read(answer({"errors": [error]}), "q")
    assert caught.value.after == 3
    assert caught.value.limit is not None


@given(st.text(), st.text(), st.sampled_from([200, 400]))
def test_no_error_text_makes_it_fail(message: str, code: str, status: int) -> None:
    """Messages and codes are foreign text."""
    with pytest.raises(BridgeError):
        graphql.read(answer({"errors": [{"message": message, "extensions": {"code": code}}]}, status), "q")


def test_peek_never_raises() -> None:
    """It sees an object where one is, and else nothing."""
    bodies: list[Json] = [None, [], {}, {"data": None}, {"data": {"q": 5}}]
    for body in bodies:
        assert graphql.peek(Response(500, {}, b"", body), "q") == {}
    assert graphql.peek(Response(500, {}, b"", {"data": {"q": {"a": 1}}, "errors": [1]}), "q") == {"a": 1}


def test_a_failure_by_the_table() -> None:
    """Prefixes are cut off; an unknown id is tried again and says that it is unknown."""
    table: graphql.Reactions = {"Gone": (Refused, "look elsewhere"), "Busy": (Throttled, "wait")}
    assert str(graphql.failure("q", "X.Y.Gone", None, table)) == "q: failure Gone, look elsewhere"
    unknown = graphql.failure("q", "New", "so it is", table)
    assert type(unknown) is Retry
    assert str(unknown) == "q: failure New, an error id we do not know: so it is"


def test_failures_as_data_are_told_from_data() -> None:
    """By the type's name or by an error that is not null; the names of the fields are the vendor's own."""
    plain = graphql.Failures({"A": (Refused, "no")})
    assert plain.found({"error": None, "id": 1}, "x") is None
    assert plain.found("text", "x") is None
    assert type(plain.found({"error": "A"}, "x")) is Refused
    assert type(plain.found({"error": "A"}, "x", A=(Unauthorized, "yes"))) is Unauthorized
    other = graphql.Failures({"B": (Refused, "no")}, typename="Problem", error="code", comment="why")
    assert other.found({"error": "B", "__typename": "Failure"}, "x") is None
    assert type(other.found({"__typename": "Problem"}, "x")) is Retry
    assert "failure B, no: it is late" in str(other.found({"code": "B", "why": "it is late"}, "x"))


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "message", ["Query has complexity of 120, which exceeds max complexity of 100", "The query is too complex."]
)
def test_a_query_that_is_too_complex(message: str, status: int) -> None:
    """It is made smaller where that can be done, by whatever status it came; where not, it is what it was."""
    errors = [{"message": message}]
    assert type(graphql.fault(errors, "events", status)) is TooComplex
    assert type(graphql.fault(errors, "events", status, otherwise=Refused)) is Refused
