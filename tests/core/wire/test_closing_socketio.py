"""How a Socket.IO session ends, or is refused: what happens next, and what the operator is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.record import Json
from bridge.core.session import EngineioRevision, SocketioSession, StreamSession
from bridge.core.wire.closing import Farewell, closed, ended, upgrade_refused
from tests.support.utterances import session as graphql

SETTINGS = "check the settings `base_url` and `engineio`"
HOW: tuple[Farewell, ...] = ("stranger", "revision", "http", "engine", "namespace", "refusal")


def session(revision: EngineioRevision = 3) -> SocketioSession:
    return SocketioSession(url="wss://vendor.example/socket.io/", revision=revision)


@pytest.mark.parametrize(
    ("how", "payload", "before", "after"),
    [
        ("stranger", None, Refused, Refused),
        ("revision", None, Refused, Refused),
        ("engine", None, Retry, Retry),
        ("namespace", None, Retry, Retry),
        ("refusal", "go away", Unauthorized, Retry),
        ("refusal", {"message": "go away"}, Unauthorized, Retry),
        ("refusal", None, Unauthorized, Retry),
        ("refusal", ["go away"], Unauthorized, Retry),
        ("refusal", {"message": {"message": "x"}}, Unauthorized, Retry),
        ("refusal", "Invalid namespace", Refused, Retry),
        ("refusal", {"message": "Invalid namespace"}, Refused, Retry),
        ("http", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n", Refused, Retry),
        ("http", "HTTP/1.1 401 Unauthorized\r\n", Unauthorized, Unauthorized),
        ("http", "HTTP/1.1 403 Forbidden\r\n", Refused, Refused),
        ("http", "HTTP/1.1 429 Too Many Requests\r\n", Throttled, Throttled),
        ("http", "HTTP/1.1 408 Request Timeout\r\n", Retry, Retry),
        ("http", "HTTP/1.0 503 Service Unavailable\r\n", Retry, Retry),
        ("http", "HTTP/1.1 4000", Refused, Retry),
        ("http", "HTTP/1.1 ", Refused, Retry),
        ("http", None, Refused, Retry),
    ],
)
def test_the_table(how: Farewell, payload: Json, before: type[BridgeError], after: type[BridgeError]) -> None:
    """What follows depends on whether we had been welcomed; what only a human mends is slow, and is never for good."""
    for welcomed, expected in ((False, before), (True, after)):
        error = ended(how, payload, session(), welcomed=welcomed)
        assert type(error) is expected
        if isinstance(error, Refused):
            assert error.after == 900.0


@pytest.mark.parametrize("revision", [3, 4])
def test_a_server_of_another_revision(revision: EngineioRevision) -> None:
    """The operator hears which one was asked for, and which settings to check."""
    for how, payload in (("http", "HTTP/1.1 400 Bad Request"), ("revision", None)):
        text = str(ended(how, payload, session(revision), welcomed=False))  # type: ignore[arg-type]
        assert f"Engine.IO revision {revision}" in text
        other = {3: "`engineio = 4`", 4: "`engineio = 3`"}[revision]
        assert text.endswith(f"set {other}, or check the setting `base_url`")
    assert str(ended("stranger", None, session(revision), welcomed=False)).endswith(SETTINGS)


def test_prose_is_passed_on_where_it_is_harmless() -> None:
    """One plain sentence; whatever looks like a name, an address or a token is left out."""
    assert "(Socket.IO packet 4): not authorized;" in str(
        ended("refusal", {"message": "not authorized"}, session(), welcomed=False)
    )
    for text in ("no user max@example.org", "token eyJhbGci", "HUNTER2", "a\nb"):
        for welcomed in (False, True):
            assert text not in str(ended("refusal", text, session(), welcomed=welcomed))
    assert "Evil" not in str(ended("http", "HTTP/1.1 500 Evil", session(), welcomed=True))


@given(
    st.sampled_from(HOW),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("HTTP/1.1 ²00"),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("message") | st.text(max_size=3), inner),
        max_leaves=4,
    ),
    st.booleans(),
)
def test_anything_has_an_end(how: Farewell, payload: Json, welcomed: bool) -> None:
    """Whatever the payload is."""
    assert str(ended(how, payload, session(), welcomed=welcomed))


@pytest.mark.parametrize("code", [1002, 1003, 1007])
def test_close_codes_name_the_settings_of_the_session(code: int) -> None:
    """A server without the revision writes HTTP into the WebSocket, which ends it with 1002: see `engineio`."""
    assert str(closed(code, "", session())).endswith(SETTINGS)
    assert "`engineio`" not in str(closed(code, "", StreamSession(url="wss://vendor.example/")))
    assert str(closed(code, "", graphql())).endswith("check the settings `ws_url` and `ws_subprotocol`")


def test_a_refused_handshake() -> None:
    """Stock Socket.IO servers have 400 for all that they refuse, credentials first of all; elsewhere it is not so."""
    error = upgrade_refused(400, {}, None, session())
    assert type(error) is Unauthorized
    assert SETTINGS in str(error)
    assert type(upgrade_refused(400, {}, None, StreamSession(url="wss://vendor.example/"))) is Refused
    assert type(upgrade_refused(400, {}, None, graphql())) is Refused
    assert type(upgrade_refused(401, {}, None, session())) is Unauthorized
    for status in (301, 404, 418):
        text = str(upgrade_refused(status, {}, None, session()))
        assert "ws_url" not in text
        assert "ws_subprotocol" not in text
