"""Senders that prove themselves by a password: bearer tokens, a token in a header of its own, HTTP's basic scheme.

They sign nothing: whoever reads one request can send any other. Sources: RFC 6750 and RFC 7617; the CloudEvents webhook
specification 1.0.2, section 3 (which asks that `access_token` in the query is taken as well).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from bridge.core.hooks.refusal import Unverified
from bridge.core.secret import Secret

QUERY = "access_token"


def verify_token(
    tokens: Sequence[Secret],
    headers: Mapping[str, str],
    query: Mapping[str, str],
    *,
    header: str = "authorization",
    scheme: str = "Bearer",
    in_query: str = "",
) -> None:
    """Returns if the request shows one of the tokens: in `header`, behind `scheme`, or in the query as `in_query`.

    `scheme` "" is for a header that holds the token and nothing else; `in_query` "" takes none from the query. Raises
    Unverified, also for a request that shows tokens in both places.
    """
    shown = headers.get(header, "").strip()
    asked = query.get(in_query, "") if in_query else ""
    if shown and asked:
        raise Unverified("a token in the header and another in the query")
    if shown:
        given = _behind(scheme, shown)
    elif asked:
        given = asked
    else:
        raise Unverified(f"the header {header} is missing")
    if not _is_one_of(given, [token.reveal() for token in tokens]):
        raise Unverified("the token is none that is configured here")


def verify_basic(user: str, passwords: Sequence[Secret], headers: Mapping[str, str]) -> None:
    """Returns if the request shows `user` and one of the passwords by HTTP's basic scheme. Raises Unverified."""
    shown = headers.get("authorization", "").strip()
    if not shown:
        raise Unverified("the header authorization is missing")
    try:
        given = base64.b64decode(_behind("Basic", shown).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise Unverified("the header authorization is not base64") from None
    pairs = [f"{user}:{password.reveal()}" for password in passwords if password]
    if not _is_one_of(given.decode("utf-8", "surrogateescape"), pairs):
        raise Unverified("user and password are none that are configured here")


def _behind(scheme: str, shown: str) -> str:
    if not scheme:
        return shown
    name, _, rest = shown.partition(" ")
    if name.lower() != scheme.lower():
        raise Unverified(f"expected the scheme {scheme}")
    return rest.strip()


def _is_one_of(given: str, known: Sequence[str]) -> bool:
    """Takes as long whatever is given: digests are compared, which are all of one length."""
    digest = _digest(given)
    matches = False
    for one in known:
        matches |= bool(one) and hmac.compare_digest(digest, _digest(one))
    return matches


def _digest(text: str) -> bytes:
    # Any text must be told apart from any other: "surrogatepass" is injective.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
