"""OAuth 2.0 client credentials (RFC 6749, 4.4) as a login flow, with the token URL found by OpenID discovery.

The client's secret goes to the configured issuer and nowhere else: neither a discovery document nor a redirect can
send it to another host. Texts quote nothing of an answer but the names of hosts.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from bridge.core.answer import check, server_ms
from bridge.core.errors import Refused, Retry
from bridge.core.facts import Request, Response, Token
from bridge.core.fields import LAST_MS, kind
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting, BaseSettings, setting
from bridge.core.url import host_of, printable, problem

WELL_KNOWN = "/.well-known/openid-configuration"
LONGEST_TOKEN = 16_384
"""Characters; no server takes a longer header."""
LONGEST_LIFE_S = 10 * 365 * 86_400
"""A token that claims to live longer than ten years claims nonsense."""

# RFC 6749, 5.2. What none of these explains may be any of them.
_CODES = {
    "invalid_client": "the client is not known, or its secret is wrong: check `client_id` and `client_secret`",
    "invalid_grant": "the grant is not accepted: check `client_id` and `client_secret`",
    "unauthorized_client": "the client may not use client credentials: ask the vendor to allow it to `client_id`",
    "unsupported_grant_type": "client credentials are not supported: check `issuer` and `token_url`",
    "invalid_scope": "the scope is not accepted: check `scope`",
    "invalid_request": "the request is not understood: check `token_request_encoding` and `scope`",
}
_REST = "check `client_id`, `client_secret`, `issuer`, `token_url`, `scope` and `token_request_encoding`"


@dataclass(frozen=True, kw_only=True)
class OAuthSettings(BaseSettings):
    """The keys of every source that logs in by client credentials."""

    client_id: str = setting(doc="the OAuth client's id")
    client_secret: Secret = setting(doc="the OAuth client's secret")
    issuer: str | None = setting(None, doc="base address of the OpenID provider; it tells the token URL")
    token_url: str | None = setting(None, doc="where tokens are issued; set, nothing is discovered")
    token_hosts: list[str] = setting([], doc="hosts beside the issuer's that may be sent the secret: host or host:port")
    scope: str | None = setting(None, doc="the scope to ask for; default: none is sent", inferred=True)
    token_request_encoding: Literal["form", "json"] = setting("form", doc="how the request is spelled", inferred=True)
    token_lifetime_fallback_s: float = setting(
        600.0, doc="lifetime of a token whose answer tells none", inferred=True, at_least=1
    )

    def __post_init__(self) -> None:
        if not self.issuer and not self.token_url:
            raise BadSetting("nothing says where tokens are issued: set `issuer` or `token_url`")
        if self.issuer and (problem(self.issuer, allow_plain=True) or re.search("[?#]", self.issuer)):
            raise BadSetting("expected an address such as https://accounts.example.com", "issuer")


def client_credentials(s: OAuthSettings) -> Generator[Request, Response, Token]:
    """The login flow: at most two requests, neither of which counts against the API's quota.

    Raises Refused for what only an operator can change, and Retry or Throttled for the rest.
    """
    url = s.token_url
    if not url:
        document = f"{(s.issuer or '').rstrip('/')}{WELL_KNOWN}"
        url = _discovered(s, (yield Request("GET", document, counts=False, redirects=True)))
    given: dict[str, str | Secret] = {
        "grant_type": "client_credentials", "client_id": s.client_id, "client_secret": s.client_secret,
    }  # fmt: skip
    if s.scope:
        given["scope"] = s.scope
    if s.token_request_encoding == "json":  # noqa: S105 - no secret, a spelling
        request = Request("POST", url, json=given, counts=False, redirects=True)
    else:
        request = Request("POST", url, form=given, counts=False, redirects=True)
    return _token(s, (yield request), f"token request to {host_of(url)}")


def _discovered(s: OAuthSettings, response: Response) -> str:
    issuer = s.issuer or ""
    what = f"OpenID configuration of {host_of(issuer)}"
    _no_redirect(response, what)
    if response.status in (401, 403, 404, 410):
        raise Refused(f"{what}: answered with HTTP status {response.status}; check `issuer`, or set `token_url`")
    found = _object(response, what)
    named, url = found.get("issuer"), found.get("token_endpoint")
    if not isinstance(named, str):
        raise Retry(f"{what}: issuer is {kind(named)}, expected text: this is no OpenID configuration")
    if named.rstrip("/") != issuer.rstrip("/") and (why := _distrust(s, named)):
        raise Refused(f"{what}: it calls itself by another name, and {why}; check `issuer`")
    if not isinstance(url, str):
        raise Refused(f"{what}: token_endpoint is {kind(url)}, expected text; set `token_url`")
    if why := _distrust(s, url):
        raise Refused(f"{what}: its token endpoint is not to be trusted, as {why}; nothing was sent there")
    return url


def _distrust(s: OAuthSettings, url: str) -> str:
    """Why the secret must not go to this address; "" if it may."""
    ours = urlsplit(s.issuer or "")
    if problem(url, allow_plain=True) or "#" in url:
        return "it is no address such as https://host/path"
    theirs = urlsplit(url)
    if theirs.scheme != ours.scheme and theirs.scheme != "https":
        return f"it would send the secret unencrypted to {host_of(url)}"
    if _host(url) == _host(s.issuer or "") or _host(url) in (host.lower() for host in s.token_hosts):
        return ""
    return (
        f"its host is {_shown(_host(url))} and the issuer's is {_shown(_host(s.issuer or ''))}: if that is "
        "right, add the host to `token_hosts`"
    )


def _host(url: str) -> str:
    """`host`, with its port unless that is the scheme's own. For comparing: letter by letter what the URL says."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return f"{(parts.hostname or '').lower()}{port}"


def _shown(host: str) -> str:
    """For texts: with other letters than ASCII's by their numbers, so that two hosts never look the same."""
    return printable(host.encode("ascii", "backslashreplace").decode())


def _token(s: OAuthSettings, response: Response, what: str) -> Token:
    _no_redirect(response, what)
    if 400 <= response.status <= 499 and response.status not in (408, 425, 429):
        code = response.json.get("error") if isinstance(response.json, dict) else None
        advice = _CODES.get(code) if isinstance(code, str) else None
        origin = f" (the secret is from {s.client_secret.origin})" if s.client_secret.origin else ""
        named = f", {code}: {advice}" if advice else f": {_REST}"
        raise Refused(f"{what}: refused with HTTP status {response.status}{named}{origin}")
    found = _object(response, what)
    type_ = found.get("token_type")
    if type_ is not None and not (isinstance(type_, str) and type_.lower() == "bearer"):
        raise Refused(f"{what}: the token is not of type Bearer, and we know no other; ask the vendor")
    value = found.get("access_token")
    if not isinstance(value, str) or not value:
        raise Retry(f"{what}: access_token is {'empty' if value == '' else kind(value)}, expected text")
    if len(value) > LONGEST_TOKEN:
        raise Retry(f"{what}: access_token has {len(value)} characters, expected at most {LONGEST_TOKEN}")
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise Retry(f"{what}: access_token holds a character that no header may hold")
    return Token(Secret(value, "the access token"), lasts_s=_lasts_s(s, found, response, what))


def _lasts_s(s: OAuthSettings, found: dict[str, Json], response: Response, what: str) -> float:
    """Seconds until it expires: at `created_at + expires_in` by the server's own clock, else `expires_in` from now.

    Servers differ in what `expires_in` counts from, `created_at` or now (RFC 6749, 5.1). Where the first would mean
    that a token was issued after its end, it is the second.
    """
    life = found.get("expires_in")
    if life is None:
        return s.token_lifetime_fallback_s
    if isinstance(life, bool) or not isinstance(life, (int, float)):
        raise Retry(f"{what}: expires_in is {kind(life)}, expected seconds")
    if not 0 < life <= LONGEST_LIFE_S:
        raise Retry(f"{what}: expires_in is not within 0 to {LONGEST_LIFE_S} seconds")
    created, now_ms = found.get("created_at"), server_ms(response.headers)
    if now_ms is None or isinstance(created, bool) or not isinstance(created, (int, float)):
        return float(life)
    if not 0 <= created <= LAST_MS / 1000:
        return float(life)
    left = created + life - now_ms / 1000
    return float(left) if 0 < left <= life else float(life)


def _no_redirect(response: Response, what: str) -> None:
    if 300 <= response.status <= 399:
        target = host_of(response.headers.get("location", "")) or "another path of the same host"
        raise Refused(
            f"{what}: answered with a redirect (HTTP status {response.status}) to {target}, which is not followed; "
            "check `issuer` and `token_url`"
        )


def _object(response: Response, what: str) -> dict[str, Json]:
    check(response, what)
    if response.problem:
        raise Retry(f"{what}: the answer is not JSON ({response.problem})")
    if not isinstance(response.json, dict):
        raise Retry(f"{what}: the answer is {kind(response.json)}, expected an object")
    return response.json
