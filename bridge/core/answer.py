"""What an HTTP answer means for what happens next, the same for every vendor.

Texts are made of what we know ourselves: bodies and the vendor's prose may quote tokens or people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from bridge.core.budget import Allowance, Limit
from bridge.core.errors import Refused, Retry, Throttled, TooComplex, Unauthorized
from bridge.core.facts import Response
from bridge.core.record import Json

LONGEST_PAUSE_S = 86_400.0
"""A vendor that asks for more than a day is asked again after a day."""

_WAIT = re.compile(r"Retry-After:\s*([0-9]{1,9})\s*seconds?", re.IGNORECASE)
_RATE = re.compile(r"Rate limit:\s*([0-9]{1,9})\s*requests? per (second|minute|hour|day)", re.IGNORECASE)
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_SPAN = re.compile(
    r"(?<![\w.,-])(?P<number>[0-9]{1,9}) ?(?P<unit>seconds?|secs?|sekunden?|sek|s|minutes?|mins?|minuten?)\b",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"(?:\b(?:per|pro|je|every|each|alle|jede|within|innerhalb(?: von)?)"
    r"|(?:requests|calls|aufrufen?|anfragen|abfragen|zugriffen?) (?:in|within|innerhalb(?: von)?)) ?$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[A-Z]?[a-z]{1,20}(?:[,;:.]? [a-z]{1,20}){0,30}[.!]?")


def check(response: Response, what: str) -> None:
    """Returns for a status from 200 to 299. `what` names the request in the text.

    Raises Unauthorized (401, 403), Throttled (429), Retry (408, 425, 5xx) or Refused (any other).
    """
    status = response.status
    if 200 <= status <= 299:
        return
    said = f"{what}: answered with HTTP status {status}"
    if status in (401, 403):
        raise Unauthorized(f"{said}: the token is not accepted")
    if status == 429:
        raise Throttled(f"{said}: over the quota", after=retry_after(response.headers))
    if status in (408, 425) or status >= 500:
        raise Retry(f"{said}: a fault at the vendor", after=retry_after(response.headers))
    raise Refused(f"{said}: check the configured URL, and whether the vendor changed the interface")


def not_too_complex(response: Response, what: str) -> None:
    """Returns unless the vendor refused for complexity: 429 with a `Retry-After` that is there and empty.

    For vendors that document it so. Raises TooComplex.
    """
    if response.status == 429 and "retry-after" in response.headers and not response.headers["retry-after"].strip():
        raise TooComplex(f"{what}: the request is too complex for the vendor, and would be at any time")


def allowance(headers: Mapping[str, str]) -> Allowance | None:
    """What `X-RateLimit-Limit`, `-Remaining` and `-Reset` say, the last one in seconds; None if not all of them do."""
    found = [headers.get(f"x-ratelimit-{name}", "").strip() for name in ("limit", "remaining", "reset")]
    if not all(re.fullmatch(r"[0-9]{1,9}", value) for value in found[:2]):
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", found[2]):
        return None
    burst, remaining = int(found[0]), int(found[1])
    return Allowance(burst, remaining, float(found[2])) if 0 <= remaining <= burst and burst >= 1 else None


def body(response: Response, what: str) -> Json:
    """The decoded body. Raises what `check` raises, and Retry when the body is not JSON."""
    check(response, what)
    if response.problem:
        raise Retry(f"{what}: the answer is not JSON ({response.problem})")
    return response.json


def rows(response: Response, what: str) -> list[Json]:
    """The body, a list. Raises what `body` raises, Refused for 403, and Retry when it is anything else."""
    if response.status == 403:
        raise Refused(f"{what}: answered with HTTP status 403; let the user or token read this, or do not configure it")
    found = body(response, what)
    if not isinstance(found, list):
        raise Retry(
            f"{what}: the answer is {'an object' if isinstance(found, dict) else 'a single value'}, and no list"
        )
    return found


def server_ms(headers: Mapping[str, str]) -> int | None:
    """The vendor's clock when it answered (header `Date`), in milliseconds since the Unix epoch."""
    return date_ms(headers.get("date", ""))


def date_ms(value: str) -> int | None:
    """An HTTP date in milliseconds since the Unix epoch; None for what is none."""
    moment = _date(value)
    return None if moment is None else int(moment.timestamp() * 1000)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the header `Retry-After`, given as seconds or as a date; None if it says nothing.

    A date is measured against the answer's own `Date`, so that our clock does not matter.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), LONGEST_PAUSE_S)
    until, now = _date(value), _date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


def quota(prose: Json) -> tuple[float | None, Limit | None]:
    """Seconds to wait, and the limit, as a vendor's prose names them in any order; None for what it does not name.

    Understood: `Retry-After: 5 seconds` (a date beside it is not used: clocks differ) and
    `Rate limit: 100 requests per minute`.
    """
    if not isinstance(prose, str):
        return None, None
    wait, rate = _WAIT.search(prose[:2000]), _RATE.search(prose[:2000])
    limit = Limit(int(rate[1]), _SECONDS[rate[2].lower()]) if rate and int(rate[1]) else None
    return min(float(wait[1]), LONGEST_PAUSE_S) if wait else None, limit


def seconds_in(prose: Json) -> float | None:
    """Seconds to wait, as a vendor's prose names them in English or German; None where it names none.

    Understood: `in 240 Sekunden`, `nach 4 Minuten`, `try again in 240 seconds`, `wait 4 min`. The length of the period
    beside it (`50 Anfragen in 15 Minuten`, `pro Minute`) is not taken for it; of several the last, seconds first.
    """
    if not isinstance(prose, str):
        return None
    found: dict[bool, float] = {}
    for match in _SPAN.finditer(prose[:2000]):
        if not _PERIOD.search(prose[max(0, match.start() - 40) : match.start("number")]):
            minutes = match["unit"].lower().startswith("m")
            found[minutes] = float(match["number"]) * (60.0 if minutes else 1.0)
    return min(found.get(False, found.get(True, 0.0)), LONGEST_PAUSE_S) if found else None


def harmless(comment: Json) -> str:
    """A vendor's comment as `: comment` if it is one plain lower-case sentence, else "".

    Names, addresses, ids, tokens and quotations need capitals, digits or signs, so none of them gets through.
    """
    if isinstance(comment, str) and len(comment) <= 200 and _SENTENCE.fullmatch(comment):
        return f": {comment}"
    return ""


def _date(value: str) -> datetime | None:
    # It takes the parser for mails with it, and few vendors send a date.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo is not None else None
