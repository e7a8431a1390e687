"""Logins with an access key by HTTP Basic: what is sent, how long the token lives, and whatever the answer may be."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.core import access_key
from bridge.core.errors import BridgeError, Refused, Retry, Throttled
from bridge.core.facts import Request, Response, Token
from bridge.core.secret import Secret
from tests.support.answers import answer, raw_answer

URL = "https://acme.example.com/api/authority/token"
SECRET = Secret("key-secret-0001", "env AGYLETIME_SECRET")
NOW = 1_704_110_400
DATE = {"date": "Mon, 01 Jan 2024 12:00:00 GMT"}


def jwt(**claims: Any) -> str:
    parts = ({"alg": "HS256"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "s"]
    )


def asked(form: dict[str, str | Secret] | None = None) -> Request:
    request: Request = next(flow(form))
    return request


def flow(form: dict[str, str | Secret] | None = None) -> Any:
    return access_key.log_in(URL, "AGY01", SECRET, form=form, lives=("expiresIn", "expireIn"), fallback_s=300.0)


def logged_in(response: Response) -> Token:
    """The token, or whatever is raised."""
    running = flow()
    next(running)
    with pytest.raises(StopIteration) as end:
        running.send(response)
    token = end.value.value
    assert isinstance(token, Token)
    return token


def issued(headers: Mapping[str, str] = DATE, **data: Any) -> Response:
    return answer({"status": "success", "result": 0, "data": data}, 200, headers)


def test_what_is_sent() -> None:
    """One POST with Basic, that costs nothing of the quota and follows nowhere; a body only if there is one to send."""
    request = asked()
    authorization = request.headers["Authorization"]
    assert isinstance(authorization, Secret)
    assert authorization.reveal() == "Basic " + base64.b64encode(b"AGY01:key-secret-0001").decode()
    assert (request.method, request.url, request.counts, request.redirects) == ("POST", URL, False, True)
    assert (request.form, request.json) == (None, None)
    assert asked({"grant_type": "client_credentials"}).form == {"grant_type": "client_credentials"}
    assert "key-secret-0001" not in repr(request)
    assert "S0wMDAx" not in repr(request)


@pytest.mark.parametrize(
    ("data", "lasts_s"),
    [
        ({"accessToken": "opaque", "expiresIn": 900}, 900.0),
        ({"accessToken": "opaque", "expireIn": 60}, 60.0),
        ({"accessToken": "opaque", "expiresIn": "900"}, 900.0),
        ({"accessToken": "opaque"}, 300.0),
        ({"accessToken": "opaque", "expiresIn": None}, 300.0),
        ({"accessToken": "opaque", "expiresIn": "soon"}, 300.0),
        ({"accessToken": jwt(iat=5, exp=905)}, 900.0),
        # The vendor's clock is an hour ahead, or ours is behind: only the difference counts.
        ({"accessToken": jwt(iat=NOW + 3600, exp=NOW + 4500)}, 900.0),
        ({"accessToken": jwt(iat=5, exp=905), "expiresIn": 600}, 600.0),
        ({"accessToken": jwt(iat=5, exp=405), "expiresIn": 600}, 400.0),
        # Without `iat` it counts from the vendor's own Date.
        ({"accessToken": jwt(exp=NOW + 120)}, 120.0),
        ({"accessToken": jwt(iat=5)}, 300.0),
        ({"accessToken": jwt(iat=5, exp="never")}, 300.0),
        ({"accessToken": "opaque", "expiresIn": 1e12}, 10 * 365 * 86_400.0),
    ],
)
def test_how_long_it_lasts(data: dict[str, Any], lasts_s: float) -> None:
    """The shortest life that anything tells of; a cautious one where nothing does."""
    token = logged_in(issued(**data))
    assert (token.lasts_s, token.issued_ms, token.expires_ms) == (lasts_s, None, None)
    assert token.value.bare() == data["accessToken"]
    assert data["accessToken"] not in repr(token)


@pytest.mark.parametrize(
    ("response", "error", "says"),
    [
        (answer({"status": "error", "code": "Unauthorized", "message": "x"}, 401), Refused, "AGYLETIME_SECRET"),
        (answer({}, 403), Refused, "check the access key"),
        (answer({}, 400), Refused, "check the access key"),
        (answer({}, 404), Refused, "`token_path`"),
        (answer({}, 405), Refused, "`token_path`"),
        (answer({}, 429, {"retry-after": "9"}), Throttled, "quota"),
        (answer({}, 503), Retry, "503"),
        # A token endpoint that answers 200 to everything.
        (answer({"status": "error", "result": "Unauthorized", "message": "x"}), Refused, "under HTTP status 200"),
        (answer({"status": "error", "result": "InternalError", "message": "x"}), Retry, "token request"),
        (answer({"status": "error", "message": "x"}), Retry, "token request"),
        (raw_answer(b"<!DOCTYPE html><html></html>"), Retry, "not JSON"),
        (raw_answer(b'{"status": "succ'), Retry, "not JSON"),
        (raw_answer(b"", 204), Retry, "data is null, expected an object"),
        (issued(), Retry, "no token"),
        (issued(accessToken={"no": "text"}), Retry, "no token"),
        (issued(accessToken="two words"), Retry, "no token"),
        (issued(accessToken="x" * 20_000), Retry, "no token"),
        (issued(accessToken="opaque", expiresIn=0), Retry, "expires"),
        (issued(accessToken=jwt(iat=900, exp=5)), Retry, "expires 895 s before it is issued"),
        (raw_answer(b"", 302, {"location": "https://elsewhere.example/x"}), Refused, r"to elsewhere\.example"),
        (raw_answer(b"", 308, {"location": "/other"}), Refused, "another path of the same host"),
    ],
)  # fmt: skip
def test_whatever_the_answer_is(response: Response, error: type[BridgeError], says: str) -> None:
    """It is an error that says what to do, and holds nothing of the credentials."""
    running = flow()
    next(running)
    with pytest.raises(error, match=says) as caught:
        running.send(response)
    assert "acme.example.com" in str(caught.value)
    for hidden in ("key-secret-0001", "AGY01", "opaque"):
        assert hidden not in f"{caught.value!r} {caught.value.__cause__!r}"
