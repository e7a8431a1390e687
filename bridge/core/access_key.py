"""Logins with an access key: its id and its secret by HTTP Basic (RFC 7617), answered with a JWT in an envelope.

There is nothing to refresh: a new token is a new login. How long a token lives is told by differences of the vendor's
own times, so that no clock of ours is compared with theirs. Texts quote nothing of an answer.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Final

from bridge.core import jsend, jwt
from bridge.core.answer import server_ms
from bridge.core.errors import Refused, Retry, Unauthorized
from bridge.core.facts import Request, Response, Token
from bridge.core.fields import kind
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.url import host_of, place

LONGEST_TOKEN: Final = 16_384
"""Characters; no server takes a longer header."""
LONGEST_LIFE_S: Final = 10 * 365 * 86_400.0
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


def basic(user: str, password: Secret) -> Secret:
    """The value of the header `Authorization`."""
    pair = f"{user}:{password.bare()}".encode("utf-8", "surrogatepass")
    return Secret(base64.b64encode(pair).decode("ascii"), password.origin, prefix="Basic ")


def log_in(
    url: str,
    key_id: str,
    secret: Secret,
    *,
    form: Mapping[str, str | Secret] | None,
    lives: Sequence[str],
    fallback_s: float,
) -> Generator[Request, Response, Token]:
    """The login flow at `url`: one request, which does not count against the API's quota.

    `form`: a body to send; None: none. The answer holds `data.accessToken`, and its life in seconds under one of
    `lives`; else the JWT's claims tell it, else it is `fallback_s`. Raises Refused for what only an operator can
    change, and Retry or Throttled for the rest.
    """
    what = f"token request to {place(url)}"
    headers: dict[str, str | Secret] = {"Authorization": basic(key_id, secret)}
    response = yield Request("POST", url, headers, counts=False, form=form, redirects=True)
    if 300 <= response.status <= 399:
        target = host_of(response.headers.get("location", "")) or "another path of the same host"
        raise Refused(
            f"{what}: answered with a redirect (HTTP status {response.status}) to {target}, which is not followed; "
            "check the host and `token_path`"
        )
    origin = f" (from {secret.origin})" if secret.origin else ""
    advice = f"check the access key's id and its secret{origin}"
    try:
        found = jsend.envelope(response, what)
    except Unauthorized as error:
        raise Refused(f"{error}; {advice}".replace("the token is", "the access key is")) from None
    except Refused as error:
        elsewhere = response.status in (404, 405, 410)
        raise Refused(f"{error}; {'check the host and `token_path`' if elsewhere else advice}") from None
    data = found.get("data")
    if not isinstance(data, dict):
        raise Retry(f"{what}: data is {kind(data)}, expected an object that holds a token")
    value = data.get("accessToken")
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value) or len(value) > LONGEST_TOKEN:
        raise Retry(f"{what}: the answer holds no token that a header can carry")
    return Token(Secret(value, "the access token"), lasts_s=_lasts_s(data, value, response, lives, fallback_s, what))


def _lasts_s(
    data: dict[str, Json], value: str, response: Response, lives: Sequence[str], fallback_s: float, what: str
) -> float:
    """The shortest life that anything tells of."""
    told = [seconds for name in lives if (seconds := _seconds(data.get(name))) is not None]
    begun_ms, ends_ms = jwt.times(value)
    if begun_ms is None:
        begun_ms = server_ms(response.headers)
    if begun_ms is not None and ends_ms is not None:
        told.append((ends_ms - begun_ms) / 1000)
    lasts_s = min(told, default=fallback_s)
    if lasts_s <= 0:
        raise Retry(f"{what}: the token expires {-lasts_s:g} s before it is issued")
    return min(lasts_s, LONGEST_LIFE_S)


def _seconds(value: Json) -> float | None:
    """A life in seconds, also where it is spelled as text; None for what is none."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and -LONGEST_LIFE_S < value < 1e15:
        return float(value)
    return None
