"""Reads a JWT's claims without verifying it: the bridge wants to know when to renew, not whom to trust.

The layout is RFC 7519's: three base64url parts joined by dots, the middle one a JSON object.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from bridge.core.answer import server_ms
from bridge.core.errors import Retry
from bridge.core.facts import Response, Token
from bridge.core.record import Json
from bridge.core.secret import Secret

LONGEST = 65_536
"""A token longer than this (characters) is not read: no HTTP header would carry it."""

LATEST_S = 253_402_300_799
"""The last second of the year 9999."""


def claims(token: str) -> Mapping[str, Json]:
    """The claims of a JWT; empty for anything that is not one (an opaque token is no error)."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        return {}
    try:
        # Padding is left off in a JWT; base64 wants it back.
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def times(token: str) -> tuple[int | None, int | None]:
    """When it was issued (`iat`) and when it expires (`exp`), in milliseconds since the Unix epoch.

    None for a claim that is absent or cannot be a point in time.
    """
    found = claims(token)
    return _ms(found.get("iat")), _ms(found.get("exp"))


def _ms(value: Json) -> int | None:
    # The comparison also keeps out NaN and both infinities; RFC 7519 allows fractions of a second.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LATEST_S:
        return int(value * 1000)
    return None


def token(value: Json, response: Response, fallback_s: float, **facts: Json) -> Token:
    """The token that a login answered with; its times as far as the claims and the vendor's clock tell.

    `fallback_s` is the lifetime of a token without `exp`, counted from `iat` or from the answer's `Date`. Of `facts`
    those are kept that are texts and not empty. Raises Retry when `value` is no token.
    """
    if not isinstance(value, str) or not value:
        raise Retry("the answer to the login holds no token")
    issued, expires = times(value)
    if issued is None:
        issued = server_ms(response.headers)
    if expires is None and issued is not None:
        expires = issued + round(fallback_s * 1000)
    known = {name: fact for name, fact in facts.items() if isinstance(fact, str) and fact}
    return Token(Secret(value, "the JWT"), issued, expires, known)
