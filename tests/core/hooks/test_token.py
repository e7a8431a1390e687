"""Passwords in headers: taken where they are configured to be, compared whole."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.hooks.refusal import Unverified
from bridge.core.hooks.token import QUERY, verify_basic, verify_token
from bridge.core.secret import Secret

TOKENS = [Secret("tok-one"), Secret("tok-tw€")]


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_tokens_that_are_right() -> None:
    """Any of those configured, in any case of the scheme, in a header of its own, in the query where that is set."""
    for shown in ("Bearer tok-one", "bearer  tok-one ", "BEARER tok-tw€"):
        verify_token(TOKENS, {"authorization": shown}, {})
    verify_token(TOKENS, {"x-gitlab-token": "tok-one"}, {}, header="x-gitlab-token", scheme="")
    verify_token(TOKENS, {}, {"access_token": "tok-one"}, in_query=QUERY)


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, {}, "authorization is missing"),
        ({}, {"access_token": "tok-two"}, "none that is configured"),
        ({"authorization": "Bearer tok-one"}, {"access_token": "tok-one"}, "a token in the header and another"),
        ({"authorization": "Basic tok-one"}, {}, "expected the scheme Bearer"),
        ({"authorization": "tok-one"}, {}, "expected the scheme Bearer"),
        ({"authorization": "Bearer"}, {}, "none that is configured"),
        ({"authorization": "Bearer tok-on"}, {}, "none that is configured"),
        ({"authorization": "Bearer tok-one2"}, {}, "none that is configured"),
        ({"authorization": "Bearer Tok-one"}, {}, "none that is configured"),
        ({"authorization": "Bearer \udc80"}, {}, "none that is configured"),
    ],
)
def test_tokens_that_are_not(headers: dict[str, str], query: dict[str, str], expected: str) -> None:
    """Refused, with the reason, and without the token."""
    with pytest.raises(Unverified) as caught:
        verify_token(TOKENS, headers, query, in_query=QUERY)
    assert expected in str(caught.value)
    assert "tok-" not in str(caught.value)


def test_a_token_in_the_query_is_taken_only_where_that_is_configured() -> None:
    """URLs end up in logs: by default it is as if it were not there."""
    with pytest.raises(Unverified, match="authorization is missing"):
        verify_token(TOKENS, {}, {"access_token": "tok-one"})


def test_no_token_and_an_empty_token_verify_nothing() -> None:
    """Also when nothing is shown either."""
    for tokens in ([], [Secret("")]):
        with pytest.raises(Unverified):
            verify_token(tokens, {"authorization": "Bearer "}, {})
        with pytest.raises(Unverified):
            verify_basic("me", tokens, basic("me:"))


def test_basic() -> None:
    """User and password together, any of the passwords, UTF-8, colons in the password."""
    passwords = [Secret("hunter2"), Secret("a:bä")]
    verify_basic("me", passwords, basic("me:hunter2"))
    verify_basic("me", passwords, basic("me:a:bä"))
    for headers, expected in (
        ({}, "authorization is missing"),
        ({"authorization": "Bearer x"}, "expected the scheme Basic"),
        ({"authorization": "Basic %%%"}, "not base64"),
        ({"authorization": "Basic ä"}, "not base64"),
        (basic("me:hunter"), "none that are configured"),
        (basic("m:e:hunter2"), "none that are configured"),
        (basic("me"), "none that are configured"),
        ({"authorization": "Basic " + base64.b64encode(b"me:\xff").decode()}, "none that are configured"),
    ):
        with pytest.raises(Unverified) as caught:
            verify_basic("me", passwords, headers)
        assert expected in str(caught.value)


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_nothing_else_is_ever_raised(header: str, query: str) -> None:
    """Whatever is shown."""
    with pytest.raises(Unverified):
        verify_token(TOKENS, {"authorization": header}, {"access_token": query}, in_query=QUERY)
    with pytest.raises(Unverified):
        verify_basic("me", TOKENS, {"authorization": header})
    with pytest.raises(Unverified):
        verify_basic("me", TOKENS, {"authorization": f"Basic {header}"})
