"""The AgyleTime sandbox's credentials: an access key with its secret, and the HS256 JWTs handed out for them."""

from __future__ import annotations

import base64
import math
import random
from collections import Counter
from typing import Any

import jwt

from bridge.sandbox.agyletime_options import Options


class NotAccepted(Exception):
    """A request without credentials, or with such as open nothing (401)."""


class Tokens:
    """Issues and checks JWTs.

    `counters`: `login_requests`, `logins`, `logins_refused`, `unauthorized` and, of those, `expired_tokens`.
    """

    def __init__(self, rng: random.Random, options: Options) -> None:
        self.key_id = f"AGY{rng.getrandbits(64):016X}"
        self.secret = f"agy-secret-{rng.getrandbits(128):032x}"
        self.counters: Counter[str] = Counter()
        self._options = options
        self._signing = f"{rng.getrandbits(256):064x}"
        self._issued = 0
        self._valid_from = 1

    def known(self, authorization: str) -> bool:
        """Whether a header is HTTP Basic with the key and its secret. Counts the attempt."""
        self.counters["login_requests"] += 1
        scheme, _, given = authorization.partition(" ")
        try:
            pair = base64.b64decode(given, validate=True).decode() if scheme == "Basic" else ""
        except ValueError:
            pair = ""
        right = pair == f"{self.key_id}:{self.secret}"
        self.counters["logins" if right else "logins_refused"] += 1
        return right

    def issue(self) -> dict[str, Any]:
        """`data` of the answer to a login."""
        options = self._options
        self._issued += 1
        if options.alone:
            self._valid_from = self._issued
        now: float = options.clock() / 1000 + options.clock_off_s
        life = options.token_s
        # Shorter than whole seconds can say: the standard allows fractions.
        begun = now if life is not None and not float(life).is_integer() else math.floor(now)
        ends = None if life is None else begun + life
        claims: dict[str, Any] = {"organisation_id": 77, "iat": begun, "jti": str(self._issued)}
        if ends is not None:
            claims["end" if not options.token_exp else "exp"] = ends
        found: dict[str, Any] = {"accessToken": jwt.encode(claims, self._signing, algorithm="HS256")}
        if life is not None and options.token_says:
            found[options.token_says] = life
        return {**found, "tokenType": "Bearer"}

    def admit(self, authorization: str) -> None:
        """Returns if a header is `Bearer` with a JWT that is ours and valid now. Raises NotAccepted."""
        scheme, _, text = authorization.partition(" ")
        try:
            self._check(text if scheme == "Bearer" else "")
        except NotAccepted:
            self.counters["unauthorized"] += 1
            raise

    def revoke(self) -> None:
        """Every token issued so far is refused from now on."""
        self._valid_from = self._issued + 1

    def _check(self, text: str) -> None:
        try:
            # Times are compared below, by the sandbox's clock.
            options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims = jwt.decode(text, self._signing, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError as problem:
            raise NotAccepted("jwt malformed or signature wrong") from problem
        if int(claims["jti"]) < self._valid_from:
            raise NotAccepted("jwt revoked")
        ends = claims.get("exp", claims.get("end"))
        if ends is not None and ends <= self._options.clock() / 1000 + self._options.clock_off_s:
            self.counters["expired_tokens"] += 1
            raise NotAccepted("jwt expired")
