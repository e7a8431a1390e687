"""Logins that send a login and a password as JSON, and are answered with a token and its times, or a session cookie.

What a login means is decided by the HTTP status alone: what the body says of success is spelled in more than one way.
No login counts against the API's quota, and texts quote nothing of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Literal

from bridge.core import jwt
from bridge.core.answer import body, check
from bridge.core.cookie import Cookie, cookie
from bridge.core.errors import Refused, Retry, Unauthorized
from bridge.core.facts import Request, Response, Token
from bridge.core.fields import known_millis
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting, BaseSettings, setting
from bridge.core.url import place

SESSION = "sid"
"""The usual name of a session's cookie."""
LONGEST_TOKEN = 16_384
"""Characters; no server takes a longer header."""
LONGEST_LIFE_S = 10 * 365 * 86_400.0

Step = Generator[Request, Response, Token]


@dataclass(frozen=True, kw_only=True)
class CredentialSettings(BaseSettings):
    """The keys of every source that logs in with a login and a password, or uses a token that people made."""

    auth: Literal["token", "cookie", "issued"] = setting(
        "token", doc="log in for a token, or for a session cookie; issued: use `token` as it is"
    )
    login: str | None = setting(None, doc="the user's login; take a user without a second factor")
    password: Secret | None = setting(None, doc="the user's password")
    token: Secret | None = setting(None, doc="a token issued by hand, for auth = issued")
    token_lifetime_fallback_s: float = setting(
        3600.0, doc="lifetime of a login whose answer tells none", inferred=True, at_least=1
    )

    def __post_init__(self) -> None:
        for key in ("token",) if self.auth == "issued" else ("login", "password"):
            if getattr(self, key) in (None, ""):
                raise BadSetting(f"the key {key} is missing: auth = {self.auth} needs it", key)
        if self.auth != "issued" and self.token is not None:
            raise BadSetting("is used only with auth = issued: remove it, or login and password", "token")

    @property
    def who(self) -> str:
        """Names whose credentials these are, and tells no secret."""
        return f"{self.login or ''} {self.token.fingerprint() if self.token else ''}"


def log_in(s: CredentialSettings, url: str, *, both: bool = False) -> Step:
    """The login flow at `url`, where the cookie is set; tokens are issued at `/token` below it.

    `both`: with a token, log in for the cookie as well, if there is one.
    """
    login, password, fallback_s = s.login or "", s.password or Secret(""), s.token_lifetime_fallback_s
    if s.auth == "issued":
        return issued(s.token or Secret(""))
    if s.auth == "cookie":
        return by_cookie(url, login, password, SESSION, fallback_s)
    step = by_token(f"{url}/token", login, password, fallback_s)
    return with_cookie(step, url, login, password, SESSION) if both else step


def headers(s: CredentialSettings, token: Token) -> dict[str, str | Secret]:
    """What authenticates a request: the token, or the cookie, or both where both are known."""
    if s.auth == "cookie":
        return {"Cookie": token.value}
    bearer: dict[str, str | Secret] = {"Authorization": token.value.prefixed("Bearer ")}
    return bearer if token.beside is None else {**bearer, "Cookie": token.beside}


def by_token(url: str, login: str, password: Secret, fallback_s: float) -> Step:
    """A login answered with `{"token", "issuedAt", "expiresAt"}`, the times in milliseconds since the Unix epoch.

    Its life is their difference, counted from when we asked: no clock of ours is compared with theirs. Where a time
    is missing a JWT's own claims tell, else it is `fallback_s`. Raises Refused, Retry, Throttled.
    """
    response = yield _request(url, login, password)
    what = f"login at {place(url)}"
    _accepted(response, what, password)
    found = body(response, what)
    value = found.get("token") if isinstance(found, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value) or len(value) > LONGEST_TOKEN:
        raise Retry(f"{what}: the answer holds no token that a header can carry")
    issued, expires = known_millis(found, "issuedAt"), known_millis(found, "expiresAt")
    if issued is None or expires is None:
        issued, expires = jwt.times(value)
    if issued is None or expires is None:
        return Token(Secret(value, "the access token"), lasts_s=fallback_s)
    lasts_s = (expires - issued) / 1000
    if lasts_s <= 0:
        raise Retry(f"{what}: the token expires {-lasts_s:g} s before it is issued")
    return Token(Secret(value, "the access token"), lasts_s=min(lasts_s, LONGEST_LIFE_S))


def by_cookie(url: str, login: str, password: Secret, name: str, fallback_s: float) -> Step:
    """A login answered with the cookie `name`; the token's value is `name=…`, for the header `Cookie`.

    `fallback_s` is the life of a cookie that tells none. Raises Refused, Retry, Throttled.
    """
    found = yield from _cookie(url, login, password, name)
    if found is None:
        raise Retry(f"login at {place(url)}: the answer sets no cookie {name}")
    return Token(found.value, lasts_s=fallback_s if found.lasts_s is None else found.lasts_s)


def with_cookie(step: Step, url: str, login: str, password: Secret, name: str) -> Step:
    """The token of `step`, and `beside` it the cookie of a second login, if that sets one. The shorter life counts."""
    token = yield from step
    found = yield from _cookie(url, login, password, name)
    if found is None:
        return token
    lives = [lasts_s for lasts_s in (token.lasts_s, found.lasts_s) if lasts_s is not None]
    return replace(token, beside=found.value, lasts_s=min(lives, default=None))


def _cookie(url: str, login: str, password: Secret, name: str) -> Generator[Request, Response, Cookie | None]:
    response = yield _request(url, login, password)
    _accepted(response, f"login at {place(url)}", password)
    return cookie(response.headers, name)


def issued(token: Secret) -> Step:
    """No login at all: a token that people made. It lasts as long as it says if it is a JWT, else for ever."""
    yield from ()
    issued_ms, expires_ms = jwt.times(token.bare())
    return Token(token, issued_ms, expires_ms)


def _request(url: str, login: str, password: Secret) -> Request:
    return Request("POST", url, json={"login": login, "password": password}, counts=False)


def _accepted(response: Response, what: str, password: Secret) -> None:
    origin = f" (from {password.origin})" if password.origin else ""
    advice = f"check `login` and `password`{origin}, and whether the user logs in with a second factor"
    try:
        check(response, what)
    except Unauthorized:
        raise Refused(f"{what}: refused with HTTP status {response.status}; {advice}") from None
    except Refused as error:
        if response.status in (400, 422):
            raise Refused(f"{what}: refused with HTTP status {response.status}; {advice}") from None
        raise error from None
