"""NATS identities for tests: nkeys, and a whole operator with an account and users, signed on the spot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

import nkeys  # type: ignore[import-untyped]


def _seed(kind: int) -> str:
    return bytes(nkeys.encode_seed(os.urandom(32), kind)).decode()


def _public(seed: str) -> str:
    return str(nkeys.from_seed(bytearray(seed.encode())).public_key.decode())


def user_seed() -> str:
    """A fresh user seed (`SU…`)."""
    return _seed(nkeys.PREFIX_BYTE_USER)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _token(issuer_seed: str, subject: str, name: str, claims: dict[str, Any], lives_s: float | None = None) -> str:
    body: dict[str, Any] = {
        "iss": _public(issuer_seed),
        "sub": subject,
        "name": name,
        "iat": int(time.time()),
        "nats": {"version": 2, **claims},
    }
    if lives_s is not None:
        body["exp"] = int(time.time() + lives_s)
    digest = hashlib.sha512(json.dumps(body, separators=(",", ":")).encode()).digest()[:32]
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(body)}"
    signature = nkeys.from_seed(bytearray(issuer_seed.encode())).sign(signed.encode())
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class Operator:
    """An operator with one account. `config()` goes into the server, `creds()` is a user's credentials file."""

    def __init__(self) -> None:
        self._operator = _seed(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = _seed(nkeys.PREFIX_BYTE_ACCOUNT)
        nothing = -1
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), nothing)
        account = {"type": "account", "limits": {**limits, "wildcards": True}}
        self._operator_jwt = _token(self._operator, _public(self._operator), "operator", {"type": "operator"})
        self._account_jwt = _token(self._operator, _public(self._account), "account", account)

    def config(self) -> str:
        """The server's part: operator, resolver, the account."""
        preload = f"{_public(self._account)}: {self._account_jwt}"
        return f"operator: {self._operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {preload} }}\n"

    def creds(self, lives_s: float | None = None) -> str:
        """A new user's credentials file; the JWT expires after `lives_s` seconds (None: never)."""
        seed = user_seed()
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        jwt = _token(self._account, _public(seed), "bridge", claims, lives_s)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
