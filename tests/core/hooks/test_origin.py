"""The handshake of the CloudEvents webhook specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.hooks.origin import allows, permission

ORIGIN = "eventemitter.example.com"


def asked(origin: str = ORIGIN, rate: str | None = None, **more: str) -> dict[str, str]:
    return {"webhook-request-origin": origin, **({} if rate is None else {"webhook-request-rate": rate}), **more}


@pytest.mark.parametrize(
    ("rate", "ours", "granted"),
    [(None, None, "*"), ("120", None, "*"), ("120", 100, "100"), ("60", 100, "60"), (None, 100, "100")],
)
def test_permission(rate: str | None, ours: int | None, granted: str) -> None:
    """The origin comes back, with the rate that is granted, and POST as the method."""
    found = permission(asked(rate=rate), [], ours)
    assert found.status == 200
    assert found.headers == {"Allow": "POST", "WebHook-Allowed-Origin": ORIGIN, "WebHook-Allowed-Rate": granted}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        asked(""),
        asked("evil.example.com"),
        asked("a\r\nSet-Cookie: x"),
        asked("a" * 256),
        asked(rate="0"),
        asked(rate="-1"),
        asked(rate="many"),
        asked(rate="9" * 10),
    ],
)
def test_no_permission(headers: dict[str, str]) -> None:
    """Without the question, for another origin and for nonsense: 405, as if OPTIONS were not known."""
    found = permission(headers, [ORIGIN])
    assert (found.status, found.headers) == (405, {"Allow": "POST"})


def test_the_callback_changes_nothing() -> None:
    """It is neither called nor needed: the answer is the same, and names no address."""
    with_callback = asked(**{"webhook-request-callback": "http://169.254.169.254/latest"})
    assert permission(with_callback) == permission(asked())


def test_who_may_deliver() -> None:
    """Everybody where nothing is configured, else those named, in any case; nobody without a name."""
    assert allows("", [])
    assert allows("EventEmitter.Example.com", [ORIGIN])
    assert not allows("", [ORIGIN])
    assert not allows("other.example.com", [ORIGIN])


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_no_header_can_be_forged(origin: str, rate: str) -> None:
    """Whatever is asked, what is answered is printable ASCII on one line."""
    for value in permission(asked(origin, rate)).headers.values():
        assert value.isascii()
        assert value.isprintable()
