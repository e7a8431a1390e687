"""The X-Assist sandbox's OAuth 2.0 server: client credentials, opaque tokens, and its discovery document.

Answers have the shape of the Doorkeeper library's, which the vendor's page shows signs of: `created_at` and
`expires_in` beside the standard fields.
"""

from __future__ import annotations

import base64
import random
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.sandbox.delivery import Exchange
from bridge.sandbox.ledger import Clock

TOKEN_PATH = "/oauth/token"  # noqa: S105  # a path
DISCOVERY_PATH = "/.well-known/openid-configuration"


class NotAccepted(Exception):
    """A token that opens nothing. `expired`: it once did."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class OAuth:
    """Issues and checks tokens. `clients` maps client ids to secrets."""

    def __init__(self, rng: random.Random, clock: Clock, clients: Mapping[str, str]) -> None:
        self._rng = rng
        self._clock = clock
        self.clients = clients
        self.counters: Counter[str] = Counter()
        self._tokens: dict[str, tuple[str, float | None]] = {}

    def discovery(self, base_url: str) -> dict[str, Any]:
        """The OpenID configuration."""
        return {
            "issuer": base_url,
            "token_endpoint": base_url + TOKEN_PATH,
            "authorization_endpoint": f"{base_url}/oauth/authorize",
            "jwks_uri": f"{base_url}/oauth/discovery/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }

    async def issue(self, exchange: Exchange, body: bytes, lifetime_s: float | None, *, garbage: bool = False) -> None:
        """Answer a token request: form or JSON, credentials in the body or by HTTP Basic."""
        self.counters["login_requests"] += 1
        status, answer = self._issued(exchange.headers, body, lifetime_s)
        if garbage:
            answer = {"access_token": {"no": "text"}, "expires_in": "soon", "created_at": None}
        headers = {"cache_control": "no-store"} | ({} if status != 401 else {"www_authenticate": 'Basic realm="oauth"'})
        await exchange.deliver(msgspec.json.encode(answer), status=status, beside=headers)

    def check(self, token: str) -> tuple[str, float | None]:
        """The client a token belongs to, and when it expires (ms). Raises NotAccepted."""
        if token not in self._tokens:
            self.counters["invalid_tokens"] += 1
            raise NotAccepted("The access token is invalid")
        client, expires_ms = self._tokens[token]
        if expires_ms is not None and expires_ms <= self._clock():
            self.counters["expired_tokens"] += 1
            raise NotAccepted("The access token expired", expired=True)
        return client, expires_ms

    def revoke(self) -> None:
        """Every token issued so far is invalid from now on."""
        self._tokens.clear()

    def _issued(self, headers: Mapping[str, str], body: bytes, lifetime_s: float | None) -> tuple[int, dict[str, Any]]:
        asked = _fields(headers, body)
        if asked.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type", "error_description": "The grant type is not supported."}
        client = asked.get("client_id", "")
        if self.clients.get(client) != asked.get("client_secret") or client not in self.clients:
            return 401, {"error": "invalid_client", "error_description": "Client authentication failed."}
        self.counters["logins"] += 1
        token = base64.urlsafe_b64encode(self._rng.randbytes(32)).decode().rstrip("=")
        created = self._clock() // 1000
        # A lifetime below a second exists in tests only; the answer can say no less than whole seconds.
        expires_ms = None if lifetime_s is None else (created * 1000) + lifetime_s * 1000
        self._tokens[token] = client, expires_ms
        answer = {"access_token": token, "token_type": "Bearer", "scope": "public", "created_at": created}
        if lifetime_s is not None:
            answer["expires_in"] = int(lifetime_s) if float(lifetime_s).is_integer() else lifetime_s
        return 200, answer


def _fields(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    if "json" in headers.get("content-type", ""):
        try:
            data = msgspec.json.decode(body)
        except msgspec.DecodeError:
            data = None
        asked = {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
    else:
        asked = dict(urllib.parse.parse_qsl(body.decode("latin-1")))
    scheme, _, basic = headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        try:
            name, _, secret = base64.b64decode(basic, validate=True).decode().partition(":")
        except ValueError:
            return asked
        asked |= {"client_id": urllib.parse.unquote_plus(name), "client_secret": urllib.parse.unquote_plus(secret)}
    return asked
