"""Logins by login and password: tokens, cookies, both, and what a refusal says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bridge.core.credentials import CredentialSettings, headers, log_in
from bridge.core.errors import Refused, Retry
from bridge.core.facts import Request, Response, Token
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting
from tests.support.answers import answer, raw_answer

URL = "https://iot.example.com/api/v1/auth"
TOKEN = {"sucess": True, "type": "access", "token": "the-token", "issuedAt": 1_000_000, "expiresAt": 1_600_000}
DATE = {"date": "Mon, 01 Jan 2024 12:00:00 GMT"}
SID = DATE | {"set-cookie": "sid=the-sid; Path=/; Expires=Mon, 01 Jan 2024 12:05:00 GMT; HttpOnly"}


def settings(**changes: Any) -> CredentialSettings:
    given: dict[str, Any] = {"name": "a", "adapter": "b", "login": "me", "password": Secret("pass-1", "env PASS")}
    return CredentialSettings(**given | changes)


def run(s: CredentialSettings, *answers: Response, both: bool = False) -> tuple[Token, list[Request]]:
    """The token, and what was sent for it."""
    flow, sent = log_in(s, URL, both=both), []
    try:
        request = next(flow)
        for each in answers:
            sent.append(request)
            request = flow.send(each)
    except StopIteration as end:
        return end.value, sent
    raise AssertionError("the login asks for more")


def test_a_token_lives_from_when_it_was_asked_for() -> None:
    """For as long as its two times lie apart, whatever our clock says; misspelt success is success."""
    token, (request,) = run(settings(), answer(TOKEN))
    assert (token.value.reveal(), token.lasts_s) == ("the-token", 600.0)
    assert (request.method, request.url, request.counts) == ("POST", f"{URL}/token", False)
    assert request.json == {"login": "me", "password": Secret("pass-1")}
    assert headers(settings(), token)["Authorization"].reveal() == "Bearer the-token"  # type: ignore[union-attr]
    assert set(headers(settings(), token)) == {"Authorization"}


def test_a_token_without_times_is_asked_itself() -> None:
    """A JWT's claims tell, else the configured life."""
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 100, "exp": 250}).encode()).decode().rstrip("=")
    assert run(settings(), answer({"token": f"eyJh.{claims}.sig"}))[0].lasts_s == 150.0
    assert run(settings(token_lifetime_fallback_s=77.0), answer({"token": "opaque"}))[0].lasts_s == 77.0


def test_a_cookie_is_a_token() -> None:
    """Its life is `Expires` by the answer's own `Date`, or the configured one."""
    s = settings(auth="cookie", token_lifetime_fallback_s=77.0)
    token, (request,) = run(s, answer({"sucess": True}, headers=SID))
    assert (request.url, token.lasts_s) == (URL, 300.0)
    assert headers(s, token)["Cookie"].reveal() == "sid=the-sid"  # type: ignore[union-attr]
    assert set(headers(s, token)) == {"Cookie"}
    assert run(s, raw_answer(b"OK", headers={"set-cookie": "sid=x"}))[0].lasts_s == 77.0
    with pytest.raises(Retry, match="sets no cookie sid"):
        run(s, answer({"sucess": True}))


def test_both_live_as_long_as_the_shorter_one() -> None:
    """A vendor that sets no cookie is no reason to do without the token."""
    token, sent = run(settings(), answer(TOKEN), answer({"sucess": True}, headers=SID), both=True)
    assert [request.url for request in sent] == [f"{URL}/token", URL]
    assert token.lasts_s == 300.0
    revealed = {name: value.reveal() for name, value in headers(settings(), token).items()}  # type: ignore[union-attr]
    assert revealed == {"Authorization": "Bearer the-token", "Cookie": "sid=the-sid"}
    assert "the-sid" not in repr(token)
    token, _ = run(settings(), answer(TOKEN), answer({"sucess": True}), both=True)
    assert (token.beside, token.lasts_s) == (None, 600.0)


def test_an_issued_token_is_used_as_it_is() -> None:
    """No request; it ends where it says so."""
    s = settings(auth="issued", token=Secret("made-by-hand", "env T"), login=None, password=None)
    token, sent = run(s)
    assert (token.value.reveal(), token.expires_ms, token.lasts_s, sent) == ("made-by-hand", None, None, [])


@pytest.mark.parametrize("auth", ["token", "cookie"])
@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_names_what_to_check(auth: str, status: int) -> None:
    """Where the password comes from, and never what it is."""
    with pytest.raises(Refused, match=r"check `login` and `password` \(from env PASS\)") as caught:
        run(settings(auth=auth), answer({"success": False, "message": "pass-1"}, status))
    assert "pass-1" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [{}, [], {"token": 5}, {"token": "a b"}, {"token": ""}, {**TOKEN, "expiresAt": 1_000_000}, {"token": "x" * 20_000}],
)
def test_an_answer_without_a_token_is_tried_again(body: Any) -> None:
    """It may be the vendor's bad day."""
    with pytest.raises(Retry, match="token"):
        run(settings(), answer(body))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"login": None}, "login"),
        ({"password": None}, "password"),
        ({"auth": "cookie", "login": ""}, "login"),
        ({"auth": "issued"}, "token"),
        ({"token": Secret("x")}, "token"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadSetting) as caught:
        settings(**changes)
    assert caught.value.key == (key,)
