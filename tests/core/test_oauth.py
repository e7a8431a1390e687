"""OAuth 2.0 client credentials: where the secret may go, and what answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bridge.core.errors import BridgeError, Refused, Retry, Throttled
from bridge.core.facts import Request, Response, Token
from bridge.core.oauth import LONGEST_TOKEN, OAuthSettings, client_credentials
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting
from tests.support.answers import answer, raw_answer

SECRET = "client-secret-0002"
ISSUER = "https://accounts.example.com"
TOKEN_URL = "https://accounts.example.com/oauth/token"
DOCUMENT = {"issuer": ISSUER, "token_endpoint": TOKEN_URL}
GOOD = {"access_token": "-tok_en", "token_type": "Bearer", "expires_in": 7200, "created_at": 1_704_110_390}
NOON = {"date": "Mon, 01 Jan 2024 12:00:00 GMT"}  # 1704110400


def settings(**changes: Any) -> OAuthSettings:
    given: dict[str, Any] = {
        "name": "acme", "adapter": "x", "client_id": "client-id-0001",
        "client_secret": Secret(SECRET, "env CLIENT_SECRET"), "issuer": ISSUER,
    }  # fmt: skip
    return OAuthSettings(**given | changes)


def drive(answers: Sequence[Response], **changes: Any) -> tuple[list[Request], Token]:
    """The requests that were sent, and the token."""
    flow, sent, waiting = client_credentials(settings(**changes)), [], list(answers)
    try:
        request = next(flow)
        while True:
            sent.append(request)
            request = flow.send(waiting.pop(0))
    except StopIteration as end:
        return sent, end.value


def failure(*answers: Response, **changes: Any) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        drive(answers, **changes)
    assert SECRET not in f"{caught.value!r}"
    return caught.value


def token(body: Json, headers: dict[str, str] | None = None) -> Token:
    return drive([answer(body, headers=headers)], token_url=TOKEN_URL)[1]


# --- what is sent ------------------------------------------------------------------------------------------------


def test_discovery_then_the_token_request() -> None:
    """RFC 6749, 4.4.2 at the endpoint the document names; neither counts against the API's quota."""
    (first, second), found = drive([answer(DOCUMENT), answer(GOOD)])
    assert (first.method, first.url) == ("GET", "https://accounts.example.com/.well-known/openid-configuration")
    assert first.form is None
    assert (second.method, second.url, second.json) == ("POST", TOKEN_URL, None)
    assert second.form == {
        "grant_type": "client_credentials",
        "client_id": "client-id-0001",
        "client_secret": Secret(SECRET),
    }
    assert not first.counts
    assert not second.counts
    assert first.redirects
    assert second.redirects
    assert found.value == Secret("-tok_en")
    assert SECRET not in repr(second)


def test_a_token_url_skips_discovery() -> None:
    """One request, and the issuer is not asked."""
    (only,), _ = drive([answer(GOOD)], token_url="https://other.example.com/token", issuer=None)
    assert only.url == "https://other.example.com/token"


def test_scope_and_encoding_are_the_operators() -> None:
    """A scope goes along where one is set; the body may be JSON instead."""
    (only,), _ = drive([answer(GOOD)], token_url=TOKEN_URL, scope="read events", token_request_encoding="json")
    assert only.form is None
    assert only.json["scope"] == "read events"
    assert only.json["client_secret"] == Secret(SECRET)


def test_settings_that_lead_nowhere() -> None:
    """Neither issuer nor token URL, or an issuer that is no address, is found before anything is sent."""
    with pytest.raises(BadSetting, match="set `issuer` or `token_url`"):
        settings(issuer=None)
    for issuer in ("accounts.example.com", "https://a.example/?x=1", "ftp://a.example", "https://u:p@a.example"):
        with pytest.raises(BadSetting, match="expected an address"):
            settings(issuer=issuer)


# --- whom the secret may be sent to --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/oauth/token",
        "https://accounts.example.com.evil.example/token",
        "https://accounts.example.com:8443/oauth/token",
        "https://accounts.example.com@evil.example/token",
        "https://evil.example\\@accounts.example.com/token",
        "http://accounts.example.com/oauth/token",
        "https://accounts.example.com/token#fragment",
        "/oauth/token",
        "https://acc\tounts.example.com/token",
        "",
    ],
)
def test_another_hosts_token_endpoint_gets_nothing(url: str) -> None:
    """A document that names another host, port or scheme than the issuer's is refused before the secret is sent."""
    error = failure(answer({**DOCUMENT, "token_endpoint": url}))
    assert type(error) is Refused
    assert "its token endpoint is not to be trusted" in str(error)
    assert "nothing was sent there" in str(error)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://konten.bücher.example", "https://konten.bächer.example/token"),
        (f"https://{'a.' * 100}example.com", f"https://{'a.' * 100}evil.example/token"),
    ],
)
def test_hosts_are_compared_letter_by_letter(issuer: str, url: str) -> None:
    """Not as texts show them, with other letters as `?` and cut at 200 characters."""
    error = failure(answer({"issuer": issuer, "token_endpoint": url}), issuer=issuer)
    assert "nothing was sent there" in str(error)
    assert str(error).isascii()
    if "bücher" in issuer:
        assert r"its host is konten.b\xe4cher.example and the issuer's is konten.b\xfccher.example" in str(error)
    same = issuer.upper().replace("HTTPS", "https") + "/token"
    (_, second), _ = drive([answer({"issuer": issuer, "token_endpoint": same}), answer(GOOD)], issuer=issuer)
    assert second.url == same


def test_the_refusal_names_both_hosts() -> None:
    """The operator reads where it would have gone and what to do if that is right; no more of the document."""
    text = str(failure(answer({**DOCUMENT, "token_endpoint": "https://evil.example/oauth?steal=1"})))
    assert "its host is evil.example and the issuer's is accounts.example.com" in text
    assert "`token_hosts`" in text
    assert "steal" not in text


def test_a_configured_host_is_an_exception() -> None:
    """By its name, with the port where that is not the scheme's own; but never unencrypted."""
    for host, url in (
        ("login.example.com", "https://login.example.com/token"),
        ("Login.example.com:8443", "https://login.example.com:8443/token"),
        ("login.example.com", "https://login.example.com:443/token"),
    ):
        (_, second), _ = drive([answer({**DOCUMENT, "token_endpoint": url}), answer(GOOD)], token_hosts=[host])
        assert second.url == url
    plain = {**DOCUMENT, "token_endpoint": "http://login.example.com/token"}
    assert "unencrypted to login.example.com" in str(failure(answer(plain), token_hosts=["login.example.com"]))


def test_an_issuer_of_another_name() -> None:
    """A document that speaks for another issuer is refused by the names of both; a slash at its end is none."""
    error = failure(answer({**DOCUMENT, "issuer": "https://other.example"}))
    assert type(error) is Refused
    assert "its host is other.example and the issuer's is accounts.example.com" in str(error)
    drive([answer({**DOCUMENT, "issuer": f"{ISSUER}/"}), answer(GOOD)])
    drive([answer({**DOCUMENT, "issuer": "https://other.example"}), answer(GOOD)], token_hosts=["other.example"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused(status: int) -> None:
    """Wherever it comes, it is not followed, and the text names both hosts."""
    away = answer({}, status, {"location": "https://evil.example/steal?x=1"})
    for error in (failure(away), failure(answer(DOCUMENT), away)):
        assert type(error) is Refused
        assert "accounts.example.com: answered with a redirect" in str(error)
        assert "to evil.example, which is not followed" in str(error)
        assert "steal" not in str(error)
    here = answer({}, status, {"location": "/login"})
    assert "to another path of the same host" in str(failure(here))


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (answer({}, 404), Refused, "check `issuer`, or set `token_url`"),
        (answer({}, 503, {"retry-after": "9"}), Retry, "a fault at the vendor"),
        (raw_answer(b"<html>maintenance</html>"), Retry, "is not JSON"),
        (answer([]), Retry, "a list, expected an object"),
        (answer({}), Retry, "issuer is null"),
        (answer({"issuer": ISSUER}), Refused, "token_endpoint is null, expected text; set `token_url`"),
        (answer({**DOCUMENT, "token_endpoint": 7}), Refused, "token_endpoint is a number"),
    ],
)
def test_a_document_that_is_none(response: Response, kind: type[BridgeError], words: str) -> None:
    """What may pass is tried again; what only an operator can change is refused with the key to set."""
    error = failure(response)
    assert type(error) is kind
    assert words in str(error)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_client", "invalid_client: the client is not known"),
        (400, "invalid_grant", "check `client_id` and `client_secret`"),
        (400, "unauthorized_client", "the client may not use client credentials"),
        (400, "invalid_scope", "check `scope`"),
        (400, "invalid_request", "check `token_request_encoding`"),
        (400, "unsupported_grant_type", "check `issuer` and `token_url`"),
    ],
)
def test_refusals_name_the_settings(status: int, code: str, words: str) -> None:
    """Each code of RFC 6749, 5.2 says what to check, and where the secret came from."""
    error = failure(answer({"error": code, "error_description": f"no {SECRET}"}, status), token_url=TOKEN_URL)
    assert type(error) is Refused
    assert words in str(error)
    assert "(the secret is from env CLIENT_SECRET)" in str(error)


@pytest.mark.parametrize("body", [{"error": f"odd {SECRET}"}, {"error": ["x"]}, [], None, {}])
def test_other_refusals_name_all_the_settings(body: Json) -> None:
    """Whatever stands in the answer, nothing of it is quoted."""
    for status in (400, 401, 403, 404, 422):
        error = failure(answer(body, status), token_url=TOKEN_URL)
        assert type(error) is Refused
        assert "check `client_id`, `client_secret`, `issuer`, `token_url`, `scope`" in str(error)


def test_faults_and_quotas_are_waited_out() -> None:
    """5xx and 429 say nothing of the credentials."""
    assert type(failure(answer({}, 502), token_url=TOKEN_URL)) is Retry
    error = failure(answer({}, 429, {"retry-after": "20"}), token_url=TOKEN_URL)
    assert isinstance(error, Throttled)
    assert error.after == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"access_token": None}, "access_token is null"),
        ({"access_token": ""}, "access_token is empty"),
        ({"access_token": ["t"]}, "access_token is a list"),
        ({"access_token": "t" * (LONGEST_TOKEN + 1)}, "has 16385 characters"),
        ({"access_token": "a\r\nX-Evil: 1"}, "a character that no header may hold"),
        ({"access_token": "with space"}, "a character that no header may hold"),
        ({"access_token": "umläut"}, "a character that no header may hold"),
        ({"expires_in": -1}, "expires_in is not within"),
        ({"expires_in": 0}, "expires_in is not within"),
        ({"expires_in": 10**12}, "expires_in is not within"),
        ({"expires_in": 1e400}, "expires_in is not within"),
        ({"expires_in": "7200"}, "expires_in is text"),
        ({"expires_in": True}, "expires_in is a boolean"),
        ({"expires_in": {}}, "expires_in is an object"),
    ],
)
def test_an_answer_that_is_no_token(changes: dict[str, Json], words: str) -> None:
    """It is tried again, and the text says what was wrong without quoting it."""
    error = failure(answer({**GOOD, **changes}), token_url=TOKEN_URL)
    assert type(error) is Retry
    assert words in str(error)
    assert "Evil" not in str(error)


def test_only_bearer_tokens() -> None:
    """In any spelling, or where the answer does not say; a token of another type cannot be used."""
    for type_ in ("bearer", "BEARER", None):
        assert token({**GOOD, "token_type": type_}).value
    for other in ("mac", "DPoP", 7):
        error = failure(answer({**GOOD, "token_type": other}), token_url=TOKEN_URL)
        assert type(error) is Refused
        assert "not of type Bearer" in str(error)


# --- how long it lives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "headers", "lasts_s"),
    [
        ({}, NOON, 7190.0),  # created ten seconds ago by the server's own clock
        ({}, {}, 7200.0),  # no clock of theirs: from now
        ({"created_at": None}, NOON, 7200.0),
        ({"created_at": True}, NOON, 7200.0),
        ({"created_at": "1704110390"}, NOON, 7200.0),
        ({"created_at": 1_704_110_400 - 7_199}, NOON, 1.0),
        ({"created_at": 1_704_110_400 - 9_000}, NOON, 7200.0),  # they count from now
        ({"created_at": 1_804_110_400}, NOON, 7200.0),  # issued in the future: it cannot live longer than it says
        ({"created_at": 10**400}, NOON, 7200.0),  # beyond the year 9999
        ({"created_at": -(10**400)}, NOON, 7200.0),
        ({"created_at": float("inf")}, NOON, 7200.0),
        ({"expires_in": None}, NOON, 600.0),
        ({"expires_in": 90.5, "created_at": 1_704_110_400}, NOON, 90.5),
    ],
)
def test_lifetimes(changes: dict[str, Json], headers: dict[str, str], lasts_s: float) -> None:
    """`created_at + expires_in` by the server's clock, else `expires_in` from now, else what is configured."""
    found = token({**GOOD, **changes}, headers)
    assert found.lasts_s == pytest.approx(lasts_s)
    assert (found.issued_ms, found.expires_ms) == (None, None)
