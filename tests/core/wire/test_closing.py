"""Close codes and refused upgrades: what happens next, and what the operator is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Subprotocol
from bridge.core.wire.closing import CODES, closed, upgrade_refused
from tests.support.utterances import session

RETRY = (1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 1014, 1015, 3008, 4408, 4409, 4429, 4500, 4504)
REFRESH = (1008, 3000, 3003, 4401, 4403)
SLOW = (1002, 1003, 1007, 4004, 4005, 4400, 4406)


@pytest.mark.parametrize("code", RETRY)
def test_codes_to_connect_again_after(code: int) -> None:
    """With back-off; normal closure is no success."""
    error = closed(code, "", session())
    assert type(error) is Retry
    assert error.after is None
    assert f"close code {code}" in str(error)


@pytest.mark.parametrize("code", REFRESH)
def test_codes_that_ask_for_a_new_token(code: int) -> None:
    """Also where the code formally means something else: in practice it is the token that expired."""
    error = closed(code, "", session())
    assert type(error) is Unauthorized
    assert str(error).endswith("; the token is not accepted")


@pytest.mark.parametrize("code", SLOW)
def test_codes_that_call_a_human(code: int) -> None:
    """Nothing is fatal for ever: it is tried again after a quarter of an hour, and says which settings to check."""
    error = closed(code, "", session())
    assert type(error) is Refused
    assert error.after == 900.0
    assert "`ws_url` and `ws_subprotocol`" in str(error)


def test_every_code_of_the_table_is_tested() -> None:
    """The three lists above are the whole table."""
    assert sorted(CODES) == sorted(RETRY + REFRESH + SLOW)


@pytest.mark.parametrize("code", [0, 999, 1004, 2000, 3999, 4000, 4499, 4999])
def test_unknown_codes(code: int) -> None:
    """Private codes of a vendor, and nonsense, are worth another try."""
    assert type(closed(code, "", session())) is Retry
    assert ("of the vendor's own" in str(closed(code, "", session()))) is (code >= 4000)


@pytest.mark.parametrize(("word", "expected"), [("refresh", Unauthorized), ("retry", Retry), ("slow", Refused)])
@pytest.mark.parametrize("code", [1000, 4400, 4403, 4711])
def test_the_operator_knows_better(code: int, word: str, expected: type[BridgeError]) -> None:
    """`close_codes` go before the table, for known and unknown codes."""
    error = closed(code, "", session(close_codes={code: word}))
    assert type(error) is expected
    assert getattr(error, "after", None) == (900.0 if word == "slow" else None)
    assert type(closed(1001, "", session(close_codes={code: word}))) is Retry


def test_a_message_too_big_for_us_says_which_setting_to_raise() -> None:
    """It is our own limit that closed the session."""
    text = str(closed(1009, "", session(max_message_mb=2.5)))
    assert text.endswith("a message was larger than 2.5 MiB: raise `ws_max_message_mb`")


def test_reasons_are_quoted_only_when_harmless() -> None:
    """A reason may quote a token or a person."""
    assert "(forbidden): Access denied for this client; the token" in str(
        closed(4403, "Access denied for this client", session())
    )
    for reason in ("token eyJhbGciOiJIUzI1NiJ9.e30.x expired", "user jane@example.com", "Bearer hunter2"):
        assert reason not in str(closed(4403, reason, session()))
        assert "hunter2" not in str(closed(4403, reason, session()))


@given(code=st.integers(), reason=st.text())
def test_every_code_and_reason_has_an_answer(code: int, reason: str) -> None:
    """Whatever a server closes with."""
    assert type(closed(code, reason, session())) in (Retry, Unauthorized, Refused)


@pytest.mark.parametrize("status", [401, 403])
def test_an_upgrade_without_a_valid_token(status: int) -> None:
    """A new token is fetched."""
    error = upgrade_refused(status, {"retry-after": "7"}, None, session())
    assert type(error) is Unauthorized
    assert f"HTTP status {status}" in str(error)


def test_an_upgrade_over_the_quota() -> None:
    """The wait is what the vendor says."""
    error = upgrade_refused(429, {"retry-after": "7"}, None, session())
    assert type(error) is Throttled
    assert error.after == 7.0
    unsaid = upgrade_refused(429, {"retry-after": ""}, None, session())
    assert isinstance(unsaid, Throttled)
    assert unsaid.after is None


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
def test_an_upgrade_with_a_fault_at_the_vendor(status: int) -> None:
    """It is tried again, when the vendor says."""
    error = upgrade_refused(status, {"retry-after": "30"}, None, session())
    assert type(error) is Retry
    assert error.after == 30.0


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "`ws_url` and `ws_subprotocol`"),
        (426, "`ws_url` and `ws_subprotocol`"),
        (404, "check the setting `ws_url`"),
        (405, "check the setting `ws_url`"),
        (200, "check the setting `ws_url`"),
        (204, "check the setting `ws_url`"),
        (407, "check the setting `ws_proxy`"),
        (418, "whether the vendor changed the interface"),
        (100, "whether the vendor changed the interface"),
        (301, "set `ws_url` to the final address"),
        (308, "set `ws_url` to the final address"),
    ],
)
def test_an_upgrade_that_only_an_operator_can_mend(status: int, advice: str) -> None:
    """The text says what to check; it names no URL, neither ours nor the one redirected to."""
    headers = {"location": "https://elsewhere.example/?token=hunter2"}
    error = upgrade_refused(status, headers, None, session())
    assert type(error) is Refused
    assert error.after == 900.0
    assert advice in str(error)
    assert "example" not in str(error)


@pytest.mark.parametrize(
    ("agreed", "named"),
    [(None, "none"), ("", "none"), ("graphql-ws", "graphql-ws"), ("hunter2, the token", "another one")],
)
def test_an_upgrade_with_another_subprotocol(agreed: str | None, named: str) -> None:
    """Two parties that speak different protocols understand each other well enough to hang."""
    wanted: Subprotocol = "graphql-transport-ws"
    error = upgrade_refused(101, {}, agreed, session(wanted))
    assert type(error) is Refused
    assert error.after == 900.0
    assert f"with sub-protocol {named}, graphql-transport-ws was asked for" in str(error)
    assert "`ws_subprotocol`" in str(error)
    assert "hunter2" not in str(error)
