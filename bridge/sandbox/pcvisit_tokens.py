"""The pcvisit sandbox's credentials: API tokens, and the RS256 JWTs handed out for them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from bridge.sandbox.ledger import Clock


@dataclass(frozen=True, slots=True)
class User:
    """A user who gave consent: what their token opens. The first company is the one named at login."""

    id: str
    token: str
    companies: tuple[str, ...]


class NotAccepted(Exception):
    """A JWT that opens nothing. `expired`: it once did."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class Tokens:
    """Issues and checks JWTs. `users` and `integrators` map API tokens to users and to integrators' names."""

    def __init__(self, clock: Clock, users: Mapping[str, User], integrators: Mapping[str, str]) -> None:
        self._clock = clock
        self.users = users
        self.integrators = integrators
        self.issued = 0
        self._revoked_up_to = 0

    def issue(self, user: User, integrator: str, lifetime_s: float | None) -> str:
        """A JWT for this user. `lifetime_s` None leaves `exp` out: it is then valid until revoked."""
        self.issued += 1
        now = self._clock() / 1000
        claims: dict[str, Any] = {
            "sub": user.id,
            "customerUuid": user.companies[0],
            "companies": list(user.companies),
            "integrator": integrator,
            "jti": str(self.issued),
        }
        if lifetime_s is None or float(lifetime_s).is_integer():
            claims["iat"] = math.floor(now)
        else:  # shorter than whole seconds can say: the standard allows fractions
            claims["iat"] = now
        if lifetime_s is not None:
            claims["exp"] = claims["iat"] + (int(lifetime_s) if isinstance(claims["iat"], int) else lifetime_s)
        return jwt.encode(claims, _key(), algorithm="RS256")

    def check(self, token: str) -> Mapping[str, Any]:
        """The claims of a JWT that is ours and valid now. Raises NotAccepted for any other."""
        try:
            # Times are checked below, by the sandbox's clock.
            claims = jwt.decode(
                token,
                _key().public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError as problem:
            raise NotAccepted("jwt malformed or signature wrong") from problem
        if int(claims["jti"]) <= self._revoked_up_to:
            raise NotAccepted("jwt revoked")
        if "exp" in claims and claims["exp"] * 1000 <= self._clock():
            raise NotAccepted("jwt expired", expired=True)
        return claims

    def revoke(self) -> None:
        """Every JWT issued so far is invalid from now on."""
        self._revoked_up_to = self.issued


@functools.cache
def _key() -> RSAPrivateKey:
    # One per process: making it takes longer than many a test.
    return generate_private_key(public_exponent=65537, key_size=2048)
