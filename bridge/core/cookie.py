"""Reads the cookies an answer sets (RFC 6265), for logins whose token is a session cookie.

Only value and life matter here: whoever logs in sends the cookie back to the one address it came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridge.core.answer import date_ms, server_ms
from bridge.core.secret import Secret

LONGEST = 8_192
"""Characters of a value; no server takes a longer header."""
LONGEST_LIFE_S = 10 * 365 * 86_400.0

_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]+")
_SECONDS = re.compile(r"-?[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Cookie:
    """`value`: with `name=` as its prefix, as the header `Cookie` wants it. `lasts_s`: None where nothing tells."""

    value: Secret
    lasts_s: float | None


def cookie(headers: Mapping[str, str], name: str) -> Cookie | None:
    """The cookie of this name; None if the answer sets none, removes it, or gives it a value no header can hold.

    `set-cookie` holds one cookie a line. Of several with the name the last one counts. The life is `Max-Age`, else
    `Expires` measured against the answer's own `Date`, so that our clock does not matter; at most ten years.
    """
    found: Cookie | None = None
    for value, attributes in _set(headers, name):
        lasts_s = _lasts_s(attributes, headers)
        gone = not _VALUE.fullmatch(value) or len(value) > LONGEST or (lasts_s is not None and lasts_s <= 0)
        found = None if gone else Cookie(Secret(value, f"the cookie {name}", prefix=f"{name}="), lasts_s)
    return found


def _set(headers: Mapping[str, str], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    for line in headers.get("set-cookie", "").split("\n"):
        pair, *rest = line.split(";")
        known_as, equals, value = pair.partition("=")
        if not equals or known_as.strip() != name:
            continue
        attributes: dict[str, str] = {}
        for part in rest:
            key, _, told = part.partition("=")
            # Of an attribute that is there twice the last one counts (RFC 6265, 5.3).
            attributes[key.strip().lower()] = told.strip()
        yield value.strip(), attributes


def _lasts_s(attributes: Mapping[str, str], headers: Mapping[str, str]) -> float | None:
    if _SECONDS.fullmatch(age := attributes.get("max-age", "")):
        return min(float(age), LONGEST_LIFE_S)
    until, now = date_ms(attributes.get("expires", "")), server_ms(headers)
    return None if until is None or now is None else min((until - now) / 1000, LONGEST_LIFE_S)
